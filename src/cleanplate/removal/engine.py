"""The streaming engine: push frames and masks one by one, get finished frames in order."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.arguments import (
    check_flag,
    check_kind,
    check_margin,
    check_threads,
    check_whole,
    wrong,
)
from cleanplate.errors import InputError, MaskError, StaleError
from cleanplate.machine import count_processors
from cleanplate.masks import feather as soften
from cleanplate.motion.areas import within
from cleanplate.options import Method, check_method
from cleanplate.plates import Codes, GivenPlates, Provenance, label
from cleanplate.removal.ends import add_hole, widen_runs
from cleanplate.removal.fields import WovenFilling
from cleanplate.removal.filling import FLOW_PIXELS, Filler, Filling, Recall, Stages
from cleanplate.removal.gaps import bridge_gaps
from cleanplate.removal.halo import find_halos
from cleanplate.removal.painting import paint_over
from cleanplate.removal.regions import Entry, Frame, Mask, pasted
from cleanplate.removal.shots import Memories, ShotDetector, StreamMemories
from cleanplate.removal.unveiling import Unveiling
from cleanplate.types import Size, to_frame, to_mask

START_OVER = "use `overwrite=True` instead of `resume=True` to start over"
"""Remedy where an earlier run's work cannot be used; a run without either keeps it and stops."""

Pixels = npt.NDArray[np.uint8]

ALL_COVERED = "the mask covers every pixel of every frame, so nothing is left to fill from"

_BUFFERED_PIXELS = 120_000_000
_REACH = 12
"""Frames up to which a source is always used, even where a span holds fewer."""
_SEGMENT = 8
"""Spans per segment. Motion is estimated from scratch at its start, at a cost of about 5 %, so
that a run can resume there."""
_NO_MEMORY = -4
"""OpenCV's StsNoMem."""


