"""Values shared by all packages: sizes, boxes, and callers' frames and masks as arrays.

Callers may pass arrays of any layout, tensors and lists.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cleanplate.arguments import check_kind, check_whole, show, wrong
from cleanplate.errors import InputError, MaskError

Frames = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]


def pack_mask(mask: Masks) -> bytes:
    """Compress `mask`, bool `(h, w)`: some hundred times smaller, fast."""
    return zlib.compress(np.packbits(mask).tobytes(), 1)


def unpack_mask(packed: bytes, shape: tuple[int, int]) -> Masks:
    """Restore a mask of `(h, w)` from `pack_mask`."""
    bits = np.frombuffer(zlib.decompress(packed), np.uint8)
    return np.unpackbits(bits, count=shape[0] * shape[1]).reshape(shape).view(np.bool_)


_MOST = 2**32 - 1
"""Largest coordinate that an image header can hold."""
_TRUTHS = "bool (True = hole), or uint8 of 0 and 1 or of 0 and 255"


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


def is_array(value: Any) -> bool:
    """Whether NumPy can read `value` as an array: an ndarray, a tensor, a buffer."""
    protocols = ("__array__", "__array_interface__", "__array_struct__")
    return not isinstance(value, type) and (
        isinstance(value, memoryview) or any(hasattr(value, one) for one in protocols)
    )


def to_frames(name: str, value: Any) -> Frames:
    """Convert a clip to uint8 RGB `(t, h, w, 3)` with at least one pixel; raise InputError."""
    frames = _to_array(name, value)
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not frames.size:
        raise _unlike(name, "uint8 RGB (t, h, w, 3) with at least one pixel", frames)
    return frames


def to_frame(name: str, value: Any, shape: tuple[int, int]) -> Frames:
    """Convert a frame to contiguous uint8 RGB `(h, w, 3)` of this `(h, w)`; raise InputError."""
    frame = _to_array(name, value)
    if frame.dtype != np.uint8 or frame.shape != (*shape, 3):
        raise _unlike(name, f"uint8 RGB {(*shape, 3)}", frame)
    return np.ascontiguousarray(frame)


def to_masks(name: str, value: Any) -> Masks:
    """Convert one mask `(h, w)`, or one per frame `(t, h, w)`, to bool; raise MaskError."""
    masks = _to_bool(name, _to_array(name, value))
    if masks.ndim not in (2, 3) or not masks.size:
        raise _unlike(name, "(t, h, w) or (h, w) with at least one pixel", masks, MaskError)
    return masks


def to_mask(name: str, value: Any, shape: tuple[int, int]) -> Masks:
    """Convert a mask to contiguous bool of this `(h, w)`; raise MaskError."""
    mask = _to_bool(name, _to_array(name, value))
    if mask.shape != shape:
        raise _unlike(name, f"bool {shape}", mask, MaskError)
    return np.ascontiguousarray(mask)


def _to_array(name: str, value: Any) -> npt.NDArray[Any]:
    """Convert an array or a list of arrays to one array; copy only if necessary."""
    try:
        if isinstance(value, list | tuple):
            # Item by item: NumPy alone would read a list of tensors number by number.
            return np.stack([np.asarray(one) for one in value])
        if is_array(value):
            return np.asarray(value)
    except MemoryError:
        raise
    # Tensors on other devices, lists of several sizes and foreign objects fail in different ways.
    except Exception:
        pass
    raise wrong(name, "an array, a tensor on the CPU or a list of them, all of one size", value)


def _to_bool(name: str, masks: npt.NDArray[Any]) -> Masks:
    if masks.dtype == np.bool_:
        return masks
    if masks.dtype != np.uint8:
        raise _unlike(name, _TRUTHS, masks, MaskError)
    if not ((masks <= 1) | (masks == 255)).all():
        grey = int(masks[(masks > 1) & (masks < 255)][0])
        raise MaskError(
            f"`{name}` must be {_TRUTHS}, but holds {grey}; compare it with a threshold"
        )
    return masks.astype(np.bool_)


def _unlike(
    name: str, wanted: str, array: npt.NDArray[Any], kind: type[InputError] = InputError
) -> InputError:
    return kind(f"`{name}` must be {wanted}, not {show(array)}")
