"""A folder of PNGs as output."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from cleanplate.video import open_reader, open_writer, probe


@pytest.mark.parametrize("turn", [None, 90, 180, 270])
def test_pictures_of_a_turned_video_are_upright(make_clip, tmp_path, turn):
    source = make_clip(rotation=turn, frames=2)
    info = probe(source)
    with open_reader(source, info) as reader, open_writer(tmp_path / "out", info) as writer:
        for picture in reader:
            writer.write(picture, picture.rgb, np.zeros(info.size.shape, np.bool_))

    shown = cv2.imread(str(tmp_path / "out" / "00001.png"))[..., ::-1]

    assert shown.shape[:2] == info.display_size.shape
    clockwise = -(info.rotation // 90)
    assert np.array_equal(shown, np.rot90(picture.rgb, clockwise))
