"""Fill holes with pixels of other frames: estimate flow, complete it, trace, blend candidates."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.machine import count_processors
from cleanplate.motion.areas import bound, shrink, shrink_mask, widen
from cleanplate.motion.candidates import Candidates, Ground, Weighing, blend_candidates, settle_thin
from cleanplate.motion.flow import DisFlow, FlowEstimator
from cleanplate.motion.spatial import Guess, continue_edges, guess_at, see_around
from cleanplate.motion.trace import (
    FlowInput,
    Holes,
    Motion,
    Pair,
    Rim,
    Seams,
    Sketch,
    Traces,
    Way,
    count_before,
    estimate_near_hole,
    estimate_whole,
    find_rim,
    group_by_source,
    look_up,
    stand_still,
    trace,
)

T = TypeVar("T")
R = TypeVar("R")


class Spread(Protocol):
    """`map`, or a pool's."""

    def __call__(self, work: Callable[[T], R], items: Iterable[T], /) -> Iterable[R]:
        """What `work` makes of each of the items, in order."""


@contextmanager
def spread_over(threads: int) -> Iterator[Spread]:
    """A `map` that works in that many threads, in this one alone where that is 1.

    Its threads handle floating-point errors as the caller does: numpy keeps that for each thread.
    OpenCV's number of threads stays as it is: it is the whole process's, and to lower it hangs in a
    forked child, which has none of the threads that OpenCV would wait for.
    """
    if threads == 1:
        yield map
        return
    state = partial(np.seterr, **np.geterr())
    with ThreadPoolExecutor(threads, initializer=state) as pool:
        yield pool.map


