"""Find soft shadows and glow beside an object that its mask leaves out, and widen the mask.

Shadows go where the object goes. A hole that is filled from what lies beside the object in other
frames would be filled with them, and without the object they make no sense. So the surroundings of
the mask are predicted from other frames, as if they were a hole, and compared with what is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.motion import propagate
from cleanplate.removal.ends import add_hole
from cleanplate.removal.movers import (
    Mover,
    Point,
    Sample,
    find_middle,
    find_movers,
    leave_out_still,
    measure_distance,
)
from cleanplate.removal.regions import Entry, Frame, Mask

Field = npt.NDArray[np.float32]
T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True)
class HaloTuning:
    """When what surrounds an object counts as its shadow or glow."""

    every: int = 4
    """Frames from one that is compared to the next, where enough are held."""
    around: int = 16
    """Frames on either side from which a prediction is made, and over which a median is taken."""
    pixels: int = 16_000
    """Pixels of the small pictures that are compared."""
    reach: float = 1.0
    """Distance from the mask up to which a halo is sought, as a fraction of the object's radius."""
    least_reach: float = 5.0
    """Smallest distance in pixels of a small picture."""
    most_reach: float = 20.0
    """Largest distance in pixels of a small picture."""
    band: float = 1.4
    """Times that distance up to which is predicted: the outer part must show no halo."""
    blur: float = 1.5
    """Sigma in pixels of a small picture over which brightness is compared, not texture."""
    unsure: float = 0.4
    """Share of the spatial guess from which a prediction says nothing."""
    weak: float = 0.03
    """Relative change of brightness at which a halo ends."""
    strong: float = 0.07
    """Relative change of brightness that a halo reaches somewhere, to be removed with the mover."""
    doubted: float = 0.05
    """Relative change that it reaches to be no source for other frames."""
    tint: float = 0.1
    """Most that a colour channel's change may differ from the mean: other objects have colours."""
    doubters: float = 10.0
    """Percentage of the compared frames that need not see a halo."""
    more_doubters: float = 30.0
    """The same where nothing is removed, and a halo is only no source."""
    left: float = 0.4
    """Fraction of the squared error that may be left when a halo is taken off."""
    detail: float = 3.0
    """Sigma in pixels of a small picture beyond which texture is not compared."""
    textured: float = 12.0
    """Variance of the background's texture, in levels², from which it must be seen in a halo."""
    through: float = 0.35
    """Contrast, as a fraction of the background's, in which its texture must be seen there."""
    near: float = 0.5
    """Fraction of the reach by which parts of a mask are widened: they are one if they touch."""
    witnesses: int = 5
    """Compared frames that must have seen a place beside the object, and which fraction of all."""
    often: float = 0.5
    ends: bool = True
    """Whether a halo must end within what is predicted: else it may be another mover."""
    close: float = 0.4
    """Fraction of the reach at which is looked first, and where a halo need not end."""
    area: int = 40
    """Pixels of a small picture that a halo covers at the least, to be removed with the mover."""
    least_area: int = 8
    """Pixels that it covers at the least to be no source."""
    grow: float = 1.0
    """Pixels of a small picture by which a halo is widened: its end is below what is measured."""


_TUNING = HaloTuning()
_STILL = 0.8
"""Fraction of the frames from which a pixel that is masked belongs to an object at rest."""
_DARK = 8.0
"""Levels added to both sides of a ratio, so that black does not count."""


class _Look(NamedTuple):
    """The small picture of one frame against its prediction, around the hole.

    `change` (h, w, 3): relative, in brightness; `errors` (h, w, 2): squared, before and after the
    prediction is changed so; `detail` (h, w, 2): texture of the prediction times that of the frame,
    and times itself; `known` (h, w): where both are known.
    """

    change: Field
    errors: Field
    detail: Field
    known: Mask


@dataclass(frozen=True)
class Halos:
    """What surrounds the object in some frames, by their number: holes to add to their own.

    `certain`: to be removed with the object; `doubted`: these and fainter ones, which may show
    something else; neither is background.
    """

    certain: dict[int, Entry]
    doubted: dict[int, Entry]


