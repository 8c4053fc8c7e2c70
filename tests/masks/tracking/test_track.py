from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from cleanplate.errors import InputError, MaskError
from cleanplate.masks.source import turn_to_coded
from cleanplate.masks.tracking import Cancelled, Found, Tracked, TrackPrompt, track
from cleanplate.masks.tracking.segmenter import PackedMask, find_spans
from cleanplate.masks.tracking.track import blend, find_frame, place_box
from cleanplate.types import Box, Size
from cleanplate.video import probe

WIDE, HIGH, LENGTH = 192, 128, 24


@pytest.fixture
def scene(pan: Callable[..., np.ndarray], tmp_path: Path) -> Callable[..., tuple[Path, np.ndarray]]:
    """A disc that crosses a picture whose camera moves; a bar may hide it on its way."""

    def make(
        bar: bool = False, shadow: bool = False, still: bool = False
    ) -> tuple[Path, np.ndarray]:
        frames = pan(LENGTH, (WIDE, HIGH), (1.5, 0), seed=3) // 2 + 60
        masks = np.zeros((LENGTH, HIGH, WIDE), np.bool_)
        folder = tmp_path / "scene"
        folder.mkdir()
        for t in range(LENGTH):
            centre = (96, 60) if still else (28 + 6 * t, 60)
            disc = cv2.circle(np.zeros((HIGH, WIDE), np.uint8), centre, 16, 1, -1) > 0
            frame = frames[t].copy()
            if shadow:
                dark = np.zeros((HIGH, WIDE), np.bool_)
                dark[74:86, centre[0] - 14 : centre[0] + 14] = True
                frame[dark] //= 2
            frame[disc] = (200, 40 + 3 * t, 30)
            if bar:
                hidden = slice(100 - 3 * t // 2, 138 - 3 * t // 2)  # it stands in the scene
                frame[:, hidden] = (30, 90, 140)
                disc[:, hidden] = False
            masks[t] = disc
            cv2.imwrite(str(folder / f"{t:03}.png"), frame[..., ::-1])
        return folder, masks

    return make


def box_of(mask: np.ndarray) -> Box:
    return Box(*cv2.boundingRect(mask.astype(np.uint8)))


def measure(tracked: Tracked, masks: np.ndarray) -> tuple[float, float]:
    """Mean covered share of the object, and mean area over the object's, where it is seen."""
    pairs = [(tracked.mask(t), mask) for t, mask in enumerate(masks) if mask.sum() > 200]
    covered = [(found & mask).sum() / mask.sum() for found, mask in pairs]
    return float(np.mean(covered)), float(np.mean([f.sum() / m.sum() for f, m in pairs]))


@pytest.mark.parametrize("start", [0, 12, LENGTH - 1])
def test_follows_forwards_and_backwards(scene: Callable[..., tuple], start: int) -> None:
    folder, masks = scene()
    rate = probe(folder).rate
    tracked = track(folder, [TrackPrompt(box_of(masks[start]), start / rate)])
    covered, area = measure(tracked, masks)
    assert covered > 0.95
    assert area < 2.5
    assert not tracked.lost
    assert len(tracked) == len(tracked.confidence) == LENGTH


def test_thing_at_rest_stays_covered(scene: Callable[..., tuple]) -> None:
    folder, masks = scene(still=True)
    covered, area = measure(track(folder, [TrackPrompt(box_of(masks[0]))]), masks)
    assert covered > 0.95
    assert area < 2.5


def test_hidden_thing_is_found_again(scene: Callable[..., tuple]) -> None:
    folder, masks = scene(bar=True)
    hidden = [t for t in range(LENGTH) if not masks[t].any()]
    assert hidden
    tracked = track(folder, [TrackPrompt(box_of(masks[2]), tracked_time(folder, 2))])
    assert [tracked.confidence[t] for t in hidden] == pytest.approx([0] * len(hidden))
    assert any(span.start <= tracked.times[hidden[0]] < span.end for span in tracked.lost)
    assert all(span.prompt == 0 for span in tracked.lost)
    assert (tracked.mask(LENGTH - 3) & masks[-3]).sum() > 0.9 * masks[-3].sum()


def tracked_time(folder: Path, index: int) -> Fraction:
    return index / probe(folder).rate


def test_shadow_is_covered_when_asked(scene: Callable[..., tuple]) -> None:
    folder, masks = scene(shadow=True)
    prompt = TrackPrompt(box_of(masks[0]))
    shadow = np.s_[78:84, 28 + 6 * 12 - 10 : 28 + 6 * 12 + 10]
    with_shadow = track(folder, [prompt], shadows=True).mask(12)
    assert with_shadow[shadow].mean() > 0.9
    assert (with_shadow | track(folder, [prompt]).mask(12)).sum() == with_shadow.sum()


class Shifting:
    """A segmenter that keeps the box and moves it three pixels a frame."""

    looks = 1

    def segment(self, frames: Sequence[np.ndarray], index: int, box: np.ndarray) -> np.ndarray:
        return box

    def follow(
        self, frames: Sequence[np.ndarray], mask: np.ndarray, indices: Sequence[int]
    ) -> Iterator[Found]:
        for index in indices[1:]:
            yield Found(index, np.roll(mask, 3 * (index - indices[0]), axis=1), 0.4)


def test_segmenter_of_ones_own(scene: Callable[..., tuple]) -> None:
    folder, _ = scene()
    tracked = track(folder, [TrackPrompt(Box(20, 30, 10, 10))], segmenter=Shifting())
    assert np.flatnonzero(tracked.mask(4).any(0)).tolist() == list(range(32, 42))
    assert tracked.unsure(0.5) == find_spans([False] + [True] * 23, tracked.times, end=tracked.end)


def test_edited_masks_are_kept_and_carried(scene: Callable[..., tuple]) -> None:
    folder, _ = scene()
    first, last = np.zeros((2, HIGH, WIDE), np.bool_)
    first[30:40, 20:30] = True
    last[30:40, 60:70] = True
    tracked = track(folder, [], segmenter=Shifting(), corrections={4: first, 12: last})
    np.testing.assert_array_equal(tracked.mask(4), first)
    np.testing.assert_array_equal(tracked.mask(12), last)
    # Carried from both sides: 3 x 4 to the right of the first, 3 x 4 to the left of the last.
    between = np.flatnonzero(tracked.mask(8).any(0))
    assert between.min() >= 32
    assert between.max() < 58
    assert tracked.confidence[4] == 1
    assert np.flatnonzero(tracked.mask(2).any(0)).min() == 14


def test_empty_edited_mask_says_that_nothing_is_there(scene: Callable[..., tuple]) -> None:
    folder, masks = scene()
    tracked = track(
        folder,
        [TrackPrompt(box_of(masks[0]))],
        corrections={10: np.zeros((HIGH, WIDE), np.bool_)},
    )
    assert not tracked.mask(10).any()
    assert not tracked.mask(20).any()
    assert (tracked.mask(2) & masks[2]).sum() > 0.9 * masks[2].sum()


def test_blend_moves_the_outline() -> None:
    small, large = (
        cv2.circle(np.zeros((64, 64), np.uint8), (32, 32), r, 1, -1) > 0 for r in (8, 20)
    )
    middle = blend(small, large, 0.5)
    assert np.sqrt(middle.sum() / np.pi) == pytest.approx(14, abs=1)
    nothing = np.zeros_like(small)
    assert not blend(small, nothing, 0.6).any()
    assert blend(small, nothing, 0.4).sum() == small.sum()


@pytest.mark.parametrize(
    ("corrections", "words"),
    [
        ({99: np.zeros((HIGH, WIDE), np.bool_)}, "has 24 frames"),
        ({0: np.zeros((5, 5), np.bool_)}, "5x5"),
        ({0: np.zeros((HIGH, WIDE), np.uint8)}, "bool"),
        ({}, "nothing to track"),
    ],
)
def test_bad_corrections(scene: Callable[..., tuple], corrections: dict, words: str) -> None:
    folder, _ = scene()
    with pytest.raises(MaskError, match=words):
        track(folder, [], corrections=corrections)


@pytest.mark.parametrize(
    ("text", "words"),
    [("200,10,20,20", "outside the frame"), ("1,1,20,20@9:00", "ends at")],
)
def test_bad_prompts(scene: Callable[..., tuple], text: str, words: str) -> None:
    folder, _ = scene()
    with pytest.raises(MaskError, match=words):
        track(folder, [TrackPrompt.parse(text)])


@pytest.mark.parametrize("text", ["0,0,1,1", "0,0,64,48", "62,46,50,50"])
@pytest.mark.parametrize("length", [1, 2])
def test_shortest_clips_and_strangest_boxes(
    images: Callable[..., Path], text: str, length: int
) -> None:
    folder = images([f"{n}.png" for n in range(length)], (64, 48))
    tracked = track(folder, [TrackPrompt.parse(text)], shadows=True)
    assert tracked.mask(0).any()
    assert len(tracked) == length


def test_tiny_pictures_are_refused(images: Callable[..., Path]) -> None:
    with pytest.raises(MaskError, match="needs 16 pixels"):
        track(images(["1.png"], (8, 8)), [TrackPrompt.parse("0,0,4,4")])


def test_prompt_text() -> None:
    assert TrackPrompt.parse("1,2,3,4") == TrackPrompt(Box(1, 2, 3, 4))
    assert TrackPrompt.parse("1,2,3,4@1:02.5").time == Fraction(125, 2)
    assert str(TrackPrompt.parse("1,2,3,4@2.5")) == "1,2,3,4@2.5"
    for text in ("1,2,0,4", "1,2,3", "1,2,3,4@", "1,2,3,4@x"):
        with pytest.raises(InputError):
            TrackPrompt.parse(text)


def test_box_is_turned_with_the_picture(make_clip: Callable[..., Path]) -> None:
    info = probe(make_clip(rotation=90, frames=2))
    shown = np.zeros(info.display_size.shape, np.bool_)
    shown[2:6, 1:12] = True
    box = place_box(TrackPrompt(Box(1, 2, 11, 4)), info)
    np.testing.assert_array_equal(box, turn_to_coded(shown, info))


def test_frame_shown_at_a_time() -> None:
    times = [Fraction(n, 10) for n in range(5)]
    assert [find_frame(t, times) for t in (None, Fraction(0), Fraction(29, 100), Fraction(9))] == [
        0,
        0,
        2,
        4,
    ]


def test_box_on_the_last_frame_of_a_clip_that_starts_late(make_clip: Callable[..., Path]) -> None:
    path = make_clip("late.mkv", pts=range(250, 258))
    tracked = track(path, [TrackPrompt(Box(8, 8, 20, 20), Fraction(257, 25))], segmenter=Shifting())
    assert tracked.times[0] == 10
    assert tracked.mask(7).any()
    with pytest.raises(MaskError, match=r"at 10\.4 s but the video ends at 10\.3 s"):
        track(path, [TrackPrompt(Box(8, 8, 20, 20), Fraction("10.4"))], segmenter=Shifting())


def test_progress_and_cancelling(scene: Callable[..., tuple]) -> None:
    folder, masks = scene()
    calls: list[tuple[int, int | None]] = []
    prompt = TrackPrompt(box_of(masks[0]))
    track(folder, [prompt], segmenter=Shifting(), progress=lambda *now: calls.append(now))
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert calls[-1][0] == calls[-1][1]
    with pytest.raises(Cancelled):
        track(folder, [prompt], cancel=lambda: True)


def test_packed_masks_come_back() -> None:
    mask = np.random.default_rng(0).random((13, 21)) > 0.5
    packed = PackedMask.pack(mask)
    np.testing.assert_array_equal(packed.unpack(), mask)
    np.testing.assert_array_equal(packed.enlarge(Size(21, 13)), mask)
    assert packed.enlarge(Size(42, 26)).shape == (26, 42)


def test_another_video_is_refused(scene: Callable[..., tuple], images: Callable[..., Path]) -> None:
    folder, _ = scene()
    tracked = track(folder, [TrackPrompt(Box(0, 0, 9, 9))], segmenter=Shifting())
    tracked.prepare(probe(folder))
    assert tracked.mask(0, Fraction(0)).shape == (HIGH, WIDE)
    with pytest.raises(MaskError, match="track the object in this video"):
        tracked.prepare(probe(images()))
    with pytest.raises(MaskError, match="was not tracked"):
        tracked.mask(LENGTH)
    tracked.close()


def test_the_last_frame_of_a_span_lasts_until_it_leaves_the_screen():
    times = [Fraction(0), Fraction(2), Fraction(5, 2)]
    (span,) = find_spans([False, False, True], times, end=Fraction(6))
    assert (span.start, span.end) == (Fraction(5, 2), Fraction(6))
    (span,) = find_spans([True], times[:1], end=Fraction(6))
    assert (span.start, span.end) == (0, 6)
