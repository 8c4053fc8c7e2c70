"""What a person says about an object: a box at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from cleanplate.errors import MaskError
from cleanplate.masks.boxes import parse_time
from cleanplate.masks.source import Mask, describe_size, turn_to_coded
from cleanplate.types import Box

if TYPE_CHECKING:
    from cleanplate.video import VideoInfo


@dataclass(frozen=True, slots=True)
class TrackPrompt:
    """A box round an object, in display pixels, on the frame shown at `time` seconds.

    None is the first frame. The box should be tight: it tells what does not belong to the object.
    """

    box: Box
    time: Fraction | None = None

    @classmethod
    def parse(cls, text: str) -> TrackPrompt:
        """Read `X,Y,W,H` or `X,Y,W,H@TIME`; TIME is seconds, `MM:SS` or `HH:MM:SS`.

        Raises InputError when `text` is neither or the box has no size.
        """
        place, at, time = text.partition("@")
        return cls(Box.parse(place), parse_time(time) if at else None)

    def __str__(self) -> str:
        return str(self.box) if self.time is None else f"{self.box}@{float(self.time):g}"


def place_box(prompt: TrackPrompt, info: VideoInfo) -> Mask:
    """The part of the prompt's box inside the frame, bool `(h, w)`, coded orientation.

    Raises MaskError when the box is outside the frame or its time is not in the video.
    """
    box = prompt.box.clipped(info.display_size)
    if box is None:
        raise MaskError(
            f"box {prompt} is outside the frame, which is {describe_size(info)};"
            " draw it round the object"
        )
    if prompt.time is not None and info.end and prompt.time >= info.end:
        raise MaskError(
            f"box {prompt} is at {float(prompt.time):g} s but the video ends at"
            f" {float(info.end):.3g} s; give the time of a frame that shows the object"
        )
    area = np.zeros(info.display_size.shape, np.bool_)
    area[box.slices] = True
    return turn_to_coded(area, info)


def find_frame(time: Fraction | None, times: Sequence[Fraction]) -> int:
    """Number of the frame shown at `time`; `times` are the frames' own, ascending."""
    return 0 if time is None else max(bisect_right(times, time) - 1, 0)
