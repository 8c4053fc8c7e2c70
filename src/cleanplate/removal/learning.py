"""Learn a half-transparent overlay from videos, on the product's own fill of what it covers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.arguments import check_flag, check_function, check_path, check_paths, check_threads
from cleanplate.errors import InputError, MaskError, keep_errors, tame
from cleanplate.masks import BoxLike, MaskLike, open_masks, still_mask
from cleanplate.motion.areas import bound, widen
from cleanplate.overlays import Profile, estimate_overlay
from cleanplate.plates import Codes
from cleanplate.removal.engine import Engine
from cleanplate.removal.filling import Fill
from cleanplate.removal.regions import Entry
from cleanplate.storage.atomic import build_file, find_place
from cleanplate.storage.paths import check_places
from cleanplate.types import Box, Size
from cleanplate.video import VideoInfo, open_reader, probe

Frame = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LearningTuning:
    """Constants of learning."""

    grow: int = 4
    """Pixels around the given mask that may belong to the overlay."""
    margin: int = 10
    """Pixels around these that are kept to find the overlay in other videos."""
    stretch: int = 48
    """Consecutive frames that are filled together."""
    stretches: int = 6
    """Most stretches of a file, evenly spread."""
    furthest: int = 20_000
    """Frames of a file that are looked at, at most."""
    fewest: int = 24
    """Frames below which nothing can be learned."""
    guessed: float = 0.2
    """Share of guesswork up to which a filled pixel counts."""
    memory: int = 300_000_000
    """Bytes of samples."""
    error: float = 12.0
    """Error of a solved pixel, in levels, up to which it was learned."""
    contrast: float = 40.0
    """Levels from the usual background that this error is taken at."""
    learned: float = 0.5
    """Fraction of an overlay's pixels that must be learned."""
    visible: float = 0.05
    """Opacity from which a pixel belongs to the overlay."""
    pixels: int = 12
    """Fewest pixels of an overlay."""


_TUNING = LearningTuning()


@dataclass(frozen=True)
class Learned:
    """What was learned.

    Attributes:
        profile: of the overlay.
        frames: that it was learned from.
        opacity: median of its pixels.
        learned: fraction of its pixels that are known well enough to solve them.
        opaque: fraction through which nothing shines.
    """

    profile: Profile
    frames: int
    opacity: float
    learned: float
    opaque: float


def learn_overlay(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str] | None = None,
    *,
    masks: MaskLike | Sequence[MaskLike] = (),
    box: BoxLike | Sequence[BoxLike] = (),
    preview: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> Learned:
    """Learn an overlay from videos that show it at the same place, and write its profile.

    Args:
        inputs: video files or folders of images of one size; the more the background varies, the
            better.
        output: the profile, a new file `NAME.overlay`; None: it is only returned.
        masks: where the overlay is, the same in all frames; see `remove`.
        box: the same as rectangles.
        preview: also draw it on black, grey and white, as a `.png`.
        threads: that work at the same time; by default one a processor.
        overwrite: replace existing files.
        progress: called with the frames done and their number.

    Raises:
        InputError: what was asked for cannot be done, or the videos do not show enough behind the
            overlay, as when the camera is at rest.
    """
    paths = [Path(path) for path in check_paths("inputs", inputs)]
    outputs = _check_outputs(paths, output, preview, check_flag("overwrite", overwrite))
    threads = check_threads(threads)
    check_function("progress", progress)
    if not paths:
        raise InputError("no video to learn from; give at least one")
    infos = [probe(path) for path in paths]
    for info in infos:
        if info.size != infos[0].size:
            raise InputError(
                f"'{info.path}' is {info.size}, but '{infos[0].path}' is {infos[0].size}; learn"
                " from videos of one size"
            )
    mask = _open_mask(infos, masks, box)
    samples = collect_samples(infos, mask, threads, keep_errors(progress))
    found = _judge(samples, infos)
    if outputs[0] is not None:
        with build_file(outputs[0], overwrite=overwrite) as partial:
            partial.write_bytes(found.profile.to_bytes())
    if outputs[1] is not None:
        with build_file(outputs[1], overwrite=overwrite) as partial:
            _, data = cv2.imencode(".png", found.profile.draw()[..., ::-1])
            partial.write_bytes(data.tobytes())
    return found


def _check_outputs(
    inputs: Sequence[Path], output: object, preview: object, overwrite: bool
) -> tuple[Path | None, Path | None]:
    """Check what is to be written before the work."""
    written: list[Path | None] = []
    for name, value, suffix in (("output", output, ".overlay"), ("preview", preview, ".png")):
        if value is None:
            written.append(None)
            continue
        path = Path(check_path(name, value))
        if path.suffix.lower() != suffix:
            raise InputError(f"`{name}` '{path}' must end in {suffix}")
        find_place(path, "a file", overwrite=overwrite)
        written.append(path)
    check_places([path for path in written if path is not None], inputs)
    return written[0], written[1]


def _open_mask(infos: Sequence[VideoInfo], masks: MaskLike | Sequence[MaskLike], box: Any) -> Mask:
    """The mask of all frames, checked for each video."""
    found: Mask | None = None
    for info in infos:
        with closing(open_masks(masks, box)) as source:
            source.prepare(info)
            still = still_mask(source)
        if still is None:
            raise MaskError("an overlay stays in place; give one mask or box for all frames")
        found = still
    if found is None or not found.any():
        raise MaskError("nothing marks the overlay; mark at least one pixel of it")
    if found.mean() > 0.5:
        raise MaskError("the mask covers more than half of the picture; mark the overlay alone")
    return found


