"""The spatial-temporal transformer network: encoder, transformer blocks, decoder (STTN, Section 3).

Parameters carry the names of the released checkpoint.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from cleanplate.model.attention import MultiHeadAttention, exclude_holes
from cleanplate.model.config import SttnConfig

STRIDE = 4
"""The encoder halves height and width twice."""
SLOPE = 0.2
"""Of all activations below zero."""


class FeedForward(nn.Module):
    """Two convolutions, the first dilated."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=2, dilation=2),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.LeakyReLU(SLOPE, inplace=True),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map `(n, c, h, w)` to `(n, c, h, w)`."""
        result: Tensor = self.conv(features)
        return result


class TransformerBlock(nn.Module):
    """Attention, then feed forward, each added to its input."""

    def __init__(self, channels: int, scales: tuple[int, ...]) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(channels, scales)
        self.feed_forward = FeedForward(channels)

    def forward(self, features: Tensor, batch: int, biases: list[Tensor] | None) -> Tensor:
        """Map `(b * t, c, h, w)` to the same shape; `biases` as in MultiHeadAttention."""
        features = features + self.attention(features, batch, biases)
        result: Tensor = features + self.feed_forward(features)
        return result


class UpsampledConv(nn.Module):
    """A convolution at twice the resolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Map `(n, inputs, h, w)` to `(n, outputs, 2h, 2w)`."""
        features = F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=True)
        result: Tensor = self.conv(features)
        return result


class SttnNetwork(nn.Module):
    """Fill the holes of all frames of a clip at once; any height and width.

    Where the size asks for it, the input is padded to a multiple of 4 and the feature map to a
    multiple of the scales (so to 48 pixels in all), and the result is cropped.
    """

    def __init__(self, config: SttnConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SttnConfig()
        channels, (half, quarter) = config.channels, config.widths
        self.encoder = nn.Sequential(
            nn.Conv2d(3, half, 3, stride=2, padding=1),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(half, half, 3, padding=1),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(half, quarter, 3, stride=2, padding=1),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(quarter, channels, 3, padding=1),
            nn.LeakyReLU(SLOPE, inplace=True),
        )
        self.transformer = nn.ModuleList(
            TransformerBlock(channels, config.scales) for _ in range(config.blocks)
        )
        self.decoder = nn.Sequential(
            UpsampledConv(channels, quarter),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(quarter, half, 3, padding=1),
            nn.LeakyReLU(SLOPE, inplace=True),
            UpsampledConv(half, half),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(half, 3, 3, padding=1),
        )

    def forward(self, masked_frames: Tensor, masks: Tensor) -> Tensor:
        """Fill holes.

        Args:
            masked_frames: `(b, t, 3, h, w)` in [-1, 1], 0 inside holes.
            masks: `(b, t, 1, h, w)` in 0..1, 1 = hole; only the attention sees it, and only with
                `config.masked`.

        Returns:
            `(b, t, 3, h, w)` in [-1, 1]; known pixels are re-made too, the caller composites.
        """
        height, width = masked_frames.shape[-2:]
        features = self.transform(self.encode(masked_frames), masks)
        return self.decode(features)[..., :height, :width]

    def encode(self, frames: Tensor) -> Tensor:
        """Map frames `(b, t, 3, h, w)` to features `(b, t, c, ceil(h / 4), ceil(w / 4))`.

        Frames do not see each other here, so features can be kept.
        """
        flat = pad(frames.flatten(0, 1), STRIDE)
        features: Tensor = self.encoder(flat)
        return rearrange(features, "(b t) c h w -> b t c h w", b=frames.shape[0])

    def transform(self, features: Tensor, masks: Tensor) -> Tensor:
        """Exchange what the frames know: `(b, t, c, h / 4, w / 4)` to the same shape.

        `masks` is `(b, t, 1, h, w)` at the size of the frames, 1 = hole.
        """
        batch, _, _, height, width = features.shape
        flat = pad(features.flatten(0, 1), math.lcm(*self.config.scales))
        size = flat.shape[-2], flat.shape[-1]
        biases = self.exclude(masks.to(flat.dtype), size) if self.config.masked else None
        for block in self.transformer:
            flat = block(flat, batch, biases)
        flat = flat[..., :height, :width]
        return rearrange(flat, "(b t) c h w -> b t c h w", b=batch)

    def decode(self, features: Tensor) -> Tensor:
        """Map features `(b, t, c, h, w)` to frames `(b, t, 3, 4h, 4w)` in [-1, 1]."""
        flat = torch.tanh(self.decoder(features.flatten(0, 1)))
        return rearrange(flat, "(b t) c h w -> b t c h w", b=features.shape[0])

    def exclude(self, masks: Tensor, size: tuple[int, int]) -> list[Tensor]:
        """Equation 4 for each scale, on a map padded to `size`; padding holds no key."""
        holes = masks[..., ::STRIDE, ::STRIDE]  # nearest, as in the released code
        (height, width), (rows, columns) = holes.shape[-2:], size
        real = holes.new_zeros(rows, columns)
        real[:height, :width] = 1
        holes = F.pad(holes, (0, columns - width, 0, rows - height))
        return [exclude_holes(holes, real, scale) for scale in self.config.scales]


def pad(pictures: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column of `(n, c, h, w)` until both sides divide by `multiple`."""
    below, right = (-side % multiple for side in pictures.shape[-2:])
    if not below and not right:
        return pictures
    return F.pad(pictures, (0, right, 0, below), mode="replicate")
