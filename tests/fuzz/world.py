"""Small folders of things that are read and written, odd ways to name them, and a look at both.

A world is made below `Place.out`. `photograph` says what lies in it, `compare` what changed
where nothing may.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

from cleanplate.video import probe

from .originals import FRAMES
from .surfaces import Place

ODD = (
    b"\xff\xfe", b"two\nlines", b"\x1b[2J\x07", b"%05d", b"-rf", b"a b", b"*?[0-9]", b"'\"\\$`",
    "é\u2028\u202e".encode(), b"file:r", b"http:", b"~", b"a|b", b"x\r", b"{stem}", b" ",
    b"y" * 240, b"...", b"com1", b".hidden",
)  # fmt: skip
LARGEST = 1 << 26
"""Bytes up to which a file's content is looked at; larger ones are empty, but for their length."""
Photograph = dict[bytes, tuple[object, ...]]


def make_world(place: Place) -> Path:
    """A folder with inputs, masks, earlier results, and files that have nothing to do with it."""
    world = place.out / "world"
    for folder in ("in/frames", "marks/masks", "fixed", "res/old", "res/mixed", "res/empty",
                   "other/pictures", "links", "up"):  # fmt: skip
        (world / folder).mkdir(parents=True)
    for copy, original in (
        ("in/clip.mp4", "bare.mp4"), ("in/second.mkv", "h264.mkv"),
        ("marks/mask.png", "grey.png"), ("marks/mask.mkv", "mask.mkv"),
        ("fixed/0.png", "grey.png"), ("fixed/2.png", "grey.png"),
        ("res/old.mp4", "raw.h264"), ("res/old.mkv", "ffv1.mkv"), ("res/old/0.png", "colour.png"),
        ("res/old.png", "grey.png"), ("res/old.safetensors", "half.safetensors"),
        ("res/mixed/0.png", "colour.png"), ("res/mixed/notes.txt", "raw.y4m"),
        ("other/keep.mp4", "h264.mp4"), ("other/pictures/0.png", "colour.png"),
        ("in/model.safetensors", "ours.safetensors"),
    ):  # fmt: skip
        shutil.copyfile(place.originals / original, world / copy)
    for number in range(FRAMES):
        shutil.copyfile(place.originals / "colour.png", world / f"in/frames/{number}.png")
        shutil.copyfile(place.originals / "grey.png", world / f"marks/masks/{number}.png")
    return world


def rename_oddly(path: Path, random: Random, *, may_hide: bool = True) -> Path:
    """Give a file or folder one of the `ODD` names, hidden ones as well; it keeps its suffix."""
    name = name_oddly(path.suffix, random)
    while name.startswith(".") and not may_hide:
        name = name_oddly(path.suffix, random)
    renamed = path.with_name(name)
    path.rename(renamed)
    return renamed


def name_oddly(suffix: str, random: Random) -> str:
    """One of the `ODD` names; the longest are as long as names may be."""
    name = random.choice(ODD)
    if len(name) == 240:
        name = b"y" * (255 - len(suffix))
    return os.fsdecode(name) + suffix


def spell(path: Path, world: Path, random: Random) -> str:
    """Another text for the same path; it may lead over links, which are made."""
    return random.choice(SPELLINGS)(path, _take_name(world, random))


def _take_name(world: Path, random: Random) -> Path:
    """A path in a folder for links at which nothing is yet."""
    return world / "links" / f"{len(list((world / 'links').iterdir()))}-{random.randrange(10)}"


def _relative(path: Path, link: Path) -> str:
    return os.path.relpath(path)


def _dots(path: Path, link: Path) -> str:
    return f"{path.parent}/./{path.name}"


def _up(path: Path, link: Path) -> str:
    return f"{path.parent}/../{path.parent.name}/{path.name}"


def _up_a_link(path: Path, link: Path) -> str:
    """`LINK/../NAME`, where the link leads into a folder beside the path."""
    inside = path.parent / "inside"
    inside.mkdir(exist_ok=True)
    link.symlink_to(inside)
    return f"{link}/../{path.name}"


def _slashes(path: Path, link: Path) -> str:
    return f"{path.parent}//{path.name}"


def _slash(path: Path, link: Path) -> str:
    return f"{path}/"


