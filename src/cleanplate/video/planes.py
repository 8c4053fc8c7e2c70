"""Samples of a frame as arrays, and compositing on them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from cleanplate.types import Box
from cleanplate.video.fields import make_graph
from cleanplate.video.formats import PixelFormat, find_format

_BESIDE = 16
"""Pixels around a touched one that its conversion may look at, generously."""


def samples(frame: Any, layout: PixelFormat) -> list[npt.NDArray[np.generic]]:
    """Each plane as a writable view `(plane height, plane width, channels)`, without padding."""
    dtype = np.dtype(np.uint8 if layout.bits == 8 else np.uint16)
    views = []
    for index, (plane, channels) in enumerate(zip(frame.planes, layout.channels, strict=True)):
        across, down = layout.shift(index)
        width, height = -(-frame.width >> across), -(-frame.height >> down)
        rows = np.frombuffer(plane, dtype).reshape(-1, plane.line_size // dtype.itemsize)
        views.append(rows[:height, : width * channels].reshape(height, width, channels))
    return views


def whole_blocks(
    touched: npt.NDArray[np.bool_], across: int, down: int, *, woven: bool = False
) -> npt.NDArray[np.bool_]:
    """Chroma samples whose luma pixels are all touched; `across` and `down` are shifts of 0 or 1.

    Of blocks cut by the border the part inside counts. In `woven` fields, whose height is a
    multiple of four, a line of chroma belongs to every other line of luma.
    """
    if down and woven:
        pairs = touched.reshape(-1, 2, 2, touched.shape[1])  # of lines of the same field
        touched, down = (pairs[:, 0] & pairs[:, 1]).reshape(-1, touched.shape[1]), 0
    height, width = touched.shape
    whole = np.pad(touched, ((0, height % 2 * down), (0, width % 2 * across)), mode="edge")
    if down:
        whole = whole[::2] & whole[1::2]
    if across:
        whole = whole[:, ::2] & whole[:, 1::2]
    return whole


def surround(touched: npt.NDArray[np.bool_], *, woven: bool = False) -> Box:
    """The part of a picture that holds all touched pixels and what conversion looks at beside.

    It begins with a whole chroma sample, so that what is converted alone comes out as in the whole;
    in `woven` fields with one of both, and so it ends.
    """
    height, width = touched.shape
    x, y, across, down = cv2.boundingRect(touched.view(np.uint8))
    left, top = max(0, x - _BESIDE) & ~1, max(0, y - _BESIDE) & (~3 if woven else ~1)
    right, bottom = min(width, x + across + _BESIDE), min(height, y + down + _BESIDE)
    if woven:
        bottom = min(height, bottom + 3 & ~3)
    return Box(left, top, right - left, bottom - top)


def paste_touched(
    source: Any,
    part: Any,
    touched: npt.NDArray[np.bool_],
    box: Box,
    layout: PixelFormat,
    *,
    woven: bool = False,
) -> Any:
    """A copy of the frame `source` with the samples of `part`, which covers `box`, where `touched`.

    A chroma sample colours every pixel of its block, so it stays the source's own unless all of
    the block is touched: nobody who decodes the result sees an untouched pixel change.
    """
    made = copy_frame(source)
    for index, (new, inner) in enumerate(
        zip(samples(made, layout), samples(part, layout), strict=True)
    ):
        across, down = layout.shift(index)
        allowed = whole_blocks(touched[box.slices], across, down, woven=woven)[..., None]
        rows, columns, _ = inner.shape
        top, left = box.y >> down, box.x >> across
        np.copyto(new[top : top + rows, left : left + columns], inner, where=allowed)
    return made


def copy_frame(frame: Any) -> Any:
    """The same samples in memory of their own, with all that goes with them, such as captions."""
    graph = make_graph(frame, "copy")
    graph.push(frame)
    return graph.pull()


def repack(frame: Any, layout: PixelFormat, name: str) -> Any:
    """The same samples in another layout: `yuvj` and grey and nv12 as planar YUV, nothing else.

    Grey gets neutral chroma. Times and properties are the caller's to set.
    """
    target = find_format(name)
    packed = VideoFrame(frame.width, frame.height, name)
    own = samples(frame, layout)
    if layout.name == "nv12":
        own = [own[0], own[1][..., :1], own[1][..., 1:]]
    for index, plane in enumerate(samples(packed, target)):
        plane[...] = own[index] if index < len(own) else 1 << (target.bits - 1)
    return packed
