"""Which part of each layer's map the decoder needs to make one part of the picture."""

from __future__ import annotations

from typing import NamedTuple


class Span(NamedTuple):
    """Rows or columns from `start` to before `stop`."""

    start: int
    stop: int

    def grow(self, by: int, limit: int) -> Span:
        """Wider by `by` at both ends, within 0 to `limit`."""
        return Span(max(0, self.start - by), min(limit, self.stop + by))

    def round(self, unit: int, limit: int) -> Span:
        """Wider, to multiples of `unit` or to the end at `limit`."""
        return Span(self.start // unit * unit, min(limit, -(-self.stop // unit) * unit))

    def halve(self, limit: int) -> Span:
        """What is read of `limit` values when they become twice as many, corners kept."""
        last = max(1, 2 * limit - 1)
        first = self.start * (limit - 1) // last
        return Span(first, min(limit, (self.stop - 1) * (limit - 1) // last + 2))

    def inside(self, other: Span) -> slice:
        """This span as a slice of what `other` covers."""
        return slice(self.start - other.start, self.stop - other.start)


class Part(NamedTuple):
    """A rectangle of a map."""

    rows: Span
    columns: Span

    def grow(self, by: int, size: tuple[int, int]) -> Part:
        """Wider by `by` on each side, within `size`."""
        return Part(self.rows.grow(by, size[0]), self.columns.grow(by, size[1]))

    def round(self, unit: int, size: tuple[int, int]) -> Part:
        """Wider, to multiples of `unit` or to the edges at `size`."""
        return Part(self.rows.round(unit, size[0]), self.columns.round(unit, size[1]))

    def halve(self, size: tuple[int, int]) -> Part:
        """What is read of a map of `size` when it is enlarged to twice that."""
        return Part(self.rows.halve(size[0]), self.columns.halve(size[1]))

    def inside(self, other: Part) -> tuple[slice, slice]:
        """This rectangle as slices of what `other` covers."""
        return self.rows.inside(other.rows), self.columns.inside(other.columns)

    @property
    def slices(self) -> tuple[slice, slice]:
        """This rectangle as slices of the whole map."""
        return slice(*self.rows), slice(*self.columns)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start
