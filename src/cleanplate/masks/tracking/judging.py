"""From the evidence of one frame to the share of the object at each pixel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt
import torch
from einops import rearrange
from torch import nn

from cleanplate.masks.source import Mask
from cleanplate.masks.tracking.appearance import Field, Index, Place
from cleanplate.masks.tracking.evidence import SURE, settle, squash

Frame = npt.NDArray[np.uint8]
Slices = tuple[slice, slice]

WEIGHTS = {"bias": -0.7, "depth": 1.2, "colour": 0.8, "motion": 0.3, "stand": 1.2}
"""Of each kind of evidence in the log odds."""


@dataclass
class FrameView:
    """What one frame shows in the window round the object; all arrays are (h, w) of the window."""

    window: Slices
    frame: Frame
    colours: Index
    cells: Index
    prior: Field
    own: Field
    """Motion against the camera's, (h, w, 2) in pixels."""
    stand: Field | None
    """Difference from the background."""
    index: int
    """Number of the frame,"""
    shape: tuple[int, int]
    """and its height and width."""


class Judge(Protocol):
    """Says from the evidence where the object is."""

    def weigh(
        self, view: FrameView, found: Mapping[str, Field], belief: Field, place: Place
    ) -> Field:
        """The share of the object at each pixel of the window, (h, w) in [0, 1]."""


def weigh_plainly(view: FrameView, found: Mapping[str, Field], place: Place) -> Field:
    """The share of the object by a fixed weight for each kind of evidence, (h, w) in [0, 1].

    It finds a thing again of which nothing was carried here, where it has the colours and moves.
    """
    odds = np.sum([WEIGHTS[kind] * found[kind] for kind in WEIGHTS if kind in found], axis=0)
    share = settle(odds, view.frame, place.extent)
    own = odds - WEIGHTS["depth"] * found["depth"]
    near = place.box(view.shape, 1.2)[view.window]
    return share * find_joined(share, (view.prior > 0.3) | (near & (own > 2)))


def find_joined(share: Field, seed: Mask) -> Field:
    """1 for the parts of `share` (h, w) that touch `seed`, 0 for others."""
    count, labels = cv2.connectedComponents((share > SURE).astype(np.uint8))
    touched = np.zeros(count, np.bool_)
    touched[np.unique(labels[seed])] = True
    touched[0] = True
    return np.asarray(touched[labels], np.float32)


def forgive(stand: Field, colour: Field) -> Field:
    """Log odds `stand` (h, w), where they speak against the object less so if its colour is rare.

    A long shadow that moves along itself does not stand out in its middle.
    """
    return np.where(stand < 0, stand * (1 - 0.35 * np.clip(colour / 3, 0, 1)), stand)


SIDE = 112
"""Side in pixels to which the window is scaled."""


def stack_evidence(
    view: FrameView, found: Mapping[str, Field], belief: Field, place: Place
) -> Field:
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
    """Weighs the evidence with a trained network (`cleanplate.network.weights`)."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    @torch.inference_mode()
    def weigh(
        self, view: FrameView, found: Mapping[str, Field], belief: Field, place: Place
    ) -> Field:
        """See Judge.weigh."""
        evidence = torch.from_numpy(stack_evidence(view, found, belief, place))
        odds = self._network(rearrange(evidence, "c h w -> 1 c h w"))[0].numpy()
        size = (view.prior.shape[1], view.prior.shape[0])
        return squash(cv2.resize(odds, size, interpolation=cv2.INTER_LINEAR))


def load_judge() -> Judge:
    """The embedded network; torch is imported now, not with this module."""
    from cleanplate.network.weights import load_tracking

    return Network(load_tracking())
