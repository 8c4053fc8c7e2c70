"""What is made up where no frame shows anything: once, and then carried along with the picture.

Made from scratch in each frame it would flicker. So a plate is made of one frame: what passes by is
taken from its surroundings by a median over time, and its hole is completed by example. It moves on
with the picture as a whole (the camera), and takes each frame's light. Where the surroundings no
longer look like the plate's, the frame's own smooth guess stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.motion.areas import bound, pull_push, spread_statistics, widen
from cleanplate.motion.flow import grid, square_length
from cleanplate.motion.spatial import fill_from_rim
from cleanplate.motion.trace import Way, follow, look_up
from cleanplate.plates.exemplar import complete_by_example
from cleanplate.types import Box

Frame = npt.NDArray[np.uint8]
Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]
WayTo = Callable[[int, int], Way]


@dataclass(frozen=True)
class BackdropTuning:
    """Constants of clean plates: when one is made, how it is blended in and compared."""

    least: float = 0.02
    """Fraction of a hole up to which a smooth guess is good enough without a plate."""
    open: float = 0.05
    """Fraction of a hole that the plate does not show above which a new plate is made."""
    poor: float = 0.3
    """Mean blend weight of the plate below which a new one is made."""
    ramp: int = 16
    """Frames over which a new plate is blended in: a sudden change would show as a flicker."""
    grid: int = 8
    """Pixels between the points whose motion is stored: the motion of a picture is smooth."""
    margin: int = 40
    """Pixels around the hole that belong to a plate."""
    compared: int = 96
    """Largest number of points in a row that are compared with the frame, to bound the work."""
    noise: float = 100.0
    """Squared difference in levels² between two pictures of the same thing: noise and light."""
    variety: float = 0.5
    """The same as a fraction of the variance of the surroundings: texture never aligns exactly."""
    fails: float = 0.35
    """Fraction of surrounding pixels that must match before a plate is blended in at all."""
    fits: float = 0.65
    """Fraction of surrounding pixels that must match before a plate has full weight."""
    calm: float = 0.25
    """Share of the smooth guess in a plate: it lowers the mean error of made-up detail."""
    samples: int = 4
    """Frames before, and as many after, whose median removes what passes by."""
    apart: int = 6
    """Frames between two of these samples, so that what passes by has moved on."""
    patience_open: int = 16
    """Frames after which a plate that shows too little of the hole is replaced."""
    patience_poor: int = 48
    """Frames after which a plate that fits badly is replaced."""


_TUNING = BackdropTuning()


@dataclass(frozen=True)
class PlateTrack:
    """Where the pixels of a frame lie in another one.

    `shift` (h', w', 2): in pixels, for every `BackdropTuning.grid`th pixel from `x`, `y` on.
    """

    shift: Field
    x: int
    y: int

    @classmethod
    def still(cls, box: Box) -> PlateTrack:
        """Of the pixels in `box` of a frame to themselves."""
        rows, columns = -(-box.height // _TUNING.grid) + 1, -(-box.width // _TUNING.grid) + 1
        return cls(np.zeros((rows, columns, 2), np.float32), box.x, box.y)

    def after(self, way: Way, box: Box, width: int) -> PlateTrack:
        """For the pixels in `box` of a frame `width` pixels wide, of which `way` leads here."""
        new = PlateTrack.still(box)
        x, y = new._points()
        step = follow(way, x, y, width)
        there_x, there_y = self.at(x + step[:, 0], y + step[:, 1])
        shift = np.stack([there_x - x, there_y - y], axis=1)
        return replace(new, shift=shift.reshape(new.shift.shape))

    def before(self, way: Way, width: int) -> PlateTrack:
        """The same pixels one frame further; `way` leads from the other frame to that one."""
        x, y = self._points()
        shift = self.shift.reshape(-1, 2)
        step = follow(way, x + shift[:, 0], y + shift[:, 1], width)[:, :2]
        return replace(self, shift=(shift + step).reshape(self.shift.shape))

    def at(self, x: Field, y: Field) -> tuple[Field, Field]:
        """Where points (k) lie in the other frame."""
        by = np.float32(_TUNING.grid)
        shift = look_up(self.shift, (x - np.float32(self.x)) / by, (y - np.float32(self.y)) / by)
        return x + shift[:, 0], y + shift[:, 1]

    def _points(self) -> tuple[Field, Field]:
        """Those whose shift is kept (k)."""
        x, y = grid(*self.shift.shape[:2])
        return x.ravel() * _TUNING.grid + self.x, y.ravel() * _TUNING.grid + self.y


@dataclass(frozen=True)
class Scene:
    """One frame (h, w, 3), its hole (h, w) in `box`, and which of its k pixels are `lacking`."""

    frame: Frame
    hole: Mask
    box: Box
    lacking: Indices

    @cached_property
    def points(self) -> tuple[Indices, Indices]:
        """Rows and columns of the lacking pixels."""
        y, x = np.nonzero(self.hole)
        return y[self.lacking], x[self.lacking]


@dataclass(frozen=True)
class Backdrop:
    """A plate, and how it has moved since it was made.

    `picture` (h, w, 4): what the plate shows in `box` of its frame, and 255 where that is known, 0
    where it is filled; `track`: from the last frame to that one; `sudden`: it counts from the
    beginning; `former`: what counted until then; `age`: frames since then.
    """

    picture: Frame
    box: Box
    track: PlateTrack
    sudden: bool
    former: Backdrop | None = None
    age: int = 0

    def moved(self, way: Way, box: Box, width: int) -> Backdrop:
        """Carried on to the next frame, `width` pixels wide, for its pixels in `box`.

        `way` leads from there to here.
        """
        age = self.age + 1
        old = self.former.moved(way, box, width) if self.former and age < _TUNING.ramp else None
        return replace(self, track=self.track.after(way, box, width), age=age, former=old)

    def shown_in(self, scene: Scene) -> Field:
        """Colours times weight, and that weight, (k, 4), of the pixels that a scene is lacking."""
        y, x = (axis.astype(np.float32) for axis in scene.points)
        to_x, to_y = self._locate(x, y)
        found = look_up(self.picture, to_x, to_y, cv2.INTER_CUBIC).astype(np.float32)
        light, weight = self._compare(scene, x, y)
        found[:, :3] += light
        inside = (to_x >= 0) & (to_y >= 0) & (to_x < self.box.width) & (to_y < self.box.height)
        found[:, 3] = weight * inside
        found[:, :3] *= found[:, 3:]
        # Cross-fade with the previous plate: a hard switch would flicker.
        strength = np.float32(1 if self.sudden else min(1, (self.age + 1) / _TUNING.ramp))
        if strength < 1:
            found *= strength
            if self.former is not None:
                found += (1 - strength) * self.former.shown_in(scene)
        return found

    def _locate(self, x: Field, y: Field) -> tuple[Field, Field]:
        """Where in the plate points of the last frame lie."""
        to_x, to_y = self.track.at(x, y)
        return to_x - np.float32(self.box.x), to_y - np.float32(self.box.y)

    def _compare(self, scene: Scene, x: Field, y: Field) -> tuple[Field, Field]:
        """How the light (k, 3) around points differs from the plate's, and how far (k,) it fits."""
        part = widen(scene.box, _TUNING.margin, scene.hole.shape)
        step = max(1, round(max(part.width, part.height) / _TUNING.compared))
        columns = part.x + np.arange(0, part.width, step)
        rows = part.y + np.arange(0, part.height, step)
        grid_x, grid_y = (axis.astype(np.float32) for axis in np.meshgrid(columns, rows))
        there = self._locate(grid_x.ravel(), grid_y.ravel())
        to_x, to_y = (axis.reshape(grid_x.shape) for axis in there)
        then = cv2.remap(self.picture, to_x, to_y, cv2.INTER_LINEAR, borderValue=(0, 0, 0, 0))
        now = scene.frame[part.slices][::step, ::step].astype(np.float32)
        # Compare only real pixels on both sides: neither the hole nor what the plate made up.
        known = ~scene.hole[part.slices][::step, ::step] & (then[..., 3] == 255)
        share = known.astype(np.float32)
        apart = now - then[..., :3]
        # Textured surroundings may differ more: a small misalignment changes much there.
        variety = np.maximum(spread_statistics(now, share)[..., 3], np.float32(0))
        allowed = np.float32(_TUNING.noise) + np.float32(_TUNING.variety) * variety
        planes = np.empty((*known.shape, 4), np.float32)
        planes[..., :3] = apart
        planes[..., 3] = square_length(apart) / 3 < allowed
        # Carry the light difference and the fraction that matches from the rim into the hole; only
        # matching pixels tell light, others show a different thing.
        light = pull_push(planes[..., :3], share * planes[..., 3])
        weight = pull_push(planes[..., 3:], share)[..., 0]
        weight = (weight - np.float32(_TUNING.fails)) / np.float32(_TUNING.fits - _TUNING.fails)
        by = np.float32(step)
        at = (x - np.float32(part.x)) / by, (y - np.float32(part.y)) / by
        return look_up(light, *at), look_up(weight.clip(0, 1), *at)


