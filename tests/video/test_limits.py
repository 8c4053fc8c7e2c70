"""Frames and images that claim more pixels than there is memory: refused before it is asked for."""

from __future__ import annotations

import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from cleanplate.errors import InputError, MaskError, VideoError
from cleanplate.masks import open_mask, read_marked
from cleanplate.types import Size
from cleanplate.video import probe
from cleanplate.video.headers import LONGEST_SIDE, VARIABLE, check_pixels, measure
from cleanplate.video.images import measure_image, read_image


def make_png(width: int, height: int) -> bytes:
    """A PNG of nothing but zeros, packed as far as that goes."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(1 + -(-width // 8))
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", pixels), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tif"])
@pytest.mark.parametrize("size", [(37, 21), (1, 300)])
def test_sizes_are_read_from_headers(suffix: str, size: tuple[int, int]) -> None:
    width, height = size
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    data = cv2.imencode(suffix, picture)[1].tobytes()
    assert measure(data) == Size(width, height)
    for end in range(0, len(data), 7):
        assert measure(data[:end]) in (None, Size(width, height))


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + b"\xff\xff\0\x01\0\0", Size(65536, 2)),
        (b"RIFF\0\0\0\0WEBPVP8L" + bytes(4) + b"\x2f" + b"\xff\xff\xff\x0f", Size(16384, 16384)),
        (b"BM" + bytes(12) + struct.pack("<IHH", 12, 70, 60), Size(70, 60)),
        (b"BM" + bytes(12) + struct.pack("<Iii", 40, 7, -6), Size(7, 6)),
        (b"\xff\xd8\xff\xff\xff\xd0\xff\xc2\0\x0b\x08\0\x05\0\x09", Size(9, 5)),
        (b"MM\0*\0\0\0\x08\0\x02" + struct.pack(">HHIHHHHII", 256, 3, 1, 9, 0, 257, 4, 1, 8),
         Size(9, 8)),
        (b"GIF89a" + bytes(99), None),
        (b"", None),
    ],
)  # fmt: skip
def test_rarer_headers(data: bytes, size: Size | None) -> None:
    assert measure(data) == size


def test_a_tiff_is_as_large_as_its_tiles() -> None:
    tags = [(256, 8), (257, 8), (322, 30000), (323, 40000), (322, 16)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    small = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries
    assert measure(small) == Size(30000, 40000)
    entries = b"".join(struct.pack("<HHQQ", tag, 16, 1, value) for tag, value in tags)
    big = b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, len(tags)) + entries
    assert measure(big) == Size(30000, 40000)


def test_the_limit_is_named_and_can_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    check_pixels(Size(8192, 8192), "it")
    with pytest.raises(VideoError, match=rf"it is 9000x9000.* set {VARIABLE}=81000000"):
        check_pixels(Size(9000, 9000), "it")
    with pytest.raises(MaskError, match=str(LONGEST_SIDE)):
        check_pixels(Size(40000, 1), "it", MaskError)
    monkeypatch.setenv(VARIABLE, "81000000")
    check_pixels(Size(9000, 9000), "it")
    for nonsense in ("many", "-1", "1e9", "9" * 99):
        monkeypatch.setenv(VARIABLE, nonsense)
        with pytest.raises(InputError, match=VARIABLE):
            check_pixels(Size(1, 1), "it")


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """3.6 billion pixels in half a megabyte."""
    return make_png(60000, 60000)


def test_an_image_that_unpacks_without_end_is_refused(tmp_path: Path, bomb: bytes) -> None:
    path = tmp_path / "frames" / "1.png"
    path.parent.mkdir()
    path.write_bytes(bomb)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in (read_image, lambda path: probe(path.parent)):
        with pytest.raises(VideoError, match="60000x60000"):
            read(path)
    assert measure_image(path) == Size(60000, 60000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_a_chunk_that_claims_to_be_endless_is_refused(tmp_path: Path) -> None:
    """OpenCV would take 2 GiB for it."""
    data = cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1].tobytes()
    for at in (33, 8):
        path = tmp_path / "endless.png"
        path.write_bytes(data[:at] + b"\x7f\xff\xff\xff" + data[at + 4 :])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(VideoError, match="cut short"):
            read_image(path)
        with pytest.raises(MaskError, match="half-written"):
            read_marked(path)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_a_mask_that_unpacks_without_end_is_refused(
    tmp_path: Path, bomb: bytes, make_clip: Callable[..., Path]
) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(bomb)
    info = probe(make_clip())
    with pytest.raises(MaskError, match="60000x60000"):
        open_mask(path).prepare(info)
    tif = tmp_path / "mask.tif"
    entries = struct.pack("<HHIIHHII", 256, 4, 1, 64000, 257, 4, 1, 64000)
    tif.write_bytes(b"II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4))
    with pytest.raises(MaskError, match="64000x64000"):
        open_mask(tif).prepare(info)


@pytest.mark.parametrize("codec", ["mjpeg", "mpeg4", "ffv1"])
def test_a_video_beyond_the_limit_is_refused(
    make_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    layout = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = make_clip("large.mkv", codec=codec, pixel_format=layout, size=(320, 240), frames=2)
    monkeypatch.setenv(VARIABLE, str(320 * 240))
    assert probe(path).size == Size(320, 240)
    monkeypatch.setenv(VARIABLE, str(320 * 240 - 1))
    with pytest.raises(VideoError, match=rf"320x240.* set {VARIABLE}=76800"):
        probe(path)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux's /proc")
def test_a_picture_that_grows_in_the_middle_takes_no_memory(
    make_clip: Callable[..., Path], tmp_path: Path
) -> None:
    """Motion JPEG whose second picture claims 65535x65535 in its own header."""
    path = make_clip("grows.avi", codec="mjpeg", pixel_format="yuvj420p", frames=3)
    data = bytearray(path.read_bytes())
    first = data.index(b"\xff\xc0")
    second = data.index(b"\xff\xc0", first + 2)
    data[second + 5 : second + 9] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    code = (
        "import sys; from cleanplate.errors import CleanplateError;"
        "from cleanplate.video import open_reader;\n"
        "try: list(open_reader(sys.argv[1]))\n"
        "except CleanplateError as error: print(error)\n"
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    said, taken = done.stdout.splitlines()
    assert "grows.avi" in said
    assert int(taken) < 400_000, "KiB"
