"""Clips to train on and to show: data sets in their layouts, photographs, the demo."""
