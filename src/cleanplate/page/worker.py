"""The worker process of the page: prepare a clip, track, remove (`python -m` this module)."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from bisect import bisect_left
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from cleanplate.errors import CleanplateError, InputError
from cleanplate.masks import Mask, MaskSource, read_marked
from cleanplate.masks.text.search import find_text
from cleanplate.page.downloads import name_frame, write_mask, write_previews
from cleanplate.page.marks import (
    BoxMark,
    ClickMark,
    Marks,
    enlarge_mask,
    fill_box,
    paint,
    read_click,
    round_box,
)
from cleanplate.types import Box, Size
from cleanplate.video import VideoInfo, probe

if TYPE_CHECKING:
    from cleanplate.masks.tracking import LostSpan, Tracked


Request = dict[str, Any]
Notify = Callable[[str, int, int | None], None]
"""Called with the stage in words, the steps done and their number."""


def prepare_clip(request: Request, report: Notify) -> dict[str, Any]:
    """Check the video `source` against the limits and write its previews into `previews`."""
    report("Reading the video", 0, None)
    info = probe(Path(request["source"]))
    _check_limits(info, request["limits"])
    most = int(request["limits"]["frames"])
    times = write_previews(
        info,
        Path(request["previews"]),
        lambda done: report("Preparing the frames", done, info.frame_count),
        most,
    )
    size = info.display_size
    aspect = info.sample_aspect_ratio or Fraction(1)
    if info.rotation in (90, 270):
        aspect = 1 / aspect
    return {
        "width": size.width,
        "height": size.height,
        "aspect": float(size.width * aspect / size.height),
        "frames": len(times),
        "rate": float(info.rate),
        "duration": float(info.duration or len(times) / info.rate),
        "sound": info.audio_streams > 0,
        "times": [str(time) for time in times],
    }


def _check_limits(info: VideoInfo, limits: dict[str, float]) -> None:
    duration = float(info.duration or info.frame_count / info.rate)
    if duration > limits["duration"]:
        raise InputError(
            f"the video lasts {_clock(duration)} but at most {_clock(limits['duration'])} are"
            " taken here; cut it into parts"
        )
    if info.frame_count > limits["frames"]:
        raise InputError(
            f"the video has {info.frame_count} frames but at most {int(limits['frames'])} are"
            " taken here; cut it into parts"
        )
    if info.size.width * info.size.height > limits["pixels"]:
        raise InputError(
            f"the frames are {info.size} but at most {limits['pixels'] / 1e6:.1f} million pixels"
            " are taken here; make the video smaller"
        )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def track_clip(request: Request, report: Notify) -> dict[str, Any]:
    """Find what `marks` mean in every frame of `source`; writes upright masks into `masks`.

    `base` is the folder of the masks so far, which strokes correct, or None. Returns the frames
    that are worth a look, and notes.
    """
    marks = Marks.model_validate(request["marks"])
    clip = _Clip(request)
    clip.masks.mkdir()
    if marks.kind == "fixed":
        _write_fixed(clip, marks)
        return {"unsure": [], "notes": []}
    if marks.kind == "text":
        text = find_text(
            clip.source, region=_surround(marks.boxes),
            progress=partial(report, "Looking for text"),
        )  # fmt: skip
        _write_masks(clip, text, report)
        return {"unsure": [], "notes": text.notes}
    tracked = _follow(clip, marks, report)
    _write_masks(clip, tracked, report)
    return {"unsure": _list_doubts(clip, tracked), "notes": []}


def _write_fixed(clip: _Clip, marks: Marks) -> None:
    """One mask for all frames: every mark of any frame."""
    fixed = clip.empty()
    for box in marks.boxes:
        fixed |= fill_box(fixed.shape, box)
    for painted in marks.painted().values():
        fixed = paint(fixed, painted, clip.segment)
    first = clip.masks / name_frame(0, "png")
    write_mask(first, fixed)
    for index in range(1, len(clip.times)):
        os.link(first, clip.masks / name_frame(index, "png"))


def _surround(boxes: list[BoxMark]) -> Box | None:
    """The smallest box round all; None when there is none."""
    if not boxes:
        return None
    rounded = [round_box(mark) for mark in boxes]
    x, y = min(box.x for box in rounded), min(box.y for box in rounded)
    right = max(box.x + box.width for box in rounded)
    return Box(x, y, right - x, max(box.y + box.height for box in rounded) - y)


def remove_marked(request: Request, report: Notify) -> dict[str, Any]:
    """Remove from `source` what `base` and the strokes mark; the result goes to `output`.

    The masks as used are left in `masks`, and pictures of the result in `previews`.
    """
    from cleanplate.removal import remove

    clip = _Clip(request)
    report("Reading the masks", 0, None)
    _bake(clip, Marks.model_validate(request["marks"]))
    report("Removing", 0, len(clip.times))
    done = remove(
        clip.source, request["output"], masks=clip.masks,
        dilate=request["dilate"], lossless=request["lossless"], journal=False,
        progress=lambda done, total: report("Removing", done, total),
    )  # fmt: skip
    info = probe(request["output"])
    write_previews(
        info,
        Path(request["previews"]),
        lambda done: report("Preparing the comparison", done, info.frame_count),
        len(clip.times),
    )
    return {"notes": done.notes, "seconds": done.seconds, "size": info.path.stat().st_size}


class _Clip:
    """What a request says about the clip it is for."""

    def __init__(self, request: Request) -> None:
        self.source = Path(request["source"])
        self.previews = Path(request["frames"])
        self.masks = Path(request["masks"])
        self.base = Path(request["base"]) if request["base"] else None
        self.times = [Fraction(time) for time in request["times"]]
        self.size = Size(request["width"], request["height"])

    def empty(self) -> Mask:
        """A mask that marks nothing."""
        return np.zeros(self.size.shape, np.bool_)

    def segment(self, click: ClickMark) -> Mask:
        """What a click means, upright and in the video's own size."""
        found = read_click(self.previews, self.size, click)
        return enlarge_mask(found, self.size)


