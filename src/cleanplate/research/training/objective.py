"""Losses: L1 and hinge of the paper (Section 3.3), the light network's, and one training step."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cleanplate.errors import InputError
from cleanplate.network import load
from cleanplate.network.light import LightNetwork, Training
from cleanplate.network.matching import Matches, Scores, enlarge, warp
from cleanplate.network.sttn import SttnNetwork, initialise
from cleanplate.research.training.config import Adversary, LightLossWeights, Recipe

Terms = dict[str, Tensor]
Batch = tuple[Tensor, Tensor]
"""Complete frames `(b, t, 3, h, w)` in [-1, 1] and masks `(b, t, 1, h, w)`, 1 = hole."""


def make_network(recipe: Recipe) -> nn.Module:
    """Create the recipe's network with seeded weights; the global random state is not changed.

    Raises InputError if the initial weights have another architecture.
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
    """Loss terms of a network as one module, for DistributedDataParallel.

    Returns the terms, including `total`, and the composited clip for a discriminator.
    """

    def __init__(self, network: nn.Module, recipe: Recipe) -> None:
        super().__init__()
        self.network, self.recipe = network, recipe

    def forward(self, clips: Batch, stills: Batch | None) -> tuple[Terms, Tensor]:
        """Compute the terms of both batches, and the composites of the clips."""
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
    """Join the process group if torchrun started this process; return its device."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    place = torch.device(device)
    if several and device == "cuda":
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(place)
    if several and not dist.is_initialized():
        dist.init_process_group("nccl" if device == "cuda" else "gloo")
    return place


def local_rank() -> int:
    """Return the local rank."""
    return int(os.environ.get("LOCAL_RANK", rank()))


def rank() -> int:
    """Return the rank; rank 0 writes files."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """Return the world size."""
    return dist.get_world_size() if dist.is_initialized() else 1


def agree(value: float, device: torch.device) -> float:
    """Broadcast the value of rank 0, so that all processes decide alike."""
    if world() == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    dist.broadcast(shared, 0)
    return float(shared.item())


_KERNEL = (3, 5, 5)
_STRIDE = (1, 2, 2)
_EPSILON = 1e-12


class SpectralConv3d(nn.Module):
    """3-D convolution without bias whose weight has a spectral norm of about 1.

    The norm comes from power iteration (Miyato et al., ICLR 2018): one step in every forward pass
    in train mode, none in eval mode.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, inputs: int, outputs: int, padding: tuple[int, int, int]) -> None:
        super().__init__()
        self.padding = padding
        weight = torch.empty(outputs, inputs, *_KERNEL)
        nn.init.kaiming_uniform_(weight, a=5**0.5)
        self.weight_orig = nn.Parameter(weight)
        self.register_buffer("weight_u", _unit(torch.randn(outputs)))
        self.register_buffer("weight_v", _unit(torch.randn(weight[0].numel())))

    def forward(self, clip: Tensor) -> Tensor:
        """Map `(b, inputs, t, h, w)` to `(b, outputs, t, h / 2, w / 2)`."""
        weight = self.weight_orig / self._spectral_norm()
        return F.conv3d(clip, weight, stride=_STRIDE, padding=self.padding)

    def _spectral_norm(self) -> Tensor:
        matrix = self.weight_orig.flatten(1)
        if self.training:
            with torch.no_grad():
                self.weight_v.copy_(_unit(matrix.t() @ self.weight_u))
                self.weight_u.copy_(_unit(matrix @ self.weight_v))
        # Copies, since the next forward pass changes the buffers before this backward pass.
        return self.weight_u.clone() @ (matrix @ self.weight_v.clone())


class Discriminator(nn.Module):
    """Temporal PatchGAN: score every patch of a clip as real or generated.

    Args:
        width: channels of the first layer; the paper's is 64.
        mix_clips: True convolves all clips of a batch as one long video, as the released code does
            on one GPU; False keeps clips apart.
    """

    def __init__(self, width: int = 64, *, mix_clips: bool = False) -> None:
        super().__init__()
        self.mix_clips = mix_clips
        channels = [3, width, 2 * width, 4 * width, 4 * width, 4 * width]
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(pairwise(channels)):
            # The smaller padding of the first layer is that of the released network.
            padding = (1, 2, 2) if index else (1, 1, 1)
            layers += [SpectralConv3d(inputs, outputs, padding), nn.LeakyReLU(0.2, inplace=True)]
        last = nn.Conv3d(4 * width, 4 * width, _KERNEL, stride=_STRIDE, padding=(1, 2, 2))
        self.conv = nn.Sequential(*layers, last)

    def forward(self, frames: Tensor) -> Tensor:
        """Score frames `(b, t, 3, h, w)` in [-1, 1]: higher is more real.

        Returns `(b, t, 4 * width, h / 64, w / 64)`, sides rounded up; with `mix_clips`
        `(1, b * t, …)`.
        """
        if self.mix_clips:
            frames = rearrange(frames, "b t c h w -> 1 (b t) c h w")
        scores: Tensor = self.conv(rearrange(frames, "b t c h w -> b c t h w"))
        return rearrange(scores, "b c t h w -> b t c h w")


def _unit(vector: Tensor) -> Tensor:
    return F.normalize(vector, dim=0, eps=_EPSILON)


