"""Measurements by hand: how good (`quality`), how fast and in how much memory (`speed`)."""
