"""Give a fill of 8 bits the depth of its source: undo the rounding where it would show bands.

A fill is known to half an 8-bit level. Where it is smooth, many finer values round to it; chosen
are the ones that continue most evenly between the samples around the hole. Grain hides rounding
and is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.types import Box
from cleanplate.video.levels import Deep

_Level = npt.NDArray[np.uint8]
_LEVEL = 257
"""16-bit levels in one of 8 bits."""
_ROUNDING = 0.49
"""8-bit levels by which rounding changes a value; a little less than half."""


@dataclass(frozen=True)
class DepthTuning:
    """Constants of the restoration.

    Attributes:
        scales: half sizes in pixels of the windows that values are averaged over, in this order.
        range: 8-bit levels that a smooth window spans at most.
        grain: share of pixels that differ from the median of their neighbours, above which there
            is grain.
        around: half size in pixels of the window in which that share is counted.
    """

    scales: tuple[int, ...] = (128, 48, 16, 6, 2)
    range: int = 2
    grain: float = 0.08
    around: int = 8


_TUNING = DepthTuning()


def restore_depth(
    rgb: npt.NDArray[np.uint8],
    deep: Deep,
    touched: npt.NDArray[np.bool_],
    *,
    woven: bool = False,
) -> Deep:
    """Restore the depth of a fill; of `woven` fields each on its own.

    Args:
        rgb: the picture with its fill, RGB (h, w, 3).
        deep: the source's samples with 16 bits, which are known where not `touched`.
        touched: (h, w), the pixels that were filled.

    Returns:
        Values that round to `rgb` where `touched`, and `deep` elsewhere.
    """
    if woven:
        made = np.empty_like(deep)
        for parity in (0, 1):
            lines = slice(parity, None, 2)
            made[lines] = restore_depth(rgb[lines], deep[lines], touched[lines])
        return made
    channels = (_restore(rgb[..., k], deep[..., k], touched) for k in range(3))
    return np.stack(list(channels), axis=2)


def _restore(rgb: _Level, deep: Deep, touched: npt.NDArray[np.bool_]) -> Deep:
    """Restore one channel (h, w)."""
    values = np.where(touched, rgb * np.float32(_LEVEL), deep.astype(np.float32))
    seen = np.where(touched, rgb, np.rint(deep / np.float32(_LEVEL)).astype(np.uint8))
    spans = _measure_spans(seen)
    flat = spans[_TUNING.scales[-2]] <= _TUNING.range
    quiet = touched & ~_find_grain(seen, flat & ~touched)
    hole = Box(*cv2.boundingRect(touched.view(np.uint8))).slices
    least, most = ((rgb[hole] + np.float32(end)) * _LEVEL for end in (-_ROUNDING, _ROUNDING))
    for scale in _TUNING.scales:
        is_smooth = quiet[hole] & (spans[scale][hole] <= _TUNING.range)
        if is_smooth.any():
            even = cv2.blur(values, (2 * scale + 1,) * 2, borderType=cv2.BORDER_REFLECT)[hole]
            np.copyto(values[hole], np.clip(even, least, most), where=is_smooth)
    return np.rint(values).clip(0, 65535).astype(np.uint16)


def _measure_spans(seen: _Level) -> dict[int, _Level]:
    """Measure the difference between the extremes of the window around each pixel, by scale."""
    high = low = seen
    spans, reached = {}, 0
    for scale in sorted(_TUNING.scales):
        kernel = np.ones((2 * (scale - reached) + 1,) * 2, np.uint8)
        high, low, reached = cv2.dilate(high, kernel), cv2.erode(low, kernel), scale
        spans[scale] = np.asarray(high - low, np.uint8)
    return spans


def _find_grain(seen: _Level, flat: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Find where neighbours differ at random: a median changes such pixels, but no bands.

    Where `flat` parts of the source have no grain, a fill has none, either: what differs there is
    the rounding of different frames.
    """
    changed = np.asarray(cv2.medianBlur(seen, 3) != seen)
    count = np.count_nonzero(flat)
    if count and np.count_nonzero(flat & changed) <= _TUNING.grain / 2 * count:
        return np.zeros_like(flat)
    size = (2 * _TUNING.around + 1,) * 2
    return np.asarray(cv2.blur(changed.astype(np.float32), size) > _TUNING.grain)


def widen_box(box: Box, shape: tuple[int, int]) -> Box:
    """Widen a box, within a picture (h, w), by what `restore_depth` looks at around it."""
    reach = _TUNING.scales[0]
    left, top = max(0, box.x - reach), max(0, box.y - reach)
    right = min(shape[1], box.x + box.width + reach)
    bottom = min(shape[0], box.y + box.height + reach)
    return Box(left, top, right - left, bottom - top)
