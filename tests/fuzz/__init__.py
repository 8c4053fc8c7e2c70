"""Hostile input: mutated files, texts, requests, paths and values for all that comes from outside.

Each input comes from `(surface, seed)` alone and can be made again:
`python -m tests.fuzz --surface video --first 17 --count 1 --keep FOLDER`.
"""
