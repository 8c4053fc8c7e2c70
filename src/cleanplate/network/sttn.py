"""Definition of STTN: configuration, encoder, transformer stack, decoder (ECCV 2020).

Training, export and tests use these modules; `cleanplate.network.runner` runs them faster.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Protocol, TypeVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from cleanplate.errors import WeightsError
from cleanplate.storage.paths import parse_json

METADATA_KEY = "config"
# Far above any network here; a file that claims more must not cost time or memory.
_LARGEST = 4096


class NetworkConfig(Protocol):
    """Fields of every network's frozen dataclass of parameters."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def architecture(self) -> str:
        """Name of the network that the parameters belong to."""


Config = TypeVar("Config", bound=NetworkConfig)


@dataclass(frozen=True)
class SttnConfig:
    """Parameters of the spatial-temporal transformer network (STTN, ECCV 2020).

    Attributes:
        channels: width of the feature map, divided equally among the attention heads.
        widths: channels at half resolution, and of the first layer at quarter resolution.
        blocks: number of transformer blocks.
        scales: one attention head each; its patch is the padded feature map divided by the scale.
        masked: True excludes patches that are mostly hole as keys (Equation 4). The released
            weights were trained without it.
    """

    channels: int = 256
    widths: tuple[int, int] = (64, 128)
    blocks: int = 8
    scales: tuple[int, ...] = (1, 3, 6, 12)
    masked: bool = False
    architecture: str = "sttn"

    def __post_init__(self) -> None:
        if self.architecture != "sttn":
            raise ValueError(f"architecture is '{self.architecture}', not 'sttn'")
        if len(self.widths) != 2:
            raise ValueError(f"widths are two numbers, not {len(self.widths)}")
        for name, value in (
            ("channels", self.channels),
            ("widths", min(self.widths)),
            ("blocks", self.blocks),
        ):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if not self.scales or min(self.scales) < 1 or math.lcm(*self.scales) > 64:
            raise ValueError("scales must be positive with a common multiple up to 64")
        if self.channels % len(self.scales):
            raise ValueError(f"{self.channels} channels do not divide by {len(self.scales)} scales")


def to_metadata(config: NetworkConfig) -> dict[str, str]:
    """Write `config` as the string metadata of a safetensors file."""
    return {METADATA_KEY: json.dumps(asdict(config), sort_keys=True)}


def read_architecture(metadata: Mapping[str, str]) -> str:
    """Read the architecture's name from a checkpoint's metadata; WeightsError if missing."""
    return str(_values(metadata).get("architecture", ""))


def from_metadata(kind: type[Config], metadata: Mapping[str, str]) -> Config:
    """Read a config of class `kind`; WeightsError for unknown, mistyped or invalid values."""
    values = _values(metadata)
    types = {field.name: field.default for field in fields(kind)}
    unknown = sorted(values.keys() - types.keys())
    if unknown:
        raise WeightsError(
            f"the checkpoint's config has an unknown entry '{unknown[0]}'; use a newer cleanplate"
        )
    try:
        return kind(**{name: _typed(name, value, types[name]) for name, value in values.items()})
    except ValueError as error:
        raise WeightsError(f"the checkpoint's config is not usable: {error}") from None


def _values(metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        values = parse_json(metadata[METADATA_KEY])
    except (KeyError, ValueError):
        values = None
    if not isinstance(values, dict):
        raise WeightsError(
            "the checkpoint does not say which network it holds; "
            "use a file saved by cleanplate or a released STTN .pth"
        )
    return values


def _typed(name: str, value: Any, default: Any) -> Any:
    """Check `value` against the field's default; a list of JSON becomes a tuple."""
    if isinstance(default, tuple):
        if not isinstance(value, list) or len(value) > _LARGEST:
            raise ValueError(f"{name} is not a list of whole numbers")
        return tuple(_typed(name, item, 0) for item in value)
    if type(default) is float and type(value) is int:
        return float(value)
    if type(value) is not type(default):
        raise ValueError(f"{name} is not of type {type(default).__name__}")
    if type(value) is int and abs(value) > _LARGEST:
        raise ValueError(f"{name} is beyond {_LARGEST}")
    return value


def initialise(network: nn.Module, generator: torch.Generator, deviation: float = 0.02) -> None:
    """Fill weights with normal noise and biases with zeros, as the released training starts.

    The vectors of spectral normalisation become random directions. The same generator state gives
    the same values. `generator` is on the device of the parameters.
    """
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, deviation, generator=generator)
            else:
                parameter.zero_()
        for name, buffer in network.named_buffers():
            if name.endswith(("weight_u", "weight_v")):
                buffer.normal_(generator=generator)
                buffer /= buffer.norm()


# Equation 4 fills the scores of hole patches with this value.
_EXCLUDED = -1e9


def exclude_holes(holes: Tensor, real: Tensor, scale: int) -> Tensor:
    """Make the bias that excludes patches which are mostly hole as keys (Equation 4).

    Args:
        holes: `(b, t, 1, h, w)` float, 1 = hole, 0 in known and in padded places.
        real: `(h, w)` float, 1 = part of the picture, 0 = padding.
        scale: number of rows and columns of patches.

    Returns:
        `(b, 1, t * scale * scale)` float: 0, or a large negative number for a patch of which more
        than half of the real area is hole, or that is padding only.
    """
    cut = {"nh": scale, "nw": scale}
    hole_area = rearrange(holes, "b t 1 (nh ph) (nw pw) -> b t (nh nw) (ph pw)", **cut).sum(-1)
    real_area = rearrange(real, "(nh ph) (nw pw) -> (nh nw) (ph pw)", **cut).sum(-1)
    excluded = (hole_area > 0.5 * real_area) | (real_area == 0)
    # Half the range of float16 leaves room to add a score, and stays finite if all are excluded.
    value = max(_EXCLUDED, torch.finfo(holes.dtype).min / 2)
    return rearrange(excluded, "b t n -> b 1 (t n)").to(holes.dtype) * value


