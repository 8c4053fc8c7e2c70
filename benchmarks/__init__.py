"""Measurements by hand: how fast and in how much memory. How good: `cleanplate evaluate`."""
