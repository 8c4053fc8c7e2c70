"""Networks that metrics need, from files the user has: cleanplate carries none of their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from cleanplate.errors import WeightsError
from cleanplate.evaluation.metrics.i3d import I3d
from cleanplate.evaluation.metrics.perceptual import PerceptualDistance
from cleanplate.evaluation.metrics.vfid import Describer
from cleanplate.model import checksum
from cleanplate.model.weights import unpickle_tensors

_Network = TypeVar("_Network", bound=nn.Module)

_I3D_FILE = "I3D weights such as pytorch-i3d's rgb_imagenet.pt"
_LPIPS_FILE = "LPIPS weights: torchvision's AlexNet, or the state of the package lpips"


@dataclass(frozen=True)
class Networks:
    """What was loaded, for all sequences of a run.

    Attributes:
        by_clip: I3D normalised by each clip itself, for `vfid`; None without weights.
        by_training: I3D normalised by the statistics learnt, for `vfid_eval`.
        lpips: None without weights.
        checksums: SHA-256 of each file by its name.
    """

    by_clip: Describer | None = None
    by_training: Describer | None = None
    lpips: PerceptualDistance | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)


def load_networks(
    *, i3d: Path | None = None, lpips: Path | None = None, device: str = "cpu"
) -> Networks:
    """Load networks from the files given, without running what a file holds.

    Args:
        i3d: `rgb_imagenet.pt` of pytorch-i3d, for VFID.
        lpips: torchvision's AlexNet (`alexnet-owt-7be5be79.pth`; the layers' weights then come
            from the package lpips, which must be installed), or the whole state of an
            `lpips.LPIPS(net="alex")`.
        device: where the networks go.

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
    """Tensors by name from a file of torch, by its safe reader; raises WeightsError."""
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
    """Load strictly; only the count of batches, which old files lack, may be missing."""
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
