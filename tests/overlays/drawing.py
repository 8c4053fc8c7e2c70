"""Overlays that are drawn, so that the picture behind them is known."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.types import Box, Size

SIZE = Size(160, 96)
BOX = Box(90, 10, 56, 32)


def draw_alpha(text: str = "TV", shape: tuple[int, int] = SIZE.shape) -> npt.NDArray[np.float32]:
    """Letters with soft edges in the upper right corner, 0 to 1."""
    canvas = np.zeros(shape, np.uint8)
    scale = shape[1] / SIZE.width
    at = (round(100 * scale), round(34 * scale))
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.8 * scale, 255, round(5 * scale))
    soft = cv2.GaussianBlur(canvas, (0, 0), 0.6 * scale)
    return np.asarray(soft / 255, np.float32)


def make_scene(count: int, seed: int = 1, size: Size = SIZE) -> npt.NDArray[np.uint8]:
    """Frames (t, h, w, 3) of a camera that pans over a picture."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(30, 200, (12, 40, 3)).astype(np.float32)
    high, wide = size.height, size.width
    picture = cv2.resize(coarse, (wide + 3 * count, high), interpolation=cv2.INTER_CUBIC)
    picture += random.normal(0, 4, picture.shape).astype(np.float32)
    whole = np.clip(picture, 0, 255).astype(np.uint8)
    return np.stack([whole[:, 3 * k : 3 * k + wide] for k in range(count)])


def blend(
    frames: npt.NDArray[np.uint8], alpha: npt.NDArray[np.float32], colour: float = 240
) -> npt.NDArray[np.uint8]:
    """Put a grey overlay on all frames."""
    share = alpha[..., None]
    return np.rint(frames * (1 - share) + colour * share).astype(np.uint8)


def measure(found: npt.NDArray[np.uint8], truth: npt.NDArray[np.uint8], where: Any) -> float:
    """PSNR where it is asked for, in dB."""
    apart = (found.astype(np.float64) - truth)[where]
    return float(10 * np.log10(255**2 / np.mean(apart**2)))
