"""Given pictures: what counts as an edit, and where a picture is used."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from cleanplate.plates import GivenPlate, GivenPlates
from cleanplate.plates.given import find_edit, is_another_picture
from cleanplate.plates.provenance import Provenance, count_provenance, draw_provenance, label

Frame = npt.NDArray[np.uint8]
HEIGHT, WIDTH = 120, 200


def draw(width: int = WIDTH, seed: int = 0) -> Frame:
    rng = np.random.default_rng(seed)
    scene = np.zeros((HEIGHT, width, 3), np.float32)
    for size, strength in ((4, 25), (12, 30), (40, 40)):
        noise = rng.normal(size=(HEIGHT // size + 2, width // size + 2, 3)).astype(np.float32)
        scene += strength * cv2.resize(noise, (width, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return (110 + scene).clip(0, 200).astype(np.uint8)


def test_only_visible_differences_are_edits():
    exported = draw()
    saved = (exported.astype(int) + 3).astype(np.uint8)
    assert GivenPlate.edited(0, exported, saved, range(1)) is None
    saved[40:50, 60:80, 1] += 40
    changed = find_edit(exported, saved)
    assert changed.sum() == 200
    plate = GivenPlate.edited(0, exported, saved, range(1))
    assert plate is not None
    assert (plate.weight[changed[plate.box.slices]] == 255).all()
    assert (plate.weight[0] == 0).all()


def test_a_graded_plate_is_no_other_picture():
    exported = draw()
    assert not is_another_picture(exported, (exported * 0.8).astype(np.uint8))
    assert is_another_picture(exported, 255 - draw(seed=3))


@pytest.mark.parametrize("shift", [0, 60])
def test_a_picture_fades_out_where_it_ends(shift):
    """In its own frame it fills the hole up to the border."""
    scene = draw(WIDTH + 60)
    clean, frame = scene[:, 60:].copy(), scene[:, 60 - shift : 60 - shift + WIDTH].copy()
    hole = np.zeros((HEIGHT, WIDTH), np.bool_)
    hole[40:80, shift : shift + 30] = True
    plates = GivenPlates([GivenPlate.clean(7, 255 - clean, clean)])
    number = 7 if shift == 0 else 3
    pixels, share = plates.paint(number, None, frame, hole, np.zeros_like(frame[hole]))
    share = share.reshape(40, 30)
    assert share[:, 15:].min() > 0.95
    if shift:
        assert share[:, 0].max() < 0.3
        assert (np.diff(share.mean(axis=0)) > -0.01).all()
    else:
        assert (share == 1).all()
        np.testing.assert_array_equal(pixels, clean[hole])


def test_a_passer_by_hides_what_was_painted():
    """The hole lies in front of something else than the picture shows."""
    scene = draw()
    frame, hole = scene.copy(), np.zeros((HEIGHT, WIDTH), np.bool_)
    hole[50:70, 150:170] = True
    plates = GivenPlates([GivenPlate.clean(0, 255 - scene, scene)])
    filled = np.zeros_like(frame[hole])
    assert plates.paint(1, None, frame, hole, filled)[1].min() > 0.9
    frame[30:90, 130:190] = draw(seed=8)[30:90, 130:190]
    assert plates.paint(1, None, frame, hole, filled)[1].max() < 0.2


def test_what_was_not_painted_stays_in_its_own_frame():
    """Who else stands in a frame that was painted clean may have moved on in others."""
    scene, hole = draw(), np.zeros((HEIGHT, WIDTH), np.bool_)
    hole[40:80, 60:140] = True
    source, clean = scene.copy(), scene.copy()
    source[50:70, 70:90] = 250  # painted away
    source[50:70, 110:130] = clean[50:70, 110:130] = 5  # left alone
    plates = GivenPlates([GivenPlate.clean(0, source, clean)])
    filled = np.full_like(scene[hole], 128)
    own, share = plates.paint(0, None, scene, hole, filled)
    assert (share == 1).all()
    np.testing.assert_array_equal(own, clean[hole])
    share = plates.paint(5, None, scene, hole, filled)[1].reshape(40, 80)
    assert share[12:28, 12:28].min() > 0.9
    assert share[:, 40:].max() == 0


def test_the_nearer_of_two_pictures_counts_more():
    scene, hole = draw(), np.zeros((HEIGHT, WIDTH), np.bool_)
    hole[50:70, 90:110] = True
    dark, bright = scene.copy(), scene.copy()
    dark[hole], bright[hole] = 20, 220
    plates = GivenPlates([GivenPlate.clean(0, scene, dark), GivenPlate.clean(40, scene, bright)])
    means = [
        plates.paint(number, None, scene, hole, scene[hole])[0].mean()
        for number in (0, 5, 20, 35, 40)
    ]
    assert means == sorted(means)
    assert (means[0], means[-1]) == (20, 220)
    assert means[1] < 40 < 100 < means[2] < 140 < 200 < means[3]


def test_origins_are_classified_and_drawn():
    guessed = np.array([[0.0, 0.5, 0.51, 1.0, 0.2, 0.2]], np.float32)
    far = np.array([[0.0, 0.0, 0.0, 0.0, 0.3, 0.5]], np.float32)
    codes = label(guessed, far)
    near, distant, made_up = Provenance.NEAR, Provenance.FAR, Provenance.MADE_UP
    assert codes.tolist() == [[near, near, made_up, made_up, near, distant]]
    codes[0, 0] = Provenance.SOURCE
    assert count_provenance(codes[:, :4]) == {
        "source": 0.25, "near": 0.25, "far": 0.0, "made_up": 0.5, "painted": 0.0, "solved": 0.0
    }  # fmt: skip
    assert len(np.unique(draw_provenance(codes).reshape(-1, 3), axis=0)) == 4
