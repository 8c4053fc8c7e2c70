"""Hostile input: mutated files, texts and requests for everything that reads from outside.

Each input comes from `(surface, seed)` alone and can be made again:
`python -m tests.fuzz --surface video --first 17 --count 1 --keep FOLDER`.
"""
