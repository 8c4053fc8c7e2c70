"""Evaluation: clips, methods side by side, protocols, scores and reports."""