@dataclass
class OverlaySamples:
    """What was seen and filled in a box of the picture.

    Every `step`th frame is kept; when there are too many, every second of these.
    """

    box: Box
    hole: Mask
    size: Size
    step: int = 1
    shown: list[Frame] = field(default_factory=list)
    filled: list[Frame] = field(default_factory=list)
    known: list[Mask] = field(default_factory=list)
    frames: int = 0

    def unveil(
        self, first: int, entries: Sequence[Entry], fills: Sequence[Fill], codes: Sequence[Codes]
    ) -> None:
        """Keep what was filled; see `Unveiling`."""
        for entry, fill in zip(entries, fills, strict=True):
            self.frames += 1
            if entry.box is None or self.frames % self.step:
                continue
            picture, known = entry.frame.copy(), ~self._mark(entry)
            picture[entry.box.slices] = fill.colours
            known[entry.box.slices] |= fill.guessed <= _TUNING.guessed
            self.shown.append(entry.frame[self.box.slices].copy())
            self.filled.append(picture[self.box.slices].copy())
            self.known.append(known[self.box.slices].copy())
        while len(self.shown) * self.box.width * self.box.height * 7 > _TUNING.memory:
            self.step *= 2
            for kept in (self.shown, self.filled, self.known):
                del kept[::2]

    def stack(self) -> tuple[Frame, Frame, Mask]:
        """What was seen and filled (t, h, w, 3), and where the latter is known (t, h, w)."""
        return np.stack(self.shown), np.stack(self.filled), np.stack(self.known)

    def _mark(self, entry: Entry) -> Mask:
        return entry.hole(Box(0, 0, self.size.width, self.size.height))


def collect_samples(
    infos: Sequence[VideoInfo],
    mask: Mask,
    threads: int | None = None,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> OverlaySamples:
    """Fill what `mask` (h, w) covers in stretches of all videos."""
    size = infos[0].size
    inner = bound(mask)
    assert inner is not None
    box = widen(inner, _TUNING.grow + _TUNING.margin, size.shape)
    samples = OverlaySamples(box, mask[box.slices], size)
    stretches = [_choose_stretches(info.frame_count) for info in infos]
    total, done = sum(len(one) for each in stretches for one in each), 0
    for info, wanted in zip(infos, stretches, strict=True):
        engine = Engine(
            size, method="flow", dilate=_TUNING.grow, exact_mask=True, threads=threads,
            overlay=samples,
        )  # fmt: skip
        for frame, ends in _read(info, wanted):
            engine.push(frame, mask)
            if ends:
                engine.finish()
            done += 1
            progress(done, total)
        engine.finish()
    return samples


def _choose_stretches(count: int) -> list[range]:
    """The frames of a video to fill, in ranges."""
    count = min(count, _TUNING.furthest)
    length = _TUNING.stretch
    if count <= _TUNING.stretches * length:
        return [range(count)]
    room = count - length
    starts = [round(k * room / (_TUNING.stretches - 1)) for k in range(_TUNING.stretches)]
    return [range(start, start + length) for start in starts]


def _read(info: VideoInfo, wanted: Sequence[range]) -> Iterator[tuple[Frame, bool]]:
    """The wanted frames, and whether each is the last of its stretch."""
    with open_reader(info.path, info) as reader:
        for picture in reader:
            if any(picture.index in one for one in wanted):
                yield picture.rgb, any(picture.index == one[-1] for one in wanted)
            if picture.index >= wanted[-1][-1]:
                return


def _judge(samples: OverlaySamples, infos: Sequence[VideoInfo]) -> Learned:
    """Estimate the overlay; raises InputError if too little is known of it."""
    if len(samples.shown) < _TUNING.fewest:
        raise InputError(
            f"{len(samples.shown)} frames are too few to learn an overlay; give at least"
            f" {_TUNING.fewest}"
        )
    profile = estimate_overlay(*samples.stack(), samples.box, samples.size)
    far = profile.slope_error * np.float32(_TUNING.contrast**2)
    sure = profile.is_known & (profile.offset_error + far < _TUNING.error**2)
    opaque = profile.is_known & ~profile.is_solvable
    covers = ~profile.is_known | (profile.opacity > _TUNING.visible)
    names = ", ".join(f"'{tame(info.path.name)}'" for info in infos[:3])
    if covers.sum() < _TUNING.pixels:
        raise InputError(f"nothing lies over the picture there in {names}; mark the overlay")
    learned = float(np.mean((sure | opaque)[covers]))
    if learned < _TUNING.learned:
        raise InputError(
            f"too little moves behind the overlay in {names} to learn it"
            f" ({100 * learned:.0f} % of it is known); add videos or shots in which the camera or"
            " the scene moves"
        )
    visible = covers & profile.is_known
    opacity = float(np.median(profile.opacity[visible])) if visible.any() else 0.0
    return Learned(profile, len(samples.shown), opacity, learned, float(np.mean(opaque[covers])))
