"""Burned-in text: found, timed to the frame, told from text in the scene."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from cleanplate.errors import InputError, MaskError
from cleanplate.masks.captions import RapidDetector
from cleanplate.masks.letters import Evidence
from cleanplate.masks.text import find_text
from cleanplate.types import Box
from cleanplate.video import probe

from .subtitles import Style, burn, draw_subtitle

pytestmark = pytest.mark.usefixtures("one_thread")

SIZE = (192, 108)
LINE = Style("Nobody home", height=0.15, outline=0.02)
OTHER = Style("Try again", height=0.15, outline=0.02)
SIGN = (slice(20, 34), slice(20, 90))


class WhiteDetector:
    """Finds what is white: the box around all of it. The textures below are never white."""

    def detect(self, frame: np.ndarray) -> list[Box]:
        white = (frame.min(axis=2) > 235).astype(np.uint8)
        x, y, width, height = cv2.boundingRect(white)
        return [Box(x, y, width, height)] if white.sum() > 20 else []


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Frames as a folder of images, 25 a second."""

    def write(frames: np.ndarray, name: str = "frames") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for index, frame in enumerate(frames):
            assert cv2.imwrite(str(folder / f"{index:03d}.png"), frame[..., ::-1])
        return folder

    return write


@pytest.fixture
def scene(pan) -> np.ndarray:
    """A camera that moves over a texture for two seconds."""
    return (pan(frames=50, size=SIZE, step=(1.5, 0.5)) * 0.8).astype(np.uint8)


def find(path: Path, **options):
    return find_text(path, detector=WhiteDetector(), **options)


def cover(found, count: int) -> np.ndarray:
    return np.stack([found.mask(index, Fraction(index, 25)) for index in range(count)])


@pytest.mark.parametrize(("start", "end"), [(0, 50), (13, 38), (0, 21), (29, 50)])
def test_a_caption_is_covered_exactly_while_it_stands(save, scene, start, end):
    frames, changed = burn(scene, LINE, start, end)
    found = find(save(frames))
    assert len(found.captions) == 1
    assert (found.captions[0].first, found.captions[0].last) == (start, end - 1)
    on_screen = [found.captions[0].start, found.captions[0].end]
    assert on_screen == pytest.approx([start / 24, end / 24])  # a folder of images
    masks = cover(found, 50)
    assert (masks & changed).sum() >= 0.98 * changed.sum()
    assert masks.any(axis=(1, 2)).tolist() == [start <= index < end for index in range(50)]
    assert (masks == masks[start])[start:end].all(), "the mask does not change while it stands"
    assert masks[start].mean() < 3 * changed[start].mean()


def test_captions_that_follow_each_other(save, scene):
    frames, early = burn(scene, LINE, 4, 24)
    frames, late = burn(frames, OTHER, 24, 45)
    found = find(save(frames))
    assert [(one.first, one.last) for one in found.captions] == [(4, 23), (24, 44)]
    changed = early | late
    assert (cover(found, 50) & changed).sum() >= 0.98 * changed.sum()


def test_a_fade_belongs_to_the_caption(save, scene):
    whole, _ = burn(scene, LINE)
    share = np.clip((np.arange(50) - 10) / 8, 0, 1)[:, None, None, None]
    frames = np.rint(scene * (1 - share) + whole * share).astype(np.uint8)
    caption = find(save(frames)).captions[0]
    assert 10 <= caption.first <= 13
    assert caption.last == 49


