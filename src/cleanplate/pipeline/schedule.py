"""Which frames the network fills at once: neighbours and distant references (section 3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Blend = Literal["crossfade", "released"]
"""How overlapping windows meet: weighed by nearness, or half and half as in STTN's code."""

RADIUS = 5
REFERENCE_STEP = 10
SPREAD = (8, 12, 17, 23, 30, 40)
"""How far from the centre a bounded set of references is, frames: denser where things changed
less."""


@dataclass(frozen=True, slots=True)
class Window:
    """Frames filled together: `neighbours` around `centre` are kept, `references` only give."""

    centre: int
    neighbours: tuple[int, ...]
    references: tuple[int, ...]

    @property
    def frames(self) -> tuple[int, ...]:
        """Neighbours, then references: the order in which the network gets them."""
        return self.neighbours + self.references


def schedule_windows(
    length: int,
    *,
    radius: int = RADIUS,
    reference_step: int = REFERENCE_STEP,
    spread: tuple[int, ...] = (),
) -> Iterator[Window]:
    """Windows of the released inference over `length` frames.

    A window around every `radius`-th frame with all frames at most `radius` away, and every
    `reference_step`-th frame of the whole length as reference; with `spread`, the frames so far
    before and after the centre instead. Neighbouring windows overlap by half.
    """
    for centre in range(0, length, radius):
        near = range(max(0, centre - radius), min(length, centre + radius + 1))
        around = sorted(centre + sign * way for way in spread for sign in (-1, 1))
        far = (
            [at for at in around if 0 <= at < length]
            if spread
            else range(0, length, reference_step)
        )
        yield Window(centre, tuple(near), tuple(frame for frame in far if frame not in near))


def crossfade_weight(frame: int, window: Window, *, radius: int = RADIUS) -> float:
    """Weight of a window's result for `frame`: 1 at its centre, falling linearly to its ends.

    Two overlapping windows weigh 1 together, so the sum does not depend on their order.
    """
    return 1 - abs(frame - window.centre) / (radius + 1)
