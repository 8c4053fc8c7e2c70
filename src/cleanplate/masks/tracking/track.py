"""From boxes and hand-edited masks to a mask for every frame."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import CleanplateError, MaskError, name_count
from cleanplate.masks.opening import parse_time
from cleanplate.masks.source import Mask, check_size, describe_size, dilate, turn_to_coded
from cleanplate.masks.tracking.appearance import Place
from cleanplate.masks.tracking.background import Background, Standout, find_others
from cleanplate.masks.tracking.camera import Camera
from cleanplate.masks.tracking.covering import widen
from cleanplate.masks.tracking.flowing import FlowSegmenter
from cleanplate.masks.tracking.judging import find_joined
from cleanplate.masks.tracking.segmenter import (
    Found,
    Frames,
    LostSpan,
    PackedMask,
    Segmenter,
    SmallFrames,
    Tracked,
    choose_shape,
    collect,
    find_spans,
)
from cleanplate.motion import shrink_mask
from cleanplate.types import Box, Size
from cleanplate.video import VideoInfo, open_reader, probe

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


_REACH = 2.5
"""Search radius for a shadow around the object's centre, in half extents of the object."""
_STEP = 10
_LEAST = 0.3


def add_shadows(
    frames: Frames, masks: Sequence[PackedMask], step: Callable[[], None]
) -> Iterator[PackedMask]:
    """`masks`, each with what stands out from the background on its frame and touches it.

    A shadow or reflection comes and goes with its object, so other frames show the ground without
    it. Where something does not move against the background, nothing is added.
    """
    background = Background(Camera(frames))
    for index, packed in enumerate(masks):
        mask = packed.unpack()
        if mask.any():
            mask = mask | _find_shadow(background, frames, index, mask)
        yield PackedMask.pack(mask)
        step()


def _find_shadow(background: Background, frames: Frames, index: int, mask: Mask) -> Mask:
    """What stands out near `mask`, bool (h, w), and is joined to it."""
    place = Place.around(mask)
    window = place.window(frames.shape, _REACH)
    room = dilate(mask, round(0.1 * place.extent) + 3)
    found = np.zeros(mask.shape, np.bool_)
    stand = background.compare(index, find_others(index, _STEP, len(frames)), room, window)
    if stand is None:
        return found
    inside = mask[window]
    odds = Standout().compare(stand, inside.astype(np.float32), (~inside).astype(np.float32), 1.0)
    smooth = cv2.GaussianBlur(odds, (0, 0), 1.5)
    likely = ((smooth > _LEAST) | inside).astype(np.uint8)
    likely = cv2.morphologyEx(likely, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) | inside
    joined = find_joined(likely.astype(np.float32), inside) > 0
    found[window] = dilate(joined & (likely > 0) & ~inside, 2)
    return found


_SMALLEST = 16
"""Pixels a side that optical flow needs."""

Progress = Callable[[int, int | None], None]


class Cancelled(CleanplateError):
    """Tracking was stopped by who asked for it."""


@dataclass(frozen=True)
class _Key:
    """A frame whose mask is known, at the size of the analysis."""

    index: int
    mask: Mask
    edited: bool
    """By hand; a mask made from a box may be one object of several."""


@dataclass
class _Track:
    """One object's masks and confidences, a frame each."""

    masks: list[PackedMask]
    confidence: list[float]


