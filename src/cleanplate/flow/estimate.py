"""Optical flow behind two methods: `prepare` an image once, `flow` between two prepared ones."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt


class FlowEstimator(ABC):
    """Estimates dense motion between two images of one size."""

    @abstractmethod
    def prepare(self, image: npt.NDArray[np.uint8]) -> Any:
        """Turn an RGB image (h, w, 3) into what `flow` compares; used for both neighbours."""

    @abstractmethod
    def flow(self, source: Any, target: Any) -> npt.NDArray[np.float32]:
        """Motion (h, w, 2) in pixels, x then y: p in `source` is at p + flow(p) in `target`."""


_LEAST = 16
"""Height and width in pixels below which OpenCV's algorithm fails, or crashes."""


class DisFlow(FlowEstimator):
    """Dense inverse search (Kroeger et al., ECCV 2016) as OpenCV has it.

    `stride`: pixels between its patches of 8, by default the preset's.
    """

    def __init__(self, preset: str = "medium", stride: int | None = None) -> None:
        presets = {
            "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
            "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
            "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
        }
        self._preset, self._stride = presets[preset], stride
        self._threads = threading.local()

    def prepare(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Gray image (h, w)."""
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)

    def flow(self, source: Any, target: Any) -> npt.NDArray[np.float32]:
        """See FlowEstimator.flow."""
        if not hasattr(self._threads, "dis"):  # the algorithm keeps buffers and is not reentrant
            self._threads.dis = cv2.DISOpticalFlow.create(self._preset)
            if self._stride is not None:
                self._threads.dis.setPatchStride(self._stride)
        height, width = source.shape
        missing = max(0, _LEAST - height), max(0, _LEAST - width)
        if any(missing):
            source, target = (_extend(image, *missing) for image in (source, target))
        flow = np.asarray(self._threads.dis.calc(source, target, None), np.float32)
        return flow[:height, :width]


def _extend(image: npt.NDArray[np.uint8], below: int, beside: int) -> npt.NDArray[np.uint8]:
    """`image` with its last line and column repeated."""
    return np.pad(image, ((0, below), (0, beside)), mode="edge")
