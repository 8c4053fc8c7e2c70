"""How much memory a run takes, and how many frames fit into what it may take.

The figures are bytes a pixel, counted from what is held, and rounded up by what was measured
(docs/performance.md).
"""

from __future__ import annotations

import re
from typing import Any

from cleanplate.arguments import check_whole, show, wrong
from cleanplate.errors import InputError
from cleanplate.pipeline.engine import Span
from cleanplate.pipeline.filling import FLOW_PIXELS
from cleanplate.types import Size
from cleanplate.video.encoding import choose_lookahead

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_LEAST = Span(2, 1)
_MOST = 2**60
"""No machine has more; a larger number is a mistake."""

_PROGRAM = 250_000_000
"""Python and its libraries."""
_NETWORK = 1_500_000_000
"""torch, weights and windows at the paper's size."""
_CODECS = 80
"""For each pixel: pictures that decoder and encoder hold."""
_AHEAD = 3
"""For each pixel of every picture that the encoder looks ahead at."""
_HELD = 6
"""For each pixel of a frame that is held: RGB, and the samples it came from (more above 8 bits)."""
_DONE = 10
"""The same for a finished one that waits for the encoder: also its RGB, and what was touched."""
_QUEUED = 4 * _DONE
"""For each pixel: the least number of pictures on their way in and out."""
_WORK = 40
"""For each pixel that flow is estimated on, and frame: guesses, drafts, motion."""
_SAMPLED = 300_000_000
"""What is known of the hole's pixels while they are filled (`flow.propagation`)."""


def parse_memory(text: str) -> int:
    """Bytes of a size such as 3GB, 800MB, 2.5GiB or 3000000000; raises InputError."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)B?\s*", text.upper())
    if not found:
        raise InputError(f"{show(text)} is no size of memory; give one such as 3GB or 800MB")
    number, unit, binary = found.groups()
    memory = float(number) * (_BINARY if binary else _UNITS)[unit]
    if memory > _MOST:
        raise InputError(f"{show(text)} is more memory than any machine has; give one such as 3GB")
    return int(memory)


def check_memory(memory: Any) -> int | str | None:
    """`memory` in bytes, as a text such as "3GB", or None; raises InputError."""
    if isinstance(memory, str):
        parse_memory(memory)
        return memory
    if memory is not None and not hasattr(memory, "__index__"):
        raise wrong("max_memory", 'a number of bytes or a size such as "3GB"', memory, none=True)
    number: int | None = check_whole("max_memory", memory, 1, _MOST, "of bytes", none=True)
    return number


def to_bytes(memory: int | str | None) -> int | None:
    """Bytes of a size that may be given as text, such as "3GB"."""
    return parse_memory(memory) if isinstance(memory, str) else memory


def estimate_memory(size: Size, span: Span, *, network: bool = False) -> int:
    """Bytes that a run takes at its peak, about."""
    pixels = size.width * size.height
    total = span.own + 2 * span.around
    codecs = _CODECS + choose_lookahead(size) * _AHEAD
    frames = pixels * (total * _HELD + span.own * _DONE + codecs + _QUEUED)
    work = min(pixels, FLOW_PIXELS) * total * _WORK + _SAMPLED
    return _PROGRAM + frames + work + (_NETWORK if network else 0)


def fit_span(size: Size, limit: int | None, *, network: bool = False) -> Span:
    """The longest span that keeps to `limit` bytes; raises InputError when none does."""
    longest = Span.for_size(size)
    if limit is None:
        return longest
    for own in range(longest.own, _LEAST.own - 1, -1):
        around = max(_LEAST.around, longest.around * own // longest.own)
        if estimate_memory(size, Span(own, around), network=network) <= limit:
            return Span(own, around)
    least = estimate_memory(size, _LEAST, network=network)
    raise InputError(
        f"`max_memory={limit / 1e9:.2f}GB` is too little for {size}"
        f"{' with a network' if network else ''}; give at least {least / 1e9 + 0.005:.2f}GB"
    )