def _dot(path: Path, link: Path) -> str:
    return f"{path}/." if path.is_dir() else f"{path.parent}/.//{path.name}"


def _out_and_in(path: Path, link: Path) -> str:
    """Beside it and back: `FOLDER/x/../NAME`, where x is not there."""
    return f"{path.parent}/nothing/../{path.name}"


def _folder_link(path: Path, link: Path) -> str:
    link.symlink_to(path.parent)
    return str(link / path.name)


def _link(path: Path, link: Path) -> str:
    named = link.with_suffix(path.suffix)
    named.symlink_to(path)
    return str(named)


def _relative_link(path: Path, link: Path) -> str:
    named = link.with_suffix(path.suffix)
    named.symlink_to(os.path.relpath(path, link.parent))
    return str(named)


def _links(path: Path, link: Path) -> str:
    middle = link.with_name(f"{link.name}-more{path.suffix}")
    middle.symlink_to(path)
    return _relative_link(middle, link)


def _hard_link(path: Path, link: Path) -> str:
    named = link.with_suffix(path.suffix)
    if not path.is_file() or path.is_symlink():
        return str(path)
    named.hardlink_to(path)
    return str(named)


def _process(path: Path, link: Path) -> str:
    return f"/proc/self/root{path}"


def _plain(path: Path, link: Path) -> str:
    return str(path)


Spelling = Callable[[Path, Path], str]
INNOCENT: tuple[Spelling, ...] = (_plain, _plain, _relative, _dots, _up, _slashes)
"""None of these may keep a run from its work."""
SPELLINGS: tuple[Spelling, ...] = (
    *INNOCENT, _up_a_link, _slash, _dot, _out_and_in, _folder_link, _link, _link, _relative_link,
    _links, _hard_link, _hard_link, _process,
)  # fmt: skip


def photograph(folder: Path) -> Photograph:
    """What each name below `folder` is: kind, inode, and content or target."""
    return {os.fsencode(os.path.relpath(path, folder)): _look(path) for path in _walk(str(folder))}


def _walk(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.path
            if entry.is_dir(follow_symlinks=False) and os.access(entry.path, os.R_OK | os.X_OK):
                yield from _walk(entry.path)


def _look(path: str) -> tuple[object, ...]:
    state = os.lstat(path)
    kind, inode = stat.S_IFMT(state.st_mode), state.st_ino
    if stat.S_ISLNK(kind):
        return "link", inode, os.readlink(path)
    if not stat.S_ISREG(kind):
        return {stat.S_IFDIR: "folder", stat.S_IFIFO: "pipe"}.get(kind, "special"), inode
    if state.st_size > LARGEST or not os.access(path, os.R_OK):
        return "file", inode, state.st_size
    return "file", inode, state.st_size, hashlib.sha256(Path(path).read_bytes()).hexdigest()


def compare(world: Path, before: Photograph, free: Iterable[str]) -> None:
    """Raise AssertionError when anything but the places in `free` and what they hold changed."""
    after = photograph(world)
    allowed = [os.fsencode(os.path.relpath(path, world)) for path in free]
    for name in sorted(before.keys() | after.keys()):
        is_free = any(name == one or name.startswith(one + b"/") for one in allowed)
        if not is_free and before.get(name) != after.get(name):
            raise AssertionError(f"{name!r} was {before.get(name)} and is {after.get(name)}")


def check_whole(path: str, frames: int = FRAMES) -> None:
    """Raise AssertionError unless a result is complete."""
    if os.path.isdir(path):
        found = sum(name.endswith(".png") for name in os.listdir(path))
        assert found == len(os.listdir(path)), f"other things than pictures in {path!r}"
    elif path.endswith(".png"):
        assert Path(path).read_bytes()[-8:-4] == b"IEND", f"{path!r} is no whole picture"
        return
    else:
        found = probe(path).frame_count
    assert found == frames, f"{found} frames instead of {frames} in {path!r}"


def clear(world: Path) -> None:
    """Remove a world, with what may not be read in it."""
    for folder, folders, _ in os.walk(world):
        for name in folders:
            with suppress(OSError):
                if not os.path.islink(os.path.join(folder, name)):
                    os.chmod(os.path.join(folder, name), 0o700)
    shutil.rmtree(world)
