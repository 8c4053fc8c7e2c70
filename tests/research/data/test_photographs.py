from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from cleanplate.research.data.sampling import CameraMove, Layer, camera_move

SIZE = (32, 48)
PICTURES = [
    cv2.resize(np.random.default_rng(k).integers(0, 256, (15, 20, 3), np.uint8), (80, 60))
    for k in range(3)
]


def move(times: list[int], objects: int = 2, seed: int = 5) -> CameraMove:
    rng = np.random.default_rng(seed)
    return camera_move(PICTURES[0], PICTURES[1 : 1 + objects], times, SIZE, rng)


def test_a_move_is_smooth_in_the_frames_numbers() -> None:
    sparse, dense = move([0, 6]).paint(SIZE, "cpu"), move(list(range(7))).paint(SIZE, "cpu")
    torch.testing.assert_close(sparse, dense[[0, 6]])
    assert (sparse[0] - sparse[1]).abs().max() > 5
    steps = (dense[1:] - dense[:-1]).abs().mean((1, 2, 3))
    assert steps.max() < 3 * steps.mean()


@pytest.mark.parametrize("seed", range(4))
def test_layers_are_moved_as_opencv_moves_them(seed: int) -> None:
    (layer,) = move([0, 9], objects=0, seed=seed).layers
    painted = layer.paint(SIZE, "cpu")
    for frame, way in zip(painted, layer.ways, strict=True):
        # OpenCV's coordinates are those of the pixels' middles.
        half = np.full(2, 0.5)
        shifted = np.hstack([way[:, :2], (way[:, 2] + way[:, :2] @ half - half)[:, None]])
        expected = cv2.warpAffine(
            layer.picture,
            shifted,
            SIZE[::-1],
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )
        difference = np.abs(frame.permute(1, 2, 0).numpy() - expected)
        assert difference.mean() < 1.5


def test_an_object_covers_what_its_rim_encloses_and_moves_with_its_picture() -> None:
    square = np.array([[10, 10], [30, 10], [30, 20], [10, 20]], np.float64)
    ways = np.array([[[1, 0, 0], [0, 1, 0]], [[1, 0, 8], [0, 1, 4.5]]], np.float64)
    cover = Layer(PICTURES[1], ways, square).cover(SIZE, "cpu")
    assert isinstance(cover, torch.Tensor)
    assert cover[0, 0, 10:20, 10:30].min() == 1
    assert cover[0].sum() == 200
    assert cover[1, 0, 15:24, 18:38].min() == 1
    assert cover[1, 0, 14, 20] == 0.5
    assert cover[1].sum() == 200


def test_objects_lie_in_front() -> None:
    one = move([0, 3], objects=1)
    with_object, without = one.paint(SIZE, "cpu"), CameraMove(one.layers[:1]).paint(SIZE, "cpu")
    cover = one.layers[1].cover(SIZE, "cpu")
    assert isinstance(cover, torch.Tensor)
    torch.testing.assert_close(with_object * (cover == 0), without * (cover == 0))
    assert ((with_object - without).abs() * (cover == 1)).max() > 5
