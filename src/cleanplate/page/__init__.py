"""The page: a small web server around `cleanplate.removal` and `cleanplate.masks` (extra `[web]`).

Read in this order: `limits`, `downloads` → `marks` → `worker` (runs in a separate process),
`queue` (the server's side of that process), `clips` → `sessions` → `server`.
The browser's files are in `static`.
"""
