"""Detect static logos and watermarks: edges that stay while the picture moves.

The gradient of a picture that moves has no lasting direction at any pixel; that of a logo has, be
the logo opaque or half transparent. The median of the gradients over the whole video therefore
keeps the logo's edges and little else (Dekel, Rubinstein, Liu, Freeman: On the Effectiveness of
Visible Watermarks, CVPR 2017). Where the camera stands still, everything has such edges:
then the logo cannot be distinguished, and MaskError is raised.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import MaskError, name_count
from cleanplate.masks.source import Mask, Shape, View, dilate_ellipse, ellipse, turn_to_coded
from cleanplate.masks.source import dilate as grow
from cleanplate.types import Box
from cleanplate.video import VideoInfo, open_reader, probe

Frame = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]
Progress = Callable[[int, int | None], None]

_SAMPLES = 64
"""Frames that are compared, spread over the video; a median of more hardly differs."""
_FEWEST = 8
"""Frames that a video needs to have."""
_EDGE = 5.0
"""Levels a pixel from which a gradient is an edge."""
_LASTING = 0.55
"""Length of the median gradient, as a share of the mean length, from which an edge lasts."""
_STILL = 0.35
"""Share of lasting edges among all from which the camera counts as standing still."""
_PARTLY = 0.06
"""The same, from which some of the picture stands still and only small things count as logos."""
_LARGEST, _LARGEST_PARTLY = 0.12, 0.04
"""Share of the picture that a logo's rectangle takes at most, without and with such parts."""
_BAND = 64
"""Rows whose gradients are held at a time."""


class FoundLogos:
    """Result of `find_logos`: a mask source with one mask for all frames.

    Attributes:
        boxes: around each logo, in pixels of the video as people see it.
    """

    def __init__(self, info: VideoInfo, boxes: list[Box], hole: Mask) -> None:
        self.boxes = tuple(boxes)
        self._info, self._hole = info, hole

    def prepare(self, info: VideoInfo) -> None:
        """The video must be as large as the one with the logos; raises MaskError."""
        if info.size != self._info.size:
            raise MaskError(
                f"logos were found in a video of {self._info.size}, but this one is {info.size}"
            )

    def mask(self, index: int, time: Fraction) -> Mask:
        """The logos, bool `(h, w)`, coded orientation."""
        return self._hole.copy()

    def close(self) -> None:
        """Do nothing; no file is open."""


def find_logos(
    path: str | PathLike[str], *, dilate: int = 0, progress: Progress | None = None
) -> FoundLogos:
    """Detect static areas in a video whose picture moves.

    Args:
        path: a video file or a folder of images.
        dilate: pixels by which the mask is larger than what was found.
        progress: called with the frames done and their number.

    Raises:
        VideoError: the video cannot be read.
        MaskError: the video is too short, its picture does not move, or it has no logo.
    """
    info = probe(Path(path))
    view = View.choose(info, None)
    edges = _measure_edges(_take_samples(info, view, progress))
    if edges.still_share > _STILL:
        raise MaskError(
            f"the picture of '{path}' hardly moves ({edges.still_share:.0%} of its edges stay), so"
            " a logo cannot be distinguished; mark the logo with a box"
        )
    shapes = _find_shapes(edges)
    if not shapes:
        raise MaskError(
            f"no logo was found in '{path}': nothing stands still while the picture moves;"
            " mark it with a box, or look for text"
        )
    boxes = [view.locate(shape.area) for shape in shapes]
    hole = turn_to_coded(grow(view.enlarge(shapes), dilate), info)
    return FoundLogos(info, boxes, hole)


def _take_samples(info: VideoInfo, view: View, progress: Progress | None) -> list[Frame]:
    """Grey working frames, evenly spread over the video."""
    count = min(_SAMPLES, info.frame_count)
    if count < _FEWEST:
        raise MaskError(
            f"'{info.path}' has only {name_count(info.frame_count, 'frame')}; a logo shows in"
            " no fewer than"
            f" {_FEWEST}. Mark it with a box"
        )
    chosen = {int(number) for number in np.linspace(0, info.frame_count - 1, count)}
    samples = []
    with open_reader(info.path, info) as reader:
        for done, picture in enumerate(reader, 1):
            if picture.index in chosen:
                gray = cv2.cvtColor(view.shrink(picture.rgb), cv2.COLOR_RGB2GRAY)
                samples.append(np.asarray(gray, np.uint8))
            if progress is not None:
                progress(done, info.frame_count)
    return samples


class _Edges(NamedTuple):
    """Edges over time, all `(h, w)`."""

    median: Field
    """Median gradient `(h, w, 2)`: across and down, in levels a pixel."""
    usual: Mask
    """Where there mostly is an edge, whichever."""
    lasting: Mask
    """Where it is the same one."""

    @property
    def still_share(self) -> float:
        """Fraction of static edges."""
        return float((self.lasting & self.usual).sum() / max(1, self.usual.sum()))