def track(
    path: str | os.PathLike[str],
    prompts: Sequence[TrackPrompt],
    *,
    segmenter: Segmenter | None = None,
    corrections: Mapping[int, Mask] | None = None,
    shadows: bool = False,
    progress: Progress | None = None,
    cancel: Callable[[], bool] | None = None,
) -> Tracked:
    """Find the objects in `prompts` on every frame of a video, before and after the one shown.

    Args:
        path: a video file or a folder of images.
        prompts: a box and a time for each object; may be empty when there are corrections.
        segmenter: what finds the object; None is the one that needs no weights.
        corrections: frame number → mask edited by hand, bool (h, w), display or coded
            orientation. It is kept to the pixel on its frame; frames between two of them (or
            between one and a prompt) get a blend of what is carried there from both sides.
        shadows: also cover what moves with the objects beside them: shadows, reflections.
        progress: called with the steps done and their number.
        cancel: asked after each step; True stops the work.

    Returns:
        Masks for all frames; memory held is a few kilobytes a frame. `Tracked.lost` says when an
        object was not seen; frames where it was are kept.

    Raises:
        MaskError: a box outside the frame or the time, a correction of the wrong size.
        VideoError: the video cannot be read.
        Cancelled: `cancel` said so.
    """
    info = probe(Path(path))
    edited = _check_corrections(corrections or {}, info)
    if not prompts and not edited:
        raise MaskError("nothing to track; give a box X,Y,W,H round the object")
    if min(info.size.shape) < _SMALLEST:
        raise MaskError(f"the video is {info.size}; tracking needs {_SMALLEST} pixels a side")
    boxes = [place_box(prompt, info) for prompt in prompts]
    objects = 1 if edited else len(prompts)
    chosen = segmenter or FlowSegmenter()
    looks = 1 + objects * chosen.looks + shadows
    steps = _Steps(info.frame_count * looks, progress, cancel)
    shape = choose_shape(info.size)
    with open_reader(path, info) as reader, collect(reader, shape, steps.take) as frames:
        places = [find_frame(prompt.time, frames.times) for prompt in prompts]
        keys = [
            _Key(place, chosen.segment(frames, place, shrink_mask(box, shape)), False)
            for place, box in zip(places, boxes, strict=True)
        ]
        groups = _group(keys, edited, shape)
        tracks = [_follow(frames, group, chosen, steps.take) for group in groups]
        united = _unite(tracks)
        lost = _find_lost(tracks, frames, info.end, named=not edited)
        if shadows:
            united.masks = list(add_shadows(frames, united.masks, steps.take))
        steps.finish()
        return replace(_finish(united, edited, lost, frames, info.size), end=info.end)


class _Steps:
    """Counts steps, reports them, and stops when asked."""

    def __init__(
        self, total: int, progress: Progress | None, cancel: Callable[[], bool] | None
    ) -> None:
        self._done, self._total = 0, total
        self._progress, self._cancel = progress, cancel

    def take(self) -> None:
        """One more step; raises Cancelled."""
        self._done += 1
        if self._cancel is not None and self._cancel():
            raise Cancelled("tracking was cancelled; nothing was changed")
        if self._progress is not None:
            self._progress(min(self._done, self._total - 1), self._total)

    def finish(self) -> None:
        """Say that all is done."""
        if self._progress is not None:
            self._progress(self._total, self._total)


def _check_corrections(corrections: Mapping[int, Mask], info: VideoInfo) -> dict[int, Mask]:
    """The corrections in coded orientation."""
    checked = {}
    for index, mask in sorted(corrections.items()):
        if not 0 <= index < info.frame_count:
            raise MaskError(
                f"a mask was edited for frame {index} but the video has"
                f" {name_count(info.frame_count, 'frame')},"
                " counted from 0"
            )
        if mask.dtype != np.bool_ or mask.ndim != 2:
            raise MaskError(f"edited masks are bool (h, w), not {mask.dtype} {mask.shape}")
        check_size(Size(mask.shape[1], mask.shape[0]), info, f"of frame {index}")
        checked[index] = turn_to_coded(mask, info)
    return checked


def _group(
    keys: list[_Key], edited: Mapping[int, Mask], shape: tuple[int, int]
) -> list[list[_Key]]:
    """The key frames of each object; with edited masks, all objects are one foreground."""
    if not edited:
        return [[key] for key in keys]
    merged = {index: _Key(index, shrink_mask(mask, shape), True) for index, mask in edited.items()}
    for key in keys:
        there = merged.get(key.index)
        if there is None:
            merged[key.index] = key
        elif not there.edited:
            merged[key.index] = _Key(key.index, there.mask | key.mask, False)
    return [sorted(merged.values(), key=lambda key: key.index)]


