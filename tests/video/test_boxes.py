"""Films whose tables claim what no file of their size holds: refused before FFmpeg reads them."""

from __future__ import annotations

import resource
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from cleanplate.errors import VideoError
from cleanplate.video import probe
from cleanplate.video.headers import check_claims

Change = Callable[[bytearray], None]


def claim(kind: bytes, place: int, *values: int) -> Change:
    """Write `values` at `place` of the content of each box of a kind."""

    def change(data: bytearray) -> None:
        at = data.find(kind)
        assert at > 0
        while at > 0:
            struct.pack_into(f">{len(values)}I", data, at + 4 + place, *values)
            at = data.find(kind, at + 4)

    return change


@pytest.mark.parametrize("count", [1 << 20, 1 << 26, 1 << 31, (1 << 32) - 1])
@pytest.mark.parametrize("size", [0, 1, 1 << 31])
def test_a_sample_table_that_claims_billions(
    make_clip: Callable[..., Path], count: int, size: int
) -> None:
    path = make_clip(frames=4, audio=["eng"])
    data = bytearray(path.read_bytes())
    claim(b"stsz", 4, size, count)(data)
    path.write_bytes(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(VideoError, match=r"claims .* more than it has bytes"):
        probe(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


@pytest.mark.parametrize("flags", [0x000, 0x001, 0x701])
def test_a_fragment_that_claims_billions(make_clip: Callable[..., Path], flags: int) -> None:
    path = make_clip(frames=4, movflags="frag_keyframe+empty_moov")
    check_claims(path)
    data = bytearray(path.read_bytes())
    claim(b"trun", 0, flags, 1 << 30)(data)
    path.write_bytes(data)
    with pytest.raises(VideoError, match="claims"):
        probe(path)


@pytest.mark.parametrize("size", [0, 1 << 30])
def test_a_box_that_is_longer_than_the_one_around_it_hides_nothing(
    make_clip: Callable[..., Path], size: int
) -> None:
    path = make_clip(frames=4)
    data = bytearray(path.read_bytes())
    claim(b"stsz", 4, 1, 1 << 30)(data)
    for kind in (b"stsz", b"stbl", b"minf"):
        struct.pack_into(">I", data, data.index(kind) - 4, size)
    path.write_bytes(data)
    with pytest.raises(VideoError, match="claims"):
        probe(path)


def test_compressed_tables_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "packed.mov"
    inner = struct.pack(">I4s", 8, b"cmov")
    path.write_bytes(struct.pack(">I4s", 16, b"moov") + inner)
    with pytest.raises(VideoError, match="compressed tables"):
        probe(path)


@pytest.mark.parametrize("length", range(1, 40))
def test_pieces_of_boxes_are_no_video(tmp_path: Path, length: int) -> None:
    path = tmp_path / "piece.mp4"
    large = struct.pack(">I4sQ", 1, b"moov", 40) + struct.pack(">I4sI", 1, b"trak", 0) + bytes(20)
    path.write_bytes(large[:length])
    with pytest.raises(VideoError, match=r"damaged|no video stream|cut short"):
        probe(path)
