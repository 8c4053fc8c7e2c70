"""Storage: read hostile files, protect paths, write atomically, lock."""
