"""The page: a small web server around `cleanplate.removal` and `cleanplate.masks` (extra `[web]`).

Read in this order: `settings`, `downloads` → `marks` → `worker` (runs in a separate process),
`queue` (the server's side of that process), `uploads` → `clips` → `sessions` → `guard` → `server`.
The browser's files are in `static`.
"""
