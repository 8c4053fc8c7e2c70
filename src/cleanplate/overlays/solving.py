"""Solve what shines through an overlay, and mix it with the fill by expected error."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.overlays.colours import to_planes, to_rgb
from cleanplate.overlays.profile import Profile
from cleanplate.types import Box

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Plane = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SolvingTuning:
    """Constants of solving; colours in levels of 255."""

    reach: float = 3.0
    """Standard deviation in pixels of the neighbourhood that the fill's error is measured in."""
    rounding: float = 0.4
    """Standard deviation of rounding alone."""
    noisy: float = 3.5
    """Largest standard deviation of coding noise that is assumed."""
    faint: float = 1.15
    """Amplification up to which a pixel says how far off the fill is."""
    fewest: int = 16
    """Pixels that noise is measured on, at least."""
    absent: float = 0.5
    """Strength of the overlay in a frame, as a fraction of the learned one, that is too low."""
    excessive: float = 1.5
    """The same that is too high."""
    contrast: float = 8.0
    """Change by the overlay from which its strength in a frame is measured."""


_TUNING = SolvingTuning()


class Solver:
    """Recovers the picture behind an overlay whose place is known.

    Args:
        profile: of the overlay, in pictures of the size that is solved.
        noise: standard deviation of coding noise, if the coding says it.
    """

    def __init__(self, profile: Profile, noise: float | None = None) -> None:
        self.profile = profile
        self._noise = noise
        self._parts: dict[Box, Profile] = {}

    def solve(self, box: Box, shown: Pixels, fill: Pixels, hole: Mask) -> tuple[Pixels, Plane]:
        """Recover what is behind the overlay in one frame.

        Args:
            box: the part of the picture that the arrays show.
            shown: uint8 RGB (h, w, 3), as the video has it.
            fill: the same, filled in.
            hole: (h, w), the pixels that matter.

        Returns:
            The mix of what was solved and of the fill, and the share (h, w) of the former. Frames
            that do not show the overlay are left to the fill.
        """
        profile = self._cut(box)
        seen, filled = to_planes(shown), to_planes(fill)
        usable = hole & profile.is_solvable
        if not usable.any() or not _shows(profile, seen[..., 0], filled[..., 0], usable):
            return fill, np.zeros(hole.shape, np.float32)
        gain = np.asarray(1 / np.maximum(profile.keep, np.float32(0.05)), np.float32)
        rest = seen - profile.added.transpose(1, 2, 0)
        solved = np.asarray(rest * gain[[0, 1, 1]].transpose(1, 2, 0), np.float32)
        distance = (solved[..., 0] - filled[..., 0]) ** 2
        amplified = gain[0] ** 2
        away = (seen[..., 0] - profile.pivot) ** 2
        learned = profile.offset_error + profile.slope_error * amplified * away
        noise = self._noise
        if noise is None:
            noise = _measure_noise(solved[..., 0], filled[..., 0], learned, amplified, usable)
        solved_error = learned + amplified * np.float32(noise**2)
        fill_error = np.maximum(_mean_nearby(distance - solved_error, usable), 0)
        share = np.where(usable, fill_error / (fill_error + solved_error), np.float32(0))
        apart = np.asarray(share[..., None] * (solved - filled), np.float32)
        if not np.array_equal(profile.keep[0], profile.keep[1]):
            # Colour is held at half the size: what differs in single pixels is noise.
            for plane in (1, 2):
                apart[..., plane] = cv2.medianBlur(np.ascontiguousarray(apart[..., plane]), 3)
        mixed = to_rgb(filled + apart)
        return np.where(share[..., None] > 0, mixed, fill), np.asarray(share, np.float32)

    def _cut(self, box: Box) -> Profile:
        """The part of the profile in `box`; boxes recur from frame to frame."""
        part = self._parts.get(box)
        if part is None:
            part = self.profile.cut(box)
            self._parts = {box: part}
        return part


def _shows(profile: Profile, seen: Plane, filled: Plane, usable: Mask) -> bool:
    """Whether a frame shows the overlay about as strongly as it was learned."""
    change = (profile.added[0] + (profile.keep[0] - 1) * filled)[usable]
    found = (seen - filled)[usable]
    strength = float(np.mean(change**2))
    if strength < _TUNING.contrast**2:
        return True
    ratio = float(np.mean(change * found)) / strength
    return _TUNING.absent < ratio < _TUNING.excessive


def _measure_noise(
    solved: Plane, filled: Plane, learned: Plane, amplified: Plane, usable: Mask
) -> float:
    """Standard deviation of coding noise.

    What is amplified differs more from the fill, and has more detail; the former is too much where
    the fill is worse further inside, the latter too little where the fill is noisy, too.
    """
    faint = usable & (amplified <= _TUNING.faint)
    strong = usable & ~faint
    most = _TUNING.noisy**2
    if strong.sum() < _TUNING.fewest:
        return 1.0
    detail = [(one - cv2.blur(one, (3, 3)))[strong] for one in (solved, filled)]
    more = float(np.mean(detail[0] ** 2) - np.mean(detail[1] ** 2))
    found = [more / float(np.mean(amplified[strong]))]
    if faint.sum() >= _TUNING.fewest:
        apart = (solved - filled) ** 2 - learned
        more = float(np.mean(apart[strong]) - np.mean(apart[faint]))
        found.append(more / float(np.mean(amplified[strong]) - np.mean(amplified[faint])))
    return float(np.sqrt(np.clip(np.mean(found), _TUNING.rounding**2, most)))


def _mean_nearby(values: Plane, mask: Mask) -> Plane:
    """Local mean (h, w) of `values` over the `mask`."""
    weight = mask.astype(np.float32)
    both = cv2.GaussianBlur(np.dstack([values * weight, weight]), (0, 0), _TUNING.reach)
    return np.asarray(both[..., 0] / np.maximum(both[..., 1], 1e-6), np.float32)
