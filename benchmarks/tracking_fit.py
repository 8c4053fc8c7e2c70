"""Train the tracker's network on figures pasted into clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import torch
from einops import reduce
from torch import Tensor
from torch.nn import functional as F

from benchmarks.tracking import make_scenes
from benchmarks.tracking_data import Example, Weights, gather
from cleanplate.masks.tracking.flowing import Network
from cleanplate.network.weights import FusionConfig, FusionNetwork, save

_KINDS = ((0, 1), (4,), (5, 6), (7, 8, 9), (10,))
"""Channels of a kind of evidence (see stack_evidence); each is missing at times."""
_MISSING = 0.06
_BATCH = 12


@click.command()
@click.argument("clips", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("photos", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--scenes", default=200, show_default=True, help="Figures to paste and follow.")
@click.option("--rounds", default=2, show_default=True, help="Later ones follow by the network.")
@click.option("--steps", default=2000, show_default=True, help="In each round.")
def fit_tracking(
    clips: Path, photos: Path, output: Path, scenes: int, rounds: int, steps: int
) -> None:
    """Learn from those CLIPS and PHOTOS that `tracking` leaves out; write OUTPUT (safetensors)."""
    torch.manual_seed(0)
    network = FusionNetwork(FusionConfig())
    examples: list[Example] = []
    for number in range(rounds):
        pupil = Weights() if number == 0 else Network(network.eval())
        first, share = number * scenes, scenes // rounds
        for seed, scene in enumerate(
            make_scenes(clips, photos, share, 36, spared=False, first=first)
        ):
            examples.extend(gather(scene, pupil, first + seed))
        click.echo(f"round {number + 1}: {len(examples)} examples")
        loss = train(network, examples, steps, torch.Generator().manual_seed(number))
        click.echo(f"mean loss of the last 100 steps {loss:.3f}")
    save(network, output, dtype=torch.float16)


def train(
    network: FusionNetwork, examples: Sequence[Example], steps: int, random: torch.Generator
) -> float:
    """Fit `network`; returns the mean loss of the last 100 steps."""
    network.train()
    evidence = torch.from_numpy(np.stack([example.evidence for example in examples]))
    truth = torch.from_numpy(np.stack([example.truth for example in examples]))
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps, pct_start=0.15)
    losses = []
    for _ in range(steps):
        chosen = torch.randint(len(evidence), (_BATCH,), generator=random)
        batch = vary(evidence[chosen].float(), truth[chosen].float(), random)
        loss = measure_loss(network(batch[0]), batch[1])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return float(np.mean(losses[-100:]))


def vary(evidence: Tensor, truth: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirror half of the examples, and take kinds of evidence away from some."""
    count = len(evidence)
    flip = torch.rand(count, generator=random) < 0.5
    evidence[flip] = evidence[flip].flip(-1)
    evidence[flip, -1] *= -1
    truth[flip] = truth[flip].flip(-1)
    for channels in _KINDS:
        gone = torch.rand(count, generator=random) < _MISSING
        for channel in channels:
            evidence[gone, channel] = 0
    evidence[:, :2] *= 1 + 0.2 * torch.randn(count, 2, 1, 1, generator=random)
    return evidence, truth


def measure_loss(odds: Tensor, truth: Tensor) -> Tensor:
    """Cross entropy in which a missed pixel costs double, and overlap (Dice).

    Small objects count more for each pixel than large ones.
    """
    each = F.binary_cross_entropy_with_logits(odds, truth, 1 + truth, reduction="none")
    area = reduce(truth, "b h w -> b", "mean").clamp(min=0.02)
    share = torch.sigmoid(odds)
    both, all_ = (reduce(x, "b h w -> b", "sum") for x in (share * truth, share + truth))
    overlap = (2 * both + 20) / (all_ + 20)
    return (reduce(each, "b h w -> b", "mean") / area.sqrt() + 0.3 * (1 - overlap)).mean()