def limit_threads(threads: int) -> None:
    """Let OpenCV and torch use at most `threads` threads in this process, and one a processor.

    For processes of our own only, such as workers: the numbers are the whole process's.
    """
    threads = min(threads, count_processors())
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)  # for libraries that are loaded later, torch among them
    cv2.setNumThreads(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


Frame = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PropagationTuning:
    """Constants of the two passes of propagation."""

    least_rough: int = 48
    """Smallest height and width in pixels of the first pass: smaller pictures are not reduced."""
    rough: int = 2
    """Factor by which the first pass is smaller than the work size."""
    stride: int = 4
    """Pixels between DIS patches: a quarter less work than 3, and holes fill as well."""
    edge: int = 3
    """Pixels of a hole beside known ones that a cubic sample may read: 2, and one more."""
    pixels_at_once: int = 1_500_000
    """Hole pixels traced at the same time: each takes some 200 bytes."""
    unseen: float = 0.5
    """Share of the spatial guess above which a pixel counts as unseen by other frames: edges are
    continued into it, and no flow is taken from it in the draft."""


_TUNING = PropagationTuning()


@dataclass(frozen=True)
class Propagated:
    """What belongs into the holes of the wanted frames.

    `pixels`: for each, uint8 RGB (k, 3) of the hole's k pixels in the order of `np.nonzero`.
    `guessed` (k,) in [0, 1]: the share of the spatial guess in each, 0 where other frames say it
    all, 1 where none does. `motion`: of all frames, to go on with.
    """

    pixels: list[Frame]
    guessed: list[Field]
    motion: Motion


def propagate(
    frames: Sequence[Frame],
    masks: Sequence[Mask],
    *,
    wanted: range | None = None,
    motion: Motion | None = None,
    work: tuple[int, int] | None = None,
    estimator: FlowEstimator | None = None,
    rule: Weighing | None = None,
    settle: bool = True,
    threads: int = 1,
) -> Propagated:
    """Fill the holes of one shot from its other frames.

    Flow is estimated twice: between spatially filled frames at half the size, and again around the
    holes between the frames that the first flow filled, which gives it something to hold on to.

    Args:
        frames: uint8 RGB (h, w, 3); what they show inside holes is never looked at.
        masks: bool (h, w), True = hole.
        wanted: the frames to fill; all by default. The others only give.
        motion: what an earlier call found for the first frames, which is then not estimated again.
        work: (height, width) at which flow is estimated; colours are sampled at full resolution.
        estimator: of flow; by default DIS, a little coarser than its preset.
        rule: how candidates are weighed.
        settle: count the guess in thin parts as known, so that nothing better is sought there; not
            where the result is to be compared with what the hole shows.
        threads: that work at the same time.
    """
    motion = motion or Motion.none()
    wanted = range(len(frames)) if wanted is None else wanted
    estimator, rule = estimator or DisFlow(stride=_TUNING.stride), rule or Weighing()
    with spread_over(threads) as spread:
        shot = _Shot.of(frames, masks, work or masks[0].shape, spread)
        new = range(len(motion), len(frames))
        if len(new) > 1:
            motion = motion.joined(_estimate(shot, new, motion, estimator, rule, spread))
        ways = [motion.in_hole, motion.of_picture]
        pixels, guessed = _fill(shot, ways, wanted, rule, spread, sharpen=True)
        if settle:
            scale = masks[0].shape[1] / shot.work[1]
            found = zip(masks[wanted.start : wanted.stop], guessed, strict=True)
            guessed = list(spread(lambda one: settle_thin(*one, scale), found))
    return Propagated(pixels, guessed, motion)


@dataclass(frozen=True)
class _Shot:
    """Frames, their holes and what the rims of these say; `work`: the size of the guesses."""

    frames: Sequence[Frame]
    masks: Sequence[Mask]
    guesses: Sequence[Guess | None]
    work: tuple[int, int]

    @classmethod
    def of(
        cls, frames: Sequence[Frame], masks: Sequence[Mask], work: tuple[int, int], spread: Spread
    ) -> _Shot:
        def guess(t: int) -> Guess | None:
            return guess_at(frames[t], masks[t], work)

        return cls(frames, masks, list(spread(guess, range(len(frames)))), work)

    def at(self, shape: tuple[int, int], spread: Spread) -> _Shot:
        """The same at a smaller (height, width)."""
        frames = list(spread(lambda frame: shrink(frame, shape), self.frames))
        masks = list(spread(lambda mask: shrink_mask(mask, shape), self.masks))
        return _Shot(frames, masks, self.guesses, self.work)

    def shows_all(self, t: int) -> bool:
        """Whether neither frame t nor the next one has a hole."""
        return self.guesses[t] is None and self.guesses[t + 1] is None

    def view(self, t: int) -> FlowInput:
        """Frame t with the guess in its hole, as flow is estimated on it."""
        frame, mask, guess = self.frames[t], self.masks[t], self.guesses[t]
        if guess is not None:
            frame = frame.copy()
            guess.put_into(frame, mask)
        return FlowInput.of(frame, mask, mask)

    def covered(self, t: int) -> Frame:
        """Frame t (h, w, 4) with the guess at the edge of its hole, which is the fourth channel.

        Sampling beside a hole must not see what it shows. Deeper inside nothing is sampled.
        """
        frame = cv2.cvtColor(self.frames[t], cv2.COLOR_RGB2RGBA)
        guess = self.guesses[t]
        if guess is not None:
            guess.put_into(frame, _find_edge(self.masks[t]))
        frame[..., 3] = self.masks[t].view(np.uint8) * np.uint8(255)
        return np.asarray(frame, np.uint8)


def _find_edge(hole: Mask) -> Mask:
    """The pixels of `hole` (h, w) that a cubic sample outside it may read, with a margin."""
    side = 2 * _TUNING.edge + 1
    inner = cv2.erode(hole.view(np.uint8), np.ones((side, side), np.uint8))
    return np.asarray(hole & (inner == 0))


def _estimate(
    shot: _Shot,
    new: range,
    motion: Motion,
    estimator: FlowEstimator,
    rule: Weighing,
    spread: Spread,
) -> Motion:
    """Motion between the `new` frames, which follow those whose `motion` is known."""
    rough_shape = _choose_rough(shot.work)
    small = shot.at(rough_shape, spread)
    views = dict(zip(new, spread(small.view, new), strict=True))

    def compare(t: int) -> Sketch:
        # No trace crosses two frames without a hole: save the estimate.
        if shot.shows_all(t):
            return stand_still(rough_shape)
        return estimate_whole(views[t], views[t + 1], estimator)

    # First pass: flow between spatially filled frames, good enough for a draft of the holes.
    sketches = list(spread(compare, new[:-1]))
    rough = motion.joined(Motion(tuple(sketch.pair for sketch in sketches)))
    pixels, guessed = _fill(small, [rough.in_hole], new, rule, spread)
    draft = dict(zip(new, zip(pixels, guessed, strict=True), strict=True))

    # Second pass: the draft gives the estimator texture inside the holes to match.
    def redraw(t: int) -> FlowInput:
        return _redraw(shot, small, t, *draft[t])

    views = dict(zip(new, spread(redraw, new), strict=True))

    def compare_again(t: int) -> Pair:
        if shot.shows_all(t):
            return sketches[t - new.start].pair
        return estimate_near_hole(views[t], views[t + 1], sketches[t - new.start], estimator)

    return Motion(tuple(spread(compare_again, new[:-1])))


def _choose_rough(work: tuple[int, int]) -> tuple[int, int]:
    """The (height, width) for the first look."""
    if min(work) < _TUNING.rough * _TUNING.least_rough:
        return work
    return round(work[0] / _TUNING.rough), round(work[1] / _TUNING.rough)


def _redraw(shot: _Shot, small: _Shot, t: int, pixels: Frame, guessed: Field) -> FlowInput:
    """Frame t at the size of the work, its hole filled with the small draft's pixels."""
    picture = shrink(shot.frames[t], shot.work)
    hole = shrink_mask(shot.masks[t], shot.work)
    unknown = np.zeros_like(hole)
    y, x = np.nonzero(hole)
    if len(y):
        mask = small.masks[t]
        draft = cv2.cvtColor(small.frames[t], cv2.COLOR_RGB2RGBA)
        draft[..., 3] = 0
        draft[mask, :3] = pixels
        draft[mask, 3] = np.rint(guessed * 255)
        scale = np.float32(mask.shape[1] / hole.shape[1])
        to_x, to_y = ((axis + np.float32(0.5)) * scale - np.float32(0.5) for axis in (x, y))
        found = look_up(draft, to_x, to_y)
        picture = picture.copy()
        picture[y, x] = found[:, :3]
        unknown[y, x] = found[:, 3] > 255 * _TUNING.unseen
    return FlowInput.of(picture, hole, unknown)


def _fill(
    shot: _Shot,
    ways: Sequence[Callable[[int, int], Way]],
    wanted: range,
    rule: Weighing,
    spread: Spread,
    *,
    sharpen: bool = False,
) -> tuple[list[Frame], list[Field]]:
    """Trace along every way in both directions, and blend what was found with the guesses.

    Some frames at a time: what is known of their pixels takes memory.
    """
    pixels: list[Frame] = []
    shares: list[Field] = []
    for chunk in _split(shot.masks, wanted):
        more, share = _fill_chunk(shot, ways, chunk, rule, spread, sharpen=sharpen)
        pixels, shares = pixels + more, shares + share
    return pixels, shares


def _split(masks: Sequence[Mask], wanted: range) -> list[range]:
    """Ranges of wanted frames with not too many hole pixels together."""
    chunks, first, count = [], wanted.start, 0
    for t in wanted:
        pixels = int(np.count_nonzero(masks[t]))
        if t > first and count + pixels > _TUNING.pixels_at_once:
            chunks.append(range(first, t))
            first, count = t, 0
        count += pixels
    return [*chunks, range(first, wanted.stop)]


def _fill_chunk(
    shot: _Shot,
    ways: Sequence[Callable[[int, int], Way]],
    wanted: range,
    rule: Weighing,
    spread: Spread,
    *,
    sharpen: bool,
) -> tuple[list[Frame], list[Field]]:
    holes = Holes(shot.masks)
    jobs = [(way, step) for way in ways for step in (1, -1)]
    traces = list(spread(lambda job: trace(holes, job[0], job[1], wanted), jobs))
    rim = find_rim(shot.frames, shot.masks, wanted)
    colours, seams = _sample(shot, traces, rim, spread)
    first = count_before(shot.masks, wanted)
    at_rim = np.searchsorted(rim.index, first)
    width = shot.masks[0].shape[1]
    scale = width / shot.work[1]

    def finish(t: int) -> tuple[Frame, Field]:
        mask, guess, at = shot.masks[t], shot.guesses[t], wanted.index(t)
        if guess is None:
            return np.zeros((0, 3), np.uint8), np.zeros(0, np.float32)
        part, beside = slice(*first[at : at + 2]), slice(*at_rim[at : at + 2])
        pairs = [
            Candidates.pick(
                traces[k : k + 2],
                colours[k : k + 2],
                seams[k : k + 2],
                part,
                beside,
                follows_model=k > 0,
            )
            for k in range(0, len(traces), 2)
        ]
        own = guess.in_hole(mask)
        ground = Ground(mask, rim.index[beside] - first[at], scale)
        values, share = blend_candidates(pairs, own[:, :3], own[:, 3], ground, rule)
        if sharpen:
            values += _sharpen(shot.frames[t], mask, values, own[:, :3], share, scale)
        return np.rint(values).clip(0, 255).astype(np.uint8), share

    done = list(spread(finish, wanted))
    return [pixels for pixels, _ in done], [share for _, share in done]


def _sharpen(
    frame: Frame, mask: Mask, values: Field, guess: Field, share: Field, scale: float
) -> Field:
    """What to add to `values` (k, 3) so that edges go on into what is mostly a smooth guess.

    There the mean of that and of Telea's method takes the guess's place.
    """
    unseen = share > _TUNING.unseen
    box = bound(mask)
    if box is None or not unseen.any():
        return np.zeros_like(values)
    part = widen(box, see_around(scale), mask.shape).slices
    mask = mask[part]
    drawn, hole = frame[part].copy(), np.zeros_like(mask)
    drawn[mask] = np.rint(values).clip(0, 255)
    hole[mask] = unseen
    edges = continue_edges(drawn, hole, scale)[mask].astype(np.float32)
    weight = np.where(unseen, share / 2, np.float32(0))
    return np.asarray(weight[:, None] * (edges - guess), np.float32)


def _sample(
    shot: _Shot, traces: Sequence[Traces], rim: Rim, spread: Spread
) -> tuple[list[Field], list[Seams]]:
    """Colours (k, 3) that each trace found, sampled once, and how they fit in at the rim."""
    count = len(shot.frames)
    colours = [np.zeros((len(found.source), 3), np.float32) for found in traces]
    seams = [Seams.blank(len(rim.index)) for _ in traces]
    inside = [group_by_source(found.source, count) for found in traces]
    beside = [group_by_source(found.source[rim.index], count) for found in traces]

    def look(t: int) -> None:
        if not any(len(group[t]) for group in inside):
            return
        frame = shot.covered(t)
        for found, values, seam, all_, near in zip(
            traces, colours, seams, inside, beside, strict=True
        ):
            if len(all_[t]):
                seen = look_up(frame, found.x[all_[t]], found.y[all_[t]], cv2.INTER_CUBIC)
                values[all_[t]] = seen[:, :3]
            if len(near[t]):
                at = rim.index[near[t]]
                x, y = found.x[at] + rim.dx[near[t]], found.y[at] + rim.dy[near[t]]
                seam.compare(rim, near[t], look_up(frame, x, y))

    list(spread(look, range(count)))
    return colours, seams
