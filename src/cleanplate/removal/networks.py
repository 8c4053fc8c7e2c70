"""Networks by name, device and precision; the frames a window holds (STTN, Section 3.1)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

from cleanplate.arguments import check_choice, check_model, is_network, wrong
from cleanplate.machine import Device, adapt_to_fork, choose_device
from cleanplate.options import DEFAULT, Blend, Method, Precision, check_method
from cleanplate.removal.filling import Filler

if TYPE_CHECKING:
    import torch
    from torch import nn


RADIUS = 5
REFERENCE_STEP = 10
SPREAD = (8, 12, 17, 23, 30, 40)
"""How far from the centre a bounded set of references is, frames: denser where things changed
less."""


@dataclass(frozen=True, slots=True)
class Window:
    """Frames filled together: `neighbours` around `centre` are kept, `references` only give."""

    centre: int
    neighbours: tuple[int, ...]
    references: tuple[int, ...]

    @property
    def frames(self) -> tuple[int, ...]:
        """Neighbours, then references: the order in which the network gets them."""
        return self.neighbours + self.references


def schedule_windows(
    length: int,
    *,
    radius: int = RADIUS,
    reference_step: int = REFERENCE_STEP,
    spread: tuple[int, ...] = (),
) -> Iterator[Window]:
    """Windows of the released inference over `length` frames.

    A window around every `radius`-th frame with all frames at most `radius` away, and every
    `reference_step`-th frame of the whole length as reference; with `spread`, the frames so far
    before and after the centre instead. Neighbouring windows overlap by half.
    """
    for centre in range(0, length, radius):
        near = range(max(0, centre - radius), min(length, centre + radius + 1))
        around = sorted(centre + sign * way for way in spread for sign in (-1, 1))
        far = (
            [at for at in around if 0 <= at < length]
            if spread
            else range(0, length, reference_step)
        )
        yield Window(centre, tuple(near), tuple(frame for frame in far if frame not in near))


def crossfade_weight(frame: int, window: Window, *, radius: int = RADIUS) -> float:
    """Weight of a window's result for `frame`: 1 at its centre, falling linearly to its ends.

    Two overlapping windows weigh 1 together, so the sum does not depend on their order.
    """
    return 1 - abs(frame - window.centre) / (radius + 1)


_NO_USE = "`method='flow'` uses no network; `model` is ignored"


@dataclass(frozen=True)
class Chosen:
    """A loaded filler, or None, with its description for the report."""

    filler: Filler | None
    name: str | None
    device: str
    precision: str
    notes: tuple[str, ...] = ()
    weights: str | None = None
    """SHA-256 of the checkpoint's file, or of a loaded network's values."""


def choose_filler(
    model: str | os.PathLike[str] | nn.Module | None,
    *,
    method: Method,
    blend: Blend,
    device: Device | str | torch.device,
    precision: Precision,
) -> Chosen:
    """Load the network that `method` needs, if any.

    Without a `model`, "auto" uses no network, because the embedded one is no better than a guess
    from the rim; "network" uses the embedded one. Without a network, the
    device is the CPU. Raises WeightsError, or InputError when the device is not available or a
    choice is unknown.
    """
    method = check_method(method)
    check_choice("blend", blend, Blend)
    model = check_model("model", model)
    if not asks_network(model, method):
        where = "cpu" if device == "auto" else choose_device(device)
        notes = (_NO_USE,) if model is not None else ()
        return Chosen(None, None, where, choose_precision(precision, where), notes)
    model, name = DEFAULT if model is None else model, name_model(model)
    import torch

    from cleanplate import network as networks
    from cleanplate.removal.windows import WindowFiller

    where = choose_device(device)
    adapt_to_fork()
    numbers = choose_precision(precision, where)
    network = networks.load(model, device=where) if isinstance(model, str) else model
    _check_forward(network)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[numbers]
    spread = choose_spread(network)
    filler = WindowFiller(network, device=where, dtype=dtype, blend=blend, spread=spread)
    if isinstance(model, str):
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


def asks_network(model: str | os.PathLike[str] | nn.Module | None, method: Method) -> bool:
    """Whether `method` asks a network when `model` is the one given, or None when none is."""
    return method == "network" or (method == "auto" and model is not None)


def choose_spread(network: nn.Module) -> tuple[int, ...]:
    """How far from a window's centre its references are; empty: every tenth frame of all."""
    from cleanplate.network.light import LightNetwork

    # The light network was trained to choose its sources from references like these.
    return SPREAD if isinstance(network, LightNetwork) else ()


def check_availability(
    model: str | os.PathLike[str] | nn.Module | None,
    method: Method,
    device: Device | str | torch.device,
) -> None:
    """Raise InputError or WeightsError unless model and device, where used, are there.

    Loads no network, and torch only when a network or a device is asked for.
    """
    asked = asks_network(model, method)
    if asked or device != "auto":
        choose_device(device)
    if asked and is_network(model):
        _check_forward(model)
    elif asked:
        from cleanplate import network as networks

        networks.locate(name_model(model))


def _check_forward(network: Any) -> None:
    """Raise InputError unless `network` can be called with frames and masks."""
    try:
        signature(network.forward).bind(None, None)
    except TypeError:
        raise wrong(
            "model", "a network whose forward takes masked frames and masks", network
        ) from None


def name_model(model: str | os.PathLike[str] | nn.Module | None) -> str:
    """The name or path of a model, by default the embedded one; of a loaded network its class."""
    if model is None:
        return DEFAULT
    return type(model).__name__ if is_network(model) else str(check_model("model", model))


def choose_precision(precision: Precision, device: str) -> str:
    """Floating-point precision; "auto" selects bf16 on CUDA and fp32 elsewhere."""
    check_choice("precision", precision, Precision)
    if precision != "auto":
        return precision
    if not device.startswith("cuda"):
        return "fp32"
    import torch

    return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
