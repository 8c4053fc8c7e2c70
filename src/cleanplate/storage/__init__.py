"""Storage: inputs, protected places, atomic outputs, locks."""
