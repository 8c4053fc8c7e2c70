"""The page: a small web server around `cleanplate.removal` and `cleanplate.masks` (extra `[web]`).

Read in this order: `settings`, `marks` → `previews`, `clicks`, `tasks` → `worker` (a process) and
`process` (the server's end of it) → `jobs`, `uploads`, `clips`, `sessions` → `guard`,
`downloads`, `app`, `server`. What the browser is sent lies in `static`."""