def add_detail(
    frames: Sequence[Frame],
    masks: Sequence[Mask],
    pixels: Sequence[Frame],
    weights: Sequence[Field],
    way_to: WayTo,
    wanted: range,
    *,
    backdrop: Backdrop | None = None,
    until: int | None = None,
) -> tuple[list[Frame], Backdrop | None]:
    """The `pixels` with detail where they are guessed, and the backdrop of the last wanted frame.

    Args:
        frames: of one shot, uint8 RGB (h, w, 3).
        masks: their holes, bool (h, w).
        pixels: of each wanted frame's hole, uint8 (k, 3), in the order of `np.nonzero`.
        weights: (k,) in [0, 1]: how much they lack detail.
        way_to: `way_to(t, u)` leads from frame t to u, by the motion of the picture as a whole.
        wanted: the frames.
        backdrop: of the frame before the first wanted one.
        until: the frame before which all detail is to be gone, as what comes after it is filled
            without knowing this.
    """
    done = []
    for t, made, weight in zip(wanted, pixels, weights, strict=True):
        box = bound(masks[t])
        if box is None:
            done.append(made)
            backdrop = None
            continue
        if backdrop is not None:
            backdrop = backdrop.moved(way_to(t, t - 1), box, masks[t].shape[1])
        lacking = np.flatnonzero(weight > 0)
        if len(lacking) > _TUNING.least * len(weight):
            scene = Scene(frames[t], masks[t], box, lacking)
            found = _show(backdrop, scene)
            # Replace a plate that leaves part of the hole open or no longer fits.
            if _is_wanting(found[:, 3], backdrop, len(weight)):
                plate = _make_plate(frames, masks, way_to, t, box)
                appears = backdrop is None and (t == 0 or not masks[t - 1].any())
                backdrop = _complete_plate(plate, scene, made, found, backdrop, sudden=appears)
                found = _show(backdrop, scene)
            strength = weight[lacking, None]
            # The next segment starts without this plate, so its detail must fade out before it.
            if until is not None:
                strength = strength * np.float32(min(1, (until - t) / (_TUNING.ramp + 1)))
            made = made.copy()
            made[lacking] = _lay_over(made[lacking], found, strength)
        done.append(made)
    return done, backdrop


