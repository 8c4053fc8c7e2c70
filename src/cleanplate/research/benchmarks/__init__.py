"""How fast it runs, measured against the released way of doing it."""
