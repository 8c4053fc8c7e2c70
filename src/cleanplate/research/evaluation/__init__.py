"""Evaluation: metrics, protocols, methods side by side, and reports."""
