"""A shot's memory: fill what near frames do not show from keyframes anywhere in the shot.

A far plate is the picture of the scene as one keyframe, the anchor, frames it: at each pixel the
robust mean of the keyframes that show it. Frames near the anchor are registered with it and take
their pixels from the plate, so that the fill does not change from frame to frame.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.motion.areas import bound, pull_push, spread_statistics, widen
from cleanplate.motion.candidates import agree
from cleanplate.motion.flow import square_length
from cleanplate.motion.trace import look_up
from cleanplate.plates.keyframes import Keyframe
from cleanplate.plates.registration import (
    Matrix,
    Registration,
    SmallPicture,
    align,
    carry_in,
    enlarge_points,
    follow,
    reduce_points,
    register,
    stay,
)

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Field = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]
Answer = tuple[Field, Field, Field]
"""Colours (k, 3), errors (k) and shares (k) of one source for k points."""


@dataclass(frozen=True)
class MemoryTuning:
    """Constants of far plates; errors are squared differences in levels²."""

    least: float = 0.02
    """Weight of the spatial guess above which a pixel is looked up in the shot's memory."""
    needed: float = 0.02
    """Mean weight of the spatial guess in a hole below which the memory is not asked at all."""
    noise: float = 20.0
    """Error that even a perfect source has."""
    power: float = 2.0
    """Exponent of the inverse error in a source's weight."""
    consensus: float = 1000.0
    """Squared difference from the mean at which a source's weight is halved."""
    rounds: int = 2
    """Reweighting rounds towards what most sources agree on."""
    disagreement: float = 0.5
    """Part of the sources' variance that counts as the plate's error."""
    prior: float = 0.25
    """Error of the spatial guess that a plate competes with, times the variance of the surroundings
    and the root of the distance from them, at the reduced size."""
    floor: float = 100.0
    """Added to that variance."""
    mismatch: float = 50.0
    """Squared difference up to which a surrounding pixel matches a plate: noise and light."""
    variety: float = 0.3
    """Added to that, times the variance of the surroundings: texture never aligns exactly."""
    fails: float = 0.5
    """Fraction of surrounding pixels that must match before a plate is blended in at all."""
    fits: float = 0.8
    """Fraction of surrounding pixels that must match before a plate has full weight."""
    sources: int = 24
    """Most keyframes that a plate is made of."""
    tile: int = 32
    """Side of the squares in which a plate is computed: only where it is needed."""
    at_once: int = 100_000
    """Pixels of a plate computed at the same time: bounds memory."""
    around: int = 24
    """Pixels around a hole, at the reduced size, that are compared with a plate."""
    plates: int = 3
    """Plates held at the same time."""
    shown: float = 0.5
    """Fraction of a hole that a keyframe must show to be a twin."""
    compared: int = 50
    """Fewest surrounding pixels that tell whether it is one."""
    twin: float = 5.0
    """Root mean square difference in levels around the hole up to which a keyframe is a twin."""
    spread: int = 32
    """Frames from one anchor to the next at least, in a moving shot."""
    faintest: float = 1e-4
    """Share with which a plate fades in and out, in proportion to its weight by error."""
    visit: float = 100.0
    """Error added to keyframes of other shots: things may have moved, the own shot knows better."""
    near: int = 8
    """Frames between the sources of a plate near its anchor, and between the keyframes over which
    frames are registered with it."""


_TUNING = MemoryTuning()


@dataclass(frozen=True)
class Source:
    """A keyframe that a plate is made of.

    `way`: its registration from the anchor; `doubt`: what is added to its squared error.
    """

    keyframe: Keyframe
    way: Registration
    doubt: float = 0.0

    def sample(self, x: Field, y: Field) -> tuple[Field, Field]:
        """Colours (k, 3) at points (k) of the anchor, and errors (k), infinite where hidden."""
        (to_x, to_y), (light, error) = self.way.locate(x, y), self.way.measure(x, y)
        hidden = look_up(self.keyframe.hole.view(np.uint8) * np.uint8(255), to_x, to_y)
        height, width = self.keyframe.small.shape
        inside = (to_x >= 0) & (to_y >= 0) & (to_x <= width - 1) & (to_y <= height - 1)
        seen = look_up(self.keyframe.load(), to_x, to_y, cv2.INTER_CUBIC) + light
        error = error + np.float32(self.doubt)
        return seen, np.where(inside & (hidden == 0), error, np.float32(np.inf))


