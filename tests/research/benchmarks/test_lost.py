from __future__ import annotations

import cv2
import numpy as np
import pytest

from cleanplate.research.benchmarks.lost import hide_objects, measure_closing, read_sequence

FRAMES = 30


@pytest.fixture
def sequence(pan) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames without and with a disc that moves, and its masks."""
    truth = pan(frames=FRAMES, size=(160, 120), step=(0, 0))
    shown, masks = truth.copy(), np.zeros(truth.shape[:3], np.bool_)
    y, x = np.mgrid[:120, :160]
    for t in range(FRAMES):
        masks[t] = np.hypot(x - 40 - 3 * t, y - 60) < 14
        shown[t][masks[t]] = (210, 30, 120)
    return truth, shown, masks


def test_gaps_are_counted_that_are_closed(sequence) -> None:
    truth, shown, masks = sequence
    made = measure_closing(shown, masks, [truth, hide_objects(shown, masks)], gap=2, places=2)
    assert (made.cases, made.closed, made.wrong) == (2, 2, 0)


def test_a_mask_without_the_object_counts_as_wrong(sequence) -> None:
    _, shown, masks = sequence
    made = measure_closing(shown, masks, [shown], gap=1, places=1)
    assert made.wrong == 1


def test_a_sequence_is_read_with_its_masks(tmp_path, sequence) -> None:
    _, shown, masks = sequence
    for name in ("frames", "object"):
        (tmp_path / name).mkdir()
    for t in range(3):
        cv2.imwrite(str(tmp_path / "frames" / f"{t:05}.png"), shown[t][..., ::-1])
        cv2.imwrite(str(tmp_path / "object" / f"{t:05}.png"), masks[t].astype(np.uint8) * 255)
    read = read_sequence(tmp_path)
    np.testing.assert_array_equal(read[0], shown[:3])
    np.testing.assert_array_equal(read[1], masks[:3])
