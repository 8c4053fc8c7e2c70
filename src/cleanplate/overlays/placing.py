"""Find a learned overlay in other pictures: its place and scale, and whether it is the same one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import InputError
from cleanplate.motion.areas import pull_push
from cleanplate.overlays.colours import to_planes
from cleanplate.overlays.profile import Profile
from cleanplate.types import Box, Size

Pixels = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PlacingTuning:
    """Constants of the search."""

    coarse: float = 0.02
    """Relative step of scales that are tried."""
    margin: float = 0.1
    """Relative range of scales beyond those that the sizes of the pictures suggest."""
    texture: float = 0.25
    """Standard deviation of what is subtracted as background, as a fraction of the overlay's
    shorter side."""
    gained: float = 0.003
    """Correlation that a place or scale of its own must gain over the learned one."""
    alike: float = 0.75
    """Least correlation of what the overlay should change with what is seen."""
    weak: float = 0.86
    """Least strength of the overlay, as a fraction of the learned one."""
    strong: float = 1.18
    """Largest strength."""


_TUNING = PlacingTuning()


@dataclass(frozen=True)
class Placement:
    """Where an overlay was found.

    Attributes:
        profile: moved and scaled to its place in the pictures.
        scale: its size as a fraction of the learned one.
        alike: correlation of the expected change of the picture with the one seen, up to 1.
        strength: the latter as a fraction of the former.
    """

    profile: Profile
    scale: float
    alike: float
    strength: float

    @property
    def fits(self) -> bool:
        """Whether this is the overlay that was learned."""
        is_strong = _TUNING.weak <= self.strength <= _TUNING.strong
        return is_strong and self.alike >= _TUNING.alike


@dataclass(frozen=True)
class _Pose:
    """Top left corner of the overlay in the picture, and scale."""

    x: float
    y: float
    scale: float


def place(profile: Profile, pictures: Iterable[Pixels], size: Size) -> Placement:
    """Find an overlay in pictures, uint8 RGB (h, w, 3), spread over a video.

    Raises InputError without pictures, or if they are not of `size`.
    """
    total, count = np.zeros(size.shape, np.float64), 0
    for picture in pictures:
        if picture.shape[:2] != size.shape:
            raise InputError(f"pictures must be of {size}, not {picture.shape[1::-1]}")
        total += to_planes(picture)[..., 0]
        count += 1
    if not count:
        raise InputError("no picture to find the overlay in")
    mean = np.asarray(total / count, np.float32)
    home = _Pose(profile.box.x, profile.box.y, 1.0)
    best = max(
        (_refine(profile, mean, pose) for pose in _guess(profile, mean)),
        key=lambda found: found[1],
    )
    if profile.size == size:
        own = _correlate(profile, mean, home)[0]
        if own > best[1] - _TUNING.gained:
            best = (home, own)
    pose = best[0]
    alike, strength = _correlate(profile, mean, pose)
    return Placement(_move(profile, pose, size), pose.scale, alike, strength)


def _guess(profile: Profile, mean: Plane) -> list[_Pose]:
    """The best place for each of a few scales, the likeliest three."""
    height, width = mean.shape
    ratios = [width / profile.size.width, height / profile.size.height]
    low, high = min(ratios) * (1 - _TUNING.margin), max(ratios) * (1 + _TUNING.margin)
    steps = max(1, round(np.log(high / low) / _TUNING.coarse))
    scales = {*np.geomspace(low, high, steps + 1).tolist(), *ratios}
    level = float(np.median(mean))
    found = []
    for scale in sorted(scales):
        pattern = _draw_pattern(profile, scale, level)
        if pattern.shape[0] > height or pattern.shape[1] > width or min(pattern.shape) < 4:
            continue
        blur = _choose_blur(pattern.shape)
        score = cv2.matchTemplate(
            _sharpen(mean, blur), _sharpen(pattern, blur), cv2.TM_CCOEFF_NORMED
        )
        score = np.nan_to_num(score)
        _, alike, _, (x, y) = cv2.minMaxLoc(score)
        found.append((alike, _Pose(x, y, scale)))
    found.sort(key=lambda one: one[0], reverse=True)
    home = _Pose(profile.box.x * ratios[0], profile.box.y * ratios[1], min(ratios))
    return [pose for _, pose in found[:3]] + [home]


def _draw_pattern(profile: Profile, scale: float, level: float) -> Plane:
    """What the overlay adds to a plain background of `level`."""
    box = profile.box
    shape = (max(1, round(box.width * scale)), max(1, round(box.height * scale)))
    change = np.where(profile.is_known, profile.added[0] + (profile.keep[0] - 1) * level, 0)
    pattern = cv2.resize(np.asarray(change, np.float32), shape, interpolation=cv2.INTER_AREA)
    return np.asarray(pattern, np.float32)


def _refine(profile: Profile, mean: Plane, pose: _Pose) -> tuple[_Pose, float]:
    """Climb to the best sub-pixel place and scale; also returns the correlation there."""
    best = _correlate(profile, mean, pose)[0]
    length = max(profile.box.width, profile.box.height, 1)
    step = 1.0
    while step > 0.05:
        moves = [
            *((dx * step, dy * step, 0.0) for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1))),
            *((-k * step / 2, -k * step / 4, k * step / length) for k in (1, -1)),
            *((0.0, 0.0, k * step / length) for k in (1, -1)),
        ]
        tried = [_Pose(pose.x + x, pose.y + y, pose.scale * (1 + s)) for x, y, s in moves]
        scores = [_correlate(profile, mean, one)[0] for one in tried]
        at = int(np.argmax(scores))
        if scores[at] > best:
            best, pose = scores[at], tried[at]
        else:
            step /= 2
    return pose, best


def _correlate(profile: Profile, mean: Plane, pose: _Pose) -> tuple[float, float]:
    """Correlation of the expected with the seen change of the mean picture, and their ratio."""
    size = Size(mean.shape[1], mean.shape[0])
    moved = _move(profile, pose, size)
    part = mean[moved.box.slices]
    if part.size < 16:
        return -1.0, 0.0
    counted = moved.is_known
    covered = moved.opacity > 0.02
    weight = np.asarray(~covered & counted, np.float32)
    if not covered.any() or not weight.any():
        return -1.0, 0.0
    behind = pull_push(part[..., None], weight)[..., 0]
    blur = _choose_blur(part.shape)
    expected = _sharpen(moved.added[0] + (moved.keep[0] - 1) * behind, blur)[counted]
    seen = _sharpen(part - behind, blur)[counted]
    product, square = float(np.mean(expected * seen)), float(np.mean(expected**2))
    own = float(np.mean(seen**2))
    if square < 0.25 or own < 1e-6:
        return -1.0, 0.0
    return product / float(np.sqrt(square * own)), product / square


def _move(profile: Profile, pose: _Pose, size: Size) -> Profile:
    """Move and scale a profile; the parts outside of the picture are cut off."""
    if pose == _Pose(profile.box.x, profile.box.y, 1.0) and profile.size == size:
        return profile
    wide, high = profile.box.width * pose.scale, profile.box.height * pose.scale
    left, top = int(np.floor(pose.x)) - 1, int(np.floor(pose.y)) - 1
    whole = Box(left, top, int(np.ceil(wide)) + 4, int(np.ceil(high)) + 4)
    box = whole.clipped(size)
    if box is None:
        return replace(profile, box=Box(0, 0, 0, 0), size=size)
    # Pixel centres: (u + 0.5) scale + place = x + 0.5.
    half = 0.5 * pose.scale - 0.5
    move = np.array(
        [
            [pose.scale, 0, pose.x - box.x + half],
            [0, pose.scale, pose.y - box.y + half],
        ]
    )
    return profile.warp(move, box, size, exact=False)


def _choose_blur(shape: tuple[int, ...]) -> float:
    return max(1.5, _TUNING.texture * min(shape[:2]))


def _sharpen(plane: Plane, blur: float) -> Plane:
    """Subtract the local mean."""
    plane = np.asarray(plane, np.float32)
    smooth = cv2.GaussianBlur(plane, (0, 0), blur, borderType=cv2.BORDER_REFLECT)
    return np.asarray(plane - smooth, np.float32)
