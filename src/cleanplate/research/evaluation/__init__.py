"""Evaluation: metrics, clips, methods to compare, protocols, scores and reports."""
