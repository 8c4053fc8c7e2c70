"""Smooth completion of what is unknown from what is known: pull-push over an image pyramid."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

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
