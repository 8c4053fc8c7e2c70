"""Ways to spoil a file, a value or a text, drawn from a seeded generator."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

HEADER = 512
"""Most formats keep their sizes and counts within so many bytes of a file's ends."""
NUMBERS = (0, 1, -1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**31, 2**63, 10**40, 0.5, -1e308, float("nan"), float("inf"), "",
    "x", "\0", "\ud800", "../../x", "é" * 300, [], {}, [[]], {"a": 1}, "1,2,3,4", "{stem}", "{x}",
)  # fmt: skip
Change = Callable[[bytearray, Random], bytearray]


def spoil(data: bytes, random: Random, others: Sequence[bytes] = ()) -> bytes:
    """`data` after one to three changes; `others` may be spliced in."""
    if random.random() < 0.01:
        return b""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if others and random.random() < 0.1:
            changed = _splice(changed, random.choice(others), random)
        elif changed:
            changed = random.choice(CHANGES)(changed, random)
    if changed.startswith(b"\x89PNG") and random.random() < 0.7:
        return mend_png(bytes(changed))
    return bytes(changed)


def _place(data: bytearray, random: Random) -> int:
    """A place in the file, more often near its start or end than in between."""
    where = random.random()
    reach = min(len(data), HEADER)
    if where < 0.5:
        return random.randrange(reach)
    return len(data) - 1 - random.randrange(reach) if where < 0.65 else random.randrange(len(data))


def _length(data: bytearray, random: Random) -> int:
    return min(len(data), 1 << random.randrange(12))


def _flip_bits(data: bytearray, random: Random) -> bytearray:
    for _ in range(1 << random.randrange(6)):
        data[_place(data, random)] ^= 1 << random.randrange(8)
    return data


def _write_bytes(data: bytearray, random: Random) -> bytearray:
    at, length = _place(data, random), _length(data, random)
    data[at : at + length] = random.randbytes(length)
    return data


def _write_zeros(data: bytearray, random: Random) -> bytearray:
    at, length = _place(data, random), _length(data, random)
    data[at : at + length] = bytes(length)
    return data


def _write_number(data: bytearray, random: Random) -> bytearray:
    """An extreme of 16, 32 or 64 bits, in either byte order."""
    at, width = _place(data, random), random.choice((2, 4, 8))
    number = random.choice(NUMBERS) & (1 << 8 * width) - 1
    data[at : at + width] = number.to_bytes(width, random.choice(("big", "little")))
    return data


def _change_number(data: bytearray, random: Random) -> bytearray:
    """A field that is a little more or less than it was."""
    at, order = _place(data, random), random.choice((">I", "<I"))
    if at + 4 <= len(data):
        (old,) = struct.unpack_from(order, data, at)
        struct.pack_into(order, data, at, (old + random.choice((-8, -1, 1, 8))) % (1 << 32))
    return data


def _cut(data: bytearray, random: Random) -> bytearray:
    return data[: random.randrange(len(data))]


def _remove(data: bytearray, random: Random) -> bytearray:
    at = _place(data, random)
    del data[at : at + _length(data, random)]
    return data


def _insert(data: bytearray, random: Random) -> bytearray:
    at, length = _place(data, random), _length(data, random)
    data[at:at] = random.choice((bytes(length), random.randbytes(length)))
    return data


def _repeat(data: bytearray, random: Random) -> bytearray:
    at, length = _place(data, random), _length(data, random)
    data[at:at] = data[at : at + length] * random.choice((1, 2, 50))
    return data


def _move(data: bytearray, random: Random) -> bytearray:
    at, length = _place(data, random), _length(data, random)
    block = data[at : at + length]
    del data[at : at + length]
    to = random.randrange(len(data) + 1)
    data[to:to] = block
    return data


def _splice(data: bytearray, other: bytes, random: Random) -> bytearray:
    """The start of one file and the end of another."""
    return data[: random.randrange(len(data) + 1)] + other[random.randrange(len(other)) :]


CHANGES: tuple[Change, ...] = (
    _flip_bits, _flip_bits, _write_bytes, _write_zeros, _write_number, _write_number,
    _write_number, _change_number, _cut, _remove, _insert, _repeat, _move,
)  # fmt: skip


def mend_png(data: bytes) -> bytes:
    """The PNG with right checksums: a decoder that stops at the first wrong one sees no more."""
    mended, at = bytearray(data), 8
    while at + 12 <= len(mended):
        end = at + 8 + int.from_bytes(mended[at : at + 4], "big")
        if end + 4 > len(mended):
            break
        mended[end : end + 4] = struct.pack(">I", zlib.crc32(mended[at + 4 : end]))
        at = end + 4
    return bytes(mended)


def spoil_value(value: Any, random: Random) -> Any:
    """A JSON value with one thing in it replaced, removed, added or repeated."""
    if isinstance(value, dict) and value and random.random() < 0.85:
        key = random.choice(list(value))
        what = random.random()
        if what < 0.1:
            return {name: one for name, one in value.items() if name != key}
        if what < 0.2:
            return {**value, random.choice(("x", "", "kind", "marks", "input")): 1}
        return {**value, key: spoil_value(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.8:
        at = random.randrange(len(value))
        if random.random() < 0.15:
            return value[:at] + [value[at]] * random.choice((0, 2, 40)) + value[at + 1 :]
        return [*value[:at], spoil_value(value[at], random), *value[at + 1 :]]
    if isinstance(value, str) and random.random() < 0.3:
        return spoil_text(value, random)
    if isinstance(value, int | float) and random.random() < 0.3:
        return random.choice((-value, value + 1, value * 1000, float(value), str(value)))
    return random.choice(VALUES)


def spoil_text(text: str, random: Random) -> str:
    """A text with some characters removed, repeated or replaced."""
    letters = list(text)
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(letters) + 1)
        what = random.random()
        if what < 0.3:
            letters[at : at + 1] = []
        elif what < 0.5:
            letters[at:at] = letters[at : at + 3] * random.choice((1, 30))
        else:
            letters[at:at] = random.choice("-+.,:;@/\\|*?[]{}\"'\0\n\t 0999\u0661\u221e\ud800eE")
    return "".join(letters)