def _follow(clip: _Clip, marks: Marks, report: Notify) -> Tracked:
    """Track the boxes, and with what was painted, on top of what was found before."""
    from cleanplate.masks.tracking import TrackPrompt, track

    prompts = [
        TrackPrompt(round_box(mark), clip.times[min(mark.frame, len(clip.times) - 1)])
        for mark in marks.boxes
    ]
    painted = marks.painted()
    found: Tracked | None = None
    if prompts and (not painted or clip.base is None):
        found = track(
            clip.source, prompts, shadows=marks.shadows, progress=partial(report, "Following it")
        )
        if not painted:
            return found
    turns = probe(clip.source).rotation // 90
    corrections = {
        frame: paint(_mask_so_far(clip, found, frame, turns), many, clip.segment)
        for frame, many in painted.items()
    }
    return track(
        clip.source, prompts, corrections=corrections, shadows=marks.shadows,
        progress=partial(report, "Following it with what you painted"),
    )  # fmt: skip


def _mask_so_far(clip: _Clip, found: Tracked | None, frame: int, turns: int) -> Mask:
    """The upright mask of `frame` before anything was painted there."""
    if found is not None:
        return np.rot90(found.mask(frame), -turns)
    if clip.base is not None:
        return read_marked(clip.base / name_frame(frame, "png"))
    return clip.empty()


def _write_masks(clip: _Clip, found: MaskSource, report: Notify) -> None:
    """Write the masks of all frames upright."""
    turns = probe(clip.source).rotation // 90
    for index, seconds in enumerate(clip.times):
        upright = np.rot90(found.mask(index, seconds), -turns)
        write_mask(clip.masks / name_frame(index, "png"), upright)
        report("Writing the masks", index + 1, len(clip.times))


def _list_doubts(clip: _Clip, tracked: Tracked) -> list[dict[str, Any]]:
    """The places worth a look, as first and last frame with the reason."""
    lost = [(span, "not seen") for span in tracked.lost]
    unsure = [(span, "unsure") for span in tracked.unsure()]
    places = [
        {"first": first, "last": last, "why": why}
        for span, why in lost + unsure
        for first, last in [_frames_of(span, clip.times)]
    ]
    return sorted(places, key=lambda place: place["first"])


def _frames_of(span: LostSpan, times: list[Fraction]) -> tuple[int, int]:
    """First and last frame of a span of time."""
    return bisect_left(times, span.start), max(bisect_left(times, span.end) - 1, 0)


def _bake(clip: _Clip, marks: Marks) -> None:
    """Fill `masks` with the masks of `base`, and paint in the strokes where there are any."""
    if clip.base is None:
        raise InputError("nothing is marked yet; mark what to remove and find it first")
    painted = marks.painted() if marks.kind != "fixed" else {}
    clip.masks.mkdir()
    for index in range(len(clip.times)):
        name = name_frame(index, "png")
        if index not in painted:
            os.link(clip.base / name, clip.masks / name)
            continue
        mask = read_marked(clip.base / name)
        write_mask(clip.masks / name, paint(mask, painted[index], clip.segment))


TASKS: dict[str, Callable[[Request, Notify], dict[str, Any]]] = {
    "prepare": prepare_clip,
    "track": track_clip,
    "remove": remove_marked,
}


_PAUSE = 0.1
"""Seconds between two reports of progress; more often, nobody sees it."""


def main() -> None:
    """Serve requests until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server, who gets it too, ends us
    replies = _keep_stdout()
    logging.basicConfig(level=logging.ERROR)
    for name in sys.argv[1:]:
        import_module(name)
    for line in sys.stdin:
        _answer(json.loads(line), replies)


def _keep_stdout() -> IO[str]:
    """The pipe to the server; what a library prints to stdout goes to stderr from now on."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return replies


def _answer(request: dict[str, Any], replies: IO[str]) -> None:

    last = 0.0
    stage = ""

    def report(what: str, done: int, total: int | None) -> None:
        nonlocal last, stage
        now = time.monotonic()
        if what != stage or done == total or now - last >= _PAUSE:
            last, stage = now, what
            _say(replies, {"stage": what, "done": done, "total": total})

    try:
        _say(replies, {"result": TASKS[request["task"]](request, report)})
    except CleanplateError as error:
        _say(replies, {"error": str(error)})
    except MemoryError:
        _say(replies, {"error": "there is not enough memory for this video; make it smaller"})
    except Exception as error:
        logging.exception("unexpected")
        _say(replies, {"error": f"unexpected {type(error).__name__}: {error}"})


def _say(replies: IO[str], message: dict[str, Any]) -> None:
    """Write one line; a server that is gone ends the process."""
    try:
        replies.write(json.dumps(message) + "\n")
        replies.flush()
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()
