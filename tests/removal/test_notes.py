"""What a person should know: before the work, in the report, and in the lines at the end."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

import cleanplate
from cleanplate.errors import MaskError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def white(tmp_path: Path) -> Path:
    """A mask that leaves one line of 48 open."""
    pixels = np.full((48, 64), 255, np.uint8)
    pixels[0] = 0
    cv2.imwrite(str(tmp_path / "white.png"), pixels)
    return tmp_path / "white.png"


def test_what_is_known_before_the_work_is_logged_before_it(make_clip, tmp_path, white, caplog):
    source = make_clip("a.mov", codec="prores_ks", pixel_format="yuv422p10le", frames=4)
    logged: list[int] = []
    report = cleanplate.remove(
        source,
        tmp_path / "out.mov",
        masks=white,
        method="flow",
        dilate=0,
        progress=lambda done, total: logged.append(len(caplog.records)),
    )
    mask, codec, depth, made_up = report.notes
    assert made_up.startswith("no frame shows 100 % of what was filled")
    assert "white.png marks 97.9 % of the picture" in mask
    assert "the source is ProRes" in codec
    assert "filled areas are computed in 8 bits" in depth
    # Only what may be a mistake is worth a line before the work.
    assert logged[0] == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert [record.getMessage() for record in caplog.records] == [f"{source}: {mask}"]
    assert report.summary()[1:] == [f"note: {note}" for note in report.notes]
    assert report.to_json()["notes"] == report.notes
    assert report.video["written"] == {"codec": "h264", "pixel_format": "yuv422p10le", "depth": 10}
    assert "as H.264 (yuv422p10le) in" in report.summary()[0]


def test_a_turned_clip_is_summed_up_as_people_see_it(make_clip, tmp_path):
    source = make_clip(rotation=90, frames=3)
    report = cleanplate.remove(source, tmp_path / "out.mp4", box="5,5,10,10", method="flow")
    assert (report.size, report.display_size) == ("64x48", "48x64")
    assert "3 frames of 48x64 as H.264" in report.summary()[0]


def test_nothing_is_written_for_a_mask_of_another_length(make_clip, tmp_path):
    source, mask = make_clip(frames=6), make_clip("mask.mp4", frames=7)
    with pytest.raises(MaskError, match=r"has 7 frames in .* but the video has 6"):
        cleanplate.remove(source, tmp_path / "out.mp4", masks=mask, method="flow")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mask.mp4", "source.mp4"]


def test_a_box_on_a_slide_is_removed_from_it(make_clip, tmp_path):
    source = make_clip(time_base=Fraction(1, 1000), pts=[0, 2000, 2500])
    report = cleanplate.remove(source, tmp_path / "out.mp4", box="20,12,20,16@0.5-1", method="flow")
    assert report.frames_with_hole == 1
