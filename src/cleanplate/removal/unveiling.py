"""Recover what shines through an overlay: open its profile, find it, solve it in filled frames."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cleanplate.errors import InputError
from cleanplate.masks import MaskSource, Union
from cleanplate.masks.source import spread
from cleanplate.motion.propagation import spread_over
from cleanplate.options import RemoveOptions
from cleanplate.overlays import Placement, Profile, Solver, place, read_profile
from cleanplate.plates import Codes, Provenance
from cleanplate.removal.filling import Fill
from cleanplate.removal.regions import Entry
from cleanplate.types import Size
from cleanplate.video import VideoInfo
from cleanplate.video.images import read_image
from cleanplate.video.quantiser import estimate_coding_noise
from cleanplate.video.reader import sample_pictures

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

_SAMPLES = 32
"""Pictures that an overlay is searched in, at most."""
_SOLVED = 0.5
"""Share of what was solved from which a pixel counts as solved."""


class Unveiling(Protocol):
    """What an engine calls with frames that it filled."""

    def unveil(
        self, first: int, entries: Sequence[Entry], fills: Sequence[Fill], codes: Sequence[Codes]
    ) -> None:
        """Improve the `fills` of consecutive `entries`' boxes in place, and their origins.

        `first` is the number of the first frame.
        """


class SolvedOverlay:
    """An overlay at its place in a video.

    Args:
        placement: where it was found.
        noise: standard deviation of coding noise; None: not known.
        threads: that work at the same time.
        digest: identifies the profile's file.
    """

    def __init__(
        self, placement: Placement, noise: float | None, threads: int | None, digest: str
    ) -> None:
        self.placement = placement
        self._solver = Solver(placement.profile, noise)
        self._noise, self._threads, self._digest = noise, threads or 1, digest

    def unveil(
        self, first: int, entries: Sequence[Entry], fills: Sequence[Fill], codes: Sequence[Codes]
    ) -> None:
        """Solve the overlay in filled frames; see `Unveiling`."""

        def solve(k: int) -> None:
            box, touched = entries[k].box, entries[k].touched
            if box is None or touched is None:
                return
            shown = entries[k].frame[box.slices]
            mixed, share = self._solver.solve(box, shown, fills[k].colours, touched)
            fills[k].colours[touched] = mixed[touched]
            codes[k][touched & (share > _SOLVED)] = Provenance.SOLVED

        with spread_over(self._threads) as work:
            for _ in work(solve, range(len(entries))):
                pass

    def describe(self) -> str:
        """All that decides what it makes of a frame, as text."""
        profile = self.placement.profile
        return f"{self._digest} at {profile.box}, scale {self.placement.scale!r}, {self._noise!r}"

    def notes(self) -> list[str]:
        """What a person should know."""
        profile, scale = self.placement.profile, self.placement.scale
        size = "" if scale == 1 else f", at {scale:.3g} times its learned size"
        solvable = profile.is_solvable[profile.covers]
        share = 100 * float(solvable.mean()) if solvable.size else 0
        return [f"the overlay was found at {profile.box}{size}; {share:.0f} % of it can be solved"]


@dataclass(frozen=True)
class OverlayMask:
    """Mask source of an overlay: all pixels that it changes, in coded orientation."""

    profile: Profile

    def prepare(self, info: VideoInfo) -> None:
        """Do nothing; the place is known."""

    def mask(self, index: int, time: Fraction) -> Mask:
        """Return the mask, which is the same for all frames."""
        hole = np.zeros(self.profile.size.shape, np.bool_)
        hole[self.profile.box.slices] = self.profile.covers
        return hole

    def still(self) -> Mask | None:
        """Return the mask of all frames."""
        return self.mask(0, Fraction(0))

    def close(self) -> None:
        """Do nothing; no file is open."""


def open_overlay(options: RemoveOptions, info: VideoInfo) -> SolvedOverlay | None:
    """Read the profile of `overlay` and find it in a video; None without.

    Raises InputError when it cannot be read or is not in the video.
    """
    if options.overlay is None:
        return None
    profile = read_profile(str(options.overlay))
    found = _find(profile, _sample(info), info.size, options, f"'{info.path}'")
    digest = hashlib.sha256(profile.to_bytes()).hexdigest()
    return SolvedOverlay(found, estimate_coding_noise(info), options.threads, digest)


def open_overlay_for_clip(options: RemoveOptions, frames: Frame) -> SolvedOverlay | None:
    """The same for a clip in memory (t, h, w, 3)."""
    if options.overlay is None:
        return None
    profile = read_profile(str(options.overlay))
    samples = [frames[at] for at in spread(len(frames), _SAMPLES)]
    size = Size(frames.shape[2], frames.shape[1])
    found = _find(profile, samples, size, options, "the frames")
    return SolvedOverlay(found, None, options.threads, "")


def add_overlay(masks: MaskSource, overlay: SolvedOverlay | None) -> MaskSource:
    """The same masks, and all that the overlay changes."""
    if overlay is None:
        return masks
    return Union([masks, OverlayMask(overlay.placement.profile)])


def _sample(info: VideoInfo) -> Iterator[Frame]:
    """Pictures spread over a video or folder."""
    if info.kind == "images":
        return (read_image(info.files[at]) for at in spread(info.frame_count, _SAMPLES))
    return sample_pictures(info, min(_SAMPLES, max(1, info.frame_count)))


def _find(
    profile: Profile,
    pictures: Iterator[Frame] | Sequence[Frame],
    size: Size,
    options: RemoveOptions,
    name: str,
) -> Placement:
    found = place(profile, pictures, size)
    if not found.fits:
        raise InputError(
            f"overlay '{options.overlay}' does not fit {name}: nothing there looks like it"
            f" (match {max(0, found.alike):.2f}, strength {max(0, found.strength):.2f}; 1 is"
            " perfect); learn an overlay from this video, or mask it without `overlay`"
        )
    return found
