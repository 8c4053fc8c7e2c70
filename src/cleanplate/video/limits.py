"""How large a frame may be: a small file can claim more pixels than any memory holds."""

from __future__ import annotations

import os

from cleanplate.errors import InputError, VideoError
from cleanplate.types import Size

VARIABLE = "CLEANPLATE_MAX_PIXELS"
"""The environment variable that raises the limit."""
MOST_PIXELS = 1 << 26
"""8192x8192: twice an 8K frame."""
LONGEST_SIDE = 32_766
"""OpenCV's pictures that are moved or turned have 16-bit coordinates."""


def most_pixels() -> int:
    """Pixels that a frame or image may have; raises InputError when VARIABLE is no number."""
    text = os.environ.get(VARIABLE, "")
    if not text:
        return MOST_PIXELS
    if not (text.isascii() and text.isdecimal() and 0 < len(text) <= 12):
        raise InputError(f"{VARIABLE} is '{text}'; set it to a number of pixels, such as 200000000")
    return int(text)


def most_bytes() -> int:
    """Bytes that the file of one image may have: those of its largest pixels, not packed."""
    return 16 * most_pixels() + (1 << 20)


def check_pixels(size: Size, what: str, error: type[InputError] = VideoError) -> None:
    """Raise `error` when a frame or image of `size`, called `what`, is larger than allowed."""
    count, most = size.width * size.height, most_pixels()
    if count > most:
        raise error(
            f"{what} is {size}, {count / 1e6:.0f} million pixels, and {most / 1e6:.0f} million are"
            f" taken; if it is to be trusted and memory allows, set {VARIABLE}={count}"
        )
    if max(size.width, size.height) > LONGEST_SIDE:
        raise error(f"{what} is {size}; no side may be longer than {LONGEST_SIDE} pixels")
