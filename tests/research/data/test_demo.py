from importlib.machinery import ModuleSpec

import cv2
import numpy as np
import pytest

from cleanplate import scene
from cleanplate.errors import OutputError
from cleanplate.scene import make_demo_clip
from cleanplate.types import Size

SMALL = Size(96, 64)


def read(folder):
    return np.stack([cv2.imread(str(path)) for path in sorted(folder.iterdir())])


def test_the_clip_is_the_truth_outside_its_masks(tmp_path):
    clip = make_demo_clip(tmp_path, 9, SMALL)
    frames, masks, truth = read(clip.frames), read(clip.masks)[..., 0] > 0, read(clip.truth)
    assert frames.shape == truth.shape == (9, 64, 96, 3)
    assert (frames[~masks] == truth[~masks]).all()
    assert masks.any(axis=(1, 2)).sum() >= 6
    assert 0.02 < masks.mean() < 0.25
    different = np.abs(frames[masks].astype(int) - truth[masks]).mean()
    assert different > 20


def test_the_camera_moves_and_everything_is_seen_once(tmp_path):
    clip = make_demo_clip(tmp_path, 9, SMALL)
    truth = read(clip.truth).astype(int)
    assert (np.abs(np.diff(truth, axis=0)).mean(axis=(1, 2, 3)) > 1).all()
    masks = read(clip.masks)[..., 0] > 0
    assert not masks.all(axis=0).any()


def test_equal_arguments_give_equal_files(tmp_path):
    first = make_demo_clip(tmp_path / "a", 2, SMALL)
    second = make_demo_clip(tmp_path / "b", 2, SMALL)
    for one, other in ((first.frames, second.frames), (first.truth, second.truth)):
        assert (read(one) == read(other)).all()


def test_frames_of_a_longer_clip_go_and_other_files_stay(tmp_path):
    make_demo_clip(tmp_path, 4, SMALL)
    other = tmp_path / "frames" / "mine.png"
    other.write_bytes(b"")
    clip = make_demo_clip(tmp_path, 2, SMALL)
    assert sorted(path.name for path in clip.frames.iterdir()) == [
        "00000.png",
        "00001.png",
        "mine.png",
    ]


@pytest.mark.parametrize("spec", [None, ModuleSpec("skimage", None)])
def test_without_photographs_paintings_hang_there(monkeypatch, spec):
    monkeypatch.setattr(scene, "find_spec", lambda name: spec)
    shot = scene.Gallery(SMALL).shoot(0.5)
    assert shot.truth.std() > 20
    assert shot.mask.any()


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "frames").write_text("")
    with pytest.raises(OutputError, match="frames"):
        make_demo_clip(tmp_path, 2, SMALL)
    with pytest.raises(ValueError, match="positive"):
        make_demo_clip(tmp_path, 0)
