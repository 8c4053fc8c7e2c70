"""What a network is trained for: its loss terms, in one forward pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cleanplate.errors import InputError
from cleanplate.model import load
from cleanplate.model.generator import SttnNetwork
from cleanplate.model.initialisation import initialise
from cleanplate.model.light import LightNetwork
from cleanplate.model.losses import composite, measure_l1
from cleanplate.training.config import Recipe
from cleanplate.training.losses import measure_light

Terms = dict[str, Tensor]
Batch = tuple[Tensor, Tensor]
"""Complete frames `(b, t, 3, h, w)` in [-1, 1] and masks `(b, t, 1, h, w)`, 1 = hole."""


def make_network(recipe: Recipe) -> nn.Module:
    """The recipe's network with its first weights, seeded; leaves the global random state alone.

    Raises InputError when the weights to begin with are of another architecture.
    """
    if recipe.start is not None:
        return _load(recipe.start, recipe.network.architecture)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        if recipe.network.architecture == "sttn":
            network = SttnNetwork(recipe.network)  # type: ignore[arg-type]
            initialise(network, torch.Generator().manual_seed(recipe.seed))
            return network
        return LightNetwork(recipe.network)  # type: ignore[arg-type]


def _load(start: str, architecture: str) -> nn.Module:
    network = load(start).train()
    found = network.config.architecture  # type: ignore[union-attr]
    if found != architecture:
        raise InputError(
            f"{start} holds a network '{found}', but the recipe trains '{architecture}';"
            " choose the recipe of that network"
        )
    return network


class Objective(nn.Module):
    """Loss terms of a network; one module, as DistributedDataParallel wants it.

    Returns the terms, `total` among them, and the composited clip for a discriminator.
    """

    def __init__(self, network: nn.Module, recipe: Recipe) -> None:
        super().__init__()
        self.network, self.recipe = network, recipe

    def forward(self, clips: Batch, stills: Batch | None) -> tuple[Terms, Tensor]:
        """Terms of both batches; the composites are the clips'."""
        terms, made = self._measure(*clips)
        if stills is not None:
            more, _ = self._measure(*stills)
            terms["stills"] = more["total"]
            terms["total"] = terms["total"] + more["total"]
        return terms, made

    def _measure(self, frames: Tensor, masks: Tensor) -> tuple[Terms, Tensor]:
        if isinstance(self.network, LightNetwork):
            result = self.network.forward_training(
                frames * (1 - masks), masks, synthesise=self.recipe.light_losses.synthesise
            )
            terms = measure_light(result, frames, masks, self.recipe.light_losses)
            return terms, composite(frames, result.frames, masks)
        filled = self.network(frames * (1 - masks), masks)
        weights = self.recipe.sttn_losses
        terms = {
            "hole": measure_l1(filled, frames, masks),
            "valid": measure_l1(filled, frames, 1 - masks),
        }
        terms["total"] = weights.hole * terms["hole"] + weights.valid * terms["valid"]
        return terms, composite(frames, filled, masks)
