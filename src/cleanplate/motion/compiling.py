"""Compile loops over single pixels with Numba, and interpolate in them as OpenCV does.

Loading Numba takes a third of a second, so only modules of kernels import this one, and these are
imported where a kernel is first needed. Compiled code is cached beside the source, or in the user's
cache folder where that cannot be written to (`NUMBA_CACHE_DIR` names another one).

No kernel is parallel in itself, and none relaxes IEEE arithmetic: results are the same in every
process and with any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numba.extending import intrinsic

Kernel = TypeVar("Kernel", bound=Callable[..., Any])
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def compile_loop(function: Kernel) -> Kernel:
    """Compile `function` on its first call, without Python's lock; cache the result on disk."""
    made: Any
    try:
        made = njit(function, cache=True, **_OPTIONS)
    except RuntimeError:  # no folder can be written to: compile in each process
        made = njit(function, **_OPTIONS)
    return cast(Kernel, made)


@intrinsic  # type: ignore[untyped-decorator]
def _fuse(context: Any, a: Any, b: Any, c: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return a(a, b, c), generate


fma: Any = _fuse
"""`fma(a, b, c)` in a kernel: `a * b + c`, rounded once."""


@compile_loop
def mix(
    top_left: Any, top_right: Any, below_left: Any, below_right: Any, across: Any, down: Any
) -> Any:
    """Interpolate between four neighbours as OpenCV's vectorised code does."""
    top = fma(across, top_right - top_left, top_left)
    below = fma(across, below_right - below_left, below_left)
    return fma(down, below - top, top)


@compile_loop
def floor(place: Any) -> Any:
    """The whole number below a float32; `math.floor` takes twice as long."""
    return np.int32(np.floor(place))


@compile_loop
def surround(place: Any, length: Any) -> Any:
    """The pixels of a row of `length` before and after a float32 place, and how far it is across.

    Beyond the border both are the outermost pixel, as with `cv2.BORDER_REPLICATE`.
    """
    before = floor(place)
    return clip(before, length), clip(before + 1, length), place - np.float32(before)


@compile_loop
def clip(place: Any, length: Any) -> Any:
    """The nearest index to `place` in an axis of that length."""
    return min(max(place, 0), length - 1)
