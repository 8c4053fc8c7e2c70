"""The page: a small web server around `cleanplate.removal` and `cleanplate.masks` (extra `[web]`).

Read in this order: `settings`, `downloads` → `marks` → `worker` (runs in a process of its own),
`queue` (the server's end of it), `uploads` → `clips` → `sessions` → `guard` → `server`.
The files that the browser gets are in `static`.
"""