@dataclass(frozen=True, slots=True)
class Span:
    """Number of frames filled together: `own` new ones and `around` context frames on either side.

    Raises InputError unless `own` is at least 1 and `around` at least 0.
    """

    own: int
    around: int

    def __post_init__(self) -> None:
        check_whole("Span.own", self.own, 1, unit="of frames")
        check_whole("Span.around", self.around, 0, unit="of frames")

    @classmethod
    def for_size(cls, size: Size) -> Span:
        """64 frames between 24 and 24 where memory allows it, fewer above 1280x720."""
        total = min(112, _BUFFERED_PIXELS // max(1, size.width * size.height))
        around = max(2, total * 3 // 14)
        return cls(max(4, total - 2 * around), around)


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished frame, uint8 RGB (h, w, 3), and the origin of each pixel.

    `provenance` uint8 (h, w) holds a `plates.Provenance` for each pixel.
    """

    frame: Frame
    provenance: Codes

    @property
    def touched(self) -> Mask:
        """The pixels (h, w) that may have changed."""
        return np.asarray(self.provenance != Provenance.SOURCE)


class Store(Protocol):
    """Store of filled pixels, so that an interrupted run can resume.

    Frames are counted from the start of the video; pixels are uint8 (k, 4), RGB and provenance of a
    frame's touched mask in the order of `np.nonzero`. Between two segments nothing but the frames
    themselves is carried on, so only whole segments may be given back.
    """

    def load(self, frames: range) -> list[Pixels] | None:
        """Return the stored pixels of these frames, or None."""

    def save(
        self, frames: range, pixels: list[Pixels], *, begins_segment: bool, ends_segment: bool
    ) -> None:
        """Store the pixels of these frames, which were filled together."""


class Engine:
    """Fill the holes of a video frame by frame, in memory independent of its length.

    `push` gives back the frames that became ready, `finish` the rest; together one for each frame
    that was pushed, in order. Frames are held until enough of the future is known to fill them
    (`span`), and until a shot ends: of a shot only keyframes are carried across a cut.

    A frame whose mask covers all of it is filled from the others of its shot. An engine cannot
    know the future: frames of a longer stretch in which no pixel is known come back black from
    `push`, and `finish` raises MaskError when no pixel of the whole clip was known.

    Frames and masks are copied when they are pushed, so their memory can be used again at once. A
    finished frame belongs to the caller: nothing the engine still needs shares its memory.

    Args:
        size: of all frames and masks.
        filler: the network, or None: then what no frame saw is made of the hole's surroundings.
        method: "auto" propagates what other frames saw and leaves the rest to the network,
            "flow" propagates only, "network" leaves everything to the network.
        dilate: pixels by which masks grow.
        feather: pixels outside the grown mask over which the fill fades into the source.
        exact_mask: change no pixel outside the mask, dilated and feathered. Else frames beside it
            and soft shadows that belong to the object are filled as well; see `widened`.
        fields: frames are interlaced: their even lines are filled as one clip, the odd ones as
            another.
        span: frames that are filled together; by default as memory allows.
        split_shots: carry nothing but keyframes across a cut.
        threads: that work at the same time; by default one a processor.
        store: of what an earlier run filled, and this one does.
        share: fill only segments whose first frame is in it; others come back as they were. By
            default all of them.
        stages: clock of the run.
        memories: what each shot shows anywhere, for holes that no near frame fills. By default
            what the engine has seen of the shot so far.
        plates: pictures from the user, which have precedence inside holes.
        overlay: recovers what shines through an overlay, in the holes.
        copy: False saves the copies where the caller changes no frame, pushed or finished.
    """

    def __init__(
        self,
        size: Size,
        *,
        filler: Filler | None = None,
        method: Method = "auto",
        dilate: int = 0,
        feather: int = 0,
        exact_mask: bool = False,
        fields: bool = False,
        span: Span | None = None,
        split_shots: bool = True,
        threads: int | None = None,
        store: Store | None = None,
        share: range | None = None,
        stages: Stages | None = None,
        memories: Memories | None = None,
        plates: GivenPlates | None = None,
        overlay: Unveiling | None = None,
        copy: bool = True,
    ) -> None:
        _check_size(size)
        _check_parts(filler, span, store, share, stages, memories)
        check_kind("plates", plates, GivenPlates, "GivenPlates", none=True)
        method = check_method(method)
        dilate, feather = check_margin("dilate", dilate), check_margin("feather", feather)
        fields, threads = check_flag("fields", fields), check_threads(threads)
        if method == "network" and filler is None:
            raise InputError("`method='network'` needs a network; give its `filler`")
        self._size = size
        self._propagates = method != "network"
        self._exact = check_flag("exact_mask", exact_mask)
        self._dilate, self._feather = dilate, feather
        self.span = span or Span.for_size(size)
        self._shots = ShotDetector() if check_flag("split_shots", split_shots) else None
        self._threads = threads or count_processors()
        self._store, self._stages = store, stages or Stages()
        self._share = range(sys.maxsize) if share is None else share
        self._memories, self._plates, self._overlay = memories, plates, overlay
        self._stream: StreamMemories | None = None  # of the clip that is being pushed
        self._copy = check_flag("copy", copy)
        self.halved = 0
        """How often memory did not suffice for the frames that were to be filled together."""
        self.widened: set[int] = set()
        """Numbers of frames that were filled since they show the object beside its mask in time."""
        self.shaded: set[int] = set()
        """Numbers of frames in which a soft shadow or glow beside the object was filled with it."""
        self._held: list[Entry] = []
        self._given: list[Entry] = []  # the same before any hole was widened
        self._shown: list[Entry] = []  # the same with the holes that come out filled
        self._first = 0  # number of the first of those held
        self._segment = 0  # number of its first frame
        self._spans = 0  # finished in it
        self._finished = 0  # how many of those held have been given back; kept as context
        self._pushed = self._covered = 0  # frames since the last `finish`, and those all masked
        asked = None if method == "flow" else filler

        def make(size: Size) -> Filling:
            return Filling(
                size,
                filler=asked,
                propagates=self._propagates,
                makes_up=not woven,
                pixels=FLOW_PIXELS // (2 if woven else 1),
                threads=self._threads,
                reach=max(_REACH, self.span.around + 6),
                stages=self._stages,
            )

        woven = fields and size.height > 1
        self._filling = WovenFilling(make, size, guesses=asked is None) if woven else make(size)

    def push(self, frame: Frame, mask: Mask) -> list[Finished]:
        """Take one frame, uint8 RGB (h, w, 3), and its mask, bool (h, w); True = hole.

        Tensors, lists and arrays of any layout are taken as well, and masks as uint8 of 0 and 1 or
        of 0 and 255. Raises InputError or MaskError for others.
        """
        shape = self._size.shape
        frame, mask = to_frame("frame", frame, shape), to_mask("mask", mask, shape)
        # Flow does not cross a cut, so the old shot is finished before this frame is held.
        cut = self._shots is not None and self._shots.begins_shot(frame)
        ready = self._flush() if cut else []
        if self._memories is None and self._propagates:
            self._stream = self._stream or StreamMemories(self._dilate + self._feather)
            if cut:
                self._stream.begin_shot()
        self._pushed += 1
        self._covered += bool(mask.all())
        # The caller may reuse its buffer as soon as this call returns.
        own = np.array(frame, order="C") if self._copy else frame
        self._held.append(Entry.of(own, mask, self._dilate, self._feather))
        self._given.append(self._held[-1])
        self._shown.append(self._held[-1])
        if self._stream is not None:
            self._stream.add(self._first + len(self._held) - 1, own, mask)
        if len(self._held) - self._finished >= self.span.own + self.span.around:
            ready += self._advance()
        return ready

    def finish(self) -> list[Finished]:
        """Return all buffered frames; the engine can then start another clip.

        Raises MaskError when the masks of all frames since the last call cover everything.
        """
        nothing_known = 0 < self._pushed == self._covered
        self._pushed = self._covered = 0
        try:
            if nothing_known:
                self._drop(len(self._held), len(self._held))
                self._begin_segment()
                raise MaskError(f"{ALL_COVERED}; use a smaller mask (True marks what to fill)")
            return self._flush()
        finally:
            self._stream = None

    def _flush(self) -> list[Finished]:
        """Return all buffered frames at the end of a shot."""
        ready = self._finish(range(self._finished, len(self._held)), ends_segment=True)
        self._drop(len(self._held), len(self._held))
        self._begin_segment()
        return ready

    @property
    def is_past_share(self) -> bool:
        """Whether nothing that is still to come is to be filled."""
        return self._segment >= self._share.stop

    def _advance(self) -> list[Finished]:
        last = self._finished + self.span.own
        # Without propagation no state crosses a span, so a run can resume after each one.
        ends_segment = not self._propagates or self._spans + 1 == _SEGMENT
        ready = self._finish(range(self._finished, last), ends_segment=ends_segment)
        self._spans += 1
        self._drop(last - min(self.span.around, last), last)
        if ends_segment:
            self._begin_segment()
        return self._hand_over(ready) if self._copy else ready

    def _hand_over(self, ready: list[Finished]) -> list[Finished]:
        """Copy the finished frames that are still held as context for others."""
        held = {id(entry.frame) for entry in self._held}
        return [
            replace(done, frame=done.frame.copy()) if id(done.frame) in held else done
            for done in ready
        ]

    def _drop(self, count: int, finished: int) -> None:
        """Hold the first `count` frames no longer; `finished` of all have been given back."""
        self._held, self._given = self._held[count:], self._given[count:]
        self._shown = self._shown[count:]
        self._first += count
        self._finished = finished - count
        self._filling.drop(count)

    def _begin_segment(self) -> None:
        self._segment = self._first + self._finished
        self._spans = 0
        self._filling.begin_segment()

    def _finish(self, wanted: range, *, ends_segment: bool) -> list[Finished]:
        """Finish the `wanted` held frames: from the store, or by filling them if that is wanted."""
        numbers = range(self._first + wanted.start, self._first + wanted.stop)
        self._widen()
        entries = self._list_targets(wanted)
        # Another worker fills this segment; here its frames only serve as context.
        if self._segment not in self._share:
            return [_unchanged(entry) for entry in entries]
        until = wanted.stop if ends_segment and wanted.stop < len(self._held) else None
        if self._store is None or not numbers:
            return self._fill(wanted, until)
        kept = self._store.load(numbers)
        if kept is not None:
            return [_recall(entry, pixels) for entry, pixels in zip(entries, kept, strict=True)]
        ready = self._fill(wanted, until)
        pixels = [_list_touched(done) for done in ready]
        begins_segment = numbers.start == self._segment
        self._store.save(numbers, pixels, begins_segment=begins_segment, ends_segment=ends_segment)
        return ready

    def _list_targets(self, wanted: range) -> list[Entry]:
        """The `wanted` held frames with the holes that come out filled."""
        return self._shown[wanted.start : wanted.stop]

    def _widen(self) -> None:
        """Mask what belongs to the object beside its mask, in time and in space.

        No other frame is then filled with it.
        """
        unfinished = range(self._finished, len(self._held))
        known = list(self._given)
        for look in (widen_runs, bridge_gaps):
            found = look(self._given, unfinished)
            self._hide(found)
            self._show(found, self.widened)
            for at, entry in found.items():
                known[at] = entry if known[at].box is None else known[at]
        halos = find_halos(known, unfinished, self._feather, self._threads)
        self._hide(halos.doubted)
        self._hide(halos.certain)
        self._show(halos.certain, self.shaded)

    def _hide(self, holes: dict[int, Entry]) -> None:
        """Take no pixel from these holes of held frames: fill them with the others."""
        changed = []
        for at, hole in holes.items():
            before = self._held[at]
            self._held[at] = add_hole(before, hole)
            if not self._held[at].has_hole_of(before):
                changed.append(at)
        if changed:
            self._filling.forget(min(changed))

    def _show(self, holes: dict[int, Entry], numbers: set[int]) -> None:
        """Let these holes come out filled, and note the numbers of their frames."""
        if self._exact:
            return
        for at, hole in holes.items():
            self._shown[at] = add_hole(self._shown[at], hole)
            numbers.add(self._first + at)

    def _fill(self, wanted: range, until: int | None) -> list[Finished]:
        """Fill the `wanted` held frames; where memory does not suffice, fewer at a time.

        All held frames serve as context. Made-up detail is faded out before the held frame
        `until`, where a segment ends. The split changes no pixel. Raises MemoryError when a single
        frame is too much.
        """
        entries = [self._held[at] for at in wanted]
        if all(entry.box is None for entry in entries):
            return [_unchanged(entry) for entry in entries]
        try:
            made = self._filling.fill(self._held, wanted, until, self._find_memory(wanted))
            fills = [fill.colours for fill in made]
            codes = [label(fill.guessed, fill.far) for fill in made]
            if self._overlay is not None:
                self._overlay.unveil(self._first + wanted.start, entries, made, codes)
            if self._plates is not None:
                begin, threads = self._first + wanted.start, self._threads
                paint_over(self._plates, self._memories, begin, entries, fills, codes, threads)
            with self._stages.time("blend"):
                parts = zip(self._list_targets(wanted), entries, fills, codes, strict=True)
                return [self._compose(*part) for part in parts]
        except (MemoryError, cv2.error) as error:
            if len(wanted) < 2 or not _is_shortage(error):
                raise
        self.halved += 1
        half = len(wanted) // 2
        first = self._fill(wanted[:half], until)
        return first + self._fill(wanted[half:], until)

    def _find_memory(self, wanted: range) -> Recall | None:
        """What fills a held frame from all of its shot."""
        memories = self._memories or self._stream
        if memories is None or not self._propagates:
            return None
        memory = memories.find(self._first + wanted.start)
        return None if memory is None else Recall(memory, self._first)

    def _compose(self, target: Entry, entry: Entry, fill: Frame, codes: Codes) -> Finished:
        """Fade the `fill` of `entry`, whose origins are `codes`, into the hole of `target`.

        Pixels outside its feathered mask are the source's own.
        """
        if target.box is None or target.mask is None or target.touched is None:
            return _unchanged(target)
        assert entry.box is not None  # a widened hole covers the given one
        inner = within(target.box, entry.box).slices
        fill, codes = fill[inner], codes[inner]
        source = target.frame[target.box.slices]
        if self._feather:
            alpha = soften(target.mask, self._feather)[..., None]
            mixed = source + alpha * (fill.astype(np.float32) - source)
            fill = np.rint(mixed).astype(np.uint8)
        filled = np.where(target.touched[..., None], fill, source)
        provenance = np.zeros(self._size.shape, np.uint8)
        provenance[target.box.slices] = np.where(target.touched, codes, np.uint8(0))
        return Finished(pasted(target.frame, target.box, filled), provenance)


def _check_size(size: Size) -> None:
    check_kind("size", size, Size, "a Size(width, height)")
    if not (size.width and size.height):
        raise InputError(f"`size` must have at least one pixel, not {size}")


def _check_parts(
    filler: object,
    span: object,
    store: object,
    share: object,
    stages: object,
    memories: object,
) -> None:
    """Raise InputError for an object without the methods that an engine calls."""
    check_kind("span", span, Span, "a Span", none=True)
    check_kind("share", share, range, "a range of frame numbers", none=True)
    check_kind("stages", stages, Stages, "Stages", none=True)
    for name, part, methods in (
        ("filler", filler, ("region", "fill")),
        ("store", store, ("load", "save")),
        ("memories", memories, ("find", "find_shot")),
    ):
        is_whole = all(callable(getattr(part, method, None)) for method in methods)
        if part is not None and (isinstance(part, type) or not is_whole):
            raise wrong(name, f"an object with {' and '.join(methods)}", part, none=True)


def _is_shortage(error: Exception) -> bool:
    """Whether there was not enough memory; OpenCV has its own word for it."""
    return isinstance(error, MemoryError) or getattr(error, "code", None) == _NO_MEMORY


def _unchanged(entry: Entry) -> Finished:
    return Finished(entry.frame, np.zeros(entry.frame.shape[:2], np.uint8))


def _list_touched(done: Finished) -> Pixels:
    """What `_recall` needs: the touched pixels (k, 4), RGB and provenance."""
    touched = done.touched
    return np.column_stack([done.frame[touched], done.provenance[touched]])


def _recall(entry: Entry, pixels: Pixels) -> Finished:
    expected = 0 if entry.touched is None else int(np.count_nonzero(entry.touched))
    if len(pixels) != expected:
        raise StaleError(f"what the earlier run kept does not fit its masks; {START_OVER}")
    if entry.box is None or entry.touched is None:
        return _unchanged(entry)
    touched = np.zeros(entry.frame.shape[:2], np.bool_)
    touched[entry.box.slices] = entry.touched
    frame, provenance = entry.frame.copy(), np.zeros(touched.shape, np.uint8)
    frame[touched], provenance[touched] = pixels[:, :3], pixels[:, 3]
    return Finished(frame, provenance)
