"""Training data: published layouts, clips, photographs, a cache, and random samples."""
