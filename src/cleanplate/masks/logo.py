"""Detect static logos and watermarks: edges that stay while the picture moves.

In a moving picture, the gradient at a pixel has no lasting direction. In a logo it has, opaque or
half transparent. The median of the gradients over the whole video therefore keeps the edges of the
logo and little else (Dekel, Rubinstein, Liu, Freeman: On the Effectiveness of Visible Watermarks,
CVPR 2017). With a static camera everything has such edges. Then the logo cannot be distinguished,
and MaskError is raised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class LogoTuning:
    """Constants of the detection of logos by their lasting edges."""

    samples: int = 64
    """Frames to compare, spread over the video: a median of more hardly differs."""
    fewest: int = 8
    """Minimum number of frames of a video: in fewer, a passing edge lasts by chance."""
    edge: float = 5.0
    """Minimum gradient of an edge, in levels per pixel: noise stays below it."""
    lasting: float = 0.55
    """Minimum length of the median gradient of a lasting edge, as a fraction of the mean length."""
    still: float = 0.35
    """Fraction of lasting edges above which the camera is static and no logo distinguishable."""
    partly: float = 0.06
    """Fraction of lasting edges from which a part of the scene is static, such as a dashboard."""
    largest: float = 0.12
    """Maximum fraction of the picture for a logo's rectangle."""
    largest_partly: float = 0.04
    """The same if a part of the scene is static: then large areas belong to the scene."""
    band: int = 64
    """Rows of gradients in memory at a time."""
    reach: float = 0.012
    """Gap between edges of one logo, as a fraction of the long side."""
    dense: float = 0.15
    """Minimum fraction of lasting pixels within three pixels: isolated ones last by chance."""
    turning: float = 0.1
    """Minimum ratio of edges across the main direction: parallel edges stay in a pan, too."""
    ink: int = 40
    """Minimum number of edge pixels: fewer last by chance."""
    short_side: int = 6
    """Minimum pixels of the short side of a logo's rectangle."""
    filled: float = 0.1
    """Minimum fraction of the rectangle that is edges: a logo is dense."""
    drift: float = 0.35
    """Maximum length of the mean gradient, as a fraction: on a closed outline they cancel out."""
    spread: float = 0.15
    """Minimum ratio of gradients across the main direction, of a whole logo."""
    around: float = 0.3
    """Maximum fraction of edges around a logo that last, too: more means a static scene."""
    moving: float = 0.2
    """The same for a logo larger than `largest_partly` in a scene that is static in part."""
    closed: float = 0.05
    """Maximum length of the mean gradient of such a logo: its letters have closed outlines."""
    many: int = 200
    """Minimum pixels of edges around a logo that prove it."""
    few: float = 30.0
    """Pixels of edges around a logo up to which this fraction counts as if there were as many."""


_TUNING = LogoTuning()


class FoundLogos:
    """Result of `find_logos`: a mask source with one mask for all frames.

    Attributes:
        boxes: box around each logo, in pixels, in display orientation.
    """

    def __init__(self, info: VideoInfo, boxes: list[Box], hole: Mask) -> None:
        self.boxes = tuple(boxes)
        self._info, self._hole = info, hole

    def prepare(self, info: VideoInfo) -> None:
        """Check that the video has the size of the one with the logos; raise MaskError."""
        if info.size != self._info.size:
            raise MaskError(
                f"logos were found in a video of {self._info.size}, but this one is {info.size}"
            )

    def mask(self, index: int, time: Fraction) -> Mask:
        """Return the mask of all logos, bool `(h, w)`, coded orientation."""
        return self._hole.copy()

    def close(self) -> None:
        """Do nothing; no file is open."""


