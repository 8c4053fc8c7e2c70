"""Which frames the network fills at once: neighbours and distant references (section 3.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

RADIUS = 5
REFERENCE_STEP = 10


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
    length: int, *, radius: int = RADIUS, reference_step: int = REFERENCE_STEP
) -> Iterator[Window]:
    """Windows of the released inference over `length` frames.

    A window around every `radius`-th frame with all frames at most `radius` away, and every
    `reference_step`-th frame of the whole length as reference. Neighbouring windows overlap by
    half.
    """
    for centre in range(0, length, radius):
        near = range(max(0, centre - radius), min(length, centre + radius + 1))
        far = (frame for frame in range(0, length, reference_step) if frame not in near)
        yield Window(centre, tuple(near), tuple(far))


def crossfade_weight(frame: int, window: Window, *, radius: int = RADIUS) -> float:
    """Weight of a window's result for `frame`: 1 at its centre, falling linearly to its ends.

    Two overlapping windows weigh 1 together, so the sum does not depend on their order.
    """
    return 1 - abs(frame - window.centre) / (radius + 1)
