import hashlib
from itertools import pairwise

import numpy as np
import pytest

from cleanplate.errors import OutputError
from cleanplate.masks import read_marked
from cleanplate.research.evaluation import protocols as paper


def draw(sequence, kind, count):
    return np.stack(list(paper.draw_masks(sequence, kind, count)))


def test_masks_depend_on_name_and_kind_alone():
    first = draw("bear", "moving", 6)
    assert (first == draw("bear", "moving", 6)).all()
    assert (first != draw("camel", "moving", 6)).any()
    assert (first != draw("bear", "stationary", 6)).any()


def test_a_longer_clip_begins_with_the_same_masks():
    assert (draw("bear", "moving", 130)[:70] == draw("bear", "moving", 70)).all()


def test_stationary_masks_rest_and_moving_ones_move():
    still, moving = draw("bear", "stationary", 5), draw("bear", "moving", 5)
    assert (still == still[0]).all()
    assert all((a != b).any() for a, b in pairwise(moving))
    assert still.shape == (5, 240, 432)


def test_shapes_have_the_size_of_the_paper():
    shares = [draw(str(number), "stationary", 1).mean() for number in range(20)]
    assert min(shares) > 0.01
    assert max(shares) < 0.25


def test_written_masks_can_be_checked(tmp_path):
    folder = paper.write_masks(tmp_path, "bear", "moving", 3)
    paper.write_checksums(tmp_path)
    images = [read_marked(path) for path in sorted(folder.iterdir())]
    assert (np.stack(images) == draw("bear", "moving", 3)).all()
    listed = dict(
        reversed(line.split("  ")) for line in (tmp_path / "SHA256SUMS").read_text().splitlines()
    )
    assert list(listed) == [f"bear/moving/{index:05d}.png" for index in range(3)]
    for name, checksum in listed.items():
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == checksum


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "masks").write_text("a file")
    with pytest.raises(OutputError, match="cannot write"):
        paper.write_masks(tmp_path / "masks", "bear", "moving", 1)
