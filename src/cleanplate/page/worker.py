"""Worker process of the page: prepare a clip, track, remove (run with `python -m`)."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from cleanplate.errors import CleanplateError, InputError
from cleanplate.masks import Mask, MaskSource, read_marked
from cleanplate.masks.text import find_text
from cleanplate.page.downloads import name_frame, write_mask, write_previews
from cleanplate.page.frame_spans import choose_part, find_frames, list_frame_runs
from cleanplate.page.marks import (
    BoxMark,
    ClickMark,
    Thing,
    enlarge_mask,
    fill_box,
    paint,
    read_click,
    round_box,
)
from cleanplate.page.plates import list_plates, take_picture
from cleanplate.types import Box, Size
from cleanplate.video import VideoInfo, probe

if TYPE_CHECKING:
    from cleanplate.masks.tracking import Tracked


Request = dict[str, Any]
Notify = Callable[[str, int, int | None], None]
"""Progress callback: name of the stage, steps done, total steps or None."""


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
            " allowed here; cut it into parts"
        )
    if info.frame_count > limits["frames"]:
        raise InputError(
            f"the video has {info.frame_count} frames but at most {int(limits['frames'])} are"
            " allowed here; cut it into parts"
        )
    if info.size.width * info.size.height > limits["pixels"]:
        raise InputError(
            f"the frames are {info.size} but at most {limits['pixels'] / 1e6:.1f} million pixels"
            " are allowed here; make the video smaller"
        )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def track_clip(request: Request, report: Notify) -> dict[str, Any]:
    """Find each of `things` in every frame of `source`; write upright masks into `masks`/ID.

    The `base` of a thing is the folder of its previous masks, which strokes correct, or None.
    Returns for each id the spans that the user should check, those with a mask, and notes.
    """
    Path(request["masks"]).mkdir()
    things = _read_things(request)
    return {
        "things": {
            thing.id: _find(_Clip(request, thing, base), thing, _name_part(report, things, number))
            for number, (thing, base) in enumerate(things)
        }
    }


def _read_things(request: Request) -> list[tuple[Thing, Path | None]]:
    """Read the things of a request, each with the folder of its previous masks."""
    return [
        (Thing.model_validate(entry["thing"]), Path(entry["base"]) if entry["base"] else None)
        for entry in request["things"]
    ]


def _name_part(report: Notify, things: Sequence[Any], number: int) -> Notify:
    """Report which of several things the progress is of."""
    if len(things) == 1:
        return report

    def report_part(stage: str, done: int, total: int | None) -> None:
        report(f"{stage}, {number + 1} of {len(things)}", done, total)

    return report_part


def _find(clip: _Clip, thing: Thing, report: Notify) -> dict[str, Any]:
    clip.masks.mkdir()
    if thing.kind == "fixed":
        seen = _write_fixed(clip, thing)
        return {"unsure": [], "seen": seen, "notes": []}
    if thing.kind == "text":
        text = find_text(
            clip.source, region=_surround(thing.boxes),
            progress=partial(report, "Searching for text"),
        )  # fmt: skip
        return {"unsure": [], "seen": _write_masks(clip, text, report), "notes": text.notes}
    tracked = _follow(clip, thing, report)
    seen = _write_masks(clip, tracked, report)
    return {"unsure": _list_doubts(clip, tracked), "seen": seen, "notes": []}


def _write_fixed(clip: _Clip, thing: Thing) -> list[tuple[int, int]]:
    """Write one mask for all frames: the union of all marks. Return the spans with a mask."""
    fixed = clip.empty()
    for box in thing.boxes:
        fixed |= fill_box(fixed.shape, box)
    for painted in thing.painted().values():
        fixed = paint(fixed, painted, clip.segment)
    first = clip.masks / name_frame(0, "png")
    write_mask(first, fixed)
    for index in range(1, len(clip.times)):
        os.link(first, clip.masks / name_frame(index, "png"))
    return list_frame_runs([bool(fixed.any())] * len(clip.times))


def _surround(boxes: list[BoxMark]) -> Box | None:
    """Compute the bounding box of all boxes; None if there are none."""
    if not boxes:
        return None
    rounded = [round_box(mark) for mark in boxes]
    x, y = min(box.x for box in rounded), min(box.y for box in rounded)
    right = max(box.x + box.width for box in rounded)
    return Box(x, y, right - x, max(box.y + box.height for box in rounded) - y)


def remove_marked(request: Request, report: Notify) -> dict[str, Any]:
    """Remove `things`, corrected by the strokes since, from `source`; write to `output`.

    Also write the masks used into `masks`, previews of the result into `previews`, maps of where
    its pixels are from into `origins`, and clean plates into `plates_out` unless `plates` names a
    folder of edited ones.
    """
    from cleanplate.removal import remove

    report("Reading the masks", 0, None)
    clip = _bake(request)
    frames = request["last"] + 1 - request["first"]
    start, end = choose_part(clip.times, request["first"], request["last"])
    report("Removing", 0, frames)
    done = remove(
        clip.source, request["output"], masks=clip.masks,
        dilate=request["dilate"], lossless=request["lossless"], journal=False,
        plates=request.get("plates"), plates_out=request.get("plates_out"),
        truth_out=request["origins"], start=start, end=end,
        progress=lambda done, total: report("Removing", done, total),
    )  # fmt: skip
    info = probe(request["output"])
    write_previews(
        info,
        Path(request["previews"]),
        lambda done: report("Preparing the comparison", done, info.frame_count),
        frames,
    )
    folder = request.get("plates_out")
    return {
        "notes": done.notes,
        "seconds": done.seconds,
        "size": info.path.stat().st_size,
        "origins": done.filled_from,
        "plates": None if folder is None else list_plates(Path(folder)),
    }


def replace_picture(request: Request, report: Notify) -> dict[str, Any]:
    """Put the upload `arrived` in the place of `picture` in the album `plates`."""
    report("Reading the picture", 0, None)
    arrived = Path(request["arrived"])
    try:
        return {"edited": take_picture(Path(request["plates"]), request["picture"], arrived)}
    finally:
        arrived.unlink(missing_ok=True)


class _Clip:
    """Clip of a request, with the masks of a thing, or of all."""

    def __init__(
        self, request: Request, thing: Thing | None = None, base: Path | None = None
    ) -> None:
        self.source = Path(request["source"])
        self.previews = Path(request["frames"])
        self.masks = Path(request["masks"]) / (thing.id if thing else "")
        self.base = base
        self.times = [Fraction(time) for time in request["times"]]
        self.size = Size(request["width"], request["height"])

    def empty(self) -> Mask:
        """An empty mask."""
        return np.zeros(self.size.shape, np.bool_)

    def segment(self, click: ClickMark) -> Mask:
        """Segment the region that a click selects, upright and in the video's size."""
        found = read_click(self.previews, self.size, click)
        return enlarge_mask(found, self.size)


