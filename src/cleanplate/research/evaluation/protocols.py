"""Protocols: choose the frames and masks to score, and draw the masks of the"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from cleanplate.errors import InputError, OutputError
from cleanplate.masks import Mask
from cleanplate.motion import DisFlow, FlowEstimator
from cleanplate.research import holes as synthetic
from cleanplate.research.data.clips import FolderClip, VideoClip, open_clips
from cleanplate.research.evaluation.clips import Case
from cleanplate.research.evaluation.learned import Lpips, Networks, Vfid
from cleanplate.research.evaluation.metric import (
    GAUSSIAN_SIDE,
    UNIFORM_SIDE,
    HolePsnr,
    Metric,
    Missing,
    Psnr,
    Ssim,
    measure_ssim_gaussian,
    measure_ssim_uniform,
)
from cleanplate.research.evaluation.steadiness import Flicker, Follower, WarpingError
from cleanplate.storage.atomic import build_folder
from cleanplate.types import Size
from cleanplate.video import probe
from cleanplate.video.images import SUFFIXES

SIZE = Size(432, 240)
KINDS = ("stationary", "moving")
_SEED = 2020
_CHUNK = 64


def draw_masks(sequence: str, kind: str, count: int) -> Iterator[Mask]:
    """Draw `count` masks, bool `(h, w)` of SIZE, which depend only on the arguments."""
    seed = (_SEED, zlib.crc32(os.fsencode(sequence)), KINDS.index(kind))
    for start in range(0, count, _CHUNK):
        times = range(start, min(start + _CHUNK, count))
        # Seed each chunk alike: shape and path are drawn first, so they stay the same.
        rng = np.random.default_rng(seed)
        yield from synthetic.draw_free_form(SIZE.shape, times, rng, moving=kind == "moving")


def write_masks(folder: Path, sequence: str, kind: str, count: int) -> Path:
    """Write masks as `folder/SEQUENCE/KIND/00000.png` …, all or nothing; return that folder.

    Existing masks are kept, so that a run can resume. Raises OutputError if writing fails.
    """
    target = folder / sequence / kind
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with build_folder(target) as partial:
            for index, mask in enumerate(draw_masks(sequence, kind, count)):
                png = cv2.imencode(".png", mask.astype(np.uint8) * 255)[1]
                (partial / f"{index:05d}.png").write_bytes(png.tobytes())
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror}; free some space") from error
    return target


def write_checksums(folder: Path) -> None:
    """List the SHA-256 of all masks below `folder` in `SHA256SUMS`, in sha256sum's format."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n"
        for path in sorted(folder.rglob("*.png"))
    ]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


_VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")


@dataclass(frozen=True)
class Conventions:
    """Settings of a metric that its name does not define.

    Attributes:
        ssim_every: measure both SSIMs on the first frame and every n-th after it.
    """

    ssim_every: int = 1

    def __post_init__(self) -> None:
        if self.ssim_every < 1:
            raise InputError("SSIM can be measured every 1, 2, 3, … frames; give a positive number")


