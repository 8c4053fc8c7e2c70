"""Smooth completion of what is unknown from what is known: pull-push over an image pyramid."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt


def pull_push(values: npt.NDArray[np.float32], weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Complete `values` (h, w, c) where `weight` (h, w) in [0, 1] is 0, smoothly from where it is 1.

    The known values are averaged down a pyramid by their weights (pull) and carried back up into what
    is still open (push): close to a membrane, at the cost of a few resizes (Gortler et al. 1996,
    section 4.5). Between 0 and 1 a value is mixed with its surroundings. With no weight at all the result is 0.
    """
    height, width = weight.shape
    if height <= 2 and width <= 2:
        total = max(float(weight.sum()), 1e-6)
        return np.broadcast_to((values * weight[..., None]).sum((0, 1)) / total, values.shape).astype(np.float32)
    half = ((width + 1) // 2, (height + 1) // 2)
    mass = cv2.resize(weight, half, interpolation=cv2.INTER_AREA)
    pulled = cv2.resize(values * weight[..., None], half, interpolation=cv2.INTER_AREA).reshape(*half[::-1], -1)
    pulled /= np.maximum(mass, 1e-6)[..., None]
    coarse = pull_push(pulled, np.minimum(mass * 4, 1))
    pushed = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).reshape(values.shape)
    return pushed + weight[..., None] * (values - pushed)