def _show(backdrop: Backdrop | None, scene: Scene) -> Field:
    """As `Backdrop.shown_in`; nothing where there is none."""
    if backdrop is None:
        return np.zeros((len(scene.lacking), 4), np.float32)
    return backdrop.shown_in(scene)


def _is_wanting(weight: Field, backdrop: Backdrop | None, hole: int) -> bool:
    """Whether a plate of this `weight` (k,) is not enough for a `hole` of that many pixels."""
    more, anew = _TUNING.patience_open, _TUNING.patience_poor
    if backdrop is None:
        return len(weight) > _TUNING.open * hole
    if backdrop.age < more:
        return False
    open_ = np.count_nonzero(weight == 0) > _TUNING.open * hole
    return bool(open_ or (backdrop.age >= anew and weight.mean() < _TUNING.poor))


def _make_plate(
    frames: Sequence[Frame], masks: Sequence[Mask], way_to: WayTo, t: int, box: Box
) -> Frame:
    """Frame t, the surroundings of its hole in `box` without what passes by."""
    part = widen(box, _TUNING.margin, masks[t].shape)
    own = frames[t][part.slices]
    views = [own]
    own_x, own_y = grid(*own.shape[:2])
    for step in (1, -1):
        for frame, hole, track in _follow(frames, masks, way_to, t, part, step):
            there = track.at(own_x.ravel() + part.x, own_y.ravel() + part.y)
            x, y = (axis.reshape(own_x.shape) for axis in there)
            seen = cv2.remap(frame, x, y, cv2.INTER_LINEAR)
            touches = hole.view(np.uint8) * np.uint8(255)  # a fraction of 1 would be rounded to 0
            hidden = cv2.remap(touches, x, y, cv2.INTER_LINEAR, borderValue=(255,))
            views.append(np.where(hidden[..., None] > 0, own, seen))
    plate = frames[t].copy()
    # The median drops whatever covers the background in fewer than half of the samples.
    middle = len(views) // 2
    plate[part.slices] = np.partition(np.stack(views), middle, axis=0)[middle]
    return plate


