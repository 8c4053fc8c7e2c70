"""Masks of the paper's protocol: free-form shapes at rest and moving, drawn from a seed.

The paper (Zeng et al. 2020, section 4.1 and its Algorithm 1) scores with masks that were never
published. These follow its description; they are ours, and the same wherever they are drawn again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from cleanplate.errors import OutputError
from cleanplate.masks import Mask, synthetic
from cleanplate.types import Size

SIZE = Size(432, 240)
KINDS = ("stationary", "moving")
_SEED = 2020
_CHUNK = 64


def draw_masks(sequence: str, kind: str, count: int) -> Iterator[Mask]:
    """`count` masks, bool (h, w) of SIZE, that depend on nothing but the arguments."""
    seed = (_SEED, zlib.crc32(os.fsencode(sequence)), KINDS.index(kind))
    for start in range(0, count, _CHUNK):
        times = range(start, min(start + _CHUNK, count))
        # The same generator for each chunk: the shape and its way are drawn first and stay.
        rng = np.random.default_rng(seed)
        yield from synthetic.free_form(SIZE.shape, times, rng, moving=kind == "moving")


def write_masks(folder: Path, sequence: str, kind: str, count: int) -> Path:
    """Write masks as `folder/SEQUENCE/KIND/00000.png` and on, all or nothing; returns that folder.

    Masks that are there already are kept, and so is a run that was resumed.
    Raises OutputError when the disk does not take them.
    """
    target = folder / sequence / kind
    partial = folder / sequence / f".{kind}.part"
    if target.is_dir():
        return target
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for index, mask in enumerate(draw_masks(sequence, kind, count)):
            png = cv2.imencode(".png", mask.astype(np.uint8) * 255)[1]
            (partial / f"{index:05d}.png").write_bytes(png.tobytes())
        partial.rename(target)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror}; free some space") from error
    return target


def write_checksums(folder: Path) -> None:
    """List the SHA-256 of all masks below `folder` in `SHA256SUMS`, as sha256sum reads it."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n"
        for path in sorted(folder.rglob("*.png"))
    ]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
