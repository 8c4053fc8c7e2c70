"""I3D (Carreira & Zisserman, CVPR 2017): Inception-v1 inflated to video, as far as its features.

Modules are named as in the well-known PyTorch port (`pytorch-i3d`), so that its published weights
load (`rgb_imagenet.pt`, Kinetics-400, RGB). The classifier is left out: only features are used.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

FEATURES = 1024

# Channels of an Inception module: 1x1; 1x1 then 3x3; 1x1 then 3x3; pooled then 1x1.
_MIXED = {
    "Mixed_3b": (64, (96, 128), (16, 32), 32),
    "Mixed_3c": (128, (128, 192), (32, 96), 64),
    "Mixed_4b": (192, (96, 208), (16, 48), 64),
    "Mixed_4c": (160, (112, 224), (24, 64), 64),
    "Mixed_4d": (128, (128, 256), (24, 64), 64),
    "Mixed_4e": (112, (144, 288), (32, 64), 64),
    "Mixed_4f": (256, (160, 320), (32, 128), 128),
    "Mixed_5b": (256, (160, 320), (32, 128), 128),
    "Mixed_5c": (384, (192, 384), (48, 128), 128),
}


class I3d(nn.Module):
    """Clips (b, 3, t, h, w) → features (b, 1024): the mean of `Mixed_5c` over time and space."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, 7, stride=2)
        self.MaxPool3d_2a_3x3 = SamePool((1, 3, 3), (1, 2, 2))
        self.Conv3d_2b_1x1 = Unit(64, 64, 1)
        self.Conv3d_2c_3x3 = Unit(64, 192, 3)
        self.MaxPool3d_3a_3x3 = SamePool((1, 3, 3), (1, 2, 2))
        channels = 192
        for name, widths in _MIXED.items():
            if name == "Mixed_4b":
                self.MaxPool3d_4a_3x3 = SamePool((3, 3, 3), (2, 2, 2))
            if name == "Mixed_5b":
                self.MaxPool3d_5a_2x2 = SamePool((2, 2, 2), (2, 2, 2))
            mixed = Mixed(channels, *widths)
            self.add_module(name, mixed)
            channels = mixed.channels

    def forward(self, clips: Tensor) -> Tensor:
        """`clips` as the weights expect them; by the field's convention RGB in [0, 1]."""
        for layer in self.children():
            clips = layer(clips)
        return clips.mean((2, 3, 4))

    def use_batch_statistics(self, use: bool) -> None:
        """Normalise by the statistics of the clip itself instead of those learnt.

        That is what a network left in training mode does; here it changes no stored statistics.
        """
        for module in self.modules():
            if isinstance(module, Unit):
                module.batch_statistics = use


class Unit(nn.Module):
    """Convolution, batch normalisation and ReLU."""

    def __init__(self, inputs: int, outputs: int, side: int, stride: int = 1) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(inputs, outputs, side, stride, bias=False)
        self.bn = nn.BatchNorm3d(outputs, eps=1e-3, momentum=0.01)
        self.batch_statistics = False

    def forward(self, clips: Tensor) -> Tensor:
        """(b, c, t, h, w) → (b, outputs, t / stride, h / stride, w / stride), rounded up."""
        padded = pad_same(clips, self.conv3d.kernel_size, self.conv3d.stride)
        features = self.conv3d(padded)
        own = self.batch_statistics
        normal = functional.batch_norm(
            features,
            None if own else self.bn.running_mean,
            None if own else self.bn.running_var,
            self.bn.weight,
            self.bn.bias,
            training=own,
            eps=self.bn.eps,
        )
        return functional.relu_(normal)


class SamePool(nn.Module):
    """Maximum over windows, the rim padded with zeros; features are never below zero."""

    def __init__(self, side: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.side, self.stride = side, stride

    def forward(self, clips: Tensor) -> Tensor:
        """(b, c, t, h, w) → the same divided by the stride, rounded up."""
        return functional.max_pool3d(
            pad_same(clips, self.side, self.stride), self.side, self.stride
        )


class Mixed(nn.Module):
    """Inception module: four branches side by side."""

    def __init__(
        self, inputs: int, plain: int, small: tuple[int, int], large: tuple[int, int], pooled: int
    ) -> None:
        super().__init__()
        self.b0 = Unit(inputs, plain, 1)
        self.b1a, self.b1b = Unit(inputs, small[0], 1), Unit(*small, 3)
        self.b2a, self.b2b = Unit(inputs, large[0], 1), Unit(*large, 3)
        self.b3a, self.b3b = SamePool((3, 3, 3), (1, 1, 1)), Unit(inputs, pooled, 1)
        self.channels = plain + small[1] + large[1] + pooled

    def forward(self, clips: Tensor) -> Tensor:
        """(b, inputs, t, h, w) → (b, channels, t, h, w)."""
        branches = (
            self.b0(clips),
            self.b1b(self.b1a(clips)),
            self.b2b(self.b2a(clips)),
            self.b3b(self.b3a(clips)),
        )
        return torch.cat(branches, 1)


def pad_same(clips: Tensor, side: Iterable[int], stride: Iterable[int]) -> Tensor:
    """Pad with zeros so that windows cover everything, the odd one behind: TensorFlow's SAME."""
    pads: list[int] = []
    for length, window, step in zip(clips.shape[2:], side, stride, strict=True):
        spare = max(window - (length % step or step), 0)
        pads = [spare // 2, spare - spare // 2, *pads]  # torch counts axes from the last
    return functional.pad(clips, pads) if any(pads) else clips
