"""Storage: safe inputs, protected paths, atomic outputs, locks."""
