"""Every kernel against plain NumPy and OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cleanplate.motion import kernels, weighing
from cleanplate.motion.flow import PictureMotion, square_length
from cleanplate.motion.spatial import Guess
from cleanplate.motion.trace import NOWHERE, LocalFlow, follow, look_up
from cleanplate.types import Box

COUNT = 5000
HEIGHT, WIDTH = 60, 90
HALF = np.float32(0.5)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def hole(rng) -> np.ndarray:
    """Blobs, some of which touch the border."""
    noise = cv2.GaussianBlur(rng.normal(0, 1, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 4)
    return noise > 0.02


def draw_points(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places, some of them outside the picture, and doubts."""
    x = rng.uniform(-3, WIDTH + 3, COUNT).astype(np.float32)
    y = rng.uniform(-3, HEIGHT + 3, COUNT).astype(np.float32)
    return x, y, rng.uniform(0, 5, COUNT).astype(np.float32)


@pytest.mark.parametrize("width", [WIDTH, WIDTH // 3])
def test_points_follow_a_flow_as_opencv_samples_it(rng, width) -> None:
    planes = rng.normal(0, 3, (12, 17, 3)).astype(np.float32)
    flow = LocalFlow(planes, 5, 3, width, 9.0)
    x, y, doubt = draw_points(rng)
    step = follow(flow, x, y, WIDTH)
    wanted = [axis + moved for axis, moved in zip((x, y, doubt), step.T, strict=True)]
    scale = np.float32(width / WIDTH)
    kernels.move_by_flow(planes, np.float32(5), np.float32(3), scale, x, y, doubt, COUNT - 1)
    for found, expected in zip((x, y, doubt), wanted, strict=True):
        np.testing.assert_allclose(found[:-1], expected[:-1], rtol=1e-5, atol=1e-4)
        assert found[-1] != expected[-1], "only so many points move"


def test_points_follow_a_model(rng) -> None:
    model = PictureMotion(rng.normal(0, 4, (6, 2)).astype(np.float32), (20, 30))
    x, y, _ = draw_points(rng)
    x[:5] *= 100  # beyond what the model is good for
    step = follow(model, x, y, WIDTH)
    wanted = x + step[:, 0], y + step[:, 1]
    limits = np.float32(model.farthest), np.float32(30), np.float32(20)
    kernels.move_by_model(model.weights, *limits, np.float32(30 / WIDTH), x, y, COUNT)
    np.testing.assert_allclose(x, wanted[0], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(y, wanted[1], rtol=1e-5, atol=1e-4)


def test_points_begin_at_every_pixel_of_a_hole(hole) -> None:
    count = int(hole.sum())
    x, y, doubt = (np.full(count + 2, 9, np.float32) for _ in range(3))
    index = np.full(count + 2, -5, np.int32)
    assert kernels.begin(hole, 40, x, y, doubt, index, 2) == count + 2
    rows, columns = np.nonzero(hole)
    np.testing.assert_array_equal(x[2:], columns)
    np.testing.assert_array_equal(y[2:], rows)
    np.testing.assert_array_equal(index[2:], np.arange(40, 40 + count))
    assert not doubt[2:].any()
    assert (index[:2] == -5).all()


def test_points_far_from_what_is_shown_are_given_up(rng) -> None:
    depth = rng.uniform(0, 9, (HEIGHT, WIDTH)).astype(np.float32)
    x, y, doubt = draw_points(rng)
    index = np.arange(COUNT, dtype=np.int32)
    columns = np.rint(x).astype(int).clip(0, WIDTH - 1)
    rows = np.rint(y).astype(int).clip(0, HEIGHT - 1)
    keep = depth[rows, columns] <= 4
    wanted = [part[keep].copy() for part in (x, y, doubt, index)]
    left = kernels.keep_near(depth, np.float32(4), x, y, doubt, index, COUNT)
    assert left == keep.sum()
    for found, expected in zip((x, y, doubt, index), wanted, strict=True):
        np.testing.assert_array_equal(found[:left], expected)


def test_points_settle_where_nothing_of_the_hole_is_touched(rng, hole) -> None:
    x, y, doubt = draw_points(rng)
    x[:400], y[:400] = np.rint(x[:400]), np.rint(y[:400])  # exactly on a pixel
    index = rng.permutation(COUNT).astype(np.int32)
    inside = (x >= -0.5) & (y >= -0.5) & (x <= WIDTH - 0.5) & (y <= HEIGHT - 0.5)
    landed = inside & (look_up(hole.view(np.uint8) * np.uint8(255), x, y) == 0)
    stays = inside & ~landed
    wanted = [part[stays].copy() for part in (x, y, doubt, index)]
    source = np.full(COUNT, NOWHERE, np.int32)
    noted = [np.zeros(COUNT, np.float32) for _ in range(3)]
    expected = [axis.copy() for axis in noted]
    for axis, own in zip(expected, (x, y, doubt), strict=True):
        axis[index[landed]] = own[landed]
    seen = np.isin(np.arange(COUNT), index[landed])
    left = kernels.settle(hole, 6, x, y, doubt, index, COUNT, source, *noted)
    assert 0 < left == stays.sum() < inside.sum() < COUNT
    for found, kept in zip((x, y, doubt, index), wanted, strict=True):
        np.testing.assert_array_equal(found[:left], kept)
    np.testing.assert_array_equal(source, np.where(seen, 6, NOWHERE))
    for found, told in zip(noted, expected, strict=True):
        np.testing.assert_array_equal(found, told)


def test_pixels_are_sorted_by_their_source(rng) -> None:
    source = rng.integers(-1, 6, 1000).astype(np.int32)
    order, bounds = kernels.sort_by_source(source, 7)
    for t in range(7):
        np.testing.assert_array_equal(order[bounds[t] : bounds[t + 1]], np.flatnonzero(source == t))
    assert bounds[-1] == len(order) == (source >= 0).sum()


@pytest.mark.parametrize("width", [WIDTH, 31])
def test_a_guess_is_sampled_as_opencv_does(rng, hole, width) -> None:
    guess = Guess(Box(4, 2, 25, 14), width, rng.uniform(-20, 280, (14, 25, 4)).astype(np.float32))
    rows, columns = np.nonzero(hole)
    wanted = guess.at(columns.astype(np.float32), rows.astype(np.float32), WIDTH)
    np.testing.assert_allclose(guess.in_hole(hole), wanted, rtol=1e-5, atol=1e-3)
    frame = rng.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
    painted = frame.copy()
    guess.put_into(painted, hole)
    np.testing.assert_array_equal(painted[~hole], frame[~hole])
    np.testing.assert_array_equal(painted[..., 3], frame[..., 3])
    levels = np.rint(wanted[:, :3]).clip(0, 255)
    assert np.abs(painted[hole][:, :3] - levels).max() <= 1
    assert (painted[hole][:, :3] == levels).mean() > 0.999


@pytest.mark.parametrize("rounds", [0, 2])
def test_colours_agree_on_a_robust_mean(rng, rounds) -> None:
    colours = rng.uniform(0, 255, (4, COUNT, 3)).astype(np.float32)
    prior = rng.uniform(0, 1, (4, COUNT)).astype(np.float32)
    prior[:, :10] = 0
    weight = prior
    for turn in range(rounds + 1):
        share = weight / np.maximum(weight.sum(0), np.float32(1e-30))
        mean = (colours * share[..., None]).sum(0)
        if turn < rounds:
            weight = prior / (1 + square_length(colours - mean) / 3 / np.float32(500))
    found = weighing.agree(colours, prior, np.float32(500), rounds)
    np.testing.assert_allclose(found[0], mean, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(found[1], weight, rtol=1e-5)
    assert not found[0][:10].any()


def draw_pair(rng, part) -> dict[str, np.ndarray]:
    """What two traces found for the pixels of a hole, and light around it."""
    count, shape = int(part.sum()), (part.shape[0] + 3, part.shape[1] + 2, 4)
    return {
        "colours": rng.uniform(0, 255, (2, count, 3)).astype(np.float32),
        "ahead": rng.uniform(0, 30, shape).astype(np.float32),
        "behind": rng.uniform(0, 30, shape).astype(np.float32),
        "found": rng.random((2, count)) < 0.7,
    }


def spread_over(part: np.ndarray, pair: dict[str, np.ndarray]) -> np.ndarray:
    """The light (2, k, 4) of both at the pixels of the hole."""
    height, width = part.shape
    return np.stack([pair[name][:height, :width][part] for name in ("ahead", "behind")])


def test_traces_are_compared_in_the_same_light(rng, hole) -> None:
    pair = draw_pair(rng, hole)
    matched = np.empty_like(pair["colours"])
    apart = weighing.match_light(
        hole, pair["colours"], pair["ahead"], pair["behind"], pair["found"], matched
    )
    wanted = pair["colours"] + spread_over(hole, pair)[..., 1:]
    np.testing.assert_array_equal(matched, wanted)
    both = pair["found"].all(0)
    square = square_length(wanted[0] - wanted[1]) / 3
    np.testing.assert_allclose(apart[hole][:, 0], np.where(both, square, 0), rtol=1e-5)
    np.testing.assert_array_equal(apart[hole][:, 1], both)
    assert not apart[~hole].any()


@pytest.mark.parametrize("reach", [np.inf, 12.0])
def test_errors_are_expected_by_what_is_known(rng, hole, reach) -> None:
    pair = draw_pair(rng, hole)
    found, count = pair["found"], int(hole.sum())
    apart = rng.uniform(0, 50, (*hole.shape, 2)).astype(np.float32)
    age = rng.integers(1, 20, (2, count)).astype(np.float32)
    doubt, variety = rng.uniform(0, 4, (2, count)), rng.uniform(100, 900, count)
    doubt, variety = doubt.astype(np.float32), variety.astype(np.float32)
    rule = np.array([0.01, 2, 6, 5, 0.1, 0.04, 2, reach, 6], np.float32)
    error = np.empty((2, count), np.float32)
    weighing.expect_error(
        hole, apart, pair["ahead"], pair["behind"], found, age, doubt, variety, rule, error
    )
    gap = apart[hole][:, 0] / apart[hole][:, 1]
    wanted = variety * np.minimum(0.01 * age + 2 * doubt, 6) + 5
    wanted += np.where(found.all(0), 0.1 * gap, 0.04 * age * variety)
    wanted += 2 * spread_over(hole, pair)[..., 0]
    if reach < np.inf:
        wanted /= np.clip((reach - age) / 6, 1e-3, 1) ** 2
    np.testing.assert_allclose(error[found], wanted[found], rtol=1e-4)
    assert np.isinf(error[~found]).all()


def test_kernels_are_reproducible_in_threads(rng) -> None:
    from concurrent.futures import ThreadPoolExecutor

    colours = rng.uniform(0, 255, (5, COUNT, 3)).astype(np.float32)
    prior = rng.uniform(0, 1, (5, COUNT)).astype(np.float32)
    alone = weighing.agree(colours, prior, np.float32(1000), 2)[0]
    with ThreadPoolExecutor(4) as pool:
        made = pool.map(lambda _: weighing.agree(colours, prior, np.float32(1000), 2)[0], range(8))
        assert all(np.array_equal(one, alone) for one in made)


def test_half_a_pixel_beyond_the_border_is_inside() -> None:
    hole = np.zeros((4, 5), np.bool_)
    x = np.array([-0.5, 4.5, 4.6, np.nan], np.float32)
    y = np.zeros(4, np.float32)
    source, index = np.full(4, NOWHERE, np.int32), np.arange(4, dtype=np.int32)
    noted = [np.zeros(4, np.float32) for _ in range(3)]
    assert kernels.settle(hole, 2, x, y, np.zeros(4, np.float32), index, 4, source, *noted) == 0
    np.testing.assert_array_equal(source, [2, 2, NOWHERE, NOWHERE])
