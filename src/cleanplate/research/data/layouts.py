"""Data sets as they are published, found by their layout.

| layout | clips | split file |
|---|---|---|
| folder of videos | `NAME.mp4` and others | `SPLIT.txt` or `SPLIT.json` beside them, optional |
| DAVIS | `JPEGImages/480p/NAME/*.jpg` | `ImageSets/2017/SPLIT.txt` (a name a line), 2016's |
| YouTube-VOS | `SPLIT/JPEGImages/NAME/*.jpg` | none: the folder is the split |
| released STTN | `JPEGImages/NAME.zip` | `SPLIT.json`: name → number of frames |
| folder of clips | `NAME/*.jpg` or `.png` | `SPLIT.txt` or `SPLIT.json` beside them, optional |
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cleanplate.errors import InputError
from cleanplate.research.data.clips import Clip, FolderClip, VideoClip, ZipClip
from cleanplate.storage.inputs import parse_json, read_text, split_lines
from cleanplate.video.images import SUFFIXES

_VIDEOS = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"}
FileClip = FolderClip | VideoClip | ZipClip
_SHOWN = 5
"""Names that a message lists at most."""


def open_clips(root: Path, split: str | None = None) -> list[FileClip]:
    """The clips of a data set in order of their names; frames are not read yet.

    `split` is a split's name such as `train`; None takes everything. Raises InputError when there
    is no clip, no such split, or a split that names a clip which is not there.
    """
    try:
        if not root.is_dir():
            what = "is a file" if root.exists() else "is not there"
            raise InputError(f"{root} {what}; give the data set's root, a folder")
        within = root / split if split and (root / split / "JPEGImages").is_dir() else root
        found = _find(within)
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from error
    if not found:
        raise InputError(_describe_strange(root))
    if split is None or within != root:
        return found
    return _choose(found, *_read_split(root, split))


def find_empty(root: Path) -> list[Path]:
    """Folders beside the clips that hold no images, such as a clip that was never copied."""
    folders = [path for path in sorted(_descend(root).iterdir()) if path.is_dir()]
    return [
        folder
        for folder in folders
        if not folder.name.startswith(".") and not any(map(_is_image, folder.iterdir()))
    ]


def _descend(root: Path) -> Path:
    """The folder that holds the clips."""
    for inner in ("JPEGImages", "480p", "Full-Resolution"):
        root = root / inner if (root / inner).is_dir() else root
    return root


def _find(root: Path) -> list[FileClip]:
    clips: list[FileClip] = []
    for path in sorted(_descend(root).iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir() and any(_is_image(inner) for inner in path.iterdir()):
            clips.append(FolderClip(path))
        elif path.suffix.lower() == ".zip":
            clips.append(ZipClip(path))
        elif path.suffix.lower() in _VIDEOS:
            clips.append(VideoClip(path))
    return clips


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _describe_strange(root: Path) -> str:
    """Why there is no clip in `root`."""
    if any(_is_image(path) for path in root.iterdir()):
        return (
            f"{root}: the images lie in it directly; a clip is a folder of images, so give the "
            "folder above, or `photographs` for single pictures"
        )
    return f"{root}: neither videos nor folders or zips of images; give the data set's root"


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
        text = read_text(file)
        names = list(parse_json(text)) if file.suffix == ".json" else split_lines(text)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{file}: not a split file ({error}); one name a line, or JSON by name"
        ) from error
    return file, list(dict.fromkeys(filter(None, map(_name_clip, names))))


def _name_clip(line: object) -> str:
    """The clip's name in a line of a split; DAVIS 2016 lists its frames and their masks."""
    words = str(line).split()
    return Path(words[0]).parent.name if words and "/" in words[0] else str(line).strip()


def _choose(found: Sequence[FileClip], file: Path, names: Sequence[str]) -> list[FileClip]:
    by_name = {clip.name: clip for clip in found}
    missing = [name for name in names if name not in by_name]
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        raise InputError(
            f"{file}: not in the data set: {', '.join(missing[:_SHOWN])}{more}; correct the split "
            "or get the missing clips"
        )
    if not names:
        raise InputError(f"{file}: the split is empty; correct it")
    return [by_name[name] for name in names]


def hold_out(clips: Sequence[Clip], count: int) -> tuple[list[Clip], list[Clip]]:
    """Split clips into those to train on and those kept aside: `count` groups, spread evenly.

    Clips of one group stay together. At most a fifth of the groups is kept, but one where there are
    two.
    """
    groups = sorted({clip.group for clip in clips})
    if len(groups) < 2:  # nothing could be trained on
        return list(clips), []
    count = min(count, max(len(groups) // 5, 1))
    step = max(len(groups) // max(count, 1), 2)
    kept = set(groups[step // 2 - 1 :: step][:count]) if count else set()
    return (
        [clip for clip in clips if clip.group not in kept],
        [clip for clip in clips if clip.group in kept],
    )
