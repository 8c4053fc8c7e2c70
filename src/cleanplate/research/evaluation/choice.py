"""The set of metrics by convention, the networks they need, and LPIPS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from cleanplate.errors import InputError, WeightsError
from cleanplate.motion import DisFlow, FlowEstimator
from cleanplate.network import checksum
from cleanplate.network.weights import unpickle_tensors
from cleanplate.research.evaluation.metric import (
    GAUSSIAN_SIDE,
    UNIFORM_SIDE,
    Frame,
    HolePsnr,
    Mask,
    Metric,
    Missing,
    Psnr,
    Ssim,
    measure_ssim_gaussian,
    measure_ssim_uniform,
)
from cleanplate.research.evaluation.steadiness import Flicker, Follower, WarpingError
from cleanplate.research.evaluation.vfid import Describer, I3d, Vfid

LEAST_SIDE = 32
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
        """Measure a frame; 0 for equal pictures."""
        return float(np.mean(self._values)) if self._values else None


def _to_tensor(picture: Frame) -> Tensor:
    values = torch.from_numpy(picture.astype(np.float32) / 127.5 - 1)
    return rearrange(values, "h w c -> 1 c h w")


_Network = TypeVar("_Network", bound=nn.Module)

_I3D_FILE = "I3D weights such as pytorch-i3d's rgb_imagenet.pt"
_LPIPS_FILE = "LPIPS weights: torchvision's AlexNet, or the state of the package lpips"


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


def load_networks(
    *, i3d: Path | None = None, lpips: Path | None = None, device: str = "cpu"
) -> Networks:
    """Load networks from files without running code from them.

    Args:
        i3d: `rgb_imagenet.pt` of pytorch-i3d, for VFID.
        lpips: torchvision's AlexNet (`alexnet-owt-7be5be79.pth`; the channel weights then come from
            the installed package lpips), or the complete state of an `lpips.LPIPS(net="alex")`.
        device: device of the networks.

    Raises:
        WeightsError: a file is missing, damaged, another network's, or would run code.
    """
    files = [path for path in (i3d, lpips) if path is not None]
    network = None if i3d is None else _load_i3d(i3d).to(device)
    return Networks(
        by_clip=None if network is None else Describer(network, batch_statistics=True),
        by_training=None if network is None else Describer(network, batch_statistics=False),
        lpips=None if lpips is None else _load_lpips(lpips).to(device),
        checksums={path.name: checksum(path) for path in files},
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors by name with torch's safe reader; raise WeightsError."""
    content = unpickle_tensors(path, "get it again")
    if not isinstance(content, dict) or not all(map(_is_weight, content.items())):
        raise WeightsError(f"{path} holds something else than weights by name; check which it is")
    return content


def _is_weight(item: tuple[object, object]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


def _load_i3d(path: Path) -> I3d:
    tensors = read_tensors(path)
    return _fill(I3d(), {k: v for k, v in tensors.items() if "logits" not in k}, path, _I3D_FILE)


def _load_lpips(path: Path) -> PerceptualDistance:
    tensors = read_tensors(path)
    if "features.0.weight" in tensors:
        tensors |= _read_layer_weights(path)
    found = {}
    network = PerceptualDistance()
    for layer, part in enumerate((0, 3, 6, 8, 10)):
        for kind in ("weight", "bias"):
            names = (f"features.{part}.{kind}", f"net.slice{layer + 1}.{part}.{kind}")
            found[f"trunk.{part}.{kind}"] = _pick(tensors, names)
        weight = _pick(tensors, (f"lin{layer}.model.1.weight",))
        found[f"weights.{layer}"] = None if weight is None else weight.flatten()
    return _fill(network, {k: v for k, v in found.items() if v is not None}, path, _LPIPS_FILE)


def _read_layer_weights(path: Path) -> dict[str, Tensor]:
    package = find_spec("lpips")
    if package is None or package.origin is None:
        raise WeightsError(
            f"{path} is AlexNet alone; install the package lpips, which has the layers' weights"
        )
    return read_tensors(Path(package.origin).parent / "weights" / "v0.1" / "alex.pth")


def _pick(tensors: Mapping[str, Tensor], names: tuple[str, ...]) -> Tensor | None:
    return next((tensors[name] for name in names if name in tensors), None)


def _fill(network: _Network, tensors: Mapping[str, Tensor], path: Path, wanted: str) -> _Network:
    """Load strictly, except for batch counters, which old files lack."""
    expected = network.state_dict()
    needed = {name for name in expected if not name.endswith("num_batches_tracked")}
    strange = sorted((needed - set(tensors)) | (set(tensors) - set(expected)))
    known = sorted(needed & set(tensors))
    strange += [name for name in known if tensors[name].shape != expected[name].shape]
    if strange:
        raise WeightsError(
            f"{path} holds another network ('{strange[0]}' does not fit); give {wanted}"
        )
    if not all(torch.isfinite(tensor).all() for tensor in tensors.values()):
        raise WeightsError(f"{path} holds numbers that are not finite; get it again")
    network.load_state_dict(dict(tensors), strict=False)
    return network.eval().requires_grad_(False)


@dataclass(frozen=True)
class Conventions:
    """Settings of a metric that its name does not define.

    Attributes:
        ssim_every: measure both SSIMs on the first frame and every n-th after it.
    """

    ssim_every: int = 1

    def __post_init__(self) -> None:
        if self.ssim_every < 1:
            raise InputError("SSIM can be measured every 1, 2, 3, … frames; give a positive number")


def make_metrics(
    conventions: Conventions,
    truth: bool,
    networks: Networks | None = None,
    flow: Callable[[], FlowEstimator] = DisFlow,
) -> list[Metric]:
    """Create the metrics of one sequence, in the order of a report's columns.

    Args:
        conventions: settings that a metric's name does not define.
        truth: whether ground truth is known; without it only E_warp and flicker are measured.
        networks: loaded networks (`load_networks`). A metric without its network is `Missing`, with
            the reason.
        flow: correspondence of consecutive frames, for E_warp and flicker.
    """
    follower = Follower(flow())
    steadiness: list[Metric] = [WarpingError(follower), Flicker(follower)]
    if not truth:
        return steadiness
    every = conventions.ssim_every
    return [
        Psnr(),
        Ssim("ssim", measure_ssim_uniform, UNIFORM_SIDE, every),
        HolePsnr(),
        Ssim("ssim_gaussian", measure_ssim_gaussian, GAUSSIAN_SIDE, every),
        *steadiness,
        *_make_learned(networks or Networks()),
    ]


def _make_learned(networks: Networks) -> list[Metric]:
    metrics: list[Metric] = []
    for name, describer in (("vfid", networks.by_clip), ("vfid_eval", networks.by_training)):
        if describer is None:
            metrics.append(Missing(name, "no weights of I3D were given"))
        else:
            metrics.append(Vfid(name, describer))
    if networks.lpips is None:
        metrics.append(Missing("lpips", "no weights of LPIPS were given"))
    else:
        metrics.append(Lpips(networks.lpips))
    return metrics
