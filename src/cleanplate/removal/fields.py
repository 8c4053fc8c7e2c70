"""Fill interlaced frames: the two fields of each are two pictures, half a frame apart in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from cleanplate.motion import fill_from_rim
from cleanplate.motion.areas import widen, within
from cleanplate.removal.filling import FLOW_PIXELS, Fill, Filling, Recall, fade
from cleanplate.removal.regions import Entry, pasted
from cleanplate.types import Box, Size


def field_lines(box: Box, parity: int) -> slice:
    """Which lines of `box` belong to the field whose lines in the frame have that parity."""
    return slice((parity - box.y) % 2, None, 2)


def field_of(entry: Entry, parity: int) -> Entry:
    """The lines of one field, as a picture of its own; `parity` is that of their numbers.

    The original mask is omitted: masks are dilated on whole frames, whose pixels users count.
    """
    frame = entry.frame[parity::2]
    if entry.box is None or entry.touched is None:
        return Entry(frame)
    lines = field_lines(entry.box, parity)
    touched = entry.touched[lines]
    if not touched.any():
        return Entry(frame)
    y = (entry.box.y + lines.start - parity) // 2
    box = Box(entry.box.x, y, entry.box.width, len(touched))
    if entry.core is None:
        return Entry(frame, box, touched=touched)
    top, bottom = entry.core.y // 2, (entry.core.y + entry.core.height + 1) // 2
    core = replace(entry.core, y=top, height=bottom - top)
    return Entry(frame, box, touched=touched, core=core)


class WovenFilling:
    """Fills held frames like `Filling`, the even lines of all as one clip, the odd ones as another.

    What no frame saw is guessed from the rim of the whole frame: in a field every other line of
    it is missing, and two guesses do not fit each other. A network is asked for each field.

    Args:
        make: a `Filling` for pictures of a size.
        size: of the frames; at least two lines.
        guesses: guess so; else a network did its part.
    """

    def __init__(self, make: Callable[[Size], Filling], size: Size, *, guesses: bool) -> None:
        lines = ((size.height + 1) // 2, size.height // 2)
        self._fields = [make(Size(size.width, count)) for count in lines]
        self._guesses = guesses

    def drop(self, count: int) -> None:
        """The first `count` frames are held no longer."""
        for field in self._fields:
            field.drop(count)

    def forget(self, at: int) -> None:
        """As `Filling.forget`."""
        for field in self._fields:
            field.forget(at)

    def begin_segment(self) -> None:
        """Forget all that was estimated."""
        for field in self._fields:
            field.begin_segment()

    def fill(
        self,
        held: Sequence[Entry],
        wanted: range,
        until: int | None = None,
        recall: Recall | None = None,
    ) -> list[Fill]:
        """As `Filling.fill`."""
        entries = [held[at] for at in wanted]
        fills = [Fill.begin(entry) for entry in entries]
        for fill in fills:
            fill.guessed[...] = 0
        for parity, field in enumerate(self._fields):
            lines_held = [field_of(entry, parity) for entry in held]
            own = None if recall is None else recall.field(parity)
            made = field.fill(lines_held, wanted, until, own)
            for entry, fill, lines in zip(entries, fills, made, strict=True):
                if entry.box is not None and len(lines.colours):
                    at = field_lines(entry.box, parity)
                    fill.colours[at] = lines.colours
                    fill.guessed[at], fill.far[at] = lines.guessed, lines.far
        if self._guesses:
            for entry, fill in zip(entries, fills, strict=True):
                _guess(entry, fill)
        return fills


def _guess(entry: Entry, fill: Fill) -> None:
    """Fade a guess from the frame's own rim into the `fill`, where that is guessed."""
    if entry.box is None or entry.touched is None:
        return
    weight = np.where(entry.touched, fade(fill.guessed), np.float32(0))
    unknown = weight > 0
    if not unknown.any():
        return
    height, width, _ = entry.frame.shape
    part = widen(entry.box, 8 + max(entry.box.width, entry.box.height) // 2, (height, width))
    hole = np.zeros(part.size.shape, np.bool_)
    inner = within(entry.box, part).slices
    hole[inner] = unknown
    picture = pasted(entry.frame, entry.box, fill.colours)[part.slices]
    made = fill_from_rim(picture, hole, FLOW_PIXELS)[inner]
    known = fill.colours
    known[...] = np.rint(known + weight[..., None] * (made.astype(np.float32) - known))
