from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import cleanplate.motion.trace as trace_module
from cleanplate.motion.trace import NOWHERE, Holes, Traces, group_by_source, look_up, trace

SHAPE = (24, 40)


@dataclass(frozen=True)
class Steady:
    """A scene that moves by `motion` from one frame to the other."""

    motion: tuple[float, float]
    width: int = SHAPE[1]

    @property
    def reach(self) -> float:
        return float(np.hypot(*self.motion))

    def follow(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.tile(np.float32([*self.motion, 0.25]), (len(x), 1))


def steady(velocity: tuple[float, float], width: int = SHAPE[1]):
    """Ways of a scene that moves by `velocity` a frame, in pictures so wide."""
    return lambda t, u: Steady((velocity[0] * (u - t), velocity[1] * (u - t)), width)


def follow(masks: list[np.ndarray], way_to, step: int, wanted: range | None = None) -> Traces:
    """Trace the holes of the wanted frames, by default of all."""
    return trace(Holes(masks), way_to, step, wanted or range(len(masks)))


def still_hole(frames: int) -> list[np.ndarray]:
    mask = np.zeros(SHAPE, np.bool_)
    mask[8:14, 15:25] = True
    return [mask.copy() for _ in range(frames)]


@pytest.mark.parametrize("step", [1, -1])
@pytest.mark.parametrize("velocity", [(3.0, 0.0), (-2.0, 1.0), (1.25, -0.5)])
def test_coordinates_are_exact(step: int, velocity: tuple[float, float]) -> None:
    masks = still_hole(14)
    found = follow(masks, steady(velocity), step)
    frames, y, x = np.nonzero(np.stack(masks))
    seen = found.source != NOWHERE
    assert seen.mean() > 0.3
    signed = (found.source - frames)[seen]
    assert (signed * step > 0).all()
    np.testing.assert_array_equal(found.age[seen], np.abs(signed))
    np.testing.assert_allclose(found.x[seen], x[seen] + velocity[0] * signed, atol=1e-4)
    np.testing.assert_allclose(found.y[seen], y[seen] + velocity[1] * signed, atol=1e-4)
    np.testing.assert_allclose(found.doubt[seen], 0.25 * found.age[seen], rtol=1e-5)


def test_sources_are_known_pixels_only() -> None:
    masks = still_hole(14)
    found = follow(masks, steady((1.25, -0.5)), 1)
    seen = np.flatnonzero(found.source != NOWHERE)
    for index in seen:
        mask = masks[found.source[index]]
        x, y = float(found.x[index]), float(found.y[index])
        corners = mask[
            int(np.floor(y)) : int(np.ceil(y)) + 1, int(np.floor(x)) : int(np.ceil(x)) + 1
        ]
        assert not corners.any()


def test_the_first_known_frame_is_taken() -> None:
    masks = still_hole(8)
    found = follow(masks, steady((10.0, 0.0)), 1)
    frames = np.nonzero(np.stack(masks))[0]
    early = frames < 7
    assert (found.age[early] == 1).all()
    assert (found.source[~early] == NOWHERE).all()


def test_what_leaves_the_picture_is_given_up() -> None:
    masks = [np.zeros(SHAPE, np.bool_) for _ in range(6)]
    for mask in masks:
        mask[:, 30:] = True
    assert (follow(masks, steady((2.0, 0.0)), 1).source == NOWHERE).all()


def test_only_the_wanted_frames_are_traced() -> None:
    masks = still_hole(14)
    each = int(masks[0].sum())
    for step in (1, -1):
        every = follow(masks, steady((1.25, -0.5)), step)
        some = follow(masks, steady((1.25, -0.5)), step, range(4, 9))
        part = slice(4 * each, 9 * each)
        assert len(some.source) == 5 * each
        np.testing.assert_array_equal(some.source, every.source[part])
        np.testing.assert_array_equal(some.x, every.x[part])


def test_flow_at_half_the_resolution_leads_to_the_same_place() -> None:
    masks = still_hole(6)
    fine = follow(masks, steady((4.0, 2.0)), 1)
    coarse = follow(masks, steady((2.0, 1.0), SHAPE[1] // 2), 1)
    np.testing.assert_array_equal(coarse.source, fine.source)
    np.testing.assert_allclose(coarse.doubt, 4 * fine.doubt, rtol=1e-5)  # in pixels of the masks
    np.testing.assert_allclose(coarse.x, fine.x, atol=1e-4)
    np.testing.assert_allclose(coarse.y, fine.y, atol=1e-4)


def test_what_was_found_has_the_colours_of_the_scene(pan) -> None:
    frames = pan(frames=6, size=SHAPE[::-1], step=(4, 0))
    masks = still_hole(6)
    found = follow(masks, steady((-4.0, 0.0)), 1)
    truth = frames[np.stack(masks)].astype(int)
    groups = group_by_source(found.source, 6)
    assert sum(map(len, groups)) == np.count_nonzero(found.source != NOWHERE) > len(truth) / 2
    for frame, group in zip(frames, groups, strict=True):
        colours = look_up(frame, found.x[group], found.y[group])
        assert np.abs(colours - truth[group]).max(initial=0) <= 1


def test_without_holes_nothing_is_traced() -> None:
    masks = [np.zeros(SHAPE, np.bool_)] * 4
    found = follow(masks, steady((1.0, 0.0)), 1)
    assert len(found.source) == 0
    assert all(len(group) == 0 for group in group_by_source(found.source, 4))


@pytest.mark.parametrize("velocity", [(0.5, 0.0), (0.2, -0.3), (2.0, 1.0)])
def test_nothing_is_lost_by_giving_up_the_hopeless(velocity, monkeypatch) -> None:
    masks = still_hole(9)
    for step in (1, -1):
        early = follow(masks, steady(velocity), step)
        with monkeypatch.context() as patch:
            patch.setattr(trace_module._Particles, "keep_near", lambda self, depth, reach: None)
            late = follow(masks, steady(velocity), step)
        np.testing.assert_array_equal(early.source, late.source)
        np.testing.assert_array_equal(early.x, late.x)


def test_what_cannot_come_out_is_not_followed() -> None:
    masks = still_hole(9)
    asked = []

    @dataclass(frozen=True)
    class Counting(Steady):
        def follow(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
            asked.append(len(x))
            return super().follow(x, y)

    follow(masks, lambda t, u: Counting((0.0, 0.0)), 1)
    assert sum(asked) < sum(range(9)) * masks[0].sum()
