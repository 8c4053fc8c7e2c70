"""Follow an object without weights: along optical flow, by colour and by its own motion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.flow import DisFlow
from cleanplate.flow.motion import fit_motion, grid
from cleanplate.masks.morphology import dilate
from cleanplate.masks.source import Mask
from cleanplate.masks.tracking.appearance import Appearance, Field, Place, find_colours
from cleanplate.masks.tracking.evidence import (
    compare_motion,
    follow_edges,
    measure_depth,
    squash,
)
from cleanplate.masks.tracking.segmenter import Found, Frames

Frame = npt.NDArray[np.uint8]

_W_DEPTH, _W_COLOUR, _W_MOTION = 2.5, 0.8, 0.6
_SURE = 0.5
_MARGIN = 0.05


class FlowSegmenter:
    """The segmenter that needs no weights."""

    def segment(self, frames: Frames, index: int, box: Mask) -> Mask:
        """See Segmenter.segment."""
        frame = frames[index]
        place = Place.around(box)
        window = place.window(frames.shape)
        colours, cells = find_colours(frame)[window], place.cells(window)
        inside = box[window].astype(np.float32)
        motions = [_own_motion(frames, index, other, box)[window] for other in _near(frames, index)]
        share = inside * _bulge(place, window)
        look = None
        for _ in range(6):
            look = Appearance(colours, cells, share)
            odds = _W_COLOUR * look.compare(colours, cells)
            if motions:
                evidence = [compare_motion(own, share, 1 - inside) for own in motions]
                odds = odds + _W_MOTION * np.max(evidence, axis=0)
            share = _settle(odds, _guide(frame[window]), place.extent) * inside
        return _place_in(share > _SURE, window, frames.shape)

    def follow(self, frames: Frames, mask: Mask, indices: Sequence[int]) -> Iterator[Found]:
        """See Segmenter.follow."""
        if len(indices) < 2:
            return
        run = _Run(frames[indices[0]], mask)
        for index in indices[1:]:
            found, confidence = run.step(frames[index])
            yield Found(index, found, confidence)


def _near(frames: Frames, index: int) -> list[int]:
    return [k for k in (index - 2, index - 1, index + 1, index + 2) if 0 <= k < len(frames)]


def _own_motion(frames: Frames, index: int, other: int, box: Mask) -> Field:
    dis = DisFlow()
    flow = dis.flow(dis.prepare(frames[index]), dis.prepare(frames[other]))
    return flow - fit_motion(flow, (~box).astype(np.float32))


def _bulge(place: Place, window: tuple[slice, slice]) -> Field:
    """A prior that is high in the middle of a box."""
    rows, columns = window
    y = (np.arange(rows.start, rows.stop) - place.y) / place.half_height
    x = (np.arange(columns.start, columns.stop) - place.x) / place.half_width
    return np.asarray(0.2 + 0.6 * np.exp(-(y[:, None] ** 2 + x[None] ** 2)), np.float32)


def _guide(frame: Frame) -> Field:
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255


def _settle(odds: Field, guide: Field, extent: float) -> Field:
    """From log odds to a share whose outline follows the picture's edges."""
    radius = max(round(0.04 * extent), 2)
    share = follow_edges(guide, squash(odds), radius, 1e-3)
    return follow_edges(guide, squash(odds + 4 * (share - 0.5)), radius, 1e-3)


def _place_in(part: Mask, window: tuple[slice, slice], shape: tuple[int, int]) -> Mask:
    whole = np.zeros(shape, np.bool_)
    whole[window] = part
    return whole


class _Run:
    """One object followed in one direction."""

    def __init__(self, frame: Frame, mask: Mask) -> None:
        self._dis = DisFlow()
        self._last = self._dis.prepare(frame)
        self._share = mask.astype(np.float32)
        self._place = Place.around(mask)
        window = self._place.window(mask.shape)
        self._colours = find_colours(frame)
        self._look = Appearance(
            self._colours[window], self._place.cells(window), self._share[window]
        )
        self._usual = float(mask.sum())

    def step(self, frame: Frame) -> tuple[Mask, float]:
        gray = self._dis.prepare(frame)
        flow = self._dis.flow(gray, self._last)
        self._last = gray
        shape = gray.shape
        camera = fit_motion(flow, 1 - cv2.dilate(self._share, np.ones((9, 9))))
        x, y = grid(*shape)
        prior = cv2.remap(self._share, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR)
        sure = prior > _SURE
        if sure.any():
            dx, dy = np.median(flow[sure], axis=0)
            self._place.x -= float(dx)
            self._place.y -= float(dy)
        window = self._place.window(shape)
        prior = prior[window]
        cells = self._place.cells(window)
        colours = find_colours(frame[window])
        extent = self._place.extent
        depth = measure_depth(prior, max(0.06 * extent, 3))
        outside = (depth <= -1).astype(np.float32)
        self._look.look_around(colours, cells, outside)
        odds = _W_DEPTH * depth + _W_COLOUR * self._look.compare(colours, cells)
        odds += _W_MOTION * compare_motion((flow - camera)[window], prior, outside)
        share = _settle(odds, _guide(frame[window]), extent)
        share = _keep_near(share, depth)
        self._look.learn(colours, cells, share, (share < 0.2).astype(np.float32), 0.1)
        self._share = np.zeros(shape, np.float32)
        self._share[window] = share
        mask = self._share > _SURE
        if mask.any():
            now = Place.around(mask)
            for name in ("x", "y", "half_width", "half_height"):
                setattr(
                    self._place, name, getattr(self._place, name) * 0.9 + 0.1 * getattr(now, name)
                )
        area = float(mask.sum())
        cover = dilate(mask, round(_MARGIN * np.sqrt(max(area, 1)) + 1))
        return cover, 1.0


def _keep_near(share: Field, depth: Field) -> Field:
    """Drop parts that do not touch where the object was."""
    count, labels = cv2.connectedComponents((share > _SURE).astype(np.uint8))
    touched = np.zeros(count, np.bool_)
    touched[np.unique(labels[depth > -0.5])] = True
    touched[0] = True
    return np.where(touched[labels], share, np.float32(0))