def weigh(query: Tensor, key: Tensor, bias: Tensor | None) -> Tensor:
    """Compute attention of queries `(b, m, d)` to keys `(b, n, d)`; `(b, m, n)`, rows sum to 1.

    `bias` `(b, 1, n)` is added to the scores of the keys; None adds nothing (Equations 3 and 4).
    """
    # Plain products: patches are much wider (up to 414720) than fused kernels support.
    query = (
        query / query.shape[-1] ** 0.5
    )  # a power can be exported with free sizes, math.sqrt cannot
    keys = key.transpose(1, 2)
    scores = query @ keys if bias is None else torch.baddbmm(bias, query, keys)
    return scores.softmax(-1)


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
    """Attend between tokens `(b, n, d)` (Equations 3 to 5); returns `(b, n, d)`, see `weigh`."""
    return weigh(query, key, bias) @ value


class MultiHeadAttention(nn.Module):
    """One head per scale; each matches patches of its own size across all frames of a clip."""

    def __init__(self, channels: int, scales: tuple[int, ...]) -> None:
        super().__init__()
        self.scales = scales
        self.query_embedding = nn.Conv2d(channels, channels, 1)
        self.value_embedding = nn.Conv2d(channels, channels, 1)
        self.key_embedding = nn.Conv2d(channels, channels, 1)
        self.output_linear = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(0.2, inplace=True)
        )

    def forward(self, features: Tensor, batch: int, biases: list[Tensor] | None) -> Tensor:
        """Attend across `features` `(b * t, c, h, w)`; h and w are multiples of every scale.

        `biases` has one tensor of `exclude_holes` per scale, or is None.
        """
        embeddings = (self.query_embedding, self.key_embedding, self.value_embedding)
        parts = [embed(features).chunk(len(self.scales), 1) for embed in embeddings]
        height, width = features.shape[-2:]
        attended = []
        for index, scale in enumerate(self.scales):
            cut = {"nh": scale, "nw": scale, "ph": height // scale, "pw": width // scale}
            query, key, value = (_to_tokens(part[index], scale, batch) for part in parts)
            tokens = attend(query, key, value, biases[index] if biases else None)
            attended.append(
                rearrange(tokens, "b (t nh nw) (c ph pw) -> (b t) c (nh ph) (nw pw)", **cut)
            )
        result: Tensor = self.output_linear(torch.cat(attended, 1))
        return result

    def look(
        self, features: Tensor, batch: int, biases: list[Tensor] | None, *, frame: int
    ) -> list[Tensor]:
        """Return the attention of the patches of one frame in `forward` of one clip `(t, c, h, w)`.

        Returns, for each scale, `(scale * scale, t, scale, scale)`: from each patch of `frame` to
        all patches of all frames; each sums to 1.
        """
        embedded = [embed(features) for embed in (self.query_embedding, self.key_embedding)]
        queries, keys = (part.chunk(len(self.scales), 1) for part in embedded)
        found = []
        for index, scale in enumerate(self.scales):
            query = _to_tokens(queries[index][frame : frame + 1], scale, batch)
            key = _to_tokens(keys[index], scale, batch)
            weights = weigh(query, key, biases[index] if biases else None)
            found.append(rearrange(weights, "1 m (t nh nw) -> m t nh nw", nh=scale, nw=scale))
        return found


def _to_tokens(features: Tensor, scale: int, batch: int) -> Tensor:
    """Cut a map `(b * t, c, h, w)` into `scale` rows and columns of patches, `(b, n, d)`."""
    return rearrange(
        features,
        "(b t) c (nh ph) (nw pw) -> b (t nh nw) (c ph pw)",
        b=batch,
        nh=scale,
        nw=scale,
    )


STRIDE = 4
"""Downscaling of the encoder, which halves height and width twice."""
SLOPE = 0.2
"""Slope of all activations below zero."""


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
    """Attention, then feed forward, each with a residual connection."""

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

    The input is padded to a multiple of 4, and the feature map to a multiple of all scales (48
    pixels in total), if necessary. The result is cropped.
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
            masks: `(b, t, 1, h, w)` in 0..1, 1 = hole; used by the attention alone, and only with
                `config.masked`.

        Returns:
            `(b, t, 3, h, w)` in [-1, 1]. Known pixels change, too; the caller composites.
        """
        height, width = masked_frames.shape[-2:]
        features = self.transform(self.encode(masked_frames), masks)
        return self.decode(features)[..., :height, :width]

    def encode(self, frames: Tensor) -> Tensor:
        """Map frames `(b, t, 3, h, w)` to features `(b, t, c, ceil(h / 4), ceil(w / 4))`.

        Frames are encoded independently, so features can be cached.
        """
        flat = pad(frames.flatten(0, 1), STRIDE)
        features: Tensor = self.encoder(flat)
        return rearrange(features, "(b t) c h w -> b t c h w", b=frames.shape[0])

    def transform(self, features: Tensor, masks: Tensor) -> Tensor:
        """Attend across all frames: `(b, t, c, h / 4, w / 4)` to the same shape.

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
        """Compute Equation 4 for each scale, on a map padded to `size`; padding is never a key."""
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
