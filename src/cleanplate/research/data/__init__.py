"""Data to train on: published layouts, clips, photographs, a cache, and samples drawn from them."""