def _follow(
    frames: SmallFrames, keys: list[_Key], segmenter: Segmenter, step: Callable[[], None]
) -> _Track:
    """Carry the masks of `keys`, ascending, to all frames."""
    count, last = len(frames), len(keys) - 1
    track = _Track([PackedMask.pack(widen(keys[0].mask))] * count, [1.0] * count)

    def put(found: Found) -> None:
        track.masks[found.index] = PackedMask.pack(found.mask)
        track.confidence[found.index] = found.confidence
        step()

    for found in segmenter.follow(frames, keys[0].mask, range(keys[0].index, -1, -1)):
        put(found)
    mask = keys[0].mask
    for number, key in enumerate(keys):
        end = count if number == last else keys[number + 1].index + 1
        for found in segmenter.follow(
            frames, mask if not key.edited else key.mask, range(key.index, end)
        ):
            put(found)
        if number < last:
            after = keys[number + 1]
            reached = track.masks[after.index].unpack()
            mask = after.mask if after.edited else after.mask | reached
            for found in _return(frames, key.index, after, mask, segmenter, track):
                put(found)
            track.masks[after.index] = PackedMask.pack(widen(mask))
            track.confidence[after.index] = 1.0
    return track


def _return(
    frames: SmallFrames, start: int, after: _Key, mask: Mask, segmenter: Segmenter, track: _Track
) -> Iterator[Found]:
    """Go back from key frame `after` to `start` and join what comes from both sides."""
    way = range(after.index, start, -1)
    ahead = {index: (track.masks[index], track.confidence[index]) for index in way[1:]}
    for found in segmenter.follow(frames, mask, way):
        if found.index not in ahead:
            continue
        there = Found(found.index, ahead[found.index][0].unpack(), ahead[found.index][1])
        share = (found.index - start) / (after.index - start)
        joined = blend(there.mask, found.mask, share) if after.edited else there.mask | found.mask
        yield Found(found.index, joined, max(there.confidence, found.confidence))


def blend(first: Mask, second: Mask, share: float) -> Mask:
    """A shape between two, bool (h, w): `first` at share 0, `second` at 1.

    Signed distances from the outlines are averaged, so that an outline moves from one to the other.
    """
    if not first.any() or not second.any():
        return second if share >= 0.5 else first
    mixed = (1 - share) * _signed_distance(first) + share * _signed_distance(second) > 0
    if 2 * mixed.sum() < min(first.sum(), second.sum()):  # too far apart to have a shape between
        return first | second
    return np.asarray(mixed)


def _signed_distance(mask: Mask) -> npt.NDArray[np.float32]:
    """Pixels to the outline, positive inside."""
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(inside - outside, np.float32)


def _unite(tracks: list[_Track]) -> _Track:
    """All objects' masks together; each frame is as sure as its least sure object."""
    if len(tracks) == 1:
        return tracks[0]
    masks = [
        PackedMask.pack(np.logical_or.reduce([mask.unpack() for mask in parts]))
        for parts in zip(*(track.masks for track in tracks), strict=True)
    ]
    return _Track(
        masks, [min(c) for c in zip(*(track.confidence for track in tracks), strict=True)]
    )


def _find_lost(
    tracks: list[_Track], frames: SmallFrames, end: Fraction | None, *, named: bool
) -> tuple[LostSpan, ...]:
    """When each object is not seen."""
    spans: list[LostSpan] = []
    for number, track in enumerate(tracks):
        missing = [value <= 0 for value in track.confidence]
        spans.extend(find_spans(missing, frames.times, number if named else None, end=end))
    return tuple(spans)


def _finish(
    track: _Track,
    edited: Mapping[int, Mask],
    lost: tuple[LostSpan, ...],
    frames: SmallFrames,
    size: Size,
) -> Tracked:
    """The result, with edited masks put back to the pixel."""
    for index, mask in edited.items():
        track.masks[index] = PackedMask.pack(mask)
        track.confidence[index] = 1.0
    return Tracked(size, tuple(frames.times), tuple(track.masks), tuple(track.confidence), lost)
