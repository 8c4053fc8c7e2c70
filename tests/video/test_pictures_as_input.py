"""One photograph, a GIF or an animated PNG is a clip like any other."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cleanplate import removal
from cleanplate.errors import OutputError, VideoError
from cleanplate.types import Size
from cleanplate.video import open_reader, probe
from cleanplate.video.images import read_image

SIZE = (40, 32)
BOX = "10,8,12,10"


@pytest.fixture
def draw(painted) -> Callable[[int], Image.Image]:
    """Pictures of 16 levels a channel: few enough for a palette."""
    return lambda index: Image.fromarray(painted(index, SIZE) // 64 * 85)


def pixels(path: Path) -> list[np.ndarray]:
    with open_reader(path) as reader:
        return [picture.rgb for picture in reader]


def cut(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif", ".webp"])
@pytest.mark.parametrize("name", ["photo", "photo.mp4", "none"])
def test_a_photograph_is_a_clip_of_one_frame(suffix: str, name: str, draw, tmp_path: Path) -> None:
    """Its content says so, and not its name."""
    path = tmp_path / f"photo{suffix}"
    draw(3).save(path)
    path = path.rename({"photo": path, "none": tmp_path / "photo"}.get(name, tmp_path / name))
    info = probe(path)
    assert (info.kind, info.size, info.frame_count) == ("images", Size(*SIZE), 1)
    (only,) = pixels(path)
    assert (only == read_image(path)).all()


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".jpg", ".jpeg", ".mp4", ""])
def test_a_photograph_becomes_what_is_asked_for(suffix: str, draw, tmp_path: Path) -> None:
    source, output = tmp_path / "photo.png", tmp_path / f"clean{suffix}"
    draw(3).save(source)
    report = removal.remove(source, output, box=BOX, method="flow", dilate=0, feather=0)
    assert report.frames == 1
    (before,), (after,) = pixels(source), pixels(output)
    outside = np.ones(before.shape[:2], bool)
    outside[8:18, 10:22] = False
    assert (before != after)[~outside].any()
    if suffix in (".png", ".PNG", ""):
        assert (before == after)[outside].all(), "no pixel outside the hole changes"
    if suffix.startswith(".jp"):
        assert np.abs(before.astype(int) - after)[outside].mean() < 8
        assert any("quality 95; .png keeps it" in note for note in report.notes)
        assert report.video["written"]["codec"] == "jpeg", "not called PNG"
        assert " as JPEG (yuvj444p) " in report.summary()[0]
        assert report.video["exact"] is False


def test_a_photograph_is_turned_as_its_exif_data_says(draw, tmp_path: Path) -> None:
    path, turned = tmp_path / "photo.jpg", Image.Exif()
    turned[0x0112] = 6
    draw(3).save(path, exif=turned, quality=95)
    assert probe(path).size == Size(*SIZE[::-1])
    removal.remove(path, tmp_path / "clean.png", box=BOX, method="flow")
    assert read_image(tmp_path / "clean.png").shape == (SIZE[0], SIZE[1], 3)


def test_the_masks_of_a_photograph_are_a_picture_too(draw, tmp_path: Path) -> None:
    source, kept, again = (tmp_path / f"{name}.png" for name in ("photo", "kept", "again"))
    draw(3).save(source)
    options = {"method": "flow", "lossless": True}
    removal.remove(source, tmp_path / "a.png", box=BOX, mask_out=kept, **options)
    assert np.count_nonzero(read_image(kept)[..., 0]) == 120
    removal.remove(source, again, masks=kept, **options)
    assert (read_image(again) == read_image(tmp_path / "a.png")).all()


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        (
            "clean.webp",
            {},
            r"unknown suffix.*single picture also \.png, \.tif, \.tiff, \.jpg, \.jpeg",
        ),
        ("clean.jpg", {"lossless": True}, r"is a JPEG, which always loses something; use \.png"),
    ],
)
def test_a_photograph_is_not_written_otherwise(name, options, says, draw, tmp_path: Path) -> None:
    source = tmp_path / "photo.png"
    draw(3).save(source)
    with pytest.raises(OutputError, match=says):
        removal.remove(source, tmp_path / name, box=BOX, method="flow", **options)
    assert list(tmp_path.iterdir()) == [source]


def test_several_frames_are_not_one_picture(make_clip, tmp_path: Path) -> None:
    source = make_clip(frames=2)
    for options in ({}, {"mask_out": tmp_path / "mask.png"}):
        output = tmp_path / ("clean.png" if not options else "clean.mp4")
        with pytest.raises(OutputError, match=r"is one picture, but .* has 2; use \.mp4"):
            removal.remove(source, output, box=BOX, method="flow", **options)
    assert list(tmp_path.iterdir()) == [source]


def test_what_a_photograph_cannot_be_is_said(painted, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    see_through = np.dstack([painted(0, SIZE), np.full(SIZE[::-1], 99, np.uint8)])
    assert cv2.imwrite(str(path), see_through)
    with pytest.raises(VideoError, match="partly transparent; flatten it"):
        probe(path)
    assert cv2.imwrite(str(path.with_suffix(".tif")), painted(0, SIZE).astype(np.float32))
    with pytest.raises(VideoError, match="samples of the type float32; convert it"):
        probe(path.with_suffix(".tif"))
    Image.fromarray(painted(0, SIZE)).save(path)
    cut(path, 0.7)
    with pytest.raises(VideoError, match="cut short"):
        probe(path)


@pytest.mark.parametrize("suffix", [".gif", ".png"])
def test_an_animation_is_a_film(suffix: str, draw, tmp_path: Path) -> None:
    path, shown = tmp_path / f"film{suffix}", [100, 200, 50, 300]
    first, *others = (draw(index) for index in range(4))
    first.save(path, save_all=True, append_images=others, duration=shown)
    info = probe(path)
    assert (info.kind, info.frame_count, info.has_planes) == ("video", 4, False)
    assert info.duration == Fraction(sum(shown), 1000)
    with open_reader(path, info) as reader:
        found = [(picture.time, picture.rgb) for picture in reader]
    assert [time for time, _ in found] == [Fraction(at, 1000) for at in (0, 100, 300, 350)]
    for index, (_, rgb) in enumerate(found):
        assert (rgb == np.asarray(draw(index))).all()


@pytest.mark.parametrize("suffix", [".gif", ".png"])
def test_an_animation_becomes_a_video_that_plays(suffix: str, draw, tmp_path: Path) -> None:
    path, output = tmp_path / f"film{suffix}", tmp_path / "clean.mp4"
    first, *others = (draw(index) for index in range(4))
    first.save(path, save_all=True, append_images=others, duration=[100, 200, 50, 300])
    report = removal.remove(path, output, box=BOX, method="flow")
    assert not [note for note in report.notes if "transparent" in note]
    made = probe(output)
    assert (made.codec, made.pixel_format, made.frame_count) == ("h264", "yuv420p", 4)
    with open_reader(output, made) as reader:
        times = [picture.time for picture in reader]
    assert times == [Fraction(at, 1000) for at in (0, 100, 300, 350)]
    exact = tmp_path / "exact.mkv"
    removal.remove(path, exact, box=BOX, method="flow", dilate=0, feather=0, lossless=True)
    for before, after in zip(pixels(path), pixels(exact), strict=True):
        assert (before[20:] == after[20:]).all()


@pytest.mark.parametrize("suffix", [".gif", ".png"])
def test_what_is_transparent_in_an_animation_lies_on_white(suffix, painted, tmp_path) -> None:
    path = tmp_path / f"film{suffix}"
    layers = []
    for index in range(3):
        layer = np.dstack([painted(index, SIZE) // 64 * 85, np.zeros(SIZE[::-1], np.uint8)])
        layer[4:20, 5 + index : 25 + index, 3] = 255
        layers.append(Image.fromarray(layer, "RGBA"))
    layers[0].save(path, save_all=True, append_images=layers[1:], duration=100, disposal=2)
    for index, rgb in enumerate(pixels(path)):
        assert (rgb[22:] == 255).all()
        assert (rgb[4:20, 5 + index : 25 + index] != 255).any()
    report = removal.remove(path, tmp_path / "clean.mp4", box=BOX, method="flow")
    assert "3 frames are transparent in part, shown on white" in report.notes


@pytest.mark.parametrize("suffix", [".gif", ".png"])
def test_an_animation_that_is_cut_short_is_refused(suffix: str, draw, tmp_path: Path) -> None:
    path = tmp_path / f"film{suffix}"
    first, *others = (draw(index) for index in range(4))
    first.save(path, save_all=True, append_images=others, duration=100)
    cut(path, 0.8)
    with pytest.raises(VideoError, match=r"cut short|cannot be"):
        probe(path)
    assert probe(path, keep_going=True).frame_count < 5


def test_an_animated_webp_is_refused_with_a_remedy(draw, tmp_path: Path) -> None:
    path = tmp_path / "film.webp"
    draw(0).save(path, save_all=True, append_images=[draw(1)], duration=100)
    with pytest.raises(VideoError, match=r"animated WebP.* convert it to GIF or MP4 first"):
        probe(path)


def test_a_gif_of_one_picture_may_become_a_picture(draw, tmp_path: Path) -> None:
    path = tmp_path / "photo.gif"
    draw(3).save(path)
    removal.remove(path, tmp_path / "clean.png", box="0,0,8,8", method="flow", dilate=0, feather=0)
    assert (read_image(tmp_path / "clean.png")[8:] == np.asarray(draw(3))[8:]).all()
