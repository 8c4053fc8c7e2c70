"""How many calls of the package lie between `inpaint` and OpenCV's flow."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import cv2

import cleanplate
from cleanplate.motion.flow import DisFlow
from cleanplate.plates import registration

PACKAGE = str(Path(cleanplate.__file__).parent)
MOST = 17


def list_callers(frame: FrameType | None) -> list[str]:
    """Functions of the package on the stack of `frame`, the innermost first."""
    callers = []
    while frame is not None:
        if frame.f_code.co_filename.startswith(PACKAGE):
            callers.append(frame.f_code.co_qualname)
        frame = frame.f_back
    return callers


class CountingDis:
    """Passes all on to OpenCV's DIS, and notes who called `calc`."""

    stacks: list[list[str]]

    def __init__(self, dis: Any) -> None:
        self._dis = dis

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dis, name)

    def calc(self, *images: Any) -> Any:
        self.stacks.append(list_callers(sys._getframe(1)))
        return self._dis.calc(*images)


def test_flow_is_few_calls_below_inpaint(pan, still_mask, monkeypatch) -> None:
    create = cv2.DISOpticalFlow.create
    monkeypatch.setattr(CountingDis, "stacks", [], raising=False)
    # Opened while it is counted, and not used by other tests afterwards.
    monkeypatch.setattr(registration, "_FLOW", DisFlow("fast"))
    monkeypatch.setattr(cv2.DISOpticalFlow, "create", lambda preset: CountingDis(create(preset)))
    frames = pan(frames=8, size=(96, 64))
    cleanplate.inpaint(frames, still_mask(frames), method="flow", threads=1)
    deepest = max(CountingDis.stacks, key=len)
    assert deepest[-1] == "inpaint"
    assert len(deepest) <= MOST, deepest