def find_logos(
    path: str | PathLike[str], *, dilate: int = 0, progress: Progress | None = None
) -> FoundLogos:
    """Detect static areas in a video whose picture moves.

    Args:
        path: a video file or a folder of images.
        dilate: pixels by which the detected mask is dilated.
        progress: called with the number of frames done and in total.

    Raises:
        VideoError: the video cannot be read.
        MaskError: the video is too short, its picture does not move, or it has no logo.
    """
    info = probe(Path(path))
    view = View.choose(info, None)
    edges = _measure_edges(_take_samples(info, view, progress))
    if edges.still_share > _TUNING.still:
        raise MaskError(
            f"the picture of '{path}' hardly moves ({edges.still_share:.0%} of its edges stay), so"
            " a logo cannot be distinguished; mark the logo with a box"
        )
    shapes = _find_shapes(edges)
    if not shapes:
        raise MaskError(
            f"no logo was found in '{path}': nothing is static while the picture moves;"
            " mark it with a box, or look for text"
        )
    boxes = [view.locate(shape.area) for shape in shapes]
    hole = turn_to_coded(grow(view.enlarge(shapes), dilate), info)
    return FoundLogos(info, boxes, hole)


def _take_samples(info: VideoInfo, view: View, progress: Progress | None) -> list[Frame]:
    """Read grey working frames, evenly spread over the video."""
    count = min(_TUNING.samples, info.frame_count)
    if count < _TUNING.fewest:
        raise MaskError(
            f"'{info.path}' has only {name_count(info.frame_count, 'frame')}; the detection of a"
            f" logo needs {_TUNING.fewest}. Mark it with a box"
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
    """Statistics of the gradient at each pixel over time."""

    median: Field
    """Median gradient `(h, w, 2)`: across and down, in levels per pixel."""
    usual: Mask
    """Pixels `(h, w)` whose mean gradient is that of an edge, in any direction."""
    lasting: Mask
    """Pixels `(h, w)` whose edge keeps its direction."""

    @property
    def still_share(self) -> float:
        """Fraction of static edges."""
        return float((self.lasting & self.usual).sum() / max(1, self.usual.sum()))


def _measure_edges(samples: list[Frame]) -> _Edges:
    """Compare the gradients of all samples, some rows at a time."""
    height, width = samples[0].shape
    median = np.zeros((height, width, 2), np.float32)
    mean = np.zeros((height, width), np.float32)
    for top in range(0, height, _TUNING.band):
        bottom = min(height, top + _TUNING.band)
        # One more row on either side for the gradient filter, so that bands join without a seam.
        start, stop = max(0, top - 1), min(height, bottom + 1)
        own = slice(top - start, bottom - start)
        gradients = np.stack([_derive(sample[start:stop])[own] for sample in samples])
        # The median ignores an edge that is there in less than half of the frames.
        median[top:bottom] = np.median(gradients, axis=0)
        mean[top:bottom] = np.hypot(gradients[..., 0], gradients[..., 1]).mean(axis=0)
    length = np.hypot(median[..., 0], median[..., 1])
    # Compare with the mean length: in a picture full of edges, the median is long by chance.
    lasting = (length > _TUNING.edge) & (length > _TUNING.lasting * mean)
    # The border of the frame, with the artefacts of scaling, always lasts.
    lasting[:2], lasting[-2:], lasting[:, :2], lasting[:, -2:] = False, False, False, False
    return _Edges(median, mean > _TUNING.edge, lasting)


def _derive(gray: Frame) -> Field:
    """Compute the gradient `(h, w, 2)` of a grey picture, in levels per pixel."""
    across, down = (cv2.Sobel(gray, cv2.CV_32F, x, 1 - x, ksize=3, scale=0.25) for x in (1, 0))
    return np.stack([across, down], axis=-1)


def _find_shapes(edges: _Edges) -> list[Shape]:
    """Find the logos: groups of lasting edges with a closed outline."""
    height, width = edges.lasting.shape
    reach = max(3, round(_TUNING.reach * max(height, width)))
    # Isolated pixels last by chance; those of a logo have neighbours.
    dense = edges.lasting & (cv2.blur(edges.lasting.astype(np.float32), (7, 7)) > _TUNING.dense)
    ink = dense & _turns(edges, 4 * reach + 1)
    whole = _close(dense, reach)
    count, labels = cv2.connectedComponents(_close(ink, reach).astype(np.uint8))
    shapes = []
    for label in range(1, count):
        part = labels == label
        if _is_logo(edges, part, ink):
            # A large round edge is locally straight, so `_turns` dropped it: add it again.
            shapes.append(_fill(part | (whole & _frame(part, reach)), max(2, reach // 2)))
    return shapes


def _close(mask: Mask, pixels: int) -> Mask:
    """Close gaps of up to twice `pixels`."""
    closed = cv2.morphologyEx(
        mask.astype(np.uint8), cv2.MORPH_CLOSE, ellipse(pixels), borderType=cv2.BORDER_CONSTANT
    )
    return np.asarray(closed, np.bool_)


def _frame(part: Mask, margin: int) -> Mask:
    """Mark the upright rectangle around `part`, with a margin."""
    x, y, width, height = cv2.boundingRect(part.astype(np.uint8))
    framed = np.zeros_like(part)
    rows = slice(max(0, y - margin), y + height + margin)
    framed[rows, max(0, x - margin) : x + width + margin] = True
    return framed


def _turns(edges: _Edges, side: int) -> Mask:
    """Mark where the lasting edges nearby have more than one direction.

    A pan keeps edges parallel to it, such as a horizon, but these all have the same direction.
    """
    # The smaller eigenvalue of the structure tensor is zero where all gradients are parallel.
    across, down = np.moveaxis(edges.median * edges.lasting[..., None], -1, 0)
    xx, yy, xy = (cv2.blur(p, (side, side)) for p in (across * across, down * down, across * down))
    middle, half = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    return np.asarray(middle - half > _TUNING.turning * (middle + half))


def _is_logo(edges: _Edges, part: Mask, ink: Mask) -> bool:
    """Whether a group of edges is small, dense and closed, and those around it do not last."""
    own = part & ink
    width, height = _measure_sides(part)
    largest = _TUNING.largest if edges.still_share < _TUNING.partly else _TUNING.largest_partly
    if own.sum() < max(_TUNING.ink, _TUNING.filled * width * height):
        return False
    if min(width, height) < _TUNING.short_side or width * height > _TUNING.largest * part.size:
        return False
    vectors = edges.median[own]
    # Along a closed outline the gradients have all directions and cancel out. Along the edge of a
    # roof, or of a picture in a picture, they do not.
    lengths = np.hypot(vectors[:, 0], vectors[:, 1])
    drift = float(np.hypot(*vectors.sum(axis=0)) / lengths.sum())
    spread = np.linalg.eigvalsh(vectors.T @ vectors)
    if drift > _TUNING.drift or spread[0] < _TUNING.spread * spread[1]:
        return False
    # If many edges around it last, too, the scene is static there, and the group belongs to it.
    around = dilate_ellipse(part, 12) & ~dilate_ellipse(part, 4) & edges.usual
    edges_around, still = float(around.sum()), float((around & edges.lasting).sum())
    if width * height > largest * part.size:
        # Static edges elsewhere prove nothing against closed outlines in a place that moves.
        moves = edges_around >= _TUNING.many and still < _TUNING.moving * edges_around
        return moves and drift < _TUNING.closed
    return still < _TUNING.around * max(_TUNING.few, edges_around)


def _measure_sides(part: Mask) -> tuple[float, float]:
    """Measure the sides of the smallest rectangle around `part`, upright or turned, in pixels."""
    _, _, across, down = cv2.boundingRect(part.astype(np.uint8))
    points = np.argwhere(part)[:, ::-1].astype(np.float32)
    # Between the centres of the outermost pixels a side is one pixel shorter.
    length, breadth = cv2.minAreaRect(points)[1]
    rectangles = (float(across), float(down)), (length + 1, breadth + 1)
    return min(rectangles, key=lambda sides: sides[0] * sides[1])


def _fill(part: Mask, pixels: int) -> Shape:
    """Fill the group and grow it, since antialiasing and compression reach beyond the edges."""
    filled = np.zeros(part.shape, np.uint8)
    rims = cv2.findContours(part.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    cv2.drawContours(filled, rims, -1, 1, cv2.FILLED)
    grown = dilate_ellipse(filled.astype(np.bool_), pixels)
    x, y, width, height = cv2.boundingRect(grown.astype(np.uint8))
    area = Box(x, y, width, height)
    return Shape(area, grown[area.slices])