def _follow(
    frames: Sequence[Frame], masks: Sequence[Mask], way_to: WayTo, t: int, part: Box, step: int
) -> Iterator[tuple[Frame, Mask, PlateTrack]]:
    """Some frames after frame t, or before it, and where the pixels of its `part` lie there."""
    track = PlateTrack.still(part)
    for count in range(1, _TUNING.samples * _TUNING.apart + 1):
        u = t + step * count
        if not 0 <= u < len(frames):
            return
        track = track.before(way_to(u - step, u), masks[t].shape[1])
        if count % _TUNING.apart == 0:
            yield frames[u], masks[u], track


def _lay_over(pixels: Frame, found: Field, strength: Field | int = 1) -> Field:
    """What was `found` (k, 4), by its weight and `strength` (k, 1), over the `pixels` (k, 3)."""
    under = pixels.astype(np.float32)
    under += strength * (found[:, :3] - found[:, 3:] * under)
    return np.rint(under).clip(0, 255)


def _complete_plate(
    plate: Frame,
    scene: Scene,
    pixels: Frame,
    found: Field,
    former: Backdrop | None,
    *,
    sudden: bool,
) -> Backdrop | None:
    """A backdrop of the `plate`, in which what was `found` (k, 4) in the former one is kept.

    The former one where too little is known for another.
    """
    hole, at = scene.hole, scene.points
    filled = plate.copy()
    filled[hole] = pixels
    filled[at] = _lay_over(pixels[scene.lacking], found)
    # Keep what the previous plate shows well: only the rest is made up, so the change stays small.
    open_ = np.zeros_like(hole)
    open_[at] = found[:, 3] < _TUNING.poor
    made = complete_by_example(filled, open_)
    if made is None:
        return former
    part = widen(scene.box, _TUNING.margin, hole.shape)
    guess = fill_from_rim(filled[part.slices], open_[part.slices], hole.size)
    calmed = made[part.slices] + np.float32(_TUNING.calm) * (guess - made[part.slices])
    picture = np.rint(calmed).clip(0, 255).astype(np.uint8)
    known = np.where(hole[part.slices], np.uint8(0), np.uint8(255))
    former = former and replace(former, former=None)
    return Backdrop(np.dstack([picture, known]), part, PlateTrack.still(part), sudden, former)
