"""The background behind an object, as other frames show it, and what differs from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.masks.source import Mask
from cleanplate.masks.tracking.camera import Camera, halve, to_gray
from cleanplate.masks.tracking.evidence import Field
from cleanplate.motion.areas import pull_push
from cleanplate.motion.flow import DisFlow, grid

Frame = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class BackgroundTuning:
    """Constants of comparing a frame with the background behind the object."""

    noise: float = 3.0
    """Levels of difference that mean nothing: grain and coding."""
    edge: float = 0.08
    """Part of the local contrast that a misplacement by a fraction of a pixel explains."""
    smallest: int = 32
    """Sides in pixels below which no flow is estimated: it needs a few blocks."""
    unseen: float = -0.5
    """Log odds where no other frame shows the background: rather not the object."""
    limit: float = 3.0
    """Largest log odds from a difference, so that other evidence can still overrule it."""


_TUNING = BackgroundTuning()


class Standout:
    """How likely a difference from the background (see Background) is the object's."""

    def __init__(self) -> None:
        self._strength: float | None = None

    def compare(self, difference: Field, inside: Field, outside: Field, pace: float) -> Field:
        """Log odds (h, w) for `difference` (h, w), little where that is not known (nan).

        `inside` and `outside` (h, w) weigh where the object is thought to be, and where not. The
        scale is what differs outside; an object that stands out no more often than its
        surroundings, since it rests, gets no evidence. `pace` is how fast that is learnt.
        """
        known = np.isfinite(difference)
        there = known & (outside > 0.5)
        if not there.any():
            return np.zeros_like(difference)
        times = np.where(known, difference, 0) / _find_usual(difference, there)
        high = (times > 3).astype(np.float32)
        more = _mean(high, inside * known) - _mean(high, outside * known)
        strength = float(np.clip(more / 0.1, 0, 1))
        before = strength if self._strength is None else self._strength
        self._strength = before + pace * (strength - before)
        odds = np.clip(1.5 * np.log2((times + 0.1) / 2), -2.5, _TUNING.limit)
        return np.asarray(np.where(known, odds, _TUNING.unseen) * self._strength, np.float32)


def _find_usual(difference: Field, there: Mask) -> Field:
    """What differs around each pixel, from where `there` (h, w) says that the background is seen.

    Grass in the wind differs more than a wall.
    """
    height, width = difference.shape
    size = (max(width // 8, 1), max(height // 8, 1))
    weight = cv2.resize(there.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    # What differs much is no noise: another moving thing, or a part of the object not yet found.
    capped = np.where(there, np.minimum(difference, 2 * np.median(difference[there])), 0)
    total = cv2.resize(capped, size, interpolation=cv2.INTER_AREA)
    coarse = np.asarray(total / np.maximum(weight, 1e-3), np.float32)[..., None]
    smooth = pull_push(coarse, np.asarray(np.minimum(weight, 0.3), np.float32))
    usual = cv2.resize(smooth, (width, height)).reshape(height, width)
    return np.asarray(np.maximum(1.5 * usual, 0.5), np.float32)


def _mean(values: Field, weight: Field) -> float:
    return float((values * weight).sum() / max(float(weight.sum()), 1e-6))


class Background:
    """The background behind one frame, as others show it."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._dis = DisFlow("fast")

    def compare(
        self,
        index: int,
        others: Sequence[int],
        hole: Mask,
        window: tuple[slice, slice],
        hidden: Mapping[int, Mask] | None = None,
    ) -> Field | None:
        """How much frame `index` differs from the background, float32 (h, w) of `window`.

        1 is what noise and misplacement explain. `hole`, bool (h, w) of the frame, holds the object
        with some room; `hidden` says of other frames, as far as it is known, where they show the
        object and not the background. The lower median over `others` counts; None when no two of
        them show it.
        """
        frame = self._camera.frames[index][window]
        gray = to_gray(frame)
        smooth = cv2.GaussianBlur(frame, (0, 0), 0.8).astype(np.float32)
        away = hidden or {}
        layers = [
            self._layer(index, other, gray, smooth, hole[window], window, away.get(other))
            for other in others
        ]
        known = [layer for layer in layers if np.isfinite(layer).mean() > 0.3]
        if len(known) < 2:
            return None
        ordered = np.sort(np.stack(known), axis=0)
        count = np.isfinite(ordered).sum(0)
        middle = np.maximum((count - 1) // 2, 0)[None]
        difference = np.take_along_axis(ordered, middle, 0)[0]
        difference[count < 2] = np.nan
        kernel = np.ones((3, 3), np.uint8)
        contrast = (cv2.dilate(gray, kernel) - cv2.erode(gray, kernel)).astype(np.float32)
        return np.asarray(difference / (_TUNING.noise + _TUNING.edge * contrast), np.float32)

    def _layer(
        self,
        index: int,
        other: int,
        gray: npt.NDArray[np.uint8],
        smooth: Field,
        hole: Mask,
        window: tuple[slice, slice],
        hidden: Mask | None,
    ) -> Field:
        """Difference from one other frame laid over this one, levels (h, w); inf where unseen."""
        rows, columns = window
        place = np.array([[1, 0, columns.start], [0, 1, rows.start], [0, 0, 1]], np.float64)
        way = self._camera.between(index, other) @ place
        size = gray.shape[::-1]
        flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
        source = self._camera.frames[other]
        laid = cv2.warpPerspective(source, way, size, flags=flags)
        shown = np.full(source.shape[:2], 255, np.uint8)
        if hidden is not None:
            shown[hidden] = 0
        seen = cv2.warpPerspective(shown, way, size, flags=flags) == 255
        if min(gray.shape) < _TUNING.smallest or seen.mean() < 0.3:
            return _subtract(smooth, np.asarray(laid, np.float32), seen)
        shift = self._align(gray, laid, hole, seen)
        x, y = grid(*gray.shape)
        laid = cv2.remap(laid, x + shift[..., 0], y + shift[..., 1], cv2.INTER_LINEAR)
        laid = cv2.GaussianBlur(laid, (0, 0), 0.8).astype(np.float32)
        return _subtract(smooth, np.asarray(laid, np.float32), seen)

    def _align(self, gray: npt.NDArray[np.uint8], laid: Frame, hole: Mask, seen: Mask) -> Field:
        """What is left of the background's motion, (h, w, 2), completed inside the hole."""
        first, second = halve(gray), halve(to_gray(laid))
        size = first.shape[::-1]
        flow = self._dis.flow(first, second)
        hidden = cv2.resize(hole.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        known = cv2.resize(seen.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        trust = ((cv2.dilate(hidden, np.ones((5, 5))) == 0) & (known > 0)).astype(np.float32)
        completed = pull_push(np.asarray(flow, np.float32), trust)
        return np.asarray(2 * cv2.resize(completed, gray.shape[::-1]), np.float32)


def _subtract(frame: Field, laid: Field, seen: Mask) -> Field:
    """Largest difference of the channels, float32 (h, w); inf where not `seen`."""
    apart = cv2.absdiff(frame, laid)
    most = np.maximum(np.maximum(apart[..., 0], apart[..., 1]), apart[..., 2])
    return np.where(seen, most, np.float32(np.inf))


def find_others(index: int, base: float, count: int) -> list[int]:
    """Frames before and after `index`, about `base` frames away, of `count`."""
    steps = [round(base * times) for times in (0.5, 1, 2)]
    near = [index + sign * step for step in steps for sign in (-1, 1)]
    return [k for k in near if 0 <= k < count]
