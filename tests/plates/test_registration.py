from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from cleanplate.plates import registration
from cleanplate.plates.registration import SmallPicture, register, stay

HEIGHT, WIDTH = 144, 192
HOLE = np.s_[50:90, 80:120]


def draw(seed: int) -> np.ndarray:
    """A larger texture with fine and coarse structure, (244, 292, 3)."""
    noise = np.random.default_rng(seed).normal(size=(HEIGHT + 100, WIDTH + 100, 3))
    layers = [cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (2, 5, 12)]
    return (128 + 28 * sum(layers)).clip(20, 220).astype(np.uint8)


def view(texture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """What a camera sees: its pixel p shows the texture at `matrix` @ p."""
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(texture, matrix, (WIDTH, HEIGHT), flags=how))


def turn(angle: float, zoom: float, dx: float, dy: float) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), angle, zoom)
    matrix[:, 2] += 50 + dx, 50 + dy
    return np.asarray(matrix)


def picture(frame: np.ndarray, hole: bool = True) -> SmallPicture:
    mask = np.zeros(frame.shape[:2], np.bool_)
    mask[HOLE] = hole
    return SmallPicture.of(frame, mask)


def points() -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[HOLE].reshape(2, -1).astype(np.float32)
    return x, y


def distance(one: np.ndarray, other: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """How far the places found in the hole are from the true ones."""
    found = register(picture(one), picture(other, hole=False))
    assert found is not None
    x, y = points()
    there = start @ np.stack([x, y, np.ones_like(x)])
    true = cv2.invertAffineTransform(end) @ np.vstack([there, np.ones_like(x)])
    return np.hypot(*(np.stack(found.locate(x, y)) - true))


@pytest.mark.parametrize(
    "motion",
    [(0, 1, 21, -9), (0, 1, 0.4, 2.3), (8, 1, 4, 3), (0, 1.15, 6, 0), (-5, 0.9, -10, 8)],
    ids=["far shift", "near shift", "rotation", "zoom", "all"],
)
def test_the_place_is_found_inside_a_hole(motion: tuple[float, float, float, float]) -> None:
    texture, start, end = draw(1), turn(0, 1, 0, 0), turn(*motion)
    one, other = view(texture, start), view(texture, end)
    one[HOLE] = 0
    assert distance(one, other, start, end).max() < 0.5


def test_what_a_hole_shows_does_not_matter() -> None:
    texture = draw(1)
    one, other = view(texture, turn(0, 1, 0, 0)), view(texture, turn(0, 1, 5, 3))
    blank, busy = one.copy(), one.copy()
    blank[HOLE], busy[HOLE] = 0, draw(9)[: one[HOLE].shape[0], : one[HOLE].shape[1]]
    found = [register(picture(shown), picture(other, hole=False)) for shown in (blank, busy)]
    places = [way.locate(*points()) for way in found if way is not None]
    np.testing.assert_array_equal(places[0], places[1])


def test_another_object_that_moves_does_not_matter() -> None:
    texture, start, end = draw(1), turn(0, 1, 0, 0), turn(0, 1, 12, 5)
    one, other, thing = view(texture, start), view(texture, end), draw(9)[:40, :40]
    one[HOLE] = 0
    one[20:60, 15:55] = thing
    other[80:120, 20:60] = thing
    assert distance(one, other, start, end).max() < 0.5


def test_a_camera_at_rest_has_no_motion_at_all() -> None:
    frame = view(draw(2), turn(0, 1, 0, 0))
    noise = np.random.default_rng(3).integers(-2, 3, frame.shape)
    found = register(picture(frame), picture((frame + noise).astype(np.uint8), hole=False))
    assert found is not None
    x, y = points()
    at_x, at_y = found.locate(x, y)
    assert np.abs(at_x - x).max() < 0.1
    assert np.abs(at_y - y).max() < 0.1
    same = register(picture(frame), picture(frame))
    assert same is not None
    assert same.misfit == 0
    assert np.array_equal(np.stack(same.locate(x, y)), np.stack([x, y]))


def test_different_pictures_do_not_fit() -> None:
    one, other = (view(draw(seed), turn(0, 1, 0, 0)) for seed in (4, 5))
    assert register(picture(one), picture(other)) is None
    assert register(picture(one), picture(one)) is not None


def soften(texture: np.ndarray) -> np.ndarray:
    """The same without fine detail and with little contrast: no features are found."""
    soft = cv2.GaussianBlur(texture.astype(np.float32), (0, 0), 5)
    return np.rint(128 + (soft - soft.mean()) / 3).astype(np.uint8)


@pytest.mark.parametrize("by", [(7, -4), (-13, 9), (30, 0)], ids=["near", "left and down", "far"])
def test_a_shift_is_found_without_features(by: tuple[int, int]) -> None:
    texture = soften(draw(8))
    one, other = view(texture, turn(0, 1, 0, 0)), view(texture, turn(0, 1, *by))
    one[HOLE] = other[HOLE] = 200
    first, second = picture(one), picture(other)
    assert registration._match(first, second) is None
    found = register(first, second)
    assert found is not None
    x, y = points()
    at_x, at_y = found.locate(x, y)
    assert np.abs(at_x - (x - by[0])).max() < 1
    assert np.abs(at_y - (y - by[1])).max() < 1


def test_soft_pictures_that_differ_are_not_the_same_place() -> None:
    one, other = (view(soften(draw(seed)) * 2, turn(0, 1, 0, 0)) for seed in (8, 9))
    assert register(picture(one), picture(other)) is None


def test_a_ramp_and_black_are_not_the_same_place() -> None:
    ramp = np.linspace(0, 255, WIDTH).astype(np.uint8)
    ramp = np.tile(ramp[None, :, None], (HEIGHT, 1, 3))
    assert register(picture(ramp), picture(np.zeros_like(ramp))) is None


def test_a_change_of_brightness_is_found_as_light() -> None:
    frame = view(draw(6), turn(0, 1, 0, 0))
    found = register(picture(frame + np.uint8(15)), picture(frame), measure=True)
    assert found is not None
    light, error = found.measure(*points())
    np.testing.assert_allclose(light, 15, atol=1)
    assert error.max() < 4


def test_light_that_was_not_measured_is_refused() -> None:
    small = picture(view(draw(6), turn(0, 1, 0, 0)))
    found = register(small, small)
    assert found is not None
    with pytest.raises(ValueError, match="not measured"):
        found.measure(*points())


def test_pictures_of_two_sizes_are_refused() -> None:
    small = picture(view(draw(6), turn(0, 1, 0, 0)))
    with pytest.raises(ValueError, match="cannot be registered"):
        register(small, replace(small, shape=(HEIGHT, WIDTH + 1)))


def test_too_little_overlap_is_no_registration() -> None:
    frame = view(draw(6), turn(0, 1, 0, 0))
    covered = SmallPicture.of(frame, np.ones(frame.shape[:2], np.bool_))
    assert register(picture(frame), covered) is None


def test_a_picture_stays_where_it_is() -> None:
    x, y = points()
    rest = stay(picture(view(draw(6), turn(0, 1, 0, 0))))
    np.testing.assert_allclose(np.stack(rest.locate(x, y)), np.stack([x, y]), atol=1e-4)
    assert not any(plane.any() for plane in rest.measure(x, y))


def test_a_large_picture_is_reduced() -> None:
    frame = cv2.resize(view(draw(1), turn(0, 1, 0, 0)), (WIDTH * 4, HEIGHT * 4))
    small = SmallPicture.of(frame, np.zeros(frame.shape[:2], np.bool_))
    assert max(small.size) == registration._TUNING.longest
    assert small.shape == frame.shape[:2]
    assert small.known.all()
    edge = np.array([0, WIDTH * 4 - 1], np.float32)
    at_x, _ = stay(small).locate(edge, edge * 0)
    np.testing.assert_allclose(at_x, edge, atol=2)


def test_one_thread_and_two_give_the_same_bytes() -> None:
    texture = draw(7)
    one, other = view(texture, turn(0, 1, 0, 0)), view(texture, turn(4, 1.1, 9, 5))
    before, results = cv2.getNumThreads(), []
    try:
        for threads in (1, 2):
            cv2.setNumThreads(threads)
            found = register(picture(one), picture(other), measure=True)
            assert found is not None
            assert found.light is not None
            assert found.error is not None
            planes = (found.x, found.y, found.light, found.error)
            results.append([plane.tobytes() for plane in planes])
    finally:
        cv2.setNumThreads(before)
    assert results[0] == results[1]
