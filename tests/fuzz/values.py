"""Values of all kinds, right and wrong, for arguments of any kind."""

from __future__ import annotations

import os
import types
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from tests.conftest import paint

import cleanplate
from cleanplate.masks import BoxMask, TimedBox
from cleanplate.removal import Span
from cleanplate.types import Box, Size

from .originals import FRAMES, SIZE
from .surfaces import Place


def make_arrays() -> dict[str, Any]:
    masks = np.zeros((FRAMES, *SIZE[::-1]), np.bool_)
    masks[:, 4:12, 4:12] = True
    return {"frames": np.stack([paint(k, SIZE) for k in range(FRAMES)]), "masks": masks}


class _Talker:
    """Says much about itself, on several lines."""

    def __repr__(self) -> str:
        return "line\n" * 900


class _Path:
    """A path that is none of the usual classes."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __fspath__(self) -> Any:
        return self._value


class _Array:
    """What numpy can see as an array."""

    def __init__(self, array: Any) -> None:
        self.__array_interface__ = array.__array_interface__
        self._kept = array


class _Whole(int):
    pass


def _frames() -> Any:
    return make_arrays()["frames"]


def _masks() -> Any:
    return make_arrays()["masks"]


def _plain(value: Any) -> Callable[[Place], Any]:
    return lambda place: value


_SIMPLE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 3, 63, 10**6, 10**9, 10**40, -(10**40), 0.5, 2.0, -2.5, 1e308,
    float("nan"), float("inf"), -float("inf"), 1j, Fraction(3), Fraction(1, 3), Decimal(2),
    Decimal("nan"), "", " ", "x", "4,4,8,8", "4,4,8,8@0-1", "default", "network", "auto", "flow",
    "on", "cpu", "cuda", "cuda:7", "fp16", "3GB", "1" * 400 + "GB", "\0", "\ud800", "a\nb\x1b[2J",
    "x" * 100_000, b"x", b"", b"\xff\n", bytearray(b"x"), [], [1], [None], ["4,4,8,8"], [[]],
    ["x", 3], (1, 2, 3, 4), (4, 4, 8, 8), [4, 4, 8, 8], [(4, 4, 8, 8)], {}, {"a": 1}, {1, 2},
    range(2), range(0), int, type, str.upper, len, NotImplemented, ..., types, object(),
    np.int64(2), np.int64(-2), np.float32(2.5),
    np.float64("nan"), np.bool_(True), np.str_("x"), np.datetime64("2020"), _Whole(2), _Talker(),
    Size(32, 24), Box(4, 4, 8, 8), Box(-4, -4, 900, 900), [Box(4, 4, 8, 8)],
    TimedBox(Box(1, 1, 5, 5)), torch.device("cpu"), torch.device("meta"), torch.float32,
    torch.nn.Linear(2, 2),
    ValueError("x"),
)  # fmt: skip
VALUES: dict[str, Callable[[Place], Any]] = {
    **{f"{number} {value!r:.30}": _plain(value) for number, value in enumerate(_SIMPLE)},
    "clip": lambda place: place.given / "clip.mp4",
    "clip as text": lambda place: str(place.given / "clip.mp4"),
    "clip as bytes": lambda place: os.fsencode(place.given / "clip.mp4"),
    "clip as path": lambda place: _Path(str(place.given / "clip.mp4")),
    "clip as path of bytes": lambda place: _Path(os.fsencode(place.given / "clip.mp4")),
    "a path that is a number": lambda place: _Path(3),
    "image": lambda place: place.originals / "grey.png",
    "images": lambda place: [place.originals / "grey.png", str(place.originals / "mask.mkv")],
    "folder": lambda place: place.originals,
    "new": lambda place: place.out / "new.mkv",
    "new as bytes": lambda place: os.fsencode(place.out / "new.mkv"),
    "nothing there": lambda place: place.out / "a/b/c.mp4",
    "open file": lambda place: (place.given / "clip.mp4").open("rb"),
    "generator": lambda place: (one for one in [1, 2]),
    "iterator of frames": lambda place: iter(_frames()),
    "iterator of masks": lambda place: iter(_masks()),
    "callable": lambda place: lambda *values: None,
    "callable without arguments": lambda place: lambda: None,
    "mask source": lambda place: BoxMask([Box(4, 4, 8, 8)]),
    "network": lambda place: cleanplate.load_model(place.originals / "ours.safetensors"),
    "checkpoint": lambda place: place.originals / "zipped.pth",
    "text for numpy": lambda place: np.array(["4,4,8,8"]),
    "Size(0, 0)": lambda place: Size(0, 0),
    "Size(-3, 4)": lambda place: Size(-3, 4),
    "large Size": lambda place: Size(10**9, 10**9),
    "Size of text": lambda place: Size("32", None),  # type: ignore[arg-type]
    "Size of fractions": lambda place: Size(32.0, 24.0),  # type: ignore[arg-type]
    "Box of text": lambda place: Box("1", 2, 3, 4),  # type: ignore[arg-type]
    "Box without size": lambda place: Box(1, 2, 0, 0),
    "Span(0, 0)": lambda place: Span(0, 0),
    "Span(-1, 5)": lambda place: Span(-1, 5),
    "Span(1, 0)": lambda place: Span(1, 0),
    "large Span": lambda place: Span(10**9, 10**9),
    "frames": lambda place: _frames(),
    "frame": lambda place: _frames()[0],
    "no frames": lambda place: _frames()[:0],
    "frames without height": lambda place: _frames()[:, :0],
    "frames without a channel": lambda place: _frames()[..., :0],
    "frames, list": lambda place: list(_frames()),
    "frames, numbers": lambda place: _frames().tolist(),
    "frames, uint16": lambda place: _frames().astype(np.uint16),
    "frames, int64": lambda place: _frames().astype(np.int64),
    "frames, float": lambda place: _frames() / np.float32(255),
    "frames, nan": lambda place: np.full_like(_frames(), np.nan, np.float32),
    "frames, alpha": lambda place: np.concatenate([_frames(), _frames()[..., :1]], -1),
    "frames, grey": lambda place: _frames()[..., :1],
    "frames, ragged": lambda place: [_frames()[0], _frames()[0][:9]],
    "frames, objects": lambda place: _frames().astype(object),
    "frames, big-endian": lambda place: _frames().astype(">u2"),
    "frames, masked": lambda place: np.ma.masked_array(_frames(), _frames() > 99),
    "frames, interface": lambda place: _Array(_frames()),
    "frames, memory": lambda place: memoryview(_frames()),
    "frames, read-only": lambda place: np.broadcast_to(_frames()[:1], _frames().shape),
    "frames, tensor": lambda place: torch.from_numpy(_frames()),
    "frames, float tensor": lambda place: torch.from_numpy(_frames()).float().requires_grad_(),
    "frames, meta tensor": lambda place: torch.from_numpy(_frames()).to("meta"),
    "frames, sparse tensor": lambda place: torch.from_numpy(_frames()).float().to_sparse(),
    "masks": lambda place: _masks(),
    "mask": lambda place: _masks()[0],
    "masks, last axis": lambda place: _masks()[..., None],
    "masks, one short": lambda place: _masks()[:-1],
    "masks, turned": lambda place: _masks().transpose(0, 2, 1),
    "masks, uint8": lambda place: _masks().astype(np.uint8),
    "masks, 0 and 255": lambda place: _masks().astype(np.uint8) * 255,
    "masks, floats": lambda place: _masks().astype(np.float32),
    "masks, list": lambda place: list(_masks()),
    "masks, numbers": lambda place: _masks().tolist(),
    "masks, all": lambda place: np.ones_like(_masks()),
    "masks, none": lambda place: np.zeros_like(_masks()),
    "masks, empty": lambda place: np.zeros((0, 0), np.bool_),
    "masks, no axes": lambda place: np.array(True),
    "masks, tensor": lambda place: torch.from_numpy(_masks()),
    "masks, tensor of one": lambda place: torch.from_numpy(_masks()[0]),
    "masks, record": lambda place: np.zeros(4, [("a", np.int32), ("b", np.float32)]),
}
