"""Interlaced frames: each field is filled as a clip of its own, and nothing else changes."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cleanplate
from cleanplate.errors import InputError
from cleanplate.motion import fill_from_rim
from cleanplate.removal import Engine, Span, inpaint
from cleanplate.removal import engine as engines
from cleanplate.removal.fields import field_of
from cleanplate.removal.regions import Entry
from cleanplate.removal.windows import WindowFiller
from cleanplate.types import Size
from cleanplate.video import open_reader, probe

pytestmark = pytest.mark.usefixtures("one_thread")

BOX = {"box": "24,16,20,16", "method": "flow"}


def weave(moments: np.ndarray) -> np.ndarray:
    """Frames whose even lines are of every other moment, and whose odd lines are of those between.

    Each moment is blurred a little across lines, as cameras do it for interlaced pictures.
    """
    padded = np.pad(moments, ((0, 0), (1, 1), (0, 0), (0, 0)), mode="edge").astype(np.float32)
    soft = np.rint((padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4).astype(np.uint8)
    frames = soft[0::2].copy()
    frames[:, 1::2] = soft[1::2, 1::2]
    return frames


def holes(shape: tuple[int, int, int], step: int) -> np.ndarray:
    """A rectangle in every frame that goes `step` pixels to the right from each to the next."""
    masks = np.zeros(shape, np.bool_)
    for t, mask in enumerate(masks):
        x = 30 + (t * step) % 90
        mask[30:62, x : x + 26] = True
    return masks


def hide(frames: np.ndarray, masks: np.ndarray) -> np.ndarray:
    return np.where(masks[..., None], np.uint8(0), frames)


def psnr(made: np.ndarray, truth: np.ndarray, masks: np.ndarray) -> float:
    error = made[masks].astype(np.float64) - truth[masks]
    return float(10 * np.log10(255**2 / max((error**2).mean(), 1e-9)))


def finish(engine: Engine, frames: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pairs = zip(frames, masks, strict=True)
    done = [one for frame, mask in pairs for one in engine.push(frame, mask)] + engine.finish()
    return np.stack([one.frame for one in done]), np.stack([one.touched for one in done])


@pytest.mark.parametrize("step", [0, 7], ids=["hole at rest", "moving hole"])
def test_fields_are_filled_better_apart(pan, step: int) -> None:
    truth = weave(pan(frames=32, size=(160, 96), step=(1.75, 0.85), seed=4))
    masks = holes(truth.shape[:3], step)
    hidden = hide(truth, masks)
    made = {
        fields: inpaint(hidden, masks, method="flow", fields=fields) for fields in (False, True)
    }
    gain = psnr(made[1], truth, masks) - psnr(made[0], truth, masks)
    assert gain > 8
    np.testing.assert_array_equal(made[1][~masks], truth[~masks])


def test_a_field_takes_nothing_from_the_other(pan) -> None:
    """Where other frames show everything, the odd lines can be what they like."""
    frames = pan(frames=20, size=(160, 96))
    masks = holes(frames.shape[:3], 9)
    made = []
    for seed in (1, 2):
        mixed = frames.copy()
        mixed[:, 1::2] = pan(frames=20, size=(160, 96), step=(-2, 0), seed=seed)[:, 1::2]
        made.append(inpaint(hide(mixed, masks), masks, method="flow", fields=True))
        assert psnr(made[-1], mixed, masks) > 30
    np.testing.assert_array_equal(made[0][:, 0::2], made[1][:, 0::2])


def test_what_no_frame_saw_is_guessed_in_the_frame(pan) -> None:
    frames = np.repeat(pan(frames=1, size=(160, 96)), 6, axis=0)
    masks = holes(frames.shape[:3], 0)
    made = inpaint(frames, masks, method="flow", fields=True).astype(int)
    guess = fill_from_rim(frames[0], masks[0], masks[0].size).astype(int)
    assert np.abs(made - guess)[masks].max() <= 2


@pytest.mark.parametrize("size", [Size(90, 61), Size(90, 62), Size(9, 2), Size(9, 1), Size(64, 3)])
@pytest.mark.parametrize(("dilate", "feather"), [(0, 0), (3, 4)])
def test_masks_grow_and_fade_in_the_frame(pan, size: Size, dilate: int, feather: int) -> None:
    frames = pan(frames=8, size=(size.width, max(size.height, 8)))[:, : size.height]
    masks = np.zeros(frames.shape[:3], np.bool_)
    masks[2:, size.height // 2, 3:8] = True  # a single line, of one field
    options = {"method": "flow", "dilate": dilate, "feather": feather}
    plain, touched = finish(Engine(size, **options), frames, masks)
    woven, also = finish(Engine(size, fields=True, **options), frames, masks)
    np.testing.assert_array_equal(touched, also)
    np.testing.assert_array_equal(woven[~touched], frames[~touched])
    assert plain.shape == woven.shape == frames.shape


@pytest.mark.parametrize("parity", [0, 1])
@pytest.mark.parametrize("y", [0, 1, 4, 5])
def test_a_field_of_an_entry_is_what_its_lines_are(y: int, parity: int) -> None:
    frame = np.arange(12 * 8 * 3, dtype=np.uint8).reshape(12, 8, 3)
    mask = np.zeros((12, 8), np.bool_)
    mask[y : y + 5, 2:6] = True
    entry = Entry.of(frame, mask, 1, 1)
    field, whole = field_of(entry, parity), Entry.of(frame[parity::2], mask[parity::2], 0, 0)
    assert whole.box is not None
    np.testing.assert_array_equal(field.frame, frame[parity::2])
    everything = Entry.of(frame, np.ones((12, 8), np.bool_), 0, 0).box
    assert everything is not None
    lines = Entry.of(frame[parity::2], np.ones((6, 8), np.bool_), 0, 0).box
    assert lines is not None
    np.testing.assert_array_equal(field.hole(lines), entry.hole(everything)[parity::2])


def test_the_network_is_asked_for_each_field(pan, painter, still_mask) -> None:
    frames = weave(pan(frames=12))
    masks = still_mask(frames)
    engine = Engine(Size(96, 64), filler=WindowFiller(painter), method="network", fields=True)
    made, _ = finish(engine, frames, masks)
    assert (np.abs(made[masks].astype(int) - 128) <= 1).all()
    assert {holes.shape[-2] for _, holes in painter.seen} == {32}


def test_no_more_frames_are_held(pan) -> None:
    span = Span(8, 3)
    engine = Engine(Size(16, 12), method="flow", span=span, fields=True)
    mask = np.zeros((12, 16), np.bool_)
    mask[3:6, 4:8] = True
    back = 0
    for pushed in range(1, 60):
        back += len(engine.push(np.full((12, 16, 3), pushed, np.uint8), mask))
        assert pushed - back < span.own + span.around


@pytest.fixture
def film(make_clip) -> Path:
    return make_clip("a.mpg", codec="mpeg2video", fields="bff", frames=18)


@pytest.fixture
def short_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Span, "for_size", classmethod(lambda cls, size: Span(4, 3)))
    monkeypatch.setattr(engines, "_SEGMENT", 4)


def content(path: Path) -> list[np.ndarray]:
    with open_reader(path) as reader:
        return [picture.rgb for picture in reader]


def test_flags_decide_and_can_be_overruled(film, tmp_path, monkeypatch) -> None:
    asked: list[bool] = []
    before = Engine.__init__

    def watch(self: Engine, *args: Any, **options: Any) -> None:
        asked.append(options["fields"])
        before(self, *args, **options)

    monkeypatch.setattr(Engine, "__init__", watch)
    for number, choice in enumerate(("auto", "on", "off")):
        report = cleanplate.remove(film, tmp_path / f"{number}.mp4", fields=choice, **BOX)
        assert report.field_order == "bottom field first"
        assert probe(tmp_path / f"{number}.mp4").field_order == 3
        assert report.origin["options"]["fields"] == choice
    assert asked == [True, True, False]
    with pytest.raises(InputError, match="`fields` 'odd' is unknown; use auto, on, off"):
        cleanplate.remove(film, tmp_path / "x.mp4", fields="odd", **BOX)


def test_progressive_video_is_filled_as_before(make_clip, tmp_path) -> None:
    source = make_clip()
    made = []
    for choice in ("auto", "off"):
        report = cleanplate.remove(source, tmp_path / f"{choice}.mp4", fields=choice, **BOX)
        assert report.field_order == "progressive"
        made.append((tmp_path / f"{choice}.mp4").read_bytes())
    assert made[0] == made[1]


@pytest.mark.usefixtures("short_spans")
@pytest.mark.parametrize("after", [9, 17])
def test_a_run_that_was_cut_off_goes_on_to_the_same_file(film, tmp_path, after: int) -> None:
    class Stop(Exception):
        pass

    done = count(1)

    def stop(*_: Any) -> None:
        if next(done) == after:
            raise Stop

    whole, cut = tmp_path / "whole.mkv", tmp_path / "cut.mkv"
    cleanplate.remove(film, whole, **BOX)
    with pytest.raises(Stop):
        cleanplate.remove(film, cut, progress=stop, **BOX)
    cleanplate.remove(film, cut, resume=True, **BOX)
    assert whole.read_bytes() == cut.read_bytes()


def test_threads_and_memory_change_no_pixel_of_the_span(film, tmp_path) -> None:
    cleanplate.remove(film, tmp_path / "one", threads=1, **BOX)
    cleanplate.remove(film, tmp_path / "two", threads=2, max_memory="3GB", **BOX)
    for one, two in zip(content(tmp_path / "one"), content(tmp_path / "two"), strict=True):
        np.testing.assert_array_equal(one, two)


def test_untouched_pixels_of_a_lossless_output_are_the_source_s(film, tmp_path) -> None:
    cleanplate.remove(film, tmp_path / "out.mkv", lossless=True, dilate=0, feather=0, **BOX)
    clear = np.ones((48, 64), np.bool_)
    clear[8:40, 16:52] = False  # chroma of the rim is smooth over a few pixels
    pairs = zip(content(film), content(tmp_path / "out.mkv"), strict=True)
    for own, made in pairs:
        np.testing.assert_array_equal(own[clear], made[clear])
        assert (own[20:28, 28:40] != made[20:28, 28:40]).any()


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        ((3, 4), "6 frames are flagged as interlaced and 2 as progressive; all were coded as top"),
        ((0, 1, 2), "5 frames are flagged as interlaced and 3 as progressive; all were coded as"),
    ],
)
def test_a_mixture_of_flags_is_told(make_clip, tmp_path, plain, words: str) -> None:
    source = make_clip("a.mkv", codec="ffv1", fields="tff", plain=plain)
    report = cleanplate.remove(source, tmp_path / "out.mkv", **BOX)
    assert sum(words in note for note in report.notes) == 1


def test_a_note_says_where_the_output_loses_the_fields(film, tmp_path) -> None:
    report = cleanplate.remove(film, tmp_path / "out.webm", **BOX)
    assert any("VP9 of 64x48 cannot say" in note for note in report.notes)


@pytest.mark.parametrize("step", [(0.0, 0.0), (0.3, 0.0)], ids=["still", "pan"])
def test_both_fields_are_seen_again_in_far_frames(pan, step: tuple[float, float]) -> None:
    truth = weave(pan(frames=160, size=(160, 96), step=step, seed=4))
    masks = np.zeros(truth.shape[:3], np.bool_)
    masks[:70, 30:60, 60:100] = True
    made = inpaint(hide(truth, masks), masks, method="flow", fields=True)
    early = slice(0, 30)  # 40 and more frames away from those that show the wall
    assert psnr(made[early], truth[early], masks[early]) > 30
    np.testing.assert_array_equal(made[~masks], truth[~masks])
