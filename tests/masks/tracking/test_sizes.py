"""No size of picture ends the process: OpenCV's crashes are no Python errors."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.patience import PATIENCE

SWEEP = """
import sys
from fractions import Fraction

import numpy as np
from cleanplate.masks.tracking.flowing import FlowSegmenter
from cleanplate.masks.tracking.segmenter import PackedMask, SmallFrames
from cleanplate.masks.tracking.track import add_shadows

random = np.random.default_rng(int(sys.argv[1]))
for turn in range(int(sys.argv[2])):
    low, high = int(random.integers(8, 64)), int(random.integers(8, 500))
    shape = (low, high) if turn % 2 else (high, low)
    count = int(random.integers(1, 5))
    size, at = random.integers(1, np.add(shape, 1)), random.integers(0, shape)
    print(shape, count, size, at, flush=True)
    scene = random.integers(0, 256, (shape[0] + 9, shape[1] + 9, 3)).astype(np.uint8)
    if turn % 5 == 0:
        scene[:] = 90
    with SmallFrames(shape) as frames:
        for k in range(count):
            part = scene[k : k + shape[0], 2 * k : 2 * k + shape[1]]
            frames.append(np.ascontiguousarray(part), Fraction(k, 25))
        box = np.zeros(shape, np.bool_)
        box[at[0] : at[0] + size[0], at[1] : at[1] + size[1]] = True
        segmenter, start = FlowSegmenter(), int(random.integers(count))
        mask = segmenter.segment(frames, start, box)
        for way in (range(start, count), range(start, -1, -1)):
            for found in segmenter.follow(frames, mask, way):
                assert found.mask.shape == shape
                assert 0 <= found.confidence <= 1
        masks = [PackedMask.pack(mask)] * count
        assert len(list(add_shadows(frames, masks, lambda: None))) == count
"""


def sweep(seed: int, count: int) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SWEEP, str(seed), str(count)],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout.splitlines()[-1:]}: {done.stderr[-800:]}"


def test_tracking_survives_strange_sizes() -> None:
    """Low and narrow pictures, flat ones, one frame, boxes of a pixel and over the rim."""
    sweep(0, 12)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 7))
def test_tracking_survives_many_sizes(seed: int) -> None:
    sweep(seed, 50)
