"""Learned metrics: VFID, the Fréchet distance of I3D features (Wang et al. 2018), and LPIPS."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional

from cleanplate.research.evaluation.metric import Features, Frame, Mask

Samples = npt.NDArray[np.float64]


def measure_frechet_distance(first: Samples, second: Samples) -> float:
    """Compute the Fréchet distance |m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½), sample covariances.

    Args:
        first: `(n, d)`, one row per sample.
        second: `(m, d)`; n and m at least 2.

    With centred samples A and B, scaled so that C1 = AᵀA and C2 = BᵀB, the trace of the root is the
    sum of the singular values of A Bᵀ. That needs n x m numbers instead of d x d, and no matrix
    root, which fails if there are fewer samples than features.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError("a covariance needs at least two samples on each side")
    a, b = _centre(first), _centre(second)
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    between = float(((first.mean(0) - second.mean(0)) ** 2).sum())
    return max(between + float((a**2).sum() + (b**2).sum() - 2 * root), 0.0)


def _centre(samples: Samples) -> Samples:
    centred = samples - samples.mean(0)
    return np.asarray(centred / np.sqrt(len(samples) - 1), np.float64)


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
    """I3D: clips `(b, 3, t, h, w)` → features `(b, 1024)`, the mean of `Mixed_5c` over t, h, w."""

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
        """Compute features of `clips`, RGB in [0, 1] by the field's convention."""
        for layer in self.children():
            clips = layer(clips)
        return clips.mean((2, 3, 4))

    def use_batch_statistics(self, use: bool) -> None:
        """Normalise with the statistics of the clip instead of the learned ones.

        A network left in training mode does this, too; here the stored statistics do not change.
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
        """Map `(b, c, t, h, w)` to `outputs` channels, sizes divided by the stride, rounded up."""
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
    """Maximum over windows, padded with zeros, since features are never below zero."""

    def __init__(self, side: tuple[int, int, int], stride: tuple[int, int, int]) -> None:
        super().__init__()
        self.side, self.stride = side, stride

    def forward(self, clips: Tensor) -> Tensor:
        """Map `(b, c, t, h, w)` to sizes divided by the stride, rounded up."""
        return functional.max_pool3d(
            pad_same(clips, self.side, self.stride), self.side, self.stride
        )


class Mixed(nn.Module):
    """Inception module: four parallel branches."""

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
        """Map `(b, inputs, t, h, w)` to `(b, channels, t, h, w)`."""
        branches = (
            self.b0(clips),
            self.b1b(self.b1a(clips)),
            self.b2b(self.b2a(clips)),
            self.b3b(self.b3a(clips)),
        )
        return torch.cat(branches, 1)


def pad_same(clips: Tensor, side: Iterable[int], stride: Iterable[int]) -> Tensor:
    """Pad with zeros as TensorFlow's SAME does: an odd padding has its extra value at the end."""
    pads: list[int] = []
    for length, window, step in zip(clips.shape[2:], side, stride, strict=True):
        spare = max(window - (length % step or step), 0)
        pads = [spare // 2, spare - spare // 2, *pads]  # torch counts axes from the last
    return functional.pad(clips, pads) if any(pads) else clips


LARGEST = 200 * 432 * 240
"""Maximum pixels of the frames in one pass of the network, which takes about 2 GB.

At the field's 432x240 this is more than any sequence of its data sets."""
SHORTEST = 16
"""Minimum number of frames in one pass of the network, whatever their size."""
LEAST_SIDE = 64
"""Smallest side of a frame in pixels; smaller ones leave too few values for statistics."""

Row = npt.NDArray[np.float64]


class Describer:
    """Extractor of features of clips, with a cache for repeated clips such as the ground truth."""

    def __init__(self, network: I3d, batch_statistics: bool) -> None:
        self._network = network
        self._batch_statistics = batch_statistics
        self._known: dict[str, Row] = {}

    def describe(self, frames: Sequence[Frame]) -> Row:
        """Compute the features `(1024,)` of a clip of uint8 RGB frames `(h, w, 3)`."""
        clip = np.stack(frames)
        key = f"{clip.shape} {hashlib.sha256(clip.data).hexdigest()}"
        if key not in self._known:
            self._known[key] = self._compute(clip)
        return self._known[key]

    @torch.inference_mode()
    def _compute(self, clip: npt.NDArray[np.uint8]) -> Row:
        device = next(self._network.parameters()).device
        values = rearrange(torch.from_numpy(clip).to(device), "t h w c -> 1 c t h w")
        self._network.use_batch_statistics(self._batch_statistics)
        features = self._network(values.float() / 255)
        return np.asarray(features[0].double().cpu().numpy(), np.float64)


class Vfid:
    """VFID's features of one sequence; `pool_features` computes the distance over all sequences.

    A sequence larger than LARGEST is processed in parts, whose features are averaged by length, so
    that memory is bounded.
    """

    def __init__(self, name: str, describer: Describer) -> None:
        self.name = name
        self.gap: str | None = None
        self._describer = describer
        self._made: list[Frame] = []
        self._true: list[Frame] = []
        self._parts: list[tuple[int, Row, Row]] = []

    def add(self, made: Frame, truth: Frame | None, mask: Mask) -> float | None:
        """See Metric.add; None, since a single frame has no value."""
        if min(mask.shape) < LEAST_SIDE:
            self.gap = f"frames are smaller than {LEAST_SIDE}x{LEAST_SIDE} pixels"
        elif truth is not None:
            self._made.append(made.copy())
            self._true.append(truth.copy())
            if len(self._made) >= max(LARGEST // mask.size, SHORTEST):
                self._describe()
        return None

    def result(self) -> float | None:
        """None: one sequence has no value."""
        return None

    def features(self) -> Features | None:
        """Return the features `(1, 1024)` of the sequence so far; None without frames."""
        self._describe()
        if not self._parts:
            return None
        frames, made, true = zip(*self._parts, strict=True)
        return Features(
            np.average(made, axis=0, weights=frames)[None],
            np.average(true, axis=0, weights=frames)[None],
        )

    def _describe(self) -> None:
        if self._made:
            made, true = map(self._describer.describe, (self._made, self._true))
            self._parts.append((len(self._made), made, true))
            self._made, self._true = [], []


def pool_features(sequences: Sequence[Features]) -> float | None:
    """Compute the Fréchet distance over all sequences; None for fewer than two."""
    if len(sequences) < 2:
        return None
    made = np.concatenate([features.made for features in sequences])
    true = np.concatenate([features.true for features in sequences])
    return measure_frechet_distance(made, true)


LPIPS_LEAST_SIDE = 32
"""Smallest side in pixels for AlexNet's features."""


class PerceptualDistance(nn.Module):
    """LPIPS: pictures a, b `(n, 3, h, w)` in [-1, 1] → distance `(n,)`, 0 for equal ones.

    Zhang et al., CVPR 2018. `trunk` has AlexNet's convolutions, numbered as in torchvision.
    `weights` has one vector of channel weights for each of the five layers.
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
        # ImageNet's mean and standard deviation, for values in [-1, 1].
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
        """Compute the features of five layers, each normalised to unit length per pixel."""
        values = (pictures - self.shift[:, None, None]) / self.scale[:, None, None]
        found = []
        for layer in self.trunk:
            values = layer(values)
            if isinstance(layer, nn.ReLU):
                found.append(values / (values.norm(dim=1, keepdim=True) + 1e-10))
        return found


class Lpips:
    """Mean LPIPS over frames with a hole, on whole composited frames by the field's convention."""

    name = "lpips"

    def __init__(self, network: PerceptualDistance) -> None:
        self.gap: str | None = None
        self._network = network
        self._values: list[float] = []

    def add(self, made: Frame, truth: Frame | None, mask: Mask) -> float | None:
        """See Metric.add."""
        if truth is None or not mask.any():
            return None
        if min(mask.shape) < LPIPS_LEAST_SIDE:
            self.gap = f"frames are smaller than {LPIPS_LEAST_SIDE}x{LPIPS_LEAST_SIDE} pixels"
            return None
        device = self._network.shift.device
        with torch.inference_mode():
            a, b = (_to_tensor(picture).to(device) for picture in (made, truth))
            value = float(self._network(a, b))
        self._values.append(value)
        return value

    def result(self) -> float | None:
        """Measure a frame; 0 for equal pictures."""
        return float(np.mean(self._values)) if self._values else None


def _to_tensor(picture: Frame) -> Tensor:
    values = torch.from_numpy(picture.astype(np.float32) / 127.5 - 1)
    return rearrange(values, "h w c -> 1 c h w")


@dataclass(frozen=True)
class Networks:
    """Loaded networks of learned metrics, shared by all sequences of a run.

    Attributes:
        by_clip: I3D normalised with the statistics of each clip, for `vfid`; None without weights.
        by_training: I3D normalised with the learned statistics, for `vfid_eval`.
        lpips: LPIPS; None without weights.
        checksums: SHA-256 of each file, by file name.
    """

    by_clip: Describer | None = None
    by_training: Describer | None = None
    lpips: PerceptualDistance | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)
