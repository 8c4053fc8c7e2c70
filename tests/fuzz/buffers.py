"""Arrays given to the engine as cameras and decoders give them: one buffer again and again, views.

The result is that of a run with a fresh array for each frame, bit for bit, and whoever gave a
buffer finds in it what he put there. Drawing on a finished frame changes no other.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

import cleanplate
from cleanplate.errors import MaskError
from cleanplate.removal import Engine, Span, choose_filler
from cleanplate.types import Size

from .surfaces import Place, Plan

Array = npt.NDArray[Any]
_SIZES = ((1, 1), (1, 9), (9, 1), (1, 300), (300, 1), (2, 2), (3, 50), (640, 4), (4, 640), (31, 33),
          (64, 16), (48, 40), (33, 2), (7, 7))  # fmt: skip


def make_buffers(place: Place, random: Random) -> Plan:
    width, height = random.choice(_SIZES) if random.random() < 0.6 else (48, 40)
    return {
        "size": [width, height],
        "seed": random.randrange(1 << 30),
        "count": random.choice((1, 2, 5, 9, 14)),
        "holes": random.choice(("box", "box", "box", "speckles", "lines", "almost all", "all")),
        "picture": random.choice(("moving", "moving", "still", "noise", "one colour", "cuts")),
        "feed": random.choice(tuple(_FEEDS)),
        "draws": random.choice((False, True)),
        "inpaint": random.random() < 0.2,
        "network": random.random() < 0.1,
        "options": {
            "dilate": random.choice((0, 0, 1, 4)),
            "feather": random.choice((0, 0, 1, 4)),
            "fields": random.random() < 0.2,
            "threads": random.choice((1, 2)),
        },
        "span": random.choice(((2, 1), (4, 3), (64, 24))),
        "split_shots": random.random() < 0.7,
    }


def run_buffers(place: Place, plan: Plan) -> None:
    frames, masks = _paint(plan), _mark(plan)
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        filled = bool(masks.all(axis=(1, 2)).all())
        try:
            expected = _run_fresh(place, plan, frames, masks)
        except MaskError:
            assert filled, "refused, though something is left to see"
            raise
        if plan["inpaint"]:
            found = _run_inpaint(plan, frames, masks)
        else:
            found = _run_engine(place, plan, frames, masks)
    assert len(found) == len(expected), f"{len(found)} frames instead of {len(expected)}"
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert np.array_equal(one, other), f"frame {number} differs from that of fresh arrays"


def _paint(plan: Plan) -> Array:
    """uint8 (t, h, w, 3)."""
    (width, height), numbers = plan["size"], np.random.default_rng(plan["seed"])
    count = plan["count"]
    noise = numbers.integers(0, 256, (height + 2 * count, width + 3 * count, 3), np.uint8)
    smooth = np.sort(noise, axis=1)
    whole = {"noise": noise, "one colour": np.full_like(noise, 77)}.get(plan["picture"], smooth)
    steps = range(count) if plan["picture"] in ("moving", "noise", "cuts") else [0] * count
    frames = np.stack([whole[2 * k : 2 * k + height, 3 * k : 3 * k + width] for k in steps])
    if plan["picture"] == "cuts":
        frames[count // 2 :] = 255 - frames[count // 2 :]
    return frames


def _mark(plan: Plan) -> Array:
    """bool (t, h, w)."""
    (width, height), numbers = plan["size"], np.random.default_rng(plan["seed"] + 1)
    masks = np.zeros((plan["count"], height, width), np.bool_)
    if plan["holes"] == "box":
        for mask in masks:
            y, x = numbers.integers(0, (height, width))
            mask[y : y + 1 + height // 3, x : x + 1 + width // 3] = True
    elif plan["holes"] == "speckles":
        masks |= numbers.random(masks.shape) < 0.1
    elif plan["holes"] == "lines":
        masks[:, ::3] = True
    else:
        masks[:] = True
        if plan["holes"] == "almost all":
            masks[:, height // 2, width // 2] = False
    return masks


@cache
def _network(path: Path) -> Any:
    return choose_filler(path, method="network", blend="crossfade", device="cpu", precision="fp32")


def _make_engine(place: Place, plan: Plan) -> Engine:
    filler = _network(place.originals / "ours.safetensors").filler if plan["network"] else None
    span, split = Span(*plan["span"]), plan["split_shots"]
    size = Size(*plan["size"])
    return Engine(size, filler=filler, span=span, split_shots=split, **plan["options"])


def _run_fresh(place: Place, plan: Plan, frames: Array, masks: Array) -> list[Array]:
    """What comes out when every array is new and nobody touches it afterwards."""
    if plan["inpaint"]:
        return list(
            cleanplate.inpaint(frames.copy(), masks.copy(), method="flow", **plan["options"])
        )
    engine = _make_engine(place, plan)
    done = []
    for frame, mask in zip(frames, masks, strict=True):
        done += engine.push(frame.copy(), mask.copy())
    done += engine.finish()
    for frame, mask, one in zip(frames, masks, done, strict=True):
        same = (frame == one.frame).all(axis=2)
        assert (same | one.touched).all(), "a pixel that was not touched has changed"
        assert one.touched[mask].all(), "a pixel of the hole was not touched"
    return [one.frame.copy() for one in done]


def _run_inpaint(plan: Plan, frames: Array, masks: Array) -> list[Array]:
    """The arrays are views of any kind, and must be the same afterwards."""
    feed = _FEEDS[plan["feed"]]
    given = np.stack([frame.copy() for frame, _ in feed(frames, masks)])
    views = given[:, ::-1, :, ::-1][:, ::-1, :, ::-1]
    views.flags.writeable = False
    found = cleanplate.inpaint(views, np.asfortranarray(masks), method="flow", **plan["options"])
    assert np.array_equal(views, frames), "the caller's frames were changed"
    assert not np.shares_memory(found, given), "the result is the caller's own memory"
    return list(found)


def _run_engine(place: Place, plan: Plan, frames: Array, masks: Array) -> list[Array]:
    engine = _make_engine(place, plan)
    done: list[Array] = []
    random = Random(plan["seed"])

    def take(ready: list[Any]) -> None:
        for one in ready:
            done.append(one.frame.copy())
            if plan["draws"]:
                _draw(one.frame, random)
                _draw(one.touched, random)

    for at, (frame, mask) in enumerate(_FEEDS[plan["feed"]](frames, masks)):
        take(engine.push(frame, mask))
        assert np.array_equal(frame, frames[at]), f"the caller's frame {at} was changed"
        assert np.array_equal(mask, masks[at]), f"the caller's mask {at} was changed"
    take(engine.finish())
    return done


def _draw(array: Array, random: Random) -> None:
    """What a caller may do with what is his."""
    if array.flags.writeable:
        array[...] = random.choice((0, 1))


Feed = Callable[[Array, Array], Iterator[tuple[Array, Array]]]


def _feed_one_buffer(frames: Array, masks: Array) -> Iterator[tuple[Array, Array]]:
    """The same two arrays each time, filled anew."""
    frame, mask = np.empty_like(frames[0]), np.empty_like(masks[0])
    for one, hole in zip(frames, masks, strict=True):
        frame[...], mask[...] = one, hole
        yield frame, mask
        frame[...], mask[...] = 99, ~hole


def _feed_two_buffers(frames: Array, masks: Array) -> Iterator[tuple[Array, Array]]:
    """Two arrays in turn; the mask is one for all as long as it is the same."""
    buffers = np.empty((2, *frames[0].shape), np.uint8)
    for at, (one, hole) in enumerate(zip(frames, masks, strict=True)):
        buffers[at % 2] = one
        yield buffers[at % 2], hole


def _feed_spoilt(frames: Array, masks: Array) -> Iterator[tuple[Array, Array]]:
    """Each its own array, which is spoilt two frames later."""
    given = []
    for one, hole in zip(frames, masks, strict=True):
        given.append((one.copy(), hole.copy()))
        yield given[-1]
        for frame, mask in given[:-2]:
            frame[...], mask[...] = 0, True


def _feed_read_only(frames: Array, masks: Array) -> Iterator[tuple[Array, Array]]:
    """Memory of other objects that must not be written to."""
    for one, hole in zip(frames, masks, strict=True):
        yield (
            np.frombuffer(one.tobytes(), np.uint8).reshape(one.shape),
            np.frombuffer(hole.tobytes(), np.bool_).reshape(hole.shape),
        )


def _feed_mirrored(frames: Array, masks: Array) -> Iterator[tuple[Array, Array]]:
    """Views with negative strides: BGR as RGB, upside down."""
    for one, hole in zip(frames, masks, strict=True):
        frame = np.ascontiguousarray(one[::-1, ::-1, ::-1])[::-1, ::-1, ::-1]
        yield frame, np.ascontiguousarray(hole[::-1, ::-1])[::-1, ::-1]


def _feed_columns(frames: Array, masks: Array) -> Iterator[tuple[Array, Array]]:
    """Column by column in memory."""
    for one, hole in zip(frames, masks, strict=True):
        yield np.asfortranarray(one), np.asfortranarray(hole)


def _feed_cutouts(frames: Array, masks: Array) -> Iterator[tuple[Array, Array]]:
    """Parts of larger buffers with alpha, which are used again."""
    _, height, width, _ = frames.shape
    large = np.zeros((height * 2, width * 2, 4), np.uint8)
    marks = np.zeros((height * 2, width * 3), np.bool_)
    for one, hole in zip(frames, masks, strict=True):
        large[::2, 1::2, :3] = one
        marks[:height, ::3] = hole
        yield large[::2, 1::2, :3], marks[:height, ::3]
        large[...], marks[...] = 200, True


def _feed_bytes(frames: Array, masks: Array) -> Iterator[tuple[Array, Array]]:
    """A bytearray that a device fills, and masks of numbers seen as truth."""
    memory = bytearray(frames[0].nbytes)
    for one, hole in zip(frames, masks, strict=True):
        memory[:] = one.tobytes()
        frame = np.frombuffer(memory, np.uint8).reshape(one.shape)
        yield frame, hole.astype(np.uint8).view(np.bool_)
        memory[:] = bytes(len(memory))


_FEEDS: dict[str, Feed] = {
    "one buffer": _feed_one_buffer,
    "two buffers": _feed_two_buffers,
    "spoilt": _feed_spoilt,
    "read-only": _feed_read_only,
    "mirrored": _feed_mirrored,
    "columns": _feed_columns,
    "cutouts": _feed_cutouts,
    "bytes": _feed_bytes,
}
