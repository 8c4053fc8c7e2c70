"""What of a source's untouched samples is kept exactly: the table in docs/limits.md, measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cleanplate.errors import OutputError
from cleanplate.video import VideoInfo, open_reader, open_writer, probe
from cleanplate.video.changes import describe_coding, name_codec
from cleanplate.video.colour import Converter, repack, samples, whole_blocks
from cleanplate.video.info import find_format

LIMITS = Path(__file__).resolve().parents[2] / "docs" / "limits.md"
CHROMA = {"4:2:0": "yuv420p", "4:2:2": "yuv422p", "4:4:4": "yuv444p"}
DEPTHS = {8: "", 10: "10le", 12: "12le"}
SOURCES = [
    *((f"{bits} bits, {kind}", f"{name}{end}") for bits, end in DEPTHS.items()
      for kind, name in CHROMA.items()),
    ("8 bits, grey", "gray"),
    ("10 bits, grey", "gray10le"),
    ("8 bits, RGB", "bgr0"),
]  # fmt: skip


def touch(info: VideoInfo) -> np.ndarray:
    touched = np.zeros(info.size.shape, np.bool_)
    touched[9:24, 8:31] = True
    return touched


def write(source: Path, target: Path, **options: object) -> None:
    info = probe(source)
    with open_reader(source, info) as reader, open_writer(target, info, **options) as writer:
        for picture in reader:
            writer.write(picture, 255 - picture.rgb, touch(info))


def planes(picture, info: VideoInfo) -> list[tuple[np.ndarray, tuple[int, int]]]:
    """All samples, grey as the YUV that it is written as, with the shifts of each plane."""
    layout = info.format
    if layout.family == "rgb":
        return [(picture.rgb, (0, 0))]
    frame = repack(picture.planes, layout, layout.planar_name)
    target = find_format(layout.planar_name)
    return [(one, target.shift(index)) for index, one in enumerate(samples(frame, target))]


def measure(source: Path, target: Path) -> str:
    """The codec, and whether all untouched samples are the source's."""
    info, result = probe(source), probe(target)
    assert result.bit_depth == info.bit_depth
    assert result.format.chroma_shift == find_format(info.format.planar_name).chroma_shift
    worst = 0
    with open_reader(source, info) as before, open_reader(target, result) as after:
        for old, new in zip(before, after, strict=True):
            for (own, shift), (made, _) in zip(planes(old, info), planes(new, result), strict=True):
                kept = ~whole_blocks(touch(info), *shift)
                worst = max(worst, int(np.abs(own.astype(int) - made)[kept].max()))
    return f"{name_codec(result.codec)}, {'with loss' if worst else 'exact'}"


def samples_of(picture) -> np.ndarray:
    """The 16-bit RGB of an image."""
    return samples(picture.planes, find_format("rgb48le"))[0]


def measure_pictures(source: Path, folder: Path) -> str:
    """Whether PNGs hold the source's samples, or RGB as it is decoded."""
    info = probe(source)
    with open_reader(source, info) as before, open_reader(folder) as after:
        for old, new in zip(before, after, strict=True):
            kept = ~touch(info)
            if info.bit_depth > 8:
                deep = Converter(info).to_deep(old.planes)
                np.testing.assert_array_equal(deep[kept], samples_of(new)[kept])
            else:
                np.testing.assert_array_equal(old.rgb[kept], new.rgb[kept])
    exact = info.bit_depth == 8 and info.format.family != "yuv"
    assert describe_coding(info, None, lossless=False)["exact"] == exact
    if info.bit_depth > 8:
        return "converted to 16-bit RGB"
    return "exact" if exact else "converted to RGB"


@pytest.mark.parametrize(("kind", "pixel_format"), SOURCES)
def test_the_table_of_what_is_exact(make_clip, tmp_path, kind, pixel_format):
    source = make_clip("a.mkv", codec="ffv1", pixel_format=pixel_format, frames=4)
    cells = set()
    for suffix in (".mp4", ".mov", ".mkv"):
        write(source, tmp_path / f"exact{suffix}", lossless=True)
        write(source, tmp_path / f"lossy{suffix}")
        exact, lossy = (measure(source, tmp_path / f"{n}{suffix}") for n in ("exact", "lossy"))
        cells.add(f"{exact} | {lossy}")
    write(source, tmp_path / "pictures")
    (cell,) = cells
    pictures = measure_pictures(source, tmp_path / "pictures")
    row = f"| {kind} | {cell} | {measure_webm(source, tmp_path)} | {pictures} |"
    assert row in LIMITS.read_text("utf-8").splitlines()


def measure_webm(source: Path, folder: Path) -> str:
    try:
        write(source, folder / "exact.webm", lossless=True)
    except OutputError:
        return "refused"
    return measure(source, folder / "exact.webm")


def test_the_table_has_no_other_rows():
    rows = [line for line in LIMITS.read_text("utf-8").splitlines() if " bits, " in line[:12]]
    assert len(rows) == len(SOURCES)


@pytest.mark.parametrize(
    ("pixel_format", "lossless", "kept"),
    [("yuv420p10le", True, "exact"), ("yuv420p10le", False, "with loss")],
)
def test_hevc_of_10_bits_stays_so(make_clip, tmp_path, pixel_format, lossless, kept):
    options = {"x265-params": "log-level=none"}
    source = make_clip("a.mp4", codec="libx265", pixel_format=pixel_format, options=options)
    write(source, tmp_path / "out.mp4", lossless=lossless)
    assert measure(source, tmp_path / "out.mp4") == f"HEVC, {kept}"


def test_images_are_exact_as_rgb(images, tmp_path):
    source = images(size=(64, 48))
    write(source, tmp_path / "out.mkv", lossless=True)
    write(source, tmp_path / "out")
    for target in ("out.mkv", "out"):
        with open_reader(source) as before, open_reader(tmp_path / target) as after:
            for old, new in zip(before, after, strict=True):
                kept = ~touch(probe(source))
                np.testing.assert_array_equal(old.rgb[kept], new.rgb[kept])
