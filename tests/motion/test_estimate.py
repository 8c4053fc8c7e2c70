from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from tests.patience import PATIENCE

from cleanplate.motion import DisFlow


@pytest.mark.parametrize("preset", ["fast", "medium"])
def test_a_translation_is_found(pan, preset: str) -> None:
    one, other = pan(frames=2, step=(3, -2))
    estimator = DisFlow(preset)
    flow = estimator.flow(estimator.prepare(one), estimator.prepare(other))
    assert flow.shape == (64, 96, 2)
    assert flow.dtype == np.float32
    assert np.abs(flow[10:-10, 10:-10] - (-3, 2)).mean() < 0.2


@pytest.mark.parametrize("size", [(9, 1), (90, 11), (200, 13), (12, 40), (320, 15), (1, 1)])
def test_small_pictures_have_a_flow(pan, size: tuple[int, int]) -> None:
    """OpenCV refuses some of these, and crashes at others."""
    one, other = (frame[: size[1], : size[0]] for frame in pan(frames=2, size=(320, 40)))
    estimator = DisFlow()
    flow = estimator.flow(estimator.prepare(one), estimator.prepare(other))
    assert flow.shape == (size[1], size[0], 2)
    assert np.isfinite(flow).all()


def test_motion_that_fades_away_is_none() -> None:
    """OpenCV lets it fade to 1e-28 pixels over flat areas; squares of that underflow."""
    one = np.full((90, 160, 3), 90, np.uint8)
    other = one.copy()
    one[:, :5], other[:, :6] = 150, 150
    estimator = DisFlow()
    flow = estimator.flow(estimator.prepare(one), estimator.prepare(other))
    assert np.abs(flow).max() > 0.05
    assert np.abs(flow[flow != 0]).min() >= 1e-12


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(KeyError):
        DisFlow("best")


SWEEP = """
import numpy as np
from cleanplate.motion import DisFlow

noise = np.random.default_rng(0).integers(0, 256, (641, 642)).astype(np.uint8)
for preset in ("ultrafast", "fast", "medium"):
    for height in (1, 8, 12, 15, 16, 20, 24, 28, 30, 31, 32, 33):
        for width in (1, 16, 31, 45, 60, 90, 100, 200, 240, 640):
            for rows, columns in {(height, width), (width, height)}:
                print(preset, rows, columns, flush=True)
                one, other = noise[:rows, :columns].copy(), noise[1:rows + 1, 2:columns + 2].copy()
                flow = DisFlow(preset).flow(one, other)
                assert flow.shape == (rows, columns, 2)
                assert np.isfinite(flow).all()
"""


def test_no_size_crashes_the_process() -> None:
    """OpenCV reads beyond its memory at sizes such as 30x240 with the fast presets."""
    done = subprocess.run(
        [sys.executable, "-c", SWEEP], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, f"{done.stdout.splitlines()[-1:]}: {done.stderr[-500:]}"


@pytest.mark.parametrize("preset", ["ultrafast", "fast", "medium"])
def test_a_flow_does_not_depend_on_those_before(pan, preset: str) -> None:
    """A small picture lowers OpenCV's finest scale for good."""
    one, other = pan(frames=2, size=(160, 120), step=(3, -2))
    estimator = DisFlow(preset)
    pair = estimator.prepare(one), estimator.prepare(other)
    before = estimator.flow(*pair)
    small = [np.ascontiguousarray(image[:40, :40]) for image in pair]
    first = estimator.flow(*small)
    np.testing.assert_array_equal(estimator.flow(*pair), before)
    np.testing.assert_array_equal(estimator.flow(*small), first)
