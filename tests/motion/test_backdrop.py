from __future__ import annotations

import numpy as np

from cleanplate.motion import propagate
from cleanplate.plates import Backdrop, add_detail

from .test_exemplar import middle, weave
from .test_propagation import cover, fill, psnr


def made_up(
    frames: np.ndarray, masks: np.ndarray, wanted: range | None = None, **options: object
) -> tuple[list[np.ndarray], Backdrop | None]:
    """What fills the holes of the wanted frames, all of it counted as guessed."""
    result = propagate(cover(frames, masks), list(masks), wanted=wanted)
    weights = [np.ones(len(pixels), np.float32) for pixels in result.pixels]
    return add_detail(
        cover(frames, masks),
        list(masks),
        result.pixels,
        weights,
        result.motion.of_picture,
        wanted or range(len(frames)),
        **options,  # type: ignore[arg-type]
    )


def still(count: int = 12, noise: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """A cloth that stands still, filmed with some noise, and a hole at rest."""
    random = np.random.default_rng(3)
    picture = weave()
    frames = picture + random.normal(0, noise, (count, *picture.shape))
    hole = middle(picture.shape[:2])
    return np.rint(frames).clip(0, 255).astype(np.uint8), np.repeat(hole[None], count, 0)


def test_what_is_made_up_has_texture_and_stands_still() -> None:
    frames, masks = still()
    pixels, backdrop = made_up(frames, masks)
    assert backdrop is not None
    over_time = np.stack(pixels).astype(np.float32)
    assert over_time[0].std() > 0.65 * frames[0][masks[0]].std()
    assert over_time.std(0).mean() < 2


def test_it_moves_with_the_picture(pan) -> None:
    """A hole that goes with the camera's motion is never uncovered."""
    frames = pan(frames=10, step=(3, 0), size=(160, 120))
    masks = np.zeros(frames.shape[:3], np.bool_)
    for t in range(len(frames)):
        masks[t, 50:74, 80 - 3 * t : 104 - 3 * t] = True
    pixels, _ = made_up(frames, masks)
    assert psnr(pixels[-1], pixels[0]) > 28


def test_it_takes_the_light_of_each_frame() -> None:
    frames, masks = still(noise=0)
    for t in range(len(frames)):
        frames[t] = np.rint(frames[t] * (1 - 0.03 * t))
    pixels, _ = made_up(frames, masks)
    for t in (0, 5, 11):
        known = frames[t][40:80, 60:100][~masks[t][40:80, 60:100]]
        assert abs(pixels[t].mean() - known.mean()) < 8


def test_what_passes_by_leaves_nothing_behind() -> None:
    frames, masks = still(count=24, noise=0)
    passed = frames.copy()
    for t in range(8):
        passed[t, 30:48, 60 + 6 * t : 80 + 6 * t] = (250, 250, 250)
    clean, _ = made_up(frames, masks)
    pixels, _ = made_up(passed, masks)
    assert np.abs(pixels[-1].astype(int) - clean[-1]).mean() < 8


def test_it_fades_where_the_surroundings_change() -> None:
    frames, masks = still(count=16, noise=0)
    random = np.random.default_rng(1)
    frames[14:] = random.integers(0, 255, frames[14:].shape)  # nothing of it is left
    result = propagate(cover(frames, masks), list(masks))
    pixels, _ = made_up(frames, masks)
    assert np.abs(pixels[1].astype(int) - result.pixels[1]).mean() > 5
    np.testing.assert_array_equal(pixels[-1], result.pixels[-1])


def test_pieces_are_the_whole() -> None:
    frames, masks = still()
    whole, _ = made_up(frames, masks)
    first, backdrop = made_up(frames, masks, range(5))
    rest, _ = made_up(frames, masks, range(5, 12), backdrop=backdrop)
    np.testing.assert_array_equal(whole, first + rest)


def test_it_is_gone_at_the_end_and_comes_back_slowly() -> None:
    frames, masks = still(count=20, noise=0)
    result = propagate(cover(frames, masks), list(masks))
    guess = np.stack(result.pixels).astype(int)

    def strengths(pixels: list[np.ndarray], first: int) -> np.ndarray:
        return np.stack(
            [np.abs(made.astype(int) - guess[first + at]).mean() for at, made in enumerate(pixels)]
        )

    ends, _ = made_up(frames, masks, range(10), until=10)
    begins, _ = made_up(frames, masks, range(10, 20))
    there, after = strengths(ends, 0), strengths(begins, 10)
    assert there[0] > 4 * there[-1]
    assert (np.diff(after) > 0).all()
    assert after[-1] > 4 * after[0]


def test_a_hole_that_comes_and_goes_is_begun_anew() -> None:
    frames, masks = still()
    masks[5:7] = False
    pixels, backdrop = made_up(frames, masks)
    assert backdrop is not None
    assert backdrop.age == 4
    assert [len(made) for made in pixels[5:7]] == [0, 0]
    made = fill(frames, masks, propagate(cover(frames, masks), list(masks)))
    assert made.shape == frames.shape


def test_without_surroundings_the_guess_stays() -> None:
    frames = np.full((3, 20, 20, 3), 90, np.uint8)
    masks = np.ones((3, 20, 20), np.bool_)
    masks[:, 0] = False
    result = propagate(cover(frames, masks), list(masks))
    pixels, backdrop = made_up(frames, masks)
    assert backdrop is None
    np.testing.assert_array_equal(pixels, result.pixels)
