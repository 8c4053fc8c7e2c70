"""Data sets as they are published, found by their layout.

| layout | clips | split file |
|---|---|---|
| folder of videos | `NAME.mp4` and others | `SPLIT.txt` or `SPLIT.json` beside them, optional |
| DAVIS | `JPEGImages/480p/NAME/*.jpg` | `ImageSets/2017/SPLIT.txt`, one name a line |
| YouTube-VOS | `SPLIT/JPEGImages/NAME/*.jpg` | none: the folder is the split |
| released STTN | `JPEGImages/NAME.zip` | `SPLIT.json`: name → number of frames |
| folder of clips | `NAME/*.jpg` or `.png` | `SPLIT.txt` or `SPLIT.json` beside them, optional |
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from cleanplate.datasets.clip import Clip
from cleanplate.datasets.footage import FolderClip, VideoClip, ZipClip
from cleanplate.errors import InputError

_VIDEOS = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"}


def open_clips(root: Path, split: str | None = None) -> list[Clip]:
    """The clips of a data set in order of their names; frames are not read yet.

    `split` is a split's name such as `train`; None takes everything. Raises InputError when there
    is no clip, no such split, or a split that names a clip which is not there.
    """
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; give the data set's root")
    within = root / split if split and (root / split / "JPEGImages").is_dir() else root
    found = _find(within)
    if not found:
        raise InputError(
            f"{root}: neither videos nor folders or zips of images; give the data set's root"
        )
    if split is None or within != root:
        return found
    return _choose(found, *_read_split(root, split))


def _find(root: Path) -> list[Clip]:
    folder = root
    for inner in ("JPEGImages", "480p"):
        folder = folder / inner if (folder / inner).is_dir() else folder
    clips: list[Clip] = []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and any(
            p.suffix.lower() in (".jpg", ".jpeg", ".png") for p in path.iterdir()
        ):
            clips.append(FolderClip(path))
        elif path.suffix.lower() == ".zip":
            clips.append(ZipClip(path))
        elif path.suffix.lower() in _VIDEOS:
            clips.append(VideoClip(path))
    return clips


def _read_split(root: Path, split: str) -> tuple[Path, list[str]]:
    candidates = [
        root / f"{split}.json",
        root / f"{split}.txt",
        root / "ImageSets" / "2017" / f"{split}.txt",
        root / "ImageSets" / "480p" / f"{split}.txt",
    ]
    file = next((path for path in candidates if path.is_file()), None)
    if file is None:
        raise InputError(
            f"{root}: no split '{split}'; expected {candidates[0].name} or {candidates[1].name}"
        )
    try:
        text = file.read_text()
        names = list(json.loads(text)) if file.suffix == ".json" else text.split("\n")
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{file}: not a split file ({error}); one name a line, or JSON by name"
        ) from error
    return file, [str(name).strip() for name in names if str(name).strip()]


def _choose(found: Sequence[Clip], file: Path, names: Sequence[str]) -> list[Clip]:
    by_name = {clip.name: clip for clip in found}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise InputError(
            f"{file}: names '{missing[0]}', which is not in the data set; correct the split"
        )
    if not names:
        raise InputError(f"{file}: the split is empty; correct it")
    return [by_name[name] for name in names]


def hold_out(clips: Sequence[Clip], count: int) -> tuple[list[Clip], list[Clip]]:
    """Split clips into those to train on and those kept aside, about `count` groups spread evenly.

    Clips of one group stay together.
    """
    groups = sorted({clip.group for clip in clips})
    step = max(len(groups) // max(count, 1), 2)
    kept = set(groups[step // 2 - 1 :: step][:count]) if count else set()
    return (
        [clip for clip in clips if clip.group not in kept],
        [clip for clip in clips if clip.group in kept],
    )