class Judge:
    """Discriminator with its optimizer."""

    def __init__(self, config: Adversary, recipe: Recipe, device: torch.device) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed + 1)
            self.network = Discriminator(config.width, mix_clips=config.mix_clips).to(device)
        self.config = config
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            recipe.rate,
            betas=recipe.betas,
            eps=recipe.epsilon,
            weight_decay=0.0,
        )
        self._shared: nn.Module = self.network
        if world() > 1:
            # The buffers depend only on the weights, so they are equal in all processes.
            self._shared = DistributedDataParallel(self.network, broadcast_buffers=False)

    def learn(self, real: Tensor, made: Tensor) -> float:
        """Train one step on real and generated clips `(b, t, 3, h, w)`; return the loss."""
        self.network.requires_grad_(True)
        # One pass for both: DistributedDataParallel needs one forward pass per backward pass.
        if self.config.mix_clips:
            scores_real, scores_made = self._shared(real), self._shared(made.detach())
        else:
            scores_real, scores_made = self._shared(torch.cat([real, made.detach()])).chunk(2)
        loss = (judge_real(scores_real) + judge_made(scores_made)) / 2
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return float(loss.item())

    def persuade(self, made: Tensor) -> Tensor:
        """Return the generator's weighted adversarial term on generated clips."""
        self.network.requires_grad_(False)
        return self.config.weight * persuade(self.network(made))

    def state(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the state returned by `state`."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


def composite(frames: Tensor, filled: Tensor, masks: Tensor) -> Tensor:
    """Fill the holes of `frames` from `filled` `(b, t, 3, h, w)`; masks `(b, t, 1, h, w)`."""
    return frames * (1 - masks) + filled * masks


def measure_l1(filled: Tensor, frames: Tensor, area: Tensor) -> Tensor:
    """Compute the mean absolute difference inside `area` (Equations 6 and 7).

    Args:
        filled: `(b, t, 3, h, w)`, the network's output.
        frames: the ground truth, of the same shape.
        area: `(b, t, 1, h, w)`, 1 = counted: the masks, or one minus the masks.

    Returns:
        A scalar; 0 if the area is empty.
    """
    return ((filled - frames) * area).abs().mean() / area.mean().clamp(min=1e-6)


def judge_real(scores: Tensor) -> Tensor:
    """Compute the discriminator's hinge loss on real clips (Equation 8)."""
    return F.relu(1 - scores).mean()


def judge_made(scores: Tensor) -> Tensor:
    """Compute the discriminator's hinge loss on generated clips (Equation 8)."""
    return F.relu(1 + scores).mean()


def persuade(scores: Tensor) -> Tensor:
    """Compute the generator's adversarial loss on scores of generated clips (Equation 9)."""
    return -scores.mean()


def measure_light(
    result: Training, frames: Tensor, masks: Tensor, weights: LightLossWeights
) -> dict[str, Tensor]:
    """Compute the terms and their weighted sum `total`; `frames` complete, `(b, t, c, h, w)`."""
    error = result.frames - frames
    fused = result.fused.frames[..., : frames.shape[-2], : frames.shape[-1]] - frames
    terms = {
        "absolute": _in_hole(error.abs(), masks),
        "square": _in_hole(error.square(), masks),
        "copies": _in_hole(fused.abs() + fused.square(), masks),
    }
    if result.matches is not None and (weights.places or weights.coarse):
        truth = F.pad(
            frames.flatten(0, 1),
            (0, -frames.shape[-1] % 16, 0, -frames.shape[-2] % 16),
            mode="replicate",
        )
        terms["places"] = _measure_places(result.matches, truth)
        if result.matches.scores is not None:
            terms["coarse"] = _measure_coarse(result.matches.scores, truth, masks)
    total = sum(getattr(weights, name) * value for name, value in terms.items())
    return {**terms, "total": torch.as_tensor(total)}


def _in_hole(error: Tensor, masks: Tensor) -> Tensor:
    per_clip = (error.mean(2, keepdim=True) * masks).flatten(1).sum(1)
    return (per_clip / masks.flatten(1).sum(1).clamp_min(1)).mean()


def _robust(difference: Tensor) -> Tensor:
    """Compute a robust penalty, so that occluded pixels, which cannot match, do not dominate."""
    return (difference.abs() + 0.01).pow(0.5) - 0.1


def _measure_places(matches: Matches, truth: Tensor) -> Tensor:
    """Average over pairs, at 1/4 for the first refinement and at 1/2 for the second."""
    total = truth.new_zeros(())
    for flow, factor in ((matches.flows[1], 4), (matches.flows[2], 2)):
        small = F.avg_pool2d(truth, factor)
        fetched = warp(small[matches.sources], enlarge(flow, 8 // factor) / factor)
        total = total + _robust(fetched - small[matches.targets]).mean()
    return total


def _measure_coarse(scores: Scores, truth: Tensor, masks: Tensor) -> Tensor:
    """Compute the loss of 4×4 colour cells, averaged over known source cells by their scores."""
    cells = F.pixel_unshuffle(F.avg_pool2d(truth, 4), 4)
    cells = rearrange(cells, "n c h w -> n (h w) c")
    right, bottom = -masks.shape[-1] % 16, -masks.shape[-2] % 16
    holes = F.pad(masks.flatten(0, 1), (0, right, 0, bottom), value=1.0)
    known = rearrange(1 - F.avg_pool2d(holes, 16), "n 1 h w -> n 1 (h w)")
    total = truth.new_zeros(())
    ways = (
        (scores.first, scores.second, scores.table),
        (scores.second, scores.first, scores.table.transpose(1, 2)),
    )
    for target, source, table in ways:
        shares = (table + (known[source] + 1e-4).log()).softmax(-1)
        total = total + _robust(torch.bmm(shares, cells[source]) - cells[target]).mean() / 2
    return total
