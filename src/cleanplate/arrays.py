"""Convert callers' frames and masks to NumPy: from arrays of any layout, tensors and lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cleanplate.arguments import show, wrong
from cleanplate.errors import InputError, MaskError

Frames = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]

_TRUTHS = "bool (True = hole), or uint8 of 0 and 1 or of 0 and 255"


def is_array(value: Any) -> bool:
    """Whether NumPy can read `value` as an array: an ndarray, a tensor or a buffer."""
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
