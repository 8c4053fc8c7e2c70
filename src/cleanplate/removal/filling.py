"""Fill the holes of held frames: propagate, recall, make up, or ask a network."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from cleanplate.motion import (
    Motion,
    Propagated,
    Weighing,
    apply_gain,
    enlarge,
    fill_bars,
    find_picture,
    measure_flicker,
    propagate,
    shrink,
    shrink_mask,
)
from cleanplate.motion.areas import join, overlap, within
from cleanplate.motion.propagation import spread_over
from cleanplate.plates import Backdrop, ShotMemory, add_detail
from cleanplate.removal.regions import (
    Entry,
    Frame,
    Mask,
    Region,
    cut,
    pasted,
    place_region,
)
from cleanplate.types import Box, Size

Stage = Literal["decode", "mask", "flow", "network", "blend", "encode"]
T = TypeVar("T")


class Stages:
    """Adds up the seconds spent in each stage; threads may use it at the same time.

    Stages overlap, so together they may exceed the wall time. "decode" and "encode" run in threads
    of their own: counted is how long the run waited for them, not how long they worked.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def time(self, stage: Stage) -> Iterator[None]:
        """Count what happens inside for `stage`."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._add(stage, time.perf_counter() - began)

    def watch(self, stage: Stage, items: Iterable[T]) -> Iterator[T]:
        """Pass `items` on, counting the time it takes to get each of them."""
        iterator = iter(items)
        while True:
            with self.time(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def seconds(self) -> dict[str, float]:
        """Seconds by stage."""
        with self._lock:
            return dict(self._seconds)

    def _add(self, stage: Stage, seconds: float) -> None:
        with self._lock:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds


Floats = npt.NDArray[np.float32]

FLOW_PIXELS = 640 * 360
_GUESSED, _UNSEEN = 0.5, 0.8
"""Shares of guesswork at which what looks at the whole begins to count, and is all that counts."""


_SAMPLES = 8
"""Held frames that are looked at to find letterbox bars, at most."""


@dataclass(frozen=True, slots=True)
class Recall:
    """Fills held pictures from all of their shot.

    Attributes:
        memory: of the shot.
        first: number of the first held picture.
    """

    memory: ShotMemory
    first: int

    def __call__(
        self, at: int, picture: Frame, hole: Mask, pixels: Frame, guessed: Floats
    ) -> tuple[Frame, Floats, Floats]:
        """Fill held picture `at`; see `plates.ShotMemory.fill`."""
        return self.memory.fill(self.first + at, picture, hole, pixels, guessed)

    def field(self, parity: int) -> Recall:
        """The same for the fields of held frames."""
        return Recall(self.memory.field(parity), self.first)


@dataclass(frozen=True, slots=True)
class Fill:
    """What fills the box of one picture, and where it is from; written in place.

    Attributes:
        colours: uint8 RGB (h, w, 3).
        guessed: (h, w) in [0, 1], the share that no other picture showed, before a network was
            asked.
        far: (h, w) in [0, 1], the share from the shot's memory.
    """

    colours: Frame
    guessed: Floats
    far: Floats

    @classmethod
    def begin(cls, entry: Entry) -> Fill:
        """With the picture's own pixels, all of them guessed."""
        colours = cut(entry.frame, entry.box)
        shape = colours.shape[:2]
        return cls(colours, np.ones(shape, np.float32), np.zeros(shape, np.float32))


class Filler(Protocol):
    """A network that fills what no frame saw, such as `WindowFiller`."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a report should say about how it went so far."""

    def region(self, holes: Sequence[Mask], size: Size) -> Region | None:
        """The part of pictures of `size` that is to be looked at, None where `holes` are empty."""

    def fill(
        self, frames: Sequence[Frame], masks: Sequence[Mask], wanted: range
    ) -> npt.NDArray[np.float32]:
        """The `wanted` frames (t, h, w, 3) in [0, 255], with their holes filled."""