def slide(scene: np.ndarray, offsets: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    """LINE over `scene`, moved by x, y in each frame; and the pixels that it changed."""
    colour, opacity = draw_subtitle(SIZE, LINE)
    frames = scene.copy()
    for frame, (x, y) in zip(frames, offsets, strict=True):
        shift = np.array([[1, 0, x], [0, 1, y]], np.float32)
        ink, share = (
            cv2.warpAffine(plane.astype(np.float32), shift, SIZE) for plane in (colour, opacity)
        )
        frame[...] = np.rint(frame * (1 - share[..., None]) + ink * share[..., None])
    return frames, np.abs(frames.astype(int) - scene).max(axis=3) > 40


@pytest.mark.parametrize("step", [(0, 4), (-18, 0), (0, 7)], ids=["below", "left", "fast"])
@pytest.mark.parametrize("out", [False, True], ids=["in", "out"])
def test_a_caption_that_slides_is_covered_from_its_entrance_on(save, scene, step, out):
    away = [max(0, 18 - t) for t in range(50)]
    offsets = [(step[0] * k, step[1] * k) for k in (away[::-1] if out else away)]
    frames, changed = slide(scene, offsets)
    found = find(save(frames))
    assert len(found.captions) == 1
    masks = cover(found, 50)
    for mask, ink in zip(masks, changed, strict=True):
        assert (mask & ink).sum() >= 0.9 * ink.sum()
    assert masks.mean() < 3 * changed.mean()


@pytest.mark.parametrize("frames", [3, 5])
@pytest.mark.parametrize("out", [False, True], ids=["in", "out"])
def test_a_caption_that_pops_up_is_covered_from_its_first_frame_on(save, pan, frames, out):
    size = (384, 216)
    scene = (pan(frames=50, size=size, step=(3, 1)) * 0.8).astype(np.uint8)
    scales = [0.0] * 12 + list(np.linspace(0.5, 1, frames + 1)[:-1])
    scales += [1.0] * (50 - len(scales))
    colour, opacity = draw_subtitle(size, LINE)
    y, x = np.nonzero(opacity[..., 0] > 0.5)
    middle = float(x.min() + x.max()) / 2, float(y.min() + y.max()) / 2
    shown = scene.copy()
    for frame, scale in zip(shown, scales[::-1] if out else scales, strict=True):
        if scale:
            turn = cv2.getRotationMatrix2D(middle, 0, scale)
            ink, share = (
                cv2.warpAffine(plane.astype(np.float32), turn, size) for plane in (colour, opacity)
            )
            frame[...] = np.rint(frame * (1 - share[..., None]) + ink * share[..., None])
    changed = np.abs(shown.astype(int) - scene).max(axis=3) > 40
    masks = cover(find(save(shown)), 50)
    for mask, ink in zip(masks, changed, strict=True):
        assert (mask & ink).sum() >= 0.9 * ink.sum()
        assert mask.any() <= ink.any()


def test_text_that_moves_with_the_scene_is_left(save, scene):
    frames = scene.copy()
    letters, _ = burn(np.zeros((1, 14, 70, 3), np.uint8), Style("EXIT", height=0.8, outline=0))
    for index, frame in enumerate(frames):
        x = 110 - round(1.5 * index)
        area = frame[40:54, x : x + 70]
        area[letters[0].max(axis=2) > 128] = 255
    with pytest.raises(MaskError, match="no burned-in text was found"):
        find(save(frames))


def test_text_in_a_still_picture_needs_a_word(save, scene):
    still = np.repeat(scene[:1], 50, axis=0)
    still[:, 20:24, 20:90] = still[:, 30:34, 20:90] = still[:, 20:34, 50:54] = 255
    path = save(still)
    with pytest.raises(MaskError, match=r"may belong to the scene: .*`region`"):
        find(path)
    found = find(path, region=Box(10, 10, 100, 40))
    assert found.captions[0].evidence is Evidence.REGION
    assert found.mask(7, Fraction(7, 25))[SIGN].mean() > 0.5


def test_where_captions_are_a_still_picture_is_enough(save, scene):
    frames, changed = burn(np.repeat(scene[:1], 50, axis=0), LINE)
    found = find(save(frames))
    assert found.captions[0].evidence is Evidence.PLACE
    assert (cover(found, 50) & changed).sum() >= 0.98 * changed.sum()


def test_a_bar_is_covered_unless_it_is_to_stay(save, scene):
    style = Style("Nobody home", height=0.15, outline=0, bar=0.6)
    frames, changed = burn(scene, style, 10, 40)
    path = save(frames)
    assert (cover(find(path), 50) & changed).sum() >= 0.98 * changed.sum()
    letters = cover(find(path, bars=False), 50)
    assert letters[20].sum() < 0.9 * changed[20].sum()


def test_grow(save, scene):
    path = save(burn(scene, LINE)[0])
    assert find(path, dilate=5).mask(3, Fraction(0)).sum() > find(path).mask(3, Fraction(0)).sum()


def test_a_turned_video(tmp_path, scene):
    frames, changed = burn(scene, LINE, 10, 40)
    coded = np.rot90(frames, 1, axes=(1, 2))
    with av.open(str(tmp_path / "turned.mkv"), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.height, stream.width = coded.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.set_display_rotation(-90)
        for frame in coded:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))
    assert probe(tmp_path / "turned.mkv").rotation == 90
    found = find(tmp_path / "turned.mkv")
    masks, hidden = cover(found, 50), np.rot90(changed, 1, axes=(1, 2))
    assert (masks & hidden).sum() >= 0.98 * hidden.sum()
    assert found.captions[0].box.width > found.captions[0].box.height


def test_a_region_outside_the_frame(save, scene):
    with pytest.raises(MaskError, match="region 500,0,9,9 is outside the frame, which is 192x108"):
        find(save(scene), region=Box(500, 0, 9, 9))


def test_another_video_is_refused(save, scene):
    found = find(save(burn(scene, LINE)[0]))
    with pytest.raises(MaskError, match="text was found in a video of 192x108"):
        found.prepare(probe(save(scene[:4, :50], "small")))


@pytest.mark.parametrize("missing", ["rapidocr", "onnxruntime"])
def test_without_the_extra(monkeypatch, save, scene, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(InputError, match=r"needs the extra \[text\] .*pip install"):
        find_text(save(scene[:2]))


def test_the_real_detector(save, pan):
    scene = (pan(frames=20, size=(320, 180), step=(2, 0)) * 0.8).astype(np.uint8)
    frames, changed = burn(scene, Style("Where is everybody?", height=0.1, outline=0.01), 0, 15)
    found = find_text(save(frames))
    assert (found.captions[0].first, found.captions[0].last) == (0, 14)
    assert (cover(found, 20) & changed).sum() >= 0.98 * changed.sum()


def test_the_detector_finds_nothing_in_nothing():
    assert RapidDetector().detect(np.full((64, 96, 3), 90, np.uint8)) == []


def test_the_detector_writes_no_identity_and_reports_to_nobody(tmp_path):
    """onnxruntime does both as soon as it is imported, unless it is told not to."""
    code = "from cleanplate.masks.captions import RapidDetector; RapidDetector()"
    environment = {**os.environ, "HOME": str(tmp_path)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert list(tmp_path.iterdir()) == []