class FarPlate:
    """The scene as the `anchor` frames it, computed tile by tile when needed.

    Args:
        anchor: the keyframe whose pixel grid the plate has.
        sources: keyframes that show parts of it.
    """

    def __init__(self, anchor: Keyframe, sources: Sequence[Source]) -> None:
        self._sources = sources
        height, width = anchor.small.shape
        self._colours = np.zeros((height, width, 4), np.uint8)  # the fourth: 255 where seen
        self._error = np.zeros((height, width), np.float32)
        tiles = -(-height // _TUNING.tile), -(-width // _TUNING.tile)
        self._done = np.zeros(tiles, np.bool_)
        self._lock = Lock()

    def show(self, x: Field, y: Field) -> tuple[Field, Field, Mask]:
        """Colours (k, 3), their errors (k) and whether points (k) of the plate were seen."""
        height, width = self._error.shape
        inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
        with self._lock:
            self._compute(x[inside], y[inside])
        found = look_up(self._colours, x, y, cv2.INTER_CUBIC).astype(np.float32)
        # A bicubic sample next to an unseen pixel is partly made of it.
        whole = look_up(self._colours[..., 3], x, y) == 255
        return found[:, :3], look_up(self._error, x, y), inside & whole

    def _compute(self, x: Field, y: Field) -> None:
        """Compute the tiles around points (k) that are still missing."""
        rows, columns = self._done.shape
        wanted = np.zeros_like(self._done)
        for dy in (-2, 2):
            for dx in (-2, 2):
                row = ((y + dy) // _TUNING.tile).astype(np.int64).clip(0, rows - 1)
                column = ((x + dx) // _TUNING.tile).astype(np.int64).clip(0, columns - 1)
                wanted[row, column] = True
        wanted &= ~self._done
        missing = np.repeat(np.repeat(wanted, _TUNING.tile, 0), _TUNING.tile, 1)
        height, width = self._error.shape
        at = np.flatnonzero(missing[:height, :width])
        for begin in range(0, len(at), _TUNING.at_once):
            self._combine(at[begin : begin + _TUNING.at_once])
        self._done |= wanted

    def _combine(self, at: Indices) -> None:
        """Combine the sources at these pixels (k) of the plate."""
        width = self._error.shape[1]
        x, y = (at % width).astype(np.float32), (at // width).astype(np.float32)
        colours, errors = [], []
        for source in self._sources:
            seen, error = source.sample(x, y)
            if np.isfinite(error).any():
                colours.append(seen)
                errors.append(error)
        if not colours:
            return
        mean, error = _agree(np.stack(colours), np.stack(errors))
        seen = np.isfinite(error)
        flat = self._colours.reshape(-1, 4)
        flat[at[seen], :3] = np.rint(mean[seen]).clip(0, 255)
        flat[at[seen], 3] = 255
        self._error.reshape(-1)[at[seen]] = error[seen]


def _agree(colours: Field, errors: Field, shares: Field | int = 1) -> tuple[Field, Field]:
    """Robust mean (k, 3) of n sources, `colours` (n, k, 3) and `errors` (n, k), and its error (k).

    Infinite where no source is.
    """
    prior = shares * (errors + np.float32(_TUNING.noise)) ** np.float32(-_TUNING.power)
    # Only ratios count: small weights must not drown in the guards against division by 0.
    prior = prior / np.maximum(prior.max(axis=0), np.float32(1e-30))
    mean, weight = agree(colours, prior, _TUNING.consensus, _TUNING.rounds)
    # Sources that contradict each other may all be wrong: what moves there is not the background.
    apart = square_length(colours - mean) / 3
    known = np.where(np.isfinite(errors), errors, np.float32(0))
    total = weight.sum(axis=0)
    spread = known + np.float32(_TUNING.disagreement) * apart
    error = (weight * spread).sum(axis=0) / np.maximum(total, np.float32(1e-12))
    return mean, np.where(total > 0, error, np.float32(np.inf))


class Neighbourhood:
    """The surroundings of a hole at the reduced size, and the points (k) of it that need a source.

    Args:
        small: a frame with a hole.
        x: columns of the points (k), in pixels of the whole frame.
        y: rows.
    """

    def __init__(self, small: SmallPicture, x: Field, y: Field) -> None:
        hole = bound(~small.known)
        if hole is None:
            raise ValueError("a picture without a hole has no neighbourhood of one")
        self._small, self._hole = small, hole
        self._part = widen(hole, _TUNING.around, small.size)
        self._colours = small.colours[self._part.slices].astype(np.float32)
        self._known = small.known[self._part.slices]
        statistics = spread_statistics(self._colours, self._known.astype(np.float32))
        self._variety = np.maximum(statistics[..., 3], np.float32(0))
        at_x, at_y = reduce_points(x, y, small.shape, small.size)
        self._at = at_x - np.float32(self._part.x), at_y - np.float32(self._part.y)

    def doubt_guess(self) -> Field:
        """Expected squared error (k) of the spatial guess at the points.

        It grows with the variety of the surroundings and the distance from them.
        """
        depth = cv2.distanceTransform((~self._known).view(np.uint8), cv2.DIST_L2, 3)
        error = (self._variety + np.float32(_TUNING.floor)) * np.sqrt(depth)
        return self._look_up(np.float32(_TUNING.prior) * error)

    def compare(self, plate: FarPlate, way: Registration) -> tuple[Field, Field]:
        """Light (k, 3) and error (k) of a plate at the points, measured around the hole.

        The error is infinite where the surroundings mostly show something else than the plate: an
        object that stands in front of the scene goes on in the hole.
        """
        part, small = self._part, self._small
        columns = np.arange(part.x, part.x + part.width, dtype=np.float64)
        rows = np.arange(part.y, part.y + part.height, dtype=np.float64)
        axes = enlarge_points(columns, rows, small.shape, small.size)
        x, y = (axis.astype(np.float32) for axis in np.meshgrid(*axes))
        known = self._known.copy()
        to_x, to_y = way.locate(x[known], y[known])
        seen, _, shown = plate.show(to_x, to_y)
        apart = np.zeros_like(self._colours)
        apart[known] = self._colours[known] - seen
        known[known] = shown
        light, error = carry_in(apart, known)
        allowed = np.float32(_TUNING.mismatch) + np.float32(_TUNING.variety) * self._variety
        fits = (square_length(apart - light) / 3 < allowed).astype(np.float32)
        match = pull_push(fits[..., None], known.astype(np.float32))[..., 0]
        match = (match - np.float32(_TUNING.fails)) / np.float32(_TUNING.fits - _TUNING.fails)
        gate = self._look_up(match).clip(0, 1)
        error = self._look_up(error) + np.float32(_TUNING.noise)
        return self._look_up(light), np.where(gate > 0, error / np.maximum(gate, 0.01) ** 2, np.inf)

    def differ(self, other: SmallPicture) -> float | None:
        """Root mean square difference in levels from the same place of `other`, up to light.

        None where `other` shows little of the hole or of its surroundings.
        """
        if other.known[self._hole.slices].mean() < _TUNING.shown:
            return None
        from cleanplate.plates.patches import compare_few  # loads Numba

        part = self._part.slices
        count, spread = compare_few(
            self._colours, self._known, other.colours[part], other.known[part]
        )
        return float(np.sqrt(spread)) if count >= _TUNING.compared else None

    def _look_up(self, plane: Field) -> Field:
        return np.asarray(look_up(plane, *self._at), np.float32)


class ShotMemory:
    """Fill holes from the keyframes of their shot.

    Args:
        keyframes: of the shot, in order, as `KeyframeChooser.finish` returns them.
        visitors: keyframes of other shots of the same place.
    """

    def __init__(self, keyframes: Sequence[Keyframe], visitors: Sequence[Keyframe] = ()) -> None:
        self._keyframes, self._visitors = keyframes, visitors
        self._plates: OrderedDict[int, FarPlate] = OrderedDict()
        self._lock = Lock()
        self._fields: dict[int, ShotMemory] = {}
        self._anchors = self._choose_anchors() if keyframes else []
        self._stones = self._choose_stones() if keyframes else []
        self._ways: dict[tuple[int, int], Matrix | None] = {}  # from a stone to an anchor

    def field(self, parity: int) -> ShotMemory:
        """The memory of one of the two fields of each frame; `parity` is that of its lines.

        The two of an interlaced frame were taken at different times.
        """
        with self._lock:
            if parity not in self._fields:
                lines = [keyframe.field(parity) for keyframe in self._keyframes]
                visitors = [keyframe.field(parity) for keyframe in self._visitors]
                self._fields[parity] = ShotMemory(lines, visitors)
            return self._fields[parity]

    def fill(
        self, number: int, frame: Frame, hole: Mask, pixels: Frame, guessed: Field
    ) -> tuple[Frame, Field, Field]:
        """Blend what other frames of the shot show into the fill of a hole, by expected error.

        Args:
            number: of the frame.
            frame: uint8 (h, w, 3).
            hole: bool (h, w).
            pixels: uint8 (k, 3), the hole's fill so far in the order of `np.nonzero`.
            guessed: float32 (k) in [0, 1], the share of the spatial guess in each.

        Returns:
            New pixels, new shares of the guess, and the share of the shot's memory in each.
        """
        lacking = np.flatnonzero(guessed > _TUNING.least)
        if not self._anchors or len(lacking) == 0 or guessed.mean() < _TUNING.needed:
            return pixels, guessed, np.zeros_like(guessed)
        y, x = (axis[lacking].astype(np.float32) for axis in np.nonzero(hole))
        small = SmallPicture.of(frame, hole)
        around = Neighbourhood(small, x, y)
        found = [
            *self._ask_plates(number, small, around, x, y),
            *self._ask_twin(number, small, around, x, y),
        ]
        if not found:
            return pixels, guessed, np.zeros_like(guessed)
        colours, errors, shares = (np.stack(column) for column in zip(*found, strict=True))
        mean, error = _agree(colours, errors, shares)
        odds = around.doubt_guess() / (error + np.float32(_TUNING.noise))
        # The guess has the share g of the fill so far, so all of the fill weighs 1/g guesses.
        odds = odds * guessed[lacking]
        share = odds / (1 + odds)
        pixels, guessed = pixels.copy(), guessed.copy()
        under = pixels[lacking].astype(np.float32)
        pixels[lacking] = np.rint(under + share[:, None] * (mean - under)).clip(0, 255)
        guessed[lacking] *= 1 - share
        far = np.zeros_like(guessed)
        far[lacking] = share
        return pixels, guessed, far

    def _ask_plates(
        self, number: int, small: SmallPicture, around: Neighbourhood, x: Field, y: Field
    ) -> Iterator[Answer]:
        """What the plates before and after a frame show at points (k) of it."""
        for anchor, part in self._weigh_anchors(number):
            start = self._find_start(number, small, anchor)
            way = register(small, self._keyframes[anchor].small, start=start)
            if way is None:
                continue
            plate = self._open(anchor)
            to_x, to_y = way.locate(x, y)
            seen, own, known = plate.show(to_x, to_y)
            light, error = around.compare(plate, way)
            error = np.where(known, error + own, np.float32(np.inf))
            yield seen + light, error, np.full(len(x), part, np.float32)

    def _find_start(self, number: int, small: SmallPicture, anchor: int) -> Matrix | None:
        """A homography from a frame to an anchor, over a keyframe close to the frame.

        Only keyframes far from the anchor are searched for in it, and each of them once.
        """
        near = min(self._stones, key=lambda at: abs(self._keyframes[at].number - number))
        there = self._align(near, anchor)
        here = None if there is None else follow(small, self._keyframes[near].small)
        return None if there is None or here is None else there @ here

    def _align(self, at: int, anchor: int) -> Matrix | None:
        """The homography from a keyframe to an anchor; searched for once."""
        if at == anchor:
            return np.eye(3)
        if (at, anchor) not in self._ways:
            one, other = (self._keyframes[k].small for k in (at, anchor))
            self._ways[at, anchor] = align(one, other)
        return self._ways[at, anchor]

    def _ask_twin(
        self, number: int, small: SmallPicture, around: Neighbourhood, x: Field, y: Field
    ) -> Iterator[Answer]:
        """What the keyframe shows whose surroundings of the hole look most like the frame's.

        In an animation or a loop it may be the same picture, with all that moves in its place.
        """
        best = self._find_twin(number, around)
        if best is None:
            return
        way = register(small, best.small, measure=True)
        if way is not None:
            seen, error = Source(best, way).sample(x, y)
            yield seen, error, np.ones(len(x), np.float32)

    def _find_twin(self, number: int, around: Neighbourhood) -> Keyframe | None:
        best, least = None, _TUNING.twin
        for keyframe in self._keyframes:
            difference = None if keyframe.number == number else around.differ(keyframe.small)
            if difference is not None and difference < least:
                best, least = keyframe, difference
        return best

    def _choose_anchors(self) -> list[int]:
        """Indices of the keyframes that plates are made for."""
        first, last = self._keyframes[0].number, self._keyframes[-1].number
        return self._pick(range(first, last + 1, _TUNING.spread))

    def _choose_stones(self) -> list[int]:
        """Indices of the keyframes over which frames are registered with anchors."""
        first, last = self._keyframes[0].number, self._keyframes[-1].number
        return self._pick(range(first, last + 1, _TUNING.near))

    def _pick(self, numbers: Iterable[int]) -> list[int]:
        """Indices of the keyframes nearest to these frame numbers."""
        own = np.array([keyframe.number for keyframe in self._keyframes])
        return sorted({int(np.abs(own - number).argmin()) for number in numbers})

    def _weigh_anchors(self, number: int) -> list[tuple[int, float]]:
        """The anchors before and after a frame, and how much each counts."""
        numbers = [self._keyframes[at].number for at in self._anchors]
        after = int(np.searchsorted(numbers, number, side="right"))
        if after == 0 or after == len(numbers):
            return [(self._anchors[max(0, after - 1)], 1.0)]
        first, second = numbers[after - 1], numbers[after]
        share = (number - first) / (second - first)
        # Near an anchor it alone decides; two are blended only halfway between.
        share = min(1.0, max(0.0, 2 * share - 0.5))
        pair = [(self._anchors[after - 1], 1 - share), (self._anchors[after], share)]
        # A plate with a much smaller error would replace the other in the first frame that it has
        # any share in; growing by a constant factor it takes several.
        return [(anchor, _TUNING.faintest ** (1 - part)) for anchor, part in pair if part > 0]

    def _open(self, anchor: int) -> FarPlate:
        with self._lock:
            if anchor not in self._plates:
                sources = self._find_sources(anchor)
                self._plates[anchor] = FarPlate(self._keyframes[anchor], sources)
                if len(self._plates) > _TUNING.plates:
                    self._plates.popitem(last=False)
            self._plates.move_to_end(anchor)
            return self._plates[anchor]

    def _find_sources(self, anchor: int) -> list[Source]:
        """The keyframes that a plate is made of, each registered with the anchor."""
        own = self._keyframes[anchor]
        first, last = self._keyframes[0].number, self._keyframes[-1].number
        step = max(_TUNING.near, -(-(last - first) // _TUNING.sources))
        near = range(-_TUNING.spread, _TUNING.spread + 1, _TUNING.near)
        wanted = [*range(first, last + 1, step), *(own.number + apart for apart in near)]
        found = [Source(own, stay(own.small))]
        ways = [(at, self._align(at, anchor)) for at in self._pick(wanted) if at != anchor]
        others: list[tuple[Keyframe, Matrix | None, float]] = [
            (self._keyframes[at], np.asarray(np.linalg.inv(way), np.float64), 0.0)
            for at, way in ways
            if way is not None
        ]
        others += [(visitor, None, _TUNING.visit) for visitor in self._visitors]
        for keyframe, start, doubt in others:
            there = register(own.small, keyframe.small, measure=True, start=start)
            if there is not None:
                found.append(Source(keyframe, there, doubt))
        return found
