"""Benchmarks: speed, memory and quality, also against STTN's released code."""
