"""The encoder's memory does not grow with the size of the picture as its pixels do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cleanplate.types import Size
from cleanplate.video import probe
from cleanplate.video.encoding import choose_encoding, choose_lookahead


@pytest.mark.parametrize(
    ("size", "pictures"),
    [(Size(64, 48), 40), (Size(1920, 1080), 40), (Size(3840, 2160), 10), (Size(7680, 4320), 10)],
)
def test_large_pictures_are_looked_ahead_at_less(make_clip, size: Size, pictures: int) -> None:
    info = replace(probe(make_clip("small.mp4", frames=1)), size=size)
    options = choose_encoding(info, ".mp4").options
    assert choose_lookahead(size) == pictures
    assert (f"rc-lookahead={pictures}" in options.get("x264-params", "")) == (pictures < 40)


@pytest.mark.parametrize(("count", "plain"), [(1, True), (2, True), (3, True), (4, False)])
def test_very_short_hevc_has_no_pictures_that_are_coded_out_of_order(make_clip, count, plain):
    info = replace(probe(make_clip("small.mp4", frames=1)), pixel_format="yuv420p12le")
    options = choose_encoding(replace(info, frame_count=count), ".mp4").options
    assert ("bframes=0" in options["x265-params"]) == plain
