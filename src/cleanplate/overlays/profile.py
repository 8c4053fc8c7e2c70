"""Profiles of overlays: opacity and colour for each pixel, with their errors, as one small file."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.arguments import show
from cleanplate.errors import InputError
from cleanplate.overlays.colours import to_rgb
from cleanplate.storage.paths import parse_json, read_file
from cleanplate.types import Box, Size

Plane = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

KIND, VERSION = "cleanplate overlay", 1
DEPTH = 8
"""Bits of the samples that levels are counted in."""
_LARGEST_FILE = 256_000_000
_LARGEST_SIDE = 16_384
_REMEDY = "make one with `cleanplate overlay learn`"
_SHAPES = {"keep": 2, "added": 3, "pivot": 1, "offset_error": 1, "slope_error": 1}
"""Planes of each array in a file."""
UNKNOWN = 1e6
"""Squared error of a pixel that could not be learned."""
_OPAQUE = 0.1
_VISIBLE = 0.02


@dataclass(frozen=True)
class Profile:
    """An overlay on a part of the picture; arrays are float32 (h, w), or planes of that.

    The planes are luma and two colour differences, see `overlays.colours`.

    Attributes:
        keep: (2, h, w), transparency (1 - opacity) in luma and in colour.
        added: (3, h, w), opacity times colour.
        pivot: shown luma at which the estimate is best.
        offset_error: squared error of the solved luma there; `UNKNOWN` where nothing was learned.
        slope_error: squared relative error of it away from the pivot.
        box: where the overlay is in pictures of `size`.
        size: of the pictures that it was learned from.
    """

    keep: Plane
    added: Plane
    pivot: Plane
    offset_error: Plane
    slope_error: Plane
    box: Box
    size: Size

    @property
    def opacity(self) -> Plane:
        """(h, w), 0 to 1; 0 where it is not known."""
        return np.where(self.is_known, 1 - self.keep[0], np.float32(0))

    @property
    def is_known(self) -> Mask:
        """(h, w), where enough was seen to learn it."""
        return np.asarray(self.offset_error < UNKNOWN)

    @property
    def covers(self) -> Mask:
        """(h, w), where the overlay is visible or not known."""
        return np.asarray(~self.is_known | (self.opacity > _VISIBLE))

    @property
    def is_solvable(self) -> Mask:
        """(h, w), where the picture shines through."""
        return np.asarray(self.is_known & (self.keep[0] >= _OPAQUE))

    def cut(self, part: Box) -> Profile:
        """A `part` of the picture, beyond whose overlap with the overlay there is none."""
        dx, dy = self.box.x - part.x, self.box.y - part.y
        move = np.array([[1, 0, dx], [0, 1, dy]], np.float64)
        return self.warp(move, part, self.size, exact=True)

    def warp(self, move: npt.NDArray[np.float64], box: Box, size: Size, exact: bool) -> Profile:
        """Move by an affine map (2, 3) of own pixels to those of `box` in pictures of `size`."""
        shape = (box.width, box.height)
        how = cv2.INTER_NEAREST if exact else cv2.INTER_LINEAR

        def warp(planes: Plane, border: float) -> Plane:
            layers = planes if planes.ndim == 3 else planes[None]
            moved = [
                cv2.warpAffine(one, move, shape, flags=how, borderValue=border) for one in layers
            ]
            return np.asarray(np.stack(moved) if planes.ndim == 3 else moved[0], np.float32)

        return replace(
            self,
            keep=warp(self.keep, 1),
            added=warp(self.added, 0),
            pivot=warp(self.pivot, 0),
            offset_error=warp(self.offset_error, 0),
            slope_error=warp(self.slope_error, 0),
            box=box,
            size=size,
        )

    def draw(self) -> npt.NDArray[np.uint8]:
        """Draw the overlay on black, grey and white, one above the other, RGB (3 h, w, 3)."""
        height, width = self.pivot.shape
        pictures = []
        for level in (0, 128, 255):
            planes = np.zeros((height, width, 3), np.float32)
            planes[..., 0] = level * self.keep[0]
            planes += self.added.transpose(1, 2, 0)
            planes[~self.is_known] = 0
            pictures.append(to_rgb(planes))
        return np.concatenate(pictures)

    def to_bytes(self) -> bytes:
        """The content of a profile file."""
        from safetensors.numpy import save

        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in _SHAPES}
        box = [self.box.x, self.box.y, self.box.width, self.box.height]
        described = {
            "kind": KIND,
            "version": VERSION,
            "depth": DEPTH,
            "box": box,
            "size": [self.size.width, self.size.height],
        }
        return save(arrays, {"overlay": json.dumps(described)})


def read_profile(path: str | Path) -> Profile:
    """Read a profile file; raises InputError, with the remedy, for anything else."""
    data = _read(path)
    header = _parse_header(path, data)
    _check_version(path, header)
    box, size = _read_place(path, header)
    return Profile(**_read_planes(path, data, box), box=box, size=size)


def _read(path: str | Path) -> bytes:
    try:
        return read_file(path, _LARGEST_FILE)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"overlay '{path}' cannot be read: {reason}") from None


def _parse_header(path: str | Path, data: bytes) -> dict[str, Any]:
    """The description in the file's metadata."""
    length = int.from_bytes(data[:8], "little")
    try:
        if len(data) < 8 + length or length > 100_000:
            raise ValueError
        header = parse_json(data[8 : 8 + length])
        described = parse_json(header["__metadata__"]["overlay"])
        if not isinstance(described, dict) or described["kind"] != KIND:
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise InputError(f"'{path}' is no overlay; {_REMEDY}") from None
    found: dict[str, Any] = described
    return found