class Filling:
    """Fills held pictures of one kind: the frames of a video, or one of the two fields of each.

    Args:
        size: of the pictures.
        filler: the network, or None.
        propagates: take what other pictures saw first.
        makes_up: give detail to what no picture saw, unless a network is asked for it.
        pixels: that flow is estimated on at the most.
        threads: that propagate.
        reach: frames beyond which a source is left to the shot's memory, where there is one.
        stages: clock of the run.
    """

    def __init__(
        self,
        size: Size,
        *,
        filler: Filler | None,
        propagates: bool,
        makes_up: bool,
        pixels: int,
        threads: int,
        reach: int,
        stages: Stages,
    ) -> None:
        self._rule = Weighing(reach=reach)
        self._size, self._filler, self._propagates = size, filler, propagates
        self._pixels, self._threads, self._stages = pixels, threads, stages
        self._makes_up = makes_up and filler is None
        # A field lacks every other line: what is thin there is not thin in the frame.
        self._settles = makes_up
        self._picture = Box(0, 0, size.width, size.height)  # inside letterbox bars
        self._region: Region | None = None
        self._motion = Motion.none()  # of the first of those held, inside that region
        self._backdrops: dict[int, Backdrop | None] = {}  # with which a picture is begun

    def drop(self, count: int) -> None:
        """The first `count` pictures are held no longer."""
        self._motion = self._motion.without(count)
        self._backdrops = {at - count: backdrop for at, backdrop in self._backdrops.items()}

    def forget(self, at: int) -> None:
        """Forget the motion of held picture `at` and of those after it: its hole has changed."""
        self._motion = Motion(self._motion.pairs[: max(0, at - 1)])

    def begin_segment(self) -> None:
        """Forget all that was estimated and made up."""
        self._picture = Box(0, 0, self._size.width, self._size.height)
        self._region, self._motion = None, Motion.none()
        self._backdrops = {}

    def fill(
        self,
        held: Sequence[Entry],
        wanted: range,
        until: int | None = None,
        recall: Recall | None = None,
    ) -> list[Fill]:
        """Fill the boxes of the `wanted` pictures, with all `held` to give.

        `until`: the picture before which detail that was made up is to be gone.
        """
        entries = [held[at] for at in wanted]
        fills = [Fill.begin(entry) for entry in entries]
        if all(entry.box is None for entry in entries):
            return fills
        with self._stages.time("flow"):
            held = self._find_bars(held)
            self._fill_bars([held[at] for at in wanted], fills)
            if self._propagates:
                self._propagate(held, fills, wanted, until, recall)
        if self._filler is not None:
            with self._stages.time("network"):
                self._ask_network(self._filler, held, fills, wanted)
        return fills

    def _find_bars(self, held: Sequence[Entry]) -> list[Entry]:
        """Find the picture inside letterbox bars; give `held` without what must stay of it.

        Where all that the user masked lies in a bar, the mask does not grow into the picture.
        """
        whole = Box(0, 0, self._size.width, self._size.height)
        step = -(-len(held) // _SAMPLES)
        picture = find_picture([(one.frame, ~one.hole(whole)) for one in held[::step]])
        if picture != self._picture:
            # Where the picture lies decides the region, and what is known is of one region only.
            self._picture, self._region = picture, None
            self._motion, self._backdrops = Motion.none(), {}
        return [
            one if one.core is None or overlap(one.core, picture) else one.without(picture)
            for one in held
        ]

    def _fill_bars(self, entries: Sequence[Entry], fills: Sequence[Fill]) -> None:
        """Fill what holes of `entries` cover of letterbox bars; their rows say all of it."""
        whole = Box(0, 0, self._size.width, self._size.height)
        for entry, fill in zip(entries, fills, strict=True):
            if entry.box is not None and overlap(entry.box, self._picture) != entry.box:
                made, in_bar = fill_bars(entry.frame, entry.hole(whole), self._picture, entry.box)
                fill.colours[in_bar], fill.guessed[in_bar] = made[in_bar], 0

    def _propagate(
        self,
        held: Sequence[Entry],
        fills: Sequence[Fill],
        wanted: range,
        until: int | None,
        recall: Recall | None,
    ) -> None:
        """Put what other frames saw into the `fills`."""
        region = self._choose_region(held)
        if region is None:
            return
        part = region.box
        frames = [entry.frame[part.slices] for entry in held]
        masks = [entry.hole(part) for entry in held]
        # Flow and blending compare colours of different frames: flicker would set them apart.
        gains = self._measure_flicker(held)
        if gains is not None:
            frames = [
                apply_gain(frame, 1 / gain) for frame, gain in zip(frames, gains, strict=True)
            ]
        result = propagate(
            frames,
            masks,
            wanted=wanted,
            motion=self._motion,
            work=region.work.shape,
            threads=self._threads,
            rule=None if recall is None else self._rule,
            settle=self._settles,
        )
        self._motion = result.motion
        far = [np.zeros_like(share) for share in result.guessed]
        if recall is not None:
            result, far = self._recall(recall, held, region, masks, result, wanted)
        if self._makes_up:
            result = self._make_up(frames, masks, result, wanted, until)
        found = zip(result.pixels, result.guessed, far, strict=True)
        for at, fill, (pixels, guessed, distant) in zip(wanted, fills, found, strict=True):
            if gains is not None and len(pixels):
                pixels = apply_gain(pixels, gains[at])
            box, touched = held[at].box, held[at].touched
            common = overlap(box, part) if box is not None else None
            if box is not None and touched is not None and common is not None:
                inner = within(common, box).slices
                hole = touched[inner]
                fill.colours[inner][hole] = pixels
                fill.guessed[inner][hole], fill.far[inner][hole] = guessed, distant

    def _recall(
        self,
        recall: Recall,
        held: Sequence[Entry],
        region: Region,
        masks: Sequence[Mask],
        result: Propagated,
        wanted: range,
    ) -> tuple[Propagated, list[Floats]]:
        """Blend in what distant frames of the shot show; also the share of it in each pixel."""

        def fill(at: int) -> tuple[Frame, Floats, Floats]:
            hole = np.zeros(self._size.shape, np.bool_)
            hole[region.box.slices] = masks[at]
            k = at - wanted.start
            return recall(at, held[at].frame, hole, result.pixels[k], result.guessed[k])

        with spread_over(self._threads) as spread:
            done = list(spread(fill, wanted))
        pixels, guessed = [one[0] for one in done], [one[1] for one in done]
        return replace(result, pixels=pixels, guessed=guessed), [one[2] for one in done]

    def _measure_flicker(self, held: Sequence[Entry]) -> npt.NDArray[np.float32] | None:
        """See `measure_flicker`; of the whole picture, outside the holes of all held frames."""
        picture = self._picture
        known = np.ones(picture.size.shape, np.bool_)
        for entry in held:
            common = overlap(entry.box, picture) if entry.box is not None else None
            if common is not None:
                known[within(common, picture).slices] &= ~entry.hole(common)
        return measure_flicker([entry.frame[picture.slices] for entry in held], known)

    def _make_up(
        self,
        frames: Sequence[Frame],
        masks: Sequence[Mask],
        result: Propagated,
        wanted: range,
        until: int | None,
    ) -> Propagated:
        """Give detail to what was guessed, going on from the picture before the wanted ones."""
        # Without context frames nothing says how the picture moved since the plate was used.
        before = self._backdrops.get(wanted.start) if wanted.start > 0 else None
        weights = [fade(share) for share in result.guessed]
        pixels, backdrop = add_detail(
            frames,
            masks,
            result.pixels,
            weights,
            result.motion.of_picture,
            wanted,
            backdrop=before,
            until=until,
        )
        self._backdrops = {wanted.start: before, wanted.stop: backdrop}
        return replace(result, pixels=pixels)

    def _choose_region(self, held: Sequence[Entry]) -> Region | None:
        """The part to work on: the last one while it holds all holes and is not far too large.

        None where all holes lie in letterbox bars.

        What is known of the motion is of that part alone.
        """
        least = max(128, max(self._size.shape) // 3)
        picture = self._picture
        holes = join(overlap(entry.box, picture) for entry in held if entry.box is not None)
        if holes is None:
            return None
        region = place_region(
            within(holes, picture),
            picture.size,
            margin=0.5,
            least=Size(least, least),
            pixels=self._pixels,
        )
        box = replace(region.box, x=region.box.x + picture.x, y=region.box.y + picture.y)
        region = replace(region, box=box)
        if self._region is None or not self._region.serves(region):
            self._region, self._motion = region, Motion.none()
            self._backdrops = {}
        return self._region

    def _ask_network(
        self,
        filler: Filler,
        held: Sequence[Entry],
        fills: Sequence[Fill],
        wanted: range,
    ) -> None:
        """Let the network fill what is mostly guessed in the wanted frames, and fade it in."""
        whole = Box(0, 0, self._size.width, self._size.height)
        frames = [entry.frame for entry in held]
        unknown = [entry.hole(whole) for entry in held]
        for at, fill in zip(wanted, fills, strict=True):
            box = held[at].box
            if box is not None:
                frames[at] = pasted(frames[at], box, fill.colours)
                unknown[at][box.slices] &= fill.guessed > _GUESSED
        region = filler.region([unknown[at] for at in wanted], self._size)
        if region is None:
            return
        part, work = region.box.slices, region.work.shape
        made = filler.fill(
            [shrink(frame[part], work) for frame in frames],
            [shrink_mask(mask[part], work) for mask in unknown],
            wanted,
        )
        for at, picture, fill in zip(wanted, made, fills, strict=True):
            self._fade_in(held[at], region, picture, fill)

    def _fade_in(self, entry: Entry, region: Region, picture: Floats, fill: Fill) -> None:
        """Fade what the network made of the `region` into the `fill`, where that is guessed."""
        if entry.box is None:
            return
        large = enlarge(np.rint(picture).clip(0, 255).astype(np.uint8), region.box.size.shape)
        common = overlap(entry.box, region.box)
        if common is None:
            return
        inner, outer = within(common, entry.box).slices, within(common, region.box).slices
        weight = fade(fill.guessed[inner])[..., None]
        known = fill.colours[inner]
        mixed = known + weight * (large[outer].astype(np.float32) - known)
        fill.colours[inner] = np.rint(mixed)


def fade(guessed: Floats) -> Floats:
    """How much what is found for a whole picture counts, by the share `guessed` in [0, 1]."""
    weight = (guessed - np.float32(_GUESSED)) / np.float32(_UNSEEN - _GUESSED)
    return np.asarray(np.clip(weight, 0, 1), np.float32)
