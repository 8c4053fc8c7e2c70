"""Optical flow behind two methods: `prepare` an image once, `flow` between two prepared ones."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

_STILL = 1e-12
"""Pixels of motion below which there is none: squares of smaller numbers underflow."""


class FlowEstimator(ABC):
    """Estimates dense motion between two images of one size."""

    @abstractmethod
    def prepare(self, image: npt.NDArray[np.uint8]) -> Any:
        """Turn an RGB image (h, w, 3) into what `flow` compares; used for both neighbours."""

    @abstractmethod
    def flow(self, source: Any, target: Any) -> npt.NDArray[np.float32]:
        """Motion (h, w, 2) in pixels, x then y: p in `source` is at p + flow(p) in `target`."""


class DisFlow(FlowEstimator):
    """Dense inverse search (Kroeger et al., ECCV 2016) as OpenCV has it.

    The only user of `cv2.DISOpticalFlow`: that reads beyond its memory, and crashes the process,
    where a picture is smaller than a patch at its finest scale. Such pictures are extended.

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
        """See FlowEstimator.flow; of two gray images (h, w)."""
        dis = self._open()
        least = dis.getPatchSize() << dis.getFinestScale()
        height, width = source.shape
        missing = max(0, least - height), max(0, least - width)
        if any(missing):
            source, target = (_extend(image, *missing) for image in (source, target))
        flow = np.asarray(dis.calc(source, target, None), np.float32)[:height, :width]
        flow[np.abs(flow) < _STILL] = 0  # over flat areas, motion fades away to 1e-25 and less
        return flow

    def _open(self) -> cv2.DISOpticalFlow:
        """The algorithm of this thread: it keeps buffers and is not reentrant."""
        if not hasattr(self._threads, "dis"):
            self._threads.dis = cv2.DISOpticalFlow.create(self._preset)
            self._threads.finest = self._threads.dis.getFinestScale()
            if self._stride is not None:
                self._threads.dis.setPatchStride(self._stride)
        dis: cv2.DISOpticalFlow = self._threads.dis
        dis.setFinestScale(self._threads.finest)  # a small picture lowers it for all that follow
        return dis


def _extend(image: npt.NDArray[np.uint8], below: int, beside: int) -> npt.NDArray[np.uint8]:
    """`image` with its last line and column repeated."""
    return np.pad(image, ((0, below), (0, beside)), mode="edge")
