"""Which frame is on the screen, and until when."""

from __future__ import annotations

from fractions import Fraction

import pytest

from cleanplate.video import open_reader, probe, read_timeline

MS = Fraction(1, 1000)
SLIDES = [0, 2000, 2500]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("a.mp4", {}),
        ("a.mkv", {"rate": Fraction(30000, 1001)}),
        ("a.mp4", {"time_base": MS, "pts": SLIDES}),
        ("a.mkv", {"time_base": MS, "pts": [500, 540, 600]}),
        ("a.ts", {"options": {"bf": "2"}}),
        ("a.avi", {"codec": "mpeg4"}),
        ("a.webm", {"codec": "libvpx"}),
    ],
)
def test_timestamps_are_those_of_the_reader(make_clip, name, fields):
    info = probe(make_clip(name, **fields))
    with open_reader(info.path, info) as reader:
        times = [picture.time for picture in reader]
    timeline = read_timeline(info)
    assert list(timeline) == times
    assert timeline.find_end(times[0]) == times[1]
    assert timeline.find_end(times[-1]) >= info.end > times[-1]


def test_the_frame_on_the_screen(make_clip):
    timeline = read_timeline(probe(make_clip("a.mp4", time_base=MS, pts=SLIDES)))
    cases = {0: 0, 1999: 0, 2000: 1, 2499: 1, 2500: 2, 9000: 2}
    assert {ms: timeline.find_shown(ms * MS) for ms in cases} == cases
    nearest = {0: 0, 1000: 0, 1001: 1, 2251: 2, 9000: 2}
    assert {ms: timeline.find_nearest(ms * MS) for ms in nearest} == nearest


def test_images_follow_their_rate(images):
    timeline = read_timeline(probe(images()))
    assert list(timeline) == [Fraction(k, 24) for k in range(3)]
    assert timeline.find_end(timeline[2]) == Fraction(3, 24)