def find_halos(
    held: Sequence[Entry],
    unfinished: range,
    feather: int,
    threads: int = 1,
    tuning: HaloTuning = _TUNING,
) -> Halos:
    """Soft shadows and glow beside the object in the `unfinished` ones among `held`.

    With a rim of `feather` pixels.
    """
    # From the user's mask as it came: a grown one hides what is darkest.
    held = [replace(one, mask=one.given, touched=one.given) for one in held]
    first = max(0, unfinished.start - tuning.around)
    every = max(1, min(tuning.every, (len(held) - first) // (2 * tuning.witnesses)))
    sample = Sample.choose(held, range(first, len(held), every), tuning.pixels)
    if sample is None or len(sample.times) <= tuning.witnesses:
        return Halos({}, {})
    holes = [sample.find_hole(held[t]) for t in sample.times]
    masks = leave_out_still(holes, _STILL)
    reach = _choose_reach(masks, tuning)
    if reach is None:
        return Halos({}, {})
    found = find_movers(held, sample, holes, masks, round(tuning.near * reach))
    # Else nothing tells its halo from the ground.
    movers = [mover for mover in found if mover.moves(reach / 2)]
    if not movers:
        return Halos({}, {})
    views = [sample.inset.look_at(held[t]) for t in sample.times]
    fields = zip(*(mover.distance for mover in movers), strict=True)
    distance = [np.min(field, axis=0) for field in fields]
    pictures = _Small(views, holes, distance)

    def judge(reach: float, tuning: HaloTuning) -> list[dict[int, Mask]]:
        looks = _compare(pictures, reach, threads, tuning)
        return [_judge(looks, mover, reach, tuning) if looks else {} for mover in movers]

    less = replace(
        tuning,
        strong=tuning.doubted,
        doubters=tuning.more_doubters,
        area=tuning.least_area,
        ends=False,
    )
    # What is close to the object is seen more often, and is compared first.
    doubted = judge(tuning.close * reach, less)
    if not any(halo.any() for some in doubted for halo in some.values()):
        return Halos({}, {})
    grow = round(tuning.grow * sample.scale)
    certain, all_ = (
        _draw_all(held, unfinished, sample, zip(movers, some, strict=True), grow, feather)
        for some in (judge(reach, tuning), doubted)
    )
    for at, entry in certain.items():
        all_[at] = add_hole(all_.get(at, Entry(entry.frame)), entry)
    return Halos(certain, all_)


def _draw_all(
    held: Sequence[Entry],
    unfinished: range,
    sample: Sample,
    halos: Iterable[tuple[Mover, Mapping[int, Mask]]],
    grow: int,
    feather: int,
) -> dict[int, Entry]:
    """The small halos of each mover as holes of the `unfinished` frames that show it."""
    found: dict[int, Entry] = {}
    for mover, some in halos:
        for at, halo in some.items():
            t = sample.times[at]
            if not halo.any():
                continue
            drawn = sample.inset.enlarge(halo, held[t].frame.shape[:2])
            for other in range(t, min(t + sample.times.step, len(held))):
                if other in unfinished and other in mover.middle:
                    moved = _translate(drawn, mover.middle[t], mover.middle[other], False)
                    entry = Entry.of(held[other].frame, moved, grow, feather)
                    found[other] = add_hole(found.get(other, Entry(entry.frame)), entry)
    return found


class _Small(NamedTuple):
    """Small pictures of the compared frames, uint8 (h, w, 3).

    `holes` (h, w): all that is masked; `distance` (h, w): to the moving objects among it.
    """

    views: Sequence[Frame]
    holes: Sequence[Mask]
    distance: Sequence[Field]


def _choose_reach(masks: Sequence[Mask], tuning: HaloTuning) -> float | None:
    """Distance in pixels up to which a halo is sought; None without room for one."""
    shown = [mask for mask in masks if mask.any()]
    if not shown or any(mask.mean() > 0.5 for mask in shown):
        return None
    radius = float(np.median([_measure_radius(mask) for mask in shown]))
    return float(np.clip(radius * tuning.reach + 3, tuning.least_reach, tuning.most_reach))


def _measure_radius(mask: Mask) -> float:
    """Radius of a disc as large as the connected parts of `mask` are in the mean."""
    parts = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)[0] - 1
    return float(np.sqrt(np.count_nonzero(mask) / max(parts, 1) / np.pi))


def _compare(small: _Small, reach: float, threads: int, tuning: HaloTuning) -> list[_Look]:
    """What surrounds the hole of each picture, against its prediction; empty without any."""
    # The surroundings are a hole as well, so that no shadow is a source.
    pairs = zip(small.holes, small.distance, strict=True)
    wide = [hole | (far <= tuning.band * reach) for hole, far in pairs]
    if any(mask.all() for mask in wide):
        return []
    result = propagate(small.views, wide, settle=False, threads=threads)
    looks = []
    for frame, masked, hole, pixels, guessed in zip(
        small.views, small.holes, wide, result.pixels, result.guessed, strict=True
    ):
        predicted, trust = np.zeros(frame.shape, np.float32), np.zeros(hole.shape, np.float32)
        predicted[hole], trust[hole] = pixels, guessed < tuning.unsure
        trust[masked] = 0
        shown = frame.astype(np.float32)
        sums = [
            _blur((picture + np.float32(_DARK)) * trust[..., None], tuning.blur)
            for picture in (shown, predicted)
        ]
        known = _blur(trust, tuning.blur) > 0.15
        change = np.ones(frame.shape, np.float32)
        np.divide(sums[0], sums[1], out=change, where=known[..., None] & (sums[1] > 0))
        plain, explained = (
            np.square(shown - by * (predicted + _DARK) + _DARK).mean(axis=2)
            for by in (np.float32(1), change)
        )
        errors = np.stack([plain, explained], axis=2).astype(np.float32)
        fine = [_take_detail(picture, trust, tuning.detail) for picture in (predicted, shown)]
        detail = np.stack([(fine[0] * one).mean(axis=2) for one in fine[::-1]], axis=2)
        looks.append(_Look(change - 1, errors, detail, known & hole & ~masked))
    return looks


def _take_detail(picture: Field, trust: Field, sigma: float) -> Field:
    """What is left of `picture` (h, w, 3) without its local mean; 0 where `trust` (h, w) is."""
    mass = np.maximum(_blur(trust, sigma), np.float32(1e-3))[..., None]
    return np.asarray(
        (picture - _blur(picture * trust[..., None], sigma) / mass) * trust[..., None]
    )


def _judge(
    looks: Sequence[_Look], mover: Mover, reach: float, tuning: HaloTuning
) -> dict[int, Mask]:
    """The halo (h, w) beside the `mover` in each small picture that has one.

    What nearly all frames agree on decides whether there is one at all: what is wrongly predicted
    stays in the scene, and a halo goes with the mover. How far it reaches is then found for each
    frame from its neighbours in time.
    """
    distance = mover.distance
    shown = [at for at, mask in enumerate(mover.masks) if mask.any()]
    if len(shown) < tuning.witnesses:
        return {}
    places = {at: find_middle(mover.masks[at]) for at in shown}
    middle = shown[len(shown) // 2]
    moved = [_shift(looks[at], places[at], places[middle]) for at in shown]
    beside = (distance[middle] > 0) & (distance[middle] <= tuning.band * reach)
    least = round(max(tuning.witnesses, tuning.often * len(shown)))
    sums = np.nansum([planes[..., 3:] for planes in moved], axis=0)
    found: dict[int, Mask] = {}
    for sign in (-1, 1):
        changes = [sign * planes[..., :3] for planes in moved]
        change = _take_percentile(changes, tuning.doubters, least)
        whole = _keep_halos(change, sums, beside, distance[middle], reach, tuning)
        if np.count_nonzero(whole) < tuning.area:
            continue
        near_whole = measure_distance(whole) <= reach / 2
        for at in shown:
            near = [k for k in shown if abs(k - at) <= tuning.around // tuning.every]
            near_by = [sign * _shift(looks[k], places[k], places[at])[..., :3] for k in near]
            own = _take_percentile(near_by, 50, 1).mean(axis=2) > tuning.weak
            own &= (distance[at] > 0) & _translate(near_whole, places[middle], places[at], False)
            found[at] = found.get(at, np.zeros_like(whole)) | own
    return found


def _shift(look: _Look, here: Point, there: Point) -> Field:
    """Changes, errors, detail and ones (h, w, 8) of `look`, moved; NaN where unknown."""
    ones = np.ones((*look.known.shape, 1), np.float32)
    planes = np.concatenate([look.change, look.errors, look.detail, ones], axis=2)
    planes[~look.known] = np.nan
    return _translate(planes, here, there, np.nan)


def _translate(planes: npt.NDArray[T], here: Point, there: Point, blank: float) -> npt.NDArray[T]:
    """`planes` (h, w, …) moved in whole pixels from point `here` to `there`, else `blank`."""
    dx, dy = (round(to - fro) for fro, to in zip(here, there, strict=True))
    height, width = planes.shape[:2]
    to = slice(max(0, dy), height + min(0, dy)), slice(max(0, dx), width + min(0, dx))
    fro = slice(max(0, -dy), height - max(0, dy)), slice(max(0, -dx), width - max(0, dx))
    moved = np.full_like(planes, blank)
    moved[to] = planes[fro]
    return moved


def _take_percentile(changes: Sequence[Field], percent: float, least: int) -> Field:
    """The `percent`th percentile (h, w, 3) of the known ones among `changes`, each (h, w, 3).

    NaN where fewer than `least` of them are known.
    """
    ordered = np.sort(np.stack(changes), axis=0)  # NaN comes last
    count = np.isfinite(ordered[..., 0]).sum(axis=0)
    at = np.minimum(percent / 100 * count, np.maximum(count - 1, 0)).astype(np.int64)
    taken = np.take_along_axis(ordered, at[None, ..., None], axis=0)[0]
    taken[count < least] = np.nan
    return np.asarray(taken, np.float32)


def _keep_halos(
    change: Field, sums: Field, beside: Mask, distance: Field, reach: float, tuning: HaloTuning
) -> Mask:
    """Those connected parts in which the `change` (h, w, 3) is a halo's.

    They begin at the object, are strong somewhere, end in sight, have no colour of their own,
    explain most of the error that they cause, and show the background's texture: an opaque object
    replaces what is behind it. `sums` (h, w, 5): errors, detail and number of frames.
    """
    level = change.mean(axis=2)
    far = beside & (distance > reach) & np.isfinite(level)
    noise = float(np.percentile(np.maximum(level[far], 0), 90)) if far.any() else 0.0
    weak = beside & (level > tuning.weak + noise)
    strong = level > tuning.strong + 3 * noise
    tint = np.abs(change - level[..., None]).max(axis=2)
    count, labels = cv2.connectedComponents(weak.view(np.uint8), connectivity=4)
    kept = np.zeros(count, np.bool_)
    for label in range(1, count):
        part = labels == label
        begins = distance[part].min() <= max(3.0, 0.4 * reach)
        ends = not (part & (distance > (1 + tuning.band) / 2 * reach)).any()
        peak = np.count_nonzero(part & strong) >= tuning.least_area / 2
        plain = np.mean(tint[part] <= tuning.tint * 0.5 + 0.3 * level[part]) > 0.7
        before, after, shown, there, count_seen = sums[part].sum(axis=0)
        large = np.count_nonzero(part) >= tuning.area
        explained = after < tuning.left * before
        smooth = there < tuning.textured * count_seen
        through = smooth or shown > tuning.through * there
        ends |= not tuning.ends
        kept[label] = begins and ends and peak and plain and large and explained and through
    return np.asarray(kept[labels])


def _blur(picture: Field, sigma: float) -> Field:
    blurred = cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(blurred, np.float32)
