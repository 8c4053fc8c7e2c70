from __future__ import annotations

import cv2
import numpy as np
import pytest

import cleanplate
from cleanplate.plates.keyframes import KeyframeChooser, MemoryShelf
from cleanplate.plates.memory import ShotMemory
from cleanplate.removal import Span
from cleanplate.types import Size

HEIGHT, WIDTH = 72, 96
HOLE = np.s_[24:52, 36:62]


def draw(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A wall with fine and coarse texture, float32 (h, w, 3)."""
    noise = np.random.default_rng(seed).normal(size=(height, width, 3))
    layers = [cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (1.5, 4, 10)]
    return np.asarray((128 + 26 * sum(layers)).clip(20, 235), np.float32)


def film(wall: np.ndarray, length: int, step: float = 0.0) -> np.ndarray:
    """What a camera sees that pans over the wall, `step` pixels a frame."""
    frames = []
    for t in range(length):
        shift = np.array([[1, 0, t * step], [0, 1, 0]], np.float32)
        how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        frames.append(cv2.warpAffine(wall, shift, (WIDTH, HEIGHT), flags=how))
    return np.stack(frames).clip(0, 255).astype(np.uint8)


def cover(truth: np.ndarray, hidden: range) -> tuple[np.ndarray, np.ndarray]:
    """An object rests in the picture in the `hidden` frames; also its masks."""
    frames, masks = truth.copy(), np.zeros(truth.shape[:3], np.bool_)
    for t in hidden:
        frames[t][HOLE] = (230, 30, 40)
        masks[t][HOLE] = True
    return frames, masks


def psnr(filled: np.ndarray, truth: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """In the hole of each frame that has one, in dB."""
    apart = (filled.astype(np.float32) - truth) ** 2
    each = [part[hole].mean() for part, hole in zip(apart, masks, strict=True) if hole.any()]
    return 10 * np.log10(255**2 / np.maximum(each, 1e-6))


def largest_jump(frames: np.ndarray) -> float:
    return float(np.abs(np.diff(frames[:, *HOLE].astype(np.float32), axis=0)).mean((1, 2, 3)).max())


@pytest.fixture(scope="module")
def rest() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, frames and masks: an object rests for 100 of 120 frames."""
    truth = film(draw(1), 120)
    return truth, *cover(truth, range(20, 120))


@pytest.fixture(scope="module")
def filled(rest: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    return np.asarray(cleanplate.inpaint(*rest[1:], threads=1))


def test_the_wall_behind_an_object_at_rest_is_seen_again(
    rest: tuple[np.ndarray, np.ndarray, np.ndarray], filled: np.ndarray
) -> None:
    truth, _, masks = rest
    assert psnr(filled, truth, masks).min() > 34


def test_what_is_filled_does_not_jump(filled: np.ndarray) -> None:
    assert largest_jump(filled) < 1.0, "the truth is a still"


def push_all(engine: cleanplate.Engine, frames: np.ndarray, masks: np.ndarray) -> np.ndarray:
    done = [
        one for frame, mask in zip(frames, masks, strict=True) for one in engine.push(frame, mask)
    ]
    return np.stack([one.frame for one in done + engine.finish()])


def test_a_stream_remembers_its_past(rest: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """A span of 12 frames ends long before the wall was last seen."""
    truth, frames, masks = rest
    engine = cleanplate.Engine(Size(WIDTH, HEIGHT), threads=1, span=Span(8, 2))
    made = push_all(engine, frames, masks)
    assert psnr(made, truth, masks).min() > 34
    assert (made[~masks] == frames[~masks]).all()


def test_a_stream_forgets_the_shot_before_a_cut_and_the_clip_before_this(
    rest: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    truth, frames, masks = rest
    one = cleanplate.Engine(Size(WIDTH, HEIGHT), threads=1, span=Span(8, 2))
    push_all(one, frames[:60], masks[:60])
    other = cleanplate.Engine(Size(WIDTH, HEIGHT), threads=1, span=Span(8, 2))
    last = frames[20:40], masks[20:40]
    np.testing.assert_array_equal(push_all(one, *last), push_all(other, *last))
    assert psnr(push_all(one, *last), truth[20:40], masks[20:40]).max() < 30


def test_a_stream_without_a_folder_for_keyframes_holds_them(
    rest: tuple[np.ndarray, np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, frames, masks = rest

    def refuse() -> str:
        raise FileNotFoundError("no folder")

    monkeypatch.setattr("tempfile.gettempdir", refuse)
    engine = cleanplate.Engine(Size(WIDTH, HEIGHT), threads=1, span=Span(8, 2))
    assert psnr(push_all(engine, frames[:60], masks[:60]), truth[:60], masks[:60]).min() > 34


def test_nothing_outside_the_hole_changes(
    rest: tuple[np.ndarray, np.ndarray, np.ndarray], filled: np.ndarray
) -> None:
    _, frames, masks = rest
    assert np.array_equal(filled[~masks], frames[~masks])


def test_one_thread_and_two_give_the_same_bytes(
    rest: tuple[np.ndarray, np.ndarray, np.ndarray], filled: np.ndarray
) -> None:
    assert np.array_equal(cleanplate.inpaint(*rest[1:], threads=2), filled)


def fill_pan(step: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, masks and the result of a camera that pans by `step` pixels a frame."""
    truth = film(draw(2, width=WIDTH + 40), 90, step=step)
    frames, masks = cover(truth, range(10, 90))
    return truth, masks, np.asarray(cleanplate.inpaint(frames, masks, threads=1))


def test_the_wall_is_seen_again_by_a_camera_that_pans() -> None:
    """So slowly that near frames alone do not show it: they reach 32 dB and jump."""
    truth, masks, result = fill_pan(0.1)
    assert psnr(result, truth, masks).min() > 35
    assert largest_jump(result) < 1.5 * largest_jump(truth) + 1


@pytest.mark.parametrize("step", [0.25, 0.4])
def test_the_wall_is_seen_again_by_a_faster_pan(step: float) -> None:
    """Near frames alone reach 31 dB; matched with far ones at the wrong place 24 dB."""
    truth, masks, result = fill_pan(step)
    assert psnr(result, truth, masks).min() > 36
    assert largest_jump(result) < 1.5 * largest_jump(truth) + 1


@pytest.mark.parametrize("fields", [False, True])
def test_what_a_mask_grows_over_is_no_background(fields: bool) -> None:
    """The object is larger than its mask; no frame shows what is behind it."""
    frames, masks = cover(film(draw(1), 30), range(30))
    tight = np.zeros_like(masks)
    tight[:, 32:44, 44:54] = True
    made = cleanplate.inpaint(frames, tight, dilate=10, feather=2, fields=fields, threads=1)
    red = (np.abs(made.astype(int) - (230, 30, 40)).max(axis=-1) < 40)[masks]
    assert not red.any()


def test_letterbox_bars_are_no_background() -> None:
    """They hide a picture that tilts, and do not go with it."""
    wall, frames = draw(1, HEIGHT + 60, WIDTH + 60), []
    for t in range(120):
        shift = np.array([[1, 0, 0.1 * t], [0, 1, 0.2 * t]], np.float32)
        how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        frame = cv2.warpAffine(wall, shift, (WIDTH, HEIGHT), flags=how).clip(0, 255)
        frame[:10], frame[-10:] = 16, 16
        frames.append(frame.astype(np.uint8))
    truth = np.stack(frames)
    covered, masks = truth.copy(), np.zeros(truth.shape[:3], np.bool_)
    covered[20:, 12:44, 36:62], masks[20:, 12:44, 36:62] = (230, 30, 40), True
    made = np.asarray(cleanplate.inpaint(covered, masks, dilate=0, feather=0, threads=1))
    assert psnr(made, truth, masks).min() > 29.5


def test_a_stream_with_letterbox_bars_remembers_its_past() -> None:
    truth = film(draw(1), 60)
    truth[:, :10], truth[:, -10:] = 16, 16
    frames, masks = cover(truth, range(20, 60))
    engine = cleanplate.Engine(Size(WIDTH, HEIGHT), threads=1, span=Span(8, 2))
    assert psnr(push_all(engine, frames, masks), truth, masks).min() > 34


def cut_back() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, frames and masks: a wall, another place, and the same wall with an object at rest."""
    wall = film(draw(1), 60)
    truth = np.concatenate([wall[:20], film(draw(2), 20), wall[20:]])
    return truth, *cover(truth, range(40, 80))


def test_a_shot_that_returns_to_a_place_knows_it_from_before() -> None:
    truth, frames, masks = cut_back()
    made = np.asarray(cleanplate.inpaint(frames, masks, threads=1))
    assert psnr(made, truth, masks).min() > 34
    engine = cleanplate.Engine(Size(WIDTH, HEIGHT), threads=1, span=Span(8, 2))
    assert psnr(push_all(engine, frames, masks), truth, masks).min() > 34


def test_another_place_is_not_taken_for_the_same() -> None:
    _, frames, masks = cut_back()
    made = []
    for seed in (3, 4):
        frames[:20] = film(draw(seed), 20)
        made.append(cleanplate.inpaint(frames, masks, threads=1)[40:])
    np.testing.assert_array_equal(*made)


def test_nothing_comes_from_the_other_side_of_a_cut() -> None:
    one, other = (film(draw(seed), 40) for seed in (3, 4))
    other = other // 3
    hole = range(80)[40:]
    frames, masks = cover(np.concatenate([one, other]), hole)
    both = np.asarray(cleanplate.inpaint(frames, masks, threads=1))
    alone = np.asarray(cleanplate.inpaint(frames[40:], masks[40:], threads=1))
    assert np.array_equal(both[40:], alone)


def remember(frames: np.ndarray, masks: np.ndarray) -> ShotMemory:
    chooser = KeyframeChooser(MemoryShelf())
    for t, (frame, mask) in enumerate(zip(frames, masks, strict=True)):
        chooser.add(t, frame, mask)
    return ShotMemory(chooser.finish())


def ask(
    memory: ShotMemory, number: int, frame: np.ndarray, guess: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fill the hole of a frame in which nothing but a green guess is known yet."""
    hole = np.zeros((HEIGHT, WIDTH), np.bool_)
    hole[HOLE] = True
    count = int(hole.sum())
    green = np.tile(np.array([0, 255, 0], np.uint8), (count, 1))
    return memory.fill(number, frame, hole, green, np.full(count, guess, np.float32))


def test_a_plate_replaces_the_guess() -> None:
    truth = film(draw(1), 60)
    frames, masks = cover(truth, range(20, 60))
    pixels, guessed, _ = ask(remember(frames, masks), 55, frames[55])
    error = np.abs(pixels - truth[55][HOLE].reshape(-1, 3).astype(np.float32)).mean()
    assert error < 35
    assert guessed.mean() < 0.15


def test_what_near_frames_showed_stays() -> None:
    frames, masks = cover(film(draw(1), 60), range(20, 60))
    pixels, guessed, _ = ask(remember(frames, masks), 55, frames[55], guess=0.01)
    assert (pixels == (0, 255, 0)).all()
    assert (guessed == np.float32(0.01)).all()


def test_a_shot_without_keyframes_knows_nothing() -> None:
    pixels, guessed, _ = ask(ShotMemory([]), 0, film(draw(1), 1)[0])
    assert (pixels == (0, 255, 0)).all()
    assert (guessed == 1).all()


def test_what_no_frame_shows_stays_a_guess() -> None:
    frames, masks = cover(film(draw(1), 40), range(40))
    pixels, guessed, _ = ask(remember(frames, masks), 20, frames[20])
    assert (pixels == (0, 255, 0)).all()
    assert (guessed == 1).all()


def test_a_plate_is_not_laid_over_an_object_that_goes_on_in_the_hole() -> None:
    frames, masks = cover(film(draw(1), 60), range(20, 60))
    memory = remember(frames, masks)
    behind, in_front = frames[55], frames[55].copy()
    in_front[12:64, 24:74] = (20, 40, 200)
    _, open_, _ = ask(memory, 55, behind)
    _, shut, _ = ask(memory, 55, in_front)
    assert open_.mean() < 0.15
    assert shut.mean() > 0.9


def test_the_twin_of_a_picture_in_a_loop_is_found() -> None:
    """Every 12th picture is the same, with a shape in another place in each.

    The shape is taller than the hole: what shows around it tells the pictures apart.
    """
    loop = film(draw(5), 12)
    for t, frame in enumerate(loop):
        cv2.circle(frame, (30 + 3 * t, 38), 18, (250, 250, 250), -1)
    truth = np.concatenate([loop] * 4)
    frames, masks = cover(truth, range(24, 48))
    pixels, guessed, _ = ask(remember(frames, masks), 42, frames[42])
    error = np.abs(pixels - truth[42][HOLE].reshape(-1, 3).astype(np.float32)).mean()
    assert error < 20
    assert guessed.mean() < 0.15
