"""Metrics of filled videos: the field's conventions, and corrected ones under other names."""
