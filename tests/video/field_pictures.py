"""H.264 whose fields are coded as pictures of their own, as broadcasts have it; x264 makes none.

A stream of the simplest kind that is one (ITU-T H.264, 7.3): uncompressed macroblocks only.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIZE = (64, 64)


class Bits:
    """A row of bits, written by number of bits or in exponential Golomb code."""

    def __init__(self) -> None:
        self.bits: list[int] = []

    def put(self, *pairs: tuple[int, int]) -> Bits:
        """(width, value) each."""
        for width, value in pairs:
            self.bits += [value >> at & 1 for at in range(width - 1, -1, -1)]
        return self

    def golomb(self, *values: int) -> Bits:
        for value in values:
            length = (value + 1).bit_length()
            self.put((length - 1, 0), (length, value + 1))
        return self

    def fill(self) -> Bits:
        return self.put((-len(self.bits) % 8, 0))

    def unit(self, kind: int) -> bytes:
        """A NAL unit with its start code; bytes that would look like one are escaped."""
        raw = np.packbits(np.array(self.put((1, 1)).fill().bits, np.uint8)).tobytes()
        unit, zeros = bytearray([1 << 5 | kind]), 0
        for byte in raw:
            if zeros >= 2 and byte <= 3:
                unit.append(3)
                zeros = 0
            unit.append(byte)
            zeros = zeros + 1 if byte == 0 else 0
        return b"\0\0\0\1" + bytes(unit)


def _head() -> bytes:
    """Sequence and picture parameters: Main profile, fields, one reference."""
    width, height = SIZE
    sequence = Bits().put((8, 77), (8, 0), (8, 30)).golomb(0, 0, 2, 1).put((1, 0))
    sequence.golomb(width // 16 - 1, height // 32 - 1).put((1, 0), (1, 0), (1, 1), (1, 0), (1, 0))
    picture = Bits().golomb(0, 0).put((2, 0)).golomb(0, 0, 0).put((3, 0)).golomb(0, 0, 0)
    picture.put((3, 4))
    return sequence.unit(7) + picture.unit(8)


def _field(luma: np.ndarray, parity: int, number: int) -> bytes:
    """The top field (parity 0) begins a key picture, the bottom field completes it."""
    bits = Bits().golomb(0, 7, 0).put((4, 0), (1, 1), (1, parity))
    if parity == 0:
        bits.golomb(number % 2)
    bits.put((1, 0) if parity else (2, 0)).golomb(0, 1)
    for y in range(0, luma.shape[0], 16):
        for x in range(0, luma.shape[1], 16):
            bits.golomb(25).fill()
            for sample in (*luma[y : y + 16, x : x + 16].ravel().tolist(), *[128] * 128):
                bits.put((8, sample))
    return bits.unit(1 if parity else 5)


def write_field_pictures(path: Path, frames: np.ndarray) -> Path:
    """`frames` (t, 64, 64), grey levels from 1 to 254, at 25 a second; each field is a packet."""
    raw = path.with_suffix(".h264")
    raw.write_bytes(
        b"".join(
            b"\0\0\0\1\x09\x10"
            + _head()
            + _field(frame[0::2], 0, number)
            + _field(frame[1::2], 1, 0)
            for number, frame in enumerate(frames)
        )
    )
    with av.open(str(raw)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        fields = (packet for packet in source.demux() if packet.size)
        for number, packet in enumerate(fields):
            packet.time_base = Fraction(1, 50)
            packet.pts = packet.dts = number
            packet.duration = 1
            packet.stream = stream
            out.mux(packet)
    return path