def _check_version(path: str | Path, header: dict[str, Any]) -> None:
    version = header.get("version")
    if version != VERSION:
        raise InputError(
            f"overlay '{path}' has version {show(version)}, but this program reads {VERSION};"
            f" {_REMEDY} of this version"
        )
    depth = header.get("depth")
    if depth != DEPTH:
        raise InputError(
            f"overlay '{path}' is for samples of {show(depth)} bits, but this program solves"
            f" {DEPTH}; {_REMEDY} of this version"
        )


def _read_place(path: str | Path, header: dict[str, Any]) -> tuple[Box, Size]:
    """Box and size of the picture."""
    box, size = header.get("box"), header.get("size")
    numbers = [*box, *size] if isinstance(box, list) and isinstance(size, list) else []
    whole = all(type(number) is int and 0 <= number <= _LARGEST_SIDE for number in numbers)
    if len(numbers) == 6 and whole:
        place, picture = Box(*numbers[:4]), Size(*numbers[4:])
        if place.width and place.height and place.clipped(picture) == place:
            return place, picture
    raise InputError(f"overlay '{path}' is damaged: its place is no box of a picture; {_REMEDY}")


def _read_planes(path: str | Path, data: bytes, box: Box) -> dict[str, Plane]:
    """The arrays, checked for shape, type and range."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError):
        raise InputError(f"overlay '{path}' is damaged; {_REMEDY}") from None
    if arrays.keys() != _SHAPES.keys():
        raise InputError(f"overlay '{path}' is damaged: it lacks or adds arrays; {_REMEDY}")
    for name, planes in _SHAPES.items():
        array, shape = arrays[name], (box.height, box.width)
        wanted = shape if planes == 1 else (planes, *shape)
        if array.dtype != np.float32 or array.shape != wanted:
            raise InputError(
                f"overlay '{path}' is damaged: its {name} is {array.dtype} {array.shape}, not"
                f" float32 {wanted}; {_REMEDY}"
            )
    limits = {"keep": (0, 1), "added": (-512, 512), "pivot": (-512, 512)}
    for name, array in arrays.items():
        least, most = limits.get(name, (0, UNKNOWN))
        if not (np.isfinite(array).all() and least <= array.min() and array.max() <= most):
            raise InputError(f"overlay '{path}' is damaged: its {name} is out of range; {_REMEDY}")
    return dict(arrays)


assert set(_SHAPES) == {one.name for one in fields(Profile)} - {"box", "size"}
