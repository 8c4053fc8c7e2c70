"""Train networks: recipes, data, and the loop."""

from cleanplate.research.training.config import RECIPES, Adversary, Recipe
from cleanplate.research.training.feed import DataPlan, prepare
from cleanplate.research.training.loop import Run, fit, main, setup, validate
from cleanplate.research.training.objective import Discriminator, join_processes

__all__ = [
    "RECIPES",
    "Adversary",
    "DataPlan",
    "Discriminator",
    "Recipe",
    "Run",
    "fit",
    "join_processes",
    "main",
    "prepare",
    "setup",
    "validate",
]