@dataclass(frozen=True, slots=True)
class Protocol:
    """Protocol of an evaluation.

    Attributes:
        name: name in options.
        version: version of its figures.
        summary: description for a report.
        size: size of the scored frames; None keeps theirs.
        conventions: settings of the metrics.
    """

    name: str
    version: int
    summary: str
    size: Size | None
    conventions: Conventions

    @property
    def label(self) -> str:
        """Name and version, such as `folder-1`."""
        return f"{self.name}-{self.version}"


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("folder", 1, "masks as given, frames in their size", None, Conventions(5)),
        Protocol(
            "paper",
            1,
            "static and moving free-form masks, drawn from a seed; frames scaled to 432x240",
            SIZE,
            Conventions(1),
        ),
        Protocol(
            "objects",
            1,
            "annotated objects are removed; the background behind them is not known",
            None,
            Conventions(1),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Found:
    """Cases of a data set in order, with notes on how they were found."""

    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()


def find_cases(
    protocol: Protocol,
    data: Path,
    *,
    masks: Path,
    split: str | None = None,
    only: Sequence[str] = (),
) -> Found:
    """Find the cases in `data`.

    Args:
        protocol: one of PROTOCOLS.
        data: root of the data set.
        masks: folder for drawn masks.
        split: split of a published data set, such as `val`; None takes all.
        only: names of sequences; empty takes all.

    Raises:
        InputError: there is nothing to score, or a name is unknown.
    """
    if not data.is_dir():
        raise InputError(f"'{data}' is not a folder; give the root of a data set")
    if protocol.name == "paper":
        return _draw(_choose(_find_footage(data, split), only), protocol, masks)
    if protocol.name == "objects" and not _find_folders(data)[0]:
        return Found(_choose(_find_annotated(data, split), only))
    if split is not None:
        raise InputError("`split` needs a data set with splits, such as DAVIS; leave it out")
    cases, notes = _find_folders(data)
    if not cases:
        raise InputError(
            f"'{data}' holds no sequence: a folder with 'frames' and a folder of masks in it;"
            " `protocol='paper'` needs no masks"
        )
    if protocol.name == "objects":
        cases = [replace(case, truth=None) for case in cases]
    return Found(_choose(cases, only), tuple(notes))


def _find_folders(data: Path) -> tuple[list[Case], list[str]]:
    """List the sequences of the `folder` layout in or below `data`; note skipped folders."""
    if _find_frames(data) is not None:
        return _find_masks(data), []
    cases, notes = [], []
    for folder in _list_folders(data):
        found = _find_masks(folder)
        if _find_frames(folder) is None:
            notes.append(f"'{folder.name}' was skipped: no 'frames' in it")
        elif not found:
            notes.append(f"'{folder.name}' was skipped: no folder of masks next to 'frames'")
        cases += found
    return cases, notes


def _find_masks(folder: Path) -> list[Case]:
    """Make a case for each set of masks in `folder`, if it holds a sequence."""
    frames = _find_frames(folder)
    if frames is None:
        return []
    truth = folder / "truth" if _holds_images(folder / "truth") else frames
    sets = [path for path in _list_folders(folder) if path.name not in ("frames", "truth")]
    return [
        Case(folder.resolve().name, path.name, frames, path, truth)
        for path in sets
        if _holds_images(path)
    ]


def _find_frames(folder: Path) -> Path | None:
    """Find the frames of a sequence: `frames/`, or a video called `frames` or `video`."""
    if _holds_images(folder / "frames"):
        return folder / "frames"
    names = [folder / f"{stem}{suffix}" for stem in ("frames", "video") for suffix in _VIDEOS]
    return next((path for path in names if path.is_file()), None)


def _find_footage(data: Path, split: str | None) -> list[Case]:
    """List all clips of a data set, without masks so far."""
    footage: dict[str, Path] = {}
    if split is None:
        footage = {
            folder.name: frames
            for folder in _list_folders(data)
            if (frames := _find_frames(folder)) is not None
        }
    return [
        Case(name, "", path, path, path)
        for name, path in (footage or _open_clips(data, split)).items()
    ]


def _open_clips(data: Path, split: str | None) -> dict[str, Path]:
    """List names and paths of the clips of a published data set."""
    places = {}
    for clip in open_clips(data, split):
        if not isinstance(clip, FolderClip | VideoClip):
            raise InputError(f"'{clip.name}' is packed; unpack the clips of '{data}' first")
        places[clip.name] = clip.path
    return places


def _find_annotated(data: Path, split: str | None) -> list[Case]:
    """List clips with annotations in a separate tree, as in DAVIS and YouTube-VOS."""
    cases = []
    for name, path in _open_clips(data, split).items():
        parts = ["Annotations" if part == "JPEGImages" else part for part in path.parts]
        masks = Path(*parts)
        if masks == path or not masks.is_dir():
            raise InputError(
                f"'{name}' has no annotations in '{data}'; `protocol='objects'` needs"
                " 'JPEGImages' and 'Annotations'"
            )
        cases.append(Case(name, "object", path, masks, None))
    return cases


def _draw(cases: Sequence[Case], protocol: Protocol, folder: Path) -> Found:
    """Make the cases with static and moving masks."""
    drawn = []
    for case in cases:
        count = probe(case.frames).frame_count
        for kind in KINDS:
            masks = write_masks(folder, case.sequence, kind, count)
            drawn.append(replace(case, mask=kind, masks=masks, size=protocol.size))
    write_checksums(folder)
    return Found(tuple(drawn))


def _choose(cases: Sequence[Case], only: Sequence[str]) -> tuple[Case, ...]:
    names = [case.sequence for case in cases]
    for name in only:
        if name not in names:
            raise InputError(f"no sequence '{name}'; there are {', '.join(dict.fromkeys(names))}")
    return tuple(case for case in cases if not only or case.sequence in only)


def _list_folders(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    )


def _holds_images(folder: Path) -> bool:
    return folder.is_dir() and any(path.suffix.lower() in SUFFIXES for path in folder.iterdir())


def make_metrics(
    conventions: Conventions,
    truth: bool,
    networks: Networks | None = None,
    flow: Callable[[], FlowEstimator] = DisFlow,
) -> list[Metric]:
    """Create the metrics of one sequence, in the order of a report's columns.

    Args:
        conventions: settings that a metric's name does not define.
        truth: whether ground truth is known; without it only E_warp and flicker are measured.
        networks: loaded networks (`load_networks`). A metric without its network is `Missing`, with
            the reason.
        flow: correspondence of consecutive frames, for E_warp and flicker.
    """
    follower = Follower(flow())
    steadiness: list[Metric] = [WarpingError(follower), Flicker(follower)]
    if not truth:
        return steadiness
    every = conventions.ssim_every
    return [
        Psnr(),
        Ssim("ssim", measure_ssim_uniform, UNIFORM_SIDE, every),
        HolePsnr(),
        Ssim("ssim_gaussian", measure_ssim_gaussian, GAUSSIAN_SIDE, every),
        *steadiness,
        *_make_learned(networks or Networks()),
    ]


def _make_learned(networks: Networks) -> list[Metric]:
    metrics: list[Metric] = []
    for name, describer in (("vfid", networks.by_clip), ("vfid_eval", networks.by_training)):
        if describer is None:
            metrics.append(Missing(name, "no weights of I3D were given"))
        else:
            metrics.append(Vfid(name, describer))
    if networks.lpips is None:
        metrics.append(Missing("lpips", "no weights of LPIPS were given"))
    else:
        metrics.append(Lpips(networks.lpips))
    return metrics
