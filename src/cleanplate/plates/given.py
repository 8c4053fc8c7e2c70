"""Pictures that a user gave: edited plates and frames painted clean, aligned with other frames.

A given picture shows the scene as one frame of a shot, its reference frame, does. Every other frame
of the shot is registered with it, and what was painted is moved along, with the light of that
frame. It has precedence over all that was found or made up, but only inside holes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.motion.areas import bound, pull_push, spread_statistics, widen
from cleanplate.motion.flow import square_length
from cleanplate.motion.trace import look_up
from cleanplate.plates.registration import (
    Registration,
    SmallPicture,
    reduce_points,
    register,
)
from cleanplate.types import Box

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Field = npt.NDArray[np.float32]


@dataclass(frozen=True)
class GivenTuning:
    """Constants of given pictures."""

    noise: int = 3
    """Largest difference in levels between an exported and an edited pixel that is no edit."""
    painted: float = 6.0
    """Mean difference in levels over 5x5 pixels from which a clean frame was painted."""
    rim: float = 1.5
    """Standard deviation in pixels of the soft rim around an edit."""
    margin: int = 8
    """Pixels around an edit that are kept with it, for its rim and for interpolation."""
    border: float = 0.02
    """Width of the border over which a picture fades out in other frames, as a fraction of its
    longer side: there it ends in the middle of a hole."""
    replaced: float = 0.9
    """Fraction of edited pixels from which a plate may be another picture altogether."""
    unlike: float = 25.0
    """Median difference in levels, outside of light, from which it is."""
    mismatch: float = 200.0
    """Squared difference up to which a surrounding pixel shows the same surface as the picture."""
    variety: float = 0.5
    """Added to that, times the variance of the surroundings."""
    fails: float = 0.25
    """Fraction of surrounding pixels that must match before a picture is used at all."""
    fits: float = 0.55
    """Fraction of surrounding pixels that must match before it has full weight."""
    own: float = 1e6
    """Weight of a picture in its reference frame; in others it is at most 1."""


_TUNING = GivenTuning()


@dataclass(frozen=True)
class GivenPlate:
    """A picture given for a shot.

    Attributes:
        frame: number of its reference frame.
        shot: frames that it is used in; None: those of the shot that holds `frame`.
        small: the scene at reduced size, as other frames are registered with it.
        box: the part that counts.
        colours: uint8 (h, w, 3) of that part.
        weight: uint8 (h, w) of that part, 255 where the picture counts fully.
    """

    frame: int
    shot: range | None
    small: SmallPicture
    box: Box
    colours: Frame
    weight: Frame

    @classmethod
    def clean(cls, frame: int, source: Frame, picture: Frame) -> GivenPlate:
        """A frame that was painted clean, and as the `source` has it, both uint8 (h, w, 3).

        In its own frame all of it counts, in others what was painted: other people in it may have
        moved on.
        """
        height, width = picture.shape[:2]
        small = SmallPicture.of(picture, np.zeros((height, width), np.bool_))
        apart = cv2.blur(cv2.absdiff(source, picture).max(axis=2).astype(np.float32), (5, 5))
        # The mean over some pixels separates paint from the noise of a JPEG file.
        weight = _soften(np.asarray(apart > _TUNING.painted))
        return cls(frame, None, small, Box(0, 0, width, height), picture, weight)

    @classmethod
    def edited(cls, frame: int, exported: Frame, picture: Frame, shot: range) -> GivenPlate | None:
        """An exported plate that was edited since: what differs counts. None: nothing does."""
        changed = find_edit(exported, picture)
        box = bound(changed)
        if box is None:
            return None
        box = widen(box, _TUNING.margin, changed.shape)
        weight = _soften(changed[box.slices])
        # The exported picture is the scene; what is painted over it is in no other frame.
        small = SmallPicture.of(exported, np.zeros(changed.shape, np.bool_))
        return cls(frame, shot, small, box, picture[box.slices].copy(), weight)

    def renumber(self, first: int) -> GivenPlate:
        """Count frames from `first`."""
        shot = self.shot
        moved = None if shot is None else range(shot.start - first, shot.stop - first)
        return replace(self, frame=self.frame - first, shot=moved)

    def is_used_in(self, number: int, shot: range | None) -> bool:
        """Whether it counts in a frame of this `shot` (None: not known, so any)."""
        if self.shot is not None:
            return number in self.shot
        return shot is None or self.frame in shot

    def show(self, x: Field, y: Field) -> tuple[Field, Field]:
        """Colours (k, 3) and weights (k) in [0, 1] at points (k) of the reference frame."""
        height, width = self.small.shape
        inside = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
        box = self.box
        inside &= (x > box.x - 1) & (x < box.x + box.width)
        inside &= (y > box.y - 1) & (y < box.y + box.height)
        weight = np.zeros(len(x), np.float32)
        colours = np.zeros((len(x), 3), np.float32)
        at = x[inside] - np.float32(box.x), y[inside] - np.float32(box.y)
        weight[inside] = look_up(self.weight, *at).astype(np.float32) / np.float32(255)
        colours[inside] = look_up(self.colours, *at, cv2.INTER_CUBIC)
        return colours, weight


def _soften(changed: Mask) -> Frame:
    """Weight (h, w), 255 where a picture was `changed` (h, w), with a soft rim around."""
    wide = cv2.dilate(changed.view(np.uint8), np.ones((3, 3), np.uint8))
    soft = cv2.GaussianBlur(wide * np.uint8(255), (0, 0), _TUNING.rim)
    return np.where(changed, np.uint8(255), soft)


def find_edit(exported: Frame, picture: Frame) -> Mask:
    """The pixels (h, w) in which two pictures (h, w, 3) differ visibly."""
    return np.asarray(cv2.absdiff(exported, picture).max(axis=2) > _TUNING.noise)


def is_another_picture(exported: Frame, picture: Frame) -> bool:
    """Whether `picture` is no edit of `exported`, both (h, w, 3), but shows something else."""
    few = np.s_[::4, ::4]
    if find_edit(exported[few], picture[few]).mean() < _TUNING.replaced:
        return False
    apart = picture[few].astype(np.float32) - exported[few]
    light = np.median(apart, axis=(0, 1))
    return float(np.median(np.abs(apart - light).mean(axis=2))) > _TUNING.unlike


@dataclass(frozen=True)
class GivenPlates:
    """The pictures given for a video, in any order."""

    plates: Sequence[GivenPlate]

    def renumber(self, first: int) -> GivenPlates:
        """Count frames from `first`; pictures of earlier frames get negative numbers."""
        return GivenPlates([plate.renumber(first) for plate in self.plates])

    def choose(self, number: int, shot: range | None) -> list[GivenPlate]:
        """List the pictures that count in a frame."""
        return [plate for plate in self.plates if plate.is_used_in(number, shot)]

    def paint(
        self, number: int, shot: range | None, frame: Frame, hole: Mask, pixels: Frame
    ) -> tuple[Frame, Field]:
        """Put what was given over what was filled.

        Args:
            number: of the frame.
            shot: frames of its shot, None if not known.
            frame: uint8 (h, w, 3).
            hole: bool (h, w).
            pixels: uint8 (k, 3), the hole's fill in the order of `np.nonzero`.

        Returns:
            New pixels, and the share (k) in [0, 1] of what was given in each.
        """
        y, x = (axis.astype(np.float32) for axis in np.nonzero(hole))
        painted = np.zeros(len(x), np.float32)
        total = np.zeros(len(x), np.float32)
        mean = np.zeros((len(x), 3), np.float32)
        small = SmallPicture.of(frame, hole)
        for plate in self.choose(number, shot):
            colours, weight = _align(plate, number, small, x, y)
            if not weight.any():
                continue
            near = _TUNING.own if plate.frame == number else (1 + abs(plate.frame - number)) ** -2
            share = np.float32(near) * weight
            total += share
            mean += share[:, None] * colours
            painted = np.maximum(painted, weight)
        if not painted.any():
            return pixels, painted
        mean /= np.maximum(total, np.float32(1e-20))[:, None]
        mixed = pixels + painted[:, None] * (mean - pixels)
        return np.rint(mixed).clip(0, 255).astype(np.uint8), painted


def _align(
    plate: GivenPlate, number: int, small: SmallPicture, x: Field, y: Field
) -> tuple[Field, Field]:
    """Colours (k, 3) and weights (k) of a given picture at points (k) of a frame."""
    if plate.frame == number:
        colours, weight = plate.show(x, y)
        # Of a frame that was painted clean, all counts in its own hole.
        return colours, np.ones_like(weight) if plate.shot is None else weight
    nothing = np.zeros((len(x), 3), np.float32), np.zeros(len(x), np.float32)
    way = register(small, plate.small, measure=True)
    if way is None:
        return nothing
    to_x, to_y = way.locate(x, y)
    colours, weight = plate.show(to_x, to_y)
    if not weight.any():
        return nothing
    weight *= _fade_at_border(to_x, to_y, plate.small.shape)
    light, _ = way.measure(x, y)
    fit = look_up(_judge(small, plate.small, way), *reduce_points(x, y, small.shape, small.size))
    return colours + light, weight * np.asarray(fit, np.float32)


def _fade_at_border(x: Field, y: Field, shape: tuple[int, int]) -> Field:
    """Weight (k) in [0, 1] of points of a picture (h, w): it grows from 0 at its border."""
    height, width = shape
    depth = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y))
    return (depth / np.float32(max(1.0, _TUNING.border * max(shape)))).clip(0, 1)


def _judge(small: SmallPicture, plate: SmallPicture, way: Registration) -> Field:
    """How well a picture fits a frame (h', w') in [0, 1], carried from around its hole into it.

    0 where most of the surroundings show something else, such as a person in front of the scene.
    """
    assert way.light is not None
    seen = cv2.remap(plate.colours, way.x, way.y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    height, width = plate.size
    inside = (way.x >= 0) & (way.y >= 0) & (way.x <= width - 1) & (way.y <= height - 1)
    known = (small.known & inside).astype(np.float32)
    own = small.colours.astype(np.float32)
    variance = spread_statistics(own, known)[..., 3]
    allowed = np.float32(_TUNING.mismatch) + np.float32(_TUNING.variety) * np.maximum(variance, 0)
    fits = square_length(own - seen - way.light) / 3 < allowed
    match = pull_push(fits.astype(np.float32)[..., None], known)[..., 0]
    match = (match - np.float32(_TUNING.fails)) / np.float32(_TUNING.fits - _TUNING.fails)
    return np.asarray(match.clip(0, 1), np.float32)
