"""Frozen value objects shared by all packages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cleanplate.arguments import check_kind, check_whole, show
from cleanplate.errors import InputError

_MOST = 2**32 - 1
"""Largest coordinate that an image header can hold."""


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels; raises InputError for other values than integers."""

    width: int
    height: int

    def __post_init__(self) -> None:
        _settle(self, "width", least=0)
        _settle(self, "height", least=0)

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def shape(self) -> tuple[int, int]:
        """`(height, width)`, as in the shape of arrays."""
        return self.height, self.width


@dataclass(frozen=True, slots=True)
class Box:
    """Rectangle of pixels; `x`, `y` is its top left corner. Raises InputError for non-integers."""

    x: int
    y: int
    width: int
    height: int

    def __post_init__(self) -> None:
        _settle(self, "x", least=-_MOST)
        _settle(self, "y", least=-_MOST)
        _settle(self, "width", least=0)
        _settle(self, "height", least=0)

    @classmethod
    def parse(cls, text: str) -> Box:
        """Parse `X,Y,W,H`; raise InputError if it is no rectangle with a positive size."""
        check_kind("box", text, str, "a text such as 20,30,200,80")
        try:
            x, y, width, height = (int(part) for part in text.split(","))
        except ValueError:
            raise InputError(
                f"box {show(text)} is not X,Y,W,H in whole pixels, such as 20,30,200,80"
            ) from None
        if width <= 0 or height <= 0:
            raise InputError(f"box {show(text)} has no size; width and height must be positive")
        return cls(x, y, width, height)

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.width},{self.height}"

    @property
    def slices(self) -> tuple[slice, slice]:
        """Slices of rows and columns, to index an array `(h, w, …)`."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    @property
    def size(self) -> Size:
        """Size of the rectangle."""
        return Size(self.width, self.height)

    def clipped(self, size: Size) -> Box | None:
        """Return the part inside a picture of `size`, or None if it is outside."""
        x, y = max(self.x, 0), max(self.y, 0)
        right, bottom = min(self.x + self.width, size.width), min(self.y + self.height, size.height)
        return Box(x, y, right - x, bottom - y) if right > x and bottom > y else None


def _settle(holder: Any, name: str, least: int) -> None:
    """Check a coordinate, and convert a NumPy integer to int."""
    value = getattr(holder, name)
    if type(value) is not int or not least <= value <= _MOST:
        words = f"{type(holder).__name__}.{name}"
        object.__setattr__(holder, name, check_whole(words, value, least, _MOST, "of pixels"))
