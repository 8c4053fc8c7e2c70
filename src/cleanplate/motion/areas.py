"""Bounding boxes, resampling and smooth interpolation of unknown pixels (pull-push)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.types import Box

Mask = npt.NDArray[np.bool_]


def bound(mask: Mask) -> Box | None:
    """The smallest box around the True pixels of `mask` (h, w)."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return Box(x, y, width, height) if width else None


def widen(box: Box, margin: int, shape: tuple[int, int]) -> Box:
    """`box` with `margin` pixels more on each side, inside a picture of (height, width)."""
    x, y = max(0, box.x - margin), max(0, box.y - margin)
    right = min(shape[1], box.x + box.width + margin)
    bottom = min(shape[0], box.y + box.height + margin)
    return Box(x, y, right - x, bottom - y)


def join(boxes: Iterable[Box | None]) -> Box | None:
    """The smallest box around all of them."""
    some = [box for box in boxes if box is not None]
    if not some:
        return None
    x, y = min(box.x for box in some), min(box.y for box in some)
    right = max(box.x + box.width for box in some)
    bottom = max(box.y + box.height for box in some)
    return Box(x, y, right - x, bottom - y)


def overlap(one: Box, other: Box) -> Box | None:
    """What lies in both, if anything."""
    x, y = max(one.x, other.x), max(one.y, other.y)
    right = min(one.x + one.width, other.x + other.width)
    bottom = min(one.y + one.height, other.y + other.height)
    return Box(x, y, right - x, bottom - y) if right > x and bottom > y else None


def within(box: Box, outer: Box) -> Box:
    """`box` counted from the corner of `outer`."""
    return replace(box, x=box.x - outer.x, y=box.y - outer.y)


Frame = npt.NDArray[np.uint8]


def shrink(frame: Frame, shape: tuple[int, int]) -> Frame:
    """`frame` (h, w, 3) at a smaller (height, width), averaging."""
    if frame.shape[:2] == shape:
        return frame
    return np.asarray(cv2.resize(frame, shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def shrink_mask(mask: Mask, shape: tuple[int, int]) -> Mask:
    """`mask` (h, w) at a smaller (height, width); a pixel that holds any hole is a hole."""
    if mask.shape == shape:
        return mask
    share = cv2.resize(mask.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(share > 0)


def enlarge(frame: Frame, shape: tuple[int, int]) -> Frame:
    """`frame` (h, w, 3) at a larger (height, width)."""
    if frame.shape[:2] == shape:
        return frame
    return np.asarray(cv2.resize(frame, shape[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


Field = npt.NDArray[np.float32]


def pull_push(values: Field, weight: Field) -> Field:
    """Complete `values` (h, w, c), c <= 4, where `weight` (h, w) is 0, smoothly from where it is 1.

    The known values are averaged down a pyramid by their weights (pull) and carried back up into
    what is still open (push): close to a membrane, at the cost of a few resizes (Gortler et al.
    1996, section 4.5). A value whose weight is between 0 and 1 is mixed with its surroundings.
    With no weight at all the result is 0.
    """
    height, width = weight.shape
    share = _repeat(weight, values.shape[2])
    if height <= 2 and width <= 2:
        total = max(float(weight.sum()), 1e-6)
        mean = (values * share).sum((0, 1)) / total
        return np.broadcast_to(mean, values.shape).astype(np.float32)
    half = ((width + 1) // 2, (height + 1) // 2)
    mass = _halve(weight, half)
    pulled = _halve(values * share, half)
    pulled /= _repeat(np.maximum(mass, np.float32(1e-6)), values.shape[2])
    coarse = pull_push(pulled, np.minimum(mass * np.float32(4), np.float32(1)))
    pushed = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    pushed = np.asarray(pushed, np.float32).reshape(values.shape)
    pushed += share * (values - pushed)
    return pushed


def spread_statistics(picture: Field, weight: Field) -> Field:
    """Mean colour and variance (h, w, 4) around each place of `picture` (h, w, 3), in levels².

    Of what is known: where `weight` (h, w) is 1. The variance may be a little below 0.
    """
    planes = np.empty((*weight.shape, 4), np.float32)
    planes[..., :3] = picture
    planes[..., 3] = np.einsum("hwc,hwc->hw", picture, picture) / 3
    planes = pull_push(planes, weight)
    mean = planes[..., :3]
    planes[..., 3] -= np.einsum("hwc,hwc->hw", mean, mean) / 3
    return planes


def _repeat(plane: Field, channels: int) -> Field:
    """`plane` (h, w) as (h, w, channels): numpy is slow where an inner axis is so short."""
    if channels == 1:
        return plane[..., None]
    return np.asarray(cv2.merge([plane] * channels), np.float32)


def _halve(image: Field, size: tuple[int, int]) -> Field:
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)
    return small.reshape(*size[::-1], *image.shape[2:])