def _follow(clip: _Clip, thing: Thing, report: Notify) -> Tracked:
    """Track the boxes; use clicks and strokes as corrections of the previous masks."""
    from cleanplate.masks.tracking import TrackPrompt, track

    prompts = [
        TrackPrompt(round_box(mark), clip.times[min(mark.frame, len(clip.times) - 1)])
        for mark in thing.boxes
    ]
    painted = thing.painted()
    found: Tracked | None = None
    if prompts and (not painted or clip.base is None):
        found = track(
            clip.source, prompts, shadows=thing.shadows, progress=partial(report, "Tracking")
        )
        if not painted:
            return found
    turns = probe(clip.source).rotation // 90
    corrections = {
        frame: paint(_mask_so_far(clip, found, frame, turns), many, clip.segment)
        for frame, many in painted.items()
    }
    return track(
        clip.source, prompts, corrections=corrections, shadows=thing.shadows,
        progress=partial(report, "Tracking with your corrections"),
    )  # fmt: skip


def _mask_so_far(clip: _Clip, found: Tracked | None, frame: int, turns: int) -> Mask:
    """Read the upright mask of `frame` before clicks and strokes."""
    if found is not None:
        return np.rot90(found.mask(frame), -turns)
    if clip.base is not None:
        return read_marked(clip.base / name_frame(frame, "png"))
    return clip.empty()


def _write_masks(clip: _Clip, found: MaskSource, report: Notify) -> list[tuple[int, int]]:
    """Write the masks of all frames upright. Return the spans with a mask."""
    turns = probe(clip.source).rotation // 90
    seen = []
    for index, seconds in enumerate(clip.times):
        upright = np.rot90(found.mask(index, seconds), -turns)
        write_mask(clip.masks / name_frame(index, "png"), upright)
        seen.append(bool(upright.any()))
        report("Writing the masks", index + 1, len(clip.times))
    return list_frame_runs(seen)


def _list_doubts(clip: _Clip, tracked: Tracked) -> list[dict[str, Any]]:
    """List the spans that the user should check: first frame, last frame and reason."""
    lost = [(span, "not seen") for span in tracked.lost]
    unsure = [(span, "unsure") for span in tracked.unsure()]
    places = [
        {"first": first, "last": last, "why": why}
        for span, why in lost + unsure
        for first, last in [find_frames(span, clip.times)]
    ]
    return sorted(places, key=lambda place: place["first"])


def _bake(request: Request) -> _Clip:
    """Unite the masks of all things in `masks`, with the strokes drawn into them."""
    clip = _Clip(request)
    things = [(thing, base) for thing, base in _read_things(request) if base is not None]
    if not things:
        raise InputError("nothing is marked yet; mark what to remove and find it first")
    painted = {thing.id: thing.painted() if thing.kind != "fixed" else {} for thing, _ in things}
    clip.masks.mkdir()
    for index in range(len(clip.times)):
        name = name_frame(index, "png")
        here = [(thing, base) for thing, base in things if thing.covers(index)]
        if len(here) == 1 and not painted[here[0][0].id].get(index):
            os.link(here[0][1] / name, clip.masks / name)
            continue
        united = clip.empty()
        for thing, base in here:
            mask = read_marked(base / name)
            united |= paint(mask, painted[thing.id].get(index, []), clip.segment)
        write_mask(clip.masks / name, united)
    return clip


TASKS: dict[str, Callable[[Request, Notify], dict[str, Any]]] = {
    "prepare": prepare_clip,
    "track": track_clip,
    "remove": remove_marked,
    "replace": replace_picture,
}


_PAUSE = 0.1
"""Minimum interval in seconds between two progress reports of one stage."""


def main() -> None:
    """Serve requests until stdin ends."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # the server receives the signal, too, and ends this process
    replies = _keep_stdout()
    logging.basicConfig(level=logging.ERROR)
    for name in sys.argv[1:]:
        import_module(name)
    for line in sys.stdin:
        _answer(json.loads(line), replies)


def _keep_stdout() -> IO[str]:
    """Return the pipe to the server; redirect prints of libraries from stdout to stderr."""
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
    """Write one line; exit if the server has ended."""
    try:
        replies.write(json.dumps(message) + "\n")
        replies.flush()
    except BrokenPipeError:
        os._exit(0)


if __name__ == "__main__":
    main()