def _measure_edges(samples: list[Frame]) -> _Edges:
    """Compare the gradients of all samples, some rows at a time."""
    height, width = samples[0].shape
    median = np.zeros((height, width, 2), np.float32)
    mean = np.zeros((height, width), np.float32)
    for top in range(0, height, _BAND):
        bottom = min(height, top + _BAND)
        # One row more on either side, so that bands join without a seam.
        start, stop = max(0, top - 1), min(height, bottom + 1)
        own = slice(top - start, bottom - start)
        gradients = np.stack([_derive(sample[start:stop])[own] for sample in samples])
        median[top:bottom] = np.median(gradients, axis=0)
        mean[top:bottom] = np.hypot(gradients[..., 0], gradients[..., 1]).mean(axis=0)
    length = np.hypot(median[..., 0], median[..., 1])
    lasting = (length > _EDGE) & (length > _LASTING * mean)
    # The frame's own border, and what a resampler leaves there, always lasts.
    lasting[:2], lasting[-2:], lasting[:, :2], lasting[:, -2:] = False, False, False, False
    return _Edges(median, mean > _EDGE, lasting)


def _derive(gray: Frame) -> Field:
    """Gradient `(h, w, 2)` of a grey picture in levels a pixel."""
    across, down = (cv2.Sobel(gray, cv2.CV_32F, x, 1 - x, ksize=3, scale=0.25) for x in (1, 0))
    return np.stack([across, down], axis=-1)


def _find_shapes(edges: _Edges) -> list[Shape]:
    """The logos: groups of lasting edges that close around something."""
    height, width = edges.lasting.shape
    reach = max(3, round(0.012 * max(height, width)))
    dense = edges.lasting & (cv2.blur(edges.lasting.astype(np.float32), (7, 7)) > 0.15)
    ink = dense & _turns(edges, 4 * reach + 1)
    whole = _close(dense, reach)
    count, labels = cv2.connectedComponents(_close(ink, reach).astype(np.uint8))
    shapes = []
    for label in range(1, count):
        part = labels == label
        if _is_logo(edges, part, ink):
            # A large round edge looks straight from near by; its gaps are closed again.
            shapes.append(_fill(part | (whole & _frame(part, reach)), max(2, reach // 2)))
    return shapes


def _close(mask: Mask, pixels: int) -> Mask:
    """Close gaps of up to twice `pixels`."""
    closed = cv2.morphologyEx(
        mask.astype(np.uint8), cv2.MORPH_CLOSE, ellipse(pixels), borderType=cv2.BORDER_CONSTANT
    )
    return np.asarray(closed, np.bool_)


def _frame(part: Mask, margin: int) -> Mask:
    """The upright rectangle around `part`, as a mask, with a margin."""
    x, y, width, height = cv2.boundingRect(part.astype(np.uint8))
    framed = np.zeros_like(part)
    rows = slice(max(0, y - margin), y + height + margin)
    framed[rows, max(0, x - margin) : x + width + margin] = True
    return framed


def _turns(edges: _Edges, side: int) -> Mask:
    """Where the lasting edges nearby point in more than one direction.

    A pan keeps the edges that run along with it, such as a horizon: these all point the same way.
    """
    across, down = np.moveaxis(edges.median * edges.lasting[..., None], -1, 0)
    xx, yy, xy = (cv2.blur(p, (side, side)) for p in (across * across, down * down, across * down))
    middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    return np.asarray(middle - half > 0.1 * (middle + half))


def _is_logo(edges: _Edges, part: Mask, ink: Mask) -> bool:
    """A group of edges that is small, dense, closed, and lasts where others around do not."""
    own = part & ink
    width, height = cv2.boundingRect(part.astype(np.uint8))[2:]
    largest = _LARGEST if edges.still_share < _PARTLY else _LARGEST_PARTLY
    if own.sum() < 40 or min(width, height) < 6 or width * height > largest * part.size:
        return False
    if own.sum() < 0.1 * width * height:
        return False
    vectors = edges.median[own]
    # Around anything closed the gradients point everywhere and cancel out; along the edge
    # of a roof or of a picture in a picture they do not.
    lengths = np.hypot(vectors[:, 0], vectors[:, 1])
    drift = float(np.hypot(*vectors.sum(axis=0)) / lengths.sum())
    spread = np.linalg.eigvalsh(vectors.T @ vectors)
    if drift > 0.35 or spread[0] < 0.15 * spread[1]:
        return False
    around = dilate_ellipse(part, 12) & ~dilate_ellipse(part, 4) & edges.usual
    return float((around & edges.lasting).sum()) < 0.3 * max(30.0, float(around.sum()))


def _fill(part: Mask, pixels: int) -> Shape:
    """The group with its inside, grown: antialiasing and compression reach beyond the edges."""
    filled = np.zeros(part.shape, np.uint8)
    rims = cv2.findContours(part.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    cv2.drawContours(filled, rims, -1, 1, cv2.FILLED)
    grown = dilate_ellipse(filled.astype(np.bool_), pixels)
    x, y, width, height = cv2.boundingRect(grown.astype(np.uint8))
    area = Box(x, y, width, height)
    return Shape(area, grown[area.slices])
