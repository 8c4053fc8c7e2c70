"""The evidence about one frame as a network sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from einops import rearrange
from torch import nn

from cleanplate.masks.tracking.appearance import Place
from cleanplate.masks.tracking.evidence import squash
from cleanplate.masks.tracking.run import View

Field = npt.NDArray[np.float32]

SIDE = 112
"""The window is looked at in so many pixels a side, whatever its size."""


def stack_evidence(view: View, found: Mapping[str, Field], belief: Field, place: Place) -> Field:
    """All that is known of the window, about -1 to 1, float32 (channels, SIDE, SIDE).

    Evidence that is missing is 0.
    """
    gray = cv2.cvtColor(view.frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    smooth = cv2.GaussianBlur(gray, (0, 0), 0.02 * place.extent + 1)
    raw = np.full_like(gray, np.nan) if view.stand is None else view.stand
    known = np.isfinite(raw)
    away = np.log2(np.where(known, raw, 0) + 0.1) / 3
    rows, columns = view.window
    y = (np.arange(rows.start, rows.stop, dtype=np.float32) - place.y) / place.half_height
    x = (np.arange(columns.start, columns.stop, dtype=np.float32) - place.x) / place.half_width
    speed = np.log2(1 + np.hypot(view.own[..., 0], view.own[..., 1])) / 3
    layers = [
        (gray - gray.mean()) / (2 * gray.std() + 8),
        (gray - smooth) / 32,
        view.prior,
        found["depth"],
        found["colour"] / 3,
        found["motion"] / 3,
        speed,
        found.get("stand", np.zeros_like(gray)) / 3,
        np.where(known, away, 0),
        known.astype(np.float32),
        belief / 4,
        np.broadcast_to(y[:, None] / 2, gray.shape),
        np.broadcast_to(x[None] / 2, gray.shape),
    ]
    return np.stack([_resize(layer) for layer in layers])


def _resize(layer: npt.NDArray[Any]) -> Field:
    whole = np.ascontiguousarray(layer, np.float32)
    small = min(layer.shape) < SIDE
    way = cv2.INTER_LINEAR if small else cv2.INTER_AREA
    return np.asarray(np.clip(cv2.resize(whole, (SIDE, SIDE), interpolation=way), -4, 4))


class Network:
    """Weighs the evidence with a trained network (`cleanplate.model.fusion`)."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    @torch.inference_mode()
    def weigh(self, view: View, found: Mapping[str, Field], belief: Field, place: Place) -> Field:
        """See Judge.weigh."""
        evidence = torch.from_numpy(stack_evidence(view, found, belief, place))
        odds = self._network(rearrange(evidence, "c h w -> 1 c h w"))[0].numpy()
        size = (view.prior.shape[1], view.prior.shape[0])
        return squash(cv2.resize(odds, size, interpolation=cv2.INTER_LINEAR))
