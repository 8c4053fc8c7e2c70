"""Pictures one, two or four pixels wide or high: any method fills them, without a warning."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from cleanplate.network import SttnNetwork
from cleanplate.options import Method
from cleanplate.removal import Engine, inpaint
from cleanplate.removal.windows import WindowFiller
from cleanplate.types import Size

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = [
    (1, 1), (1, 2), (1, 9), (9, 1), (1, 64), (64, 1), (2, 2), (2, 9), (9, 2), (2, 64), (64, 2),
    (4, 640), (640, 4),
]  # fmt: skip
COLOUR = (90, 150, 30)


@pytest.fixture(autouse=True)
def strict_numbers() -> Iterator[None]:
    """Overflows and invalid values are errors."""
    with np.errstate(all="raise"):
        yield


def make_noise(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A clip of three frames, the hole in the middle of two of them."""
    rng = np.random.default_rng(height * 1000 + width)
    frames = rng.integers(0, 256, (3, height, width, 3), np.uint8)
    masks = np.zeros(frames.shape[:3], np.bool_)
    masks[:2, height // 3 : height // 2 + 1, width // 3 : width // 2 + 1] = True
    return frames, masks


def make_covered(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A clip of one colour, of which a single pixel of each frame is known."""
    frames = np.broadcast_to(np.array(COLOUR, np.uint8), (3, height, width, 3)).copy()
    masks = np.ones(frames.shape[:3], np.bool_)
    masks[:, height // 2, width // 2] = False
    frames[masks] = 0  # what is masked is not looked at
    return frames, masks


@pytest.mark.parametrize("method", ["flow", "auto", "network"])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_thin_pictures_are_filled(tiny: SttnNetwork, height, width, method: Method) -> None:
    frames, masks = make_noise(height, width)
    made = inpaint(frames, masks, model=tiny, method=method)
    np.testing.assert_array_equal(made[~masks], frames[~masks])
    for fields, feather in ((True, 0), (False, 2)):
        options = {"dilate": 1, "feather": feather, "fields": fields}
        made = inpaint(frames, masks, method="flow", **options)
        np.testing.assert_array_equal(made[2], frames[2])


@pytest.mark.parametrize("method", ["flow", "auto", "network"])
@pytest.mark.parametrize(("height", "width"), [(1, 9), (9, 1), (2, 64), (640, 4)])
def test_an_engine_fills_what_inpaint_does(tiny, height, width, method: Method) -> None:
    frames, masks = make_noise(height, width)
    engine = Engine(Size(width, height), filler=WindowFiller(tiny), method=method)
    done = [one for pair in zip(frames, masks, strict=True) for one in engine.push(*pair)]
    done += engine.finish()
    made = inpaint(frames, masks, model=tiny, method=method)
    np.testing.assert_array_equal([one.frame for one in done], made)


@pytest.mark.parametrize("dilate", [0, 1, 4])
@pytest.mark.parametrize("fields", [False, True])
@pytest.mark.parametrize(("height", "width"), [*SIZES[1:], (24, 32)])
def test_one_known_pixel_gives_its_colour(height, width, fields: bool, dilate: int) -> None:
    """Also where the mask, once grown, covers it: nothing comes back black."""
    frames, masks = make_covered(height, width)
    made = inpaint(frames, masks, method="flow", dilate=dilate, fields=fields)
    assert np.abs(made.astype(int) - COLOUR).max() <= 1
