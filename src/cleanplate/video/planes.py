"""Samples of a frame as arrays, and compositing on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from cleanplate.video.formats import PixelFormat, find_format


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


def whole_blocks(touched: npt.NDArray[np.bool_], across: int, down: int) -> npt.NDArray[np.bool_]:
    """Chroma samples whose luma pixels are all touched; `across` and `down` are shifts of 0 or 1.

    Of blocks cut by the border the part inside counts.
    """
    height, width = touched.shape
    whole = np.pad(touched, ((0, height % 2 * down), (0, width % 2 * across)), mode="edge")
    if down:
        whole = whole[::2] & whole[1::2]
    if across:
        whole = whole[:, ::2] & whole[:, 1::2]
    return whole


def keep_untouched(
    made: Any, source: Any, touched: npt.NDArray[np.bool_], layout: PixelFormat
) -> None:
    """Put the source's own samples back into `made` wherever `touched` does not allow new ones.

    A chroma sample colours every pixel of its block, so it stays the source's own unless all of
    the block is touched: nobody who decodes the result sees an untouched pixel change.
    """
    pairs = zip(samples(made, layout), samples(source, layout), strict=True)
    for index, (new, own) in enumerate(pairs):
        allowed = whole_blocks(touched, *layout.shift(index))
        np.copyto(new, own, where=~allowed[..., None])


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
