"""Training: recipes, data, and the loop."""

from cleanplate.training.config import RECIPES, Adversary, Recipe
from cleanplate.training.data import DataPlan, prepare
from cleanplate.training.distributed import join_processes
from cleanplate.training.loop import Run, fit, main, setup, validate

__all__ = [
    "RECIPES",
    "Adversary",
    "DataPlan",
    "Recipe",
    "Run",
    "fit",
    "join_processes",
    "main",
    "prepare",
    "setup",
    "validate",
]
