"""Masks of burned-in text."""
