"""Networks by name, on a device, with a precision. Loads torch only when it is needed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from cleanplate.errors import InputError
from cleanplate.pipeline.engine import Method
from cleanplate.pipeline.filling import Filler
from cleanplate.pipeline.schedule import SPREAD, Blend

if TYPE_CHECKING:
    from torch import nn

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]

DEFAULT = "default"

_NOT_ASKED = (
    "what no frame saw is made of the hole's surroundings: the embedded network is not yet better"
    " at that; --model FILE names one to ask"
)


@dataclass(frozen=True)
class Chosen:
    """A filler ready to work, or None, with what a report says about it."""

    filler: Filler | None
    name: str | None
    device: str
    precision: str
    notes: tuple[str, ...] = ()
    weights: str | None = None
    """SHA-256 of the checkpoint's file, or of a loaded network's values."""


def choose_filler(
    model: str | Path | nn.Module,
    *,
    method: Method,
    blend: Blend,
    device: Device,
    precision: Precision,
) -> Chosen:
    """Load what `method` needs.

    "auto" asks the network that was named, but not the embedded one while that is no better than a
    guess from the rim (docs/performance.md), and says so in `notes`; "sttn" uses either. Where
    no network is asked, the work is the CPU's. Raises WeightsError, or InputError when the device
    is not there or a choice is unknown.
    """
    check_choice("method", method, Method)
    check_choice("blend", blend, Blend)
    name = str(model) if isinstance(model, str | Path) else type(model).__name__
    if not asks_network(name, method):
        where = "cpu" if device == "auto" else choose_device(device)
        notes = (_NOT_ASKED,) if method == "auto" else ()
        return Chosen(None, None, where, choose_precision(precision, where), notes)
    import torch

    from cleanplate import model as networks
    from cleanplate.pipeline.windows import WindowFiller

    where = choose_device(device)
    numbers = choose_precision(precision, where)
    network = networks.load(model, device=where) if isinstance(model, str | Path) else model
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[numbers]
    spread = choose_spread(network)
    filler = WindowFiller(network, device=where, dtype=dtype, blend=blend, spread=spread)
    if isinstance(model, str | Path):
        weights = networks.checksum(networks.EMBEDDED if name == DEFAULT else model)
    else:
        weights = _digest(model)
    return Chosen(filler, name, where, numbers, weights=weights)


def _digest(network: nn.Module) -> str:
    """SHA-256 of a network's names and values."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        values = tensor.detach().cpu().float().contiguous().numpy()
        digest.update(f"{name} {values.dtype} {values.shape}\n".encode() + values.tobytes())
    return digest.hexdigest()


def asks_network(name: str, method: Method) -> bool:
    """Whether `method` makes use of the network `name`."""
    return method == "sttn" or (method == "auto" and name != DEFAULT)


def choose_spread(network: nn.Module) -> tuple[int, ...]:
    """How far from a window's centre its references are; empty: every tenth frame of all."""
    from cleanplate.model.light import LightNetwork

    # The light network was trained to choose its sources from references like these.
    return SPREAD if isinstance(network, LightNetwork) else ()


def choose_device(device: Device) -> str:
    """The device's name for torch; "auto" takes CUDA, else Apple's MPS, else the CPU."""
    check_choice("device", device, Device)
    if device == "cpu":
        return device
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return next((name for name, is_there in there.items() if is_there), "cpu")
    if not there.get(device, True):
        raise InputError(f"device '{device}' is not available here; use --device cpu")
    return device


def choose_precision(precision: Precision, device: str) -> str:
    """The numbers to compute with; "auto" takes bf16 on CUDA and fp32 elsewhere."""
    check_choice("precision", precision, Precision)
    if precision != "auto":
        return precision
    if device != "cuda":
        return "fp32"
    import torch

    return "bf16" if torch.cuda.is_bf16_supported() else "fp32"


def check_choice(name: str, value: str, choices: Any) -> None:
    """Raise InputError when `value` is none of the literal type `choices`."""
    known = get_args(choices)
    if value not in known:
        raise InputError(f"{name} '{value}' is unknown; use {', '.join(known)}")
