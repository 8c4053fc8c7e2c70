"""The frames among which one frame of a video is filled, read without holding the whole video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import nn

from cleanplate.errors import InputError, MaskError
from cleanplate.flow import shrink, shrink_mask
from cleanplate.masks import Mask, MaskSource
from cleanplate.masks import dilate as grow
from cleanplate.pipeline import models
from cleanplate.pipeline.schedule import RADIUS, REFERENCE_STEP
from cleanplate.pipeline.shots import ShotDetector
from cleanplate.pipeline.windows import WindowFiller
from cleanplate.types import Box
from cleanplate.video import VideoInfo, open_reader, read_timeline

Progress = Callable[[int, int | None], None]

_PAPER = tuple(REFERENCE_STEP * k for k in range(1, 6))
"""Every tenth frame, as far as the pipeline holds frames at the paper's size."""


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What the network gets to fill one frame, in coded orientation.

    Attributes:
        numbers: of the frames in the video, increasing.
        frames: uint8 RGB `(t, h, w, 3)`: the region at the size that the network works at.
        masks: bool `(t, h, w)`, True = hole.
        at: index of the frame in question among them.
        region: the part of the picture, in pixels of the video.
    """

    numbers: tuple[int, ...]
    frames: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_]
    at: int
    region: Box


class _Kept(NamedTuple):
    number: int
    rgb: npt.NDArray[np.uint8]
    mask: Mask
    shot: int


def choose_spread(network: nn.Module) -> tuple[int, ...]:
    """How far from a frame the references are with which the pipeline runs `network`."""
    return models.choose_spread(network) or _PAPER


def find_frame(info: VideoInfo, time: Fraction) -> int:
    """Number of the frame that is on the screen at `time` seconds; raises InputError."""
    if info.end is not None and time >= info.end:
        raise InputError(f"'{info.path}' ends before {float(time):g} s; name an earlier time")
    return read_timeline(info).find_shown(time)


def read_surroundings(
    info: VideoInfo,
    masks: MaskSource,
    frame: int,
    filler: WindowFiller,
    *,
    spread: tuple[int, ...] = _PAPER,
    dilate: int = 0,
    progress: Progress | None = None,
) -> Surroundings:
    """Read what the pipeline would give to a network around frame number `frame`.

    That is a window of the paper (all frames at most five away, and some further ones) of the same
    shot, cut to the surroundings of the holes and scaled as `filler` asks for.

    Args:
        info: of the video.
        masks: its holes; prepared.
        frame: number of a frame that has a hole.
        filler: decides about the region.
        spread: how far the further frames are, in both directions; see `choose_spread`.
        dilate: pixels by which the holes grow.
        progress: called with the frames read and their number.

    Raises:
        InputError: no such frame.
        MaskError: it has no hole.
    """
    kept = _read(info, masks, frame, spread, dilate, progress)
    own = next((each for each in kept if each.number == frame), None)
    if own is None:
        raise InputError(
            f"'{info.path}' has no frame {frame}; the last one is {info.frame_count - 1}"
        )
    if not own.mask.any():
        raise MaskError(f"the mask marks nothing in frame {frame}; choose a frame that has a hole")
    kept = [each for each in kept if each.shot == own.shot]
    region = filler.region([each.mask for each in kept], info.size)
    assert region is not None
    part, work = region.box.slices, region.work.shape
    return Surroundings(
        tuple(each.number for each in kept),
        np.stack([shrink(each.rgb[part], work) for each in kept]),
        np.stack([shrink_mask(each.mask[part], work) for each in kept]),
        kept.index(own),
        region.box,
    )


def _read(
    info: VideoInfo,
    masks: MaskSource,
    frame: int,
    spread: tuple[int, ...],
    dilate: int,
    progress: Progress | None,
) -> Sequence[_Kept]:
    """The frames of the window, with the number of the shot that each belongs to."""
    wanted = set(range(frame - RADIUS, frame + RADIUS + 1))
    wanted |= {frame + sign * way for way in spread for sign in (-1, 1)}
    last = min(max(wanted), info.frame_count - 1)
    detector, shot, kept = ShotDetector(), 0, []
    with open_reader(info.path, info) as reader:
        for picture in reader:
            mask = masks.mask(picture.index, picture.time)
            shot += detector.begins_shot(picture.rgb)
            if picture.index in wanted:
                kept.append(_Kept(picture.index, picture.rgb, grow(mask, dilate), shot))
            if progress is not None:
                progress(picture.index + 1, last + 1)
            if picture.index >= last:
                break
    return kept
