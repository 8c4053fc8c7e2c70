"""A small network that weighs kinds of evidence for where an object is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

_PATCH = 2
"""Pixels a side that become channels of one cell."""
MULTIPLE = _PATCH * 4
"""Heights and widths are multiples of this."""


@dataclass(frozen=True)
class FusionConfig:
    """Parameters of the fusion network.

    Attributes:
        channels: kinds of evidence.
        widths: channels at a half, a quarter and an eighth of the resolution.
    """

    channels: int = 13
    widths: tuple[int, int, int] = (16, 32, 48)
    architecture: str = "fusion"


class FusionNetwork(nn.Module):
    """An hourglass with shortcuts."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        first, second, third = config.widths
        self.enter = _pair(config.channels * _PATCH**2, first)
        self.down = _pair(first, second)
        self.bottom = _pair(second, third)
        self.across = _pair(third, third)
        self.up = _pair(third + second, second)
        self.leave = _pair(second + first, first)
        self.out = nn.Conv2d(first, _PATCH**2, 1)

    def forward(self, evidence: Tensor) -> Tensor:
        """`evidence` (b, channels, h, w) → log odds that a pixel is the object's (b, h, w)."""
        cells = rearrange(evidence, "b c (h p) (w q) -> b (c p q) h w", p=_PATCH, q=_PATCH)
        fine = self.enter(cells)
        middle = self.down(F.avg_pool2d(fine, 2))
        coarse = self.across(self.bottom(F.avg_pool2d(middle, 2)))
        middle = self.up(torch.cat([_enlarge(coarse), middle], 1))
        fine = self.leave(torch.cat([_enlarge(middle), fine], 1))
        odds: Tensor = rearrange(self.out(fine), "b (p q) h w -> b (h p) (w q)", p=_PATCH, q=_PATCH)
        return odds


def _pair(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(after, after, 3, padding=1),
        nn.ReLU(),
    )


def _enlarge(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
