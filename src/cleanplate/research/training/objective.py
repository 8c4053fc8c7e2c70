"""The objective of training: network and losses in one forward pass; processes that share it."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist
from torch import Tensor, nn

from cleanplate.errors import InputError
from cleanplate.network import load
from cleanplate.network.light import LightNetwork
from cleanplate.network.sttn import SttnNetwork, initialise
from cleanplate.research.training.config import Recipe
from cleanplate.research.training.losses import composite, measure_l1, measure_light

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


def join_processes(device: str = "cpu") -> torch.device:
    """Join the other processes when torchrun started this one; this process's own device."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    place = torch.device(device)
    if several and device == "cuda":
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(place)
    if several and not dist.is_initialized():
        dist.init_process_group("nccl" if device == "cuda" else "gloo")
    return place


def local_rank() -> int:
    """This process's number on its machine."""
    return int(os.environ.get("LOCAL_RANK", rank()))


def rank() -> int:
    """This process's number; 0 writes files."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """The number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def agree(value: float, device: torch.device) -> float:
    """The first process's value in all processes, so that all decide alike."""
    if world() == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    dist.broadcast(shared, 0)
    return float(shared.item())
