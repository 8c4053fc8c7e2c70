"""LPIPS (Zhang et al., CVPR 2018): distance between deep features of two pictures, AlexNet v0.1."""

from __future__ import annotations

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from cleanplate.evaluation.metrics.metric import Frame, Mask

LEAST_SIDE = 32
"""Pixels; AlexNet's features vanish below about this."""


class PerceptualDistance(nn.Module):
    """Pictures a, b (n, 3, h, w) in [-1, 1] → distance (n,), 0 for equal ones.

    `trunk` is AlexNet's convolutions, numbered as torchvision does; `weights` (one vector for each
    of the five layers) say how much each channel counts.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *(nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU()),
            *(nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU()),
            *(nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU()),
        )
        widths = [layer.out_channels for layer in self.trunk if isinstance(layer, nn.Conv2d)]
        self.weights = nn.ParameterList(torch.zeros(width) for width in widths)
        # ImageNet's mean and deviation, for values in [-1, 1].
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]), persistent=False)
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]), persistent=False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """See the class."""
        total = torch.zeros(len(a), device=a.device)
        pairs = zip(self._describe(a), self._describe(b), self.weights, strict=True)
        for one, other, weight in pairs:
            squares = (one - other) ** 2 * weight[:, None, None]
            total = total + squares.sum(1).mean((1, 2))
        return total

    def _describe(self, pictures: Tensor) -> list[Tensor]:
        """Features of five layers, each pixel's of unit length."""
        values = (pictures - self.shift[:, None, None]) / self.scale[:, None, None]
        found = []
        for layer in self.trunk:
            values = layer(values)
            if isinstance(layer, nn.ReLU):
                found.append(values / (values.norm(dim=1, keepdim=True) + 1e-10))
        return found


class Lpips:
    """Mean LPIPS over the frames that have a hole; whole composited frames, as the field does."""

    name = "lpips"

    def __init__(self, network: PerceptualDistance) -> None:
        self.gap: str | None = None
        self._network = network
        self._values: list[float] = []

    def add(self, made: Frame, truth: Frame | None, mask: Mask) -> float | None:
        """See Metric.add."""
        if truth is None or not mask.any():
            return None
        if min(mask.shape) < LEAST_SIDE:
            self.gap = f"frames are smaller than {LEAST_SIDE}x{LEAST_SIDE} pixels"
            return None
        device = self._network.shift.device
        with torch.inference_mode():
            a, b = (_to_tensor(picture).to(device) for picture in (made, truth))
            value = float(self._network(a, b))
        self._values.append(value)
        return value

    def result(self) -> float | None:
        """0 for equal pictures; larger is further."""
        return float(np.mean(self._values)) if self._values else None


def _to_tensor(picture: Frame) -> Tensor:
    values = torch.from_numpy(picture.astype(np.float32) / 127.5 - 1)
    return rearrange(values, "h w c -> 1 c h w")
