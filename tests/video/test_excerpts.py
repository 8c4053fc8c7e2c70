"""Excerpts: exact to the frame, with the sound, the texts and the chapters of that time."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from cleanplate.errors import InputError
from cleanplate.video import cut, open_reader, open_writer, probe, read_timeline

SECOND = Fraction(1)


def read(path, info=None):
    with open_reader(path, info) as reader:
        return list(reader)


def write(info, target):
    nothing = np.zeros(info.size.shape, np.bool_)
    with open_reader(info.path, info) as reader, open_writer(target, info) as writer:
        for picture in reader:
            writer.write(picture, picture.rgb, nothing)
    return target


@pytest.mark.parametrize(
    ("start", "end", "frames"),
    [
        ("0.5", "1", range(12, 25)),  # frame 12 is displayed from 0.48 s
        ("0.48", None, range(12, 40)),
        (None, "0.1", range(3)),
        ("0.479999", "0.520001", range(12, 13)),  # rounded times of frames 12 and 13
        ("0.3", "99", range(7, 40)),
    ],
)
def test_every_frame_displayed_during_the_time_is_in_the_excerpt(make_clip, start, end, frames):
    source = make_clip(frames=40)
    info = cut(probe(source), *(None if time is None else Fraction(time) for time in (start, end)))
    assert info.excerpt.frames == frames
    whole, part = read(source), read(source, info)
    assert len(part) == info.frame_count == len(frames)
    for number, picture in zip(frames, part, strict=True):
        assert np.array_equal(picture.rgb, whole[number].rgb)
        assert picture.time == whole[number].time - whole[frames.start].time
    assert [picture.index for picture in part] == list(range(len(frames)))
    assert list(map(read_timeline(info).__getitem__, range(len(frames)))) == [
        picture.time for picture in part
    ]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("a.mp4", {"options": {"g": "30", "bf": "2"}}),
        ("a.mkv", {"options": {"g": "30", "bf": "2"}}),
        ("a.mp4", {"options": {"g": "999"}}),
        ("a.mkv", {"codec": "libvpx-vp9", "options": {"g": "60", "lag-in-frames": "10"}}),
        ("a.ts", {"options": {"g": "30"}}),
        ("a.avi", {"codec": "mpeg4", "options": {"g": "30", "bf": "1"}}),
        ("a.mp4", {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=30"}}),
    ],
)
def test_frames_after_a_seek_are_those_of_reading_from_the_beginning(make_clip, name, fields):
    source = make_clip(name, frames=330, size=(32, 24), **fields)
    whole = read(source)
    for start, end in ((12, 12.5), (11.03, 11.1), (13.1, None)):
        info = cut(probe(source), Fraction(start), None if end is None else Fraction(end))
        frames = info.excerpt.frames
        part = read(source, info)
        assert len(part) == len(frames) > 0
        for number, picture in zip(frames, part, strict=True):
            assert np.array_equal(picture.rgb, whole[number].rgb)
            assert picture.time == whole[number].time - whole[frames.start].time


def test_all_of_a_video_is_no_excerpt(make_clip):
    info = probe(make_clip(frames=10))
    assert cut(info, None, None) is info
    assert cut(info, Fraction(0), SECOND) is info


def test_a_folder_keeps_the_names_of_its_images(images, tmp_path):
    folder = images([f"{number}.png" for number in range(48)])
    info = cut(probe(folder), SECOND / 2, SECOND)
    assert [file.name for file in info.files] == [f"{number}.png" for number in range(12, 24)]
    assert [picture.time for picture in read(folder, info)][:2] == [0, Fraction(1, 24)]
    assert len(read_timeline(info)) == 12
    write(info, tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        file.name for file in info.files
    }


def test_variable_rates_keep_the_distance_of_frames(make_clip, tmp_path):
    pts = [0, 40, 100, 130, 200, 290, 300, 400]
    source = make_clip("a.mkv", time_base=Fraction(1, 1000), pts=pts, options={"bf": "0"})
    info = cut(probe(source), Fraction("0.12"), Fraction("0.3"))
    assert info.excerpt.frames == range(2, 6)
    target = write(info, tmp_path / "out.mkv")
    assert [picture.time * 1000 for picture in read(target)] == [0, 30, 100, 190]
    assert info.duration == Fraction(200, 1000)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_stays_at_its_time(make_clip, packets, tmp_path, suffix):
    source = make_clip("a.mkv", frames=100, audio=["deu"])
    info = cut(probe(source), Fraction(2), Fraction(3))
    target = write(info, tmp_path / f"b{suffix}")
    # Matroska has no time before 0: a packet across the start is kept if most of it is heard.
    least = {".mp4": Fraction(1024, 48000), ".mkv": Fraction(512, 48000)}[suffix]
    expected = [
        (data, time - 2) for data, time in packets(source, "audio")[0] if 2 - least < time < 3
    ]
    found = packets(target, "audio")[0]
    assert [data for data, _ in found] == [data for data, _ in expected]
    for (_, time), (_, wanted) in zip(found[1:], expected[1:], strict=True):
        assert abs(time - wanted) <= Fraction(1, 1000)
    shown = probe(target)
    assert shown.duration == 1
    assert shown.first == 0


def test_texts_across_the_ends_are_shortened(make_clip, tmp_path):
    source = make_clip("a.mkv", frames=20, subtitles=["deu"])  # texts at 0-0.1 and 0.12-0.22 s
    info = cut(probe(source), Fraction("0.04"), Fraction("0.16"))
    target = write(info, tmp_path / "b.mkv")
    with av.open(str(target)) as container:
        texts = [
            (float(packet.pts * packet.time_base), float(packet.duration * packet.time_base))
            for packet in container.demux(container.streams.subtitles[0])
            if packet.size
        ]
    assert texts == [(0, 0.06), (0.08, 0.04)]
    later = cut(probe(source), Fraction("0.4"), None)
    with av.open(str(write(later, tmp_path / "c.mkv"))) as container:
        assert not [p for p in container.demux(container.streams.subtitles[0]) if p.size]


def test_chapters_are_cut(make_clip, tmp_path):
    chapters = [(0, 200, "one"), (200, 500, "two"), (500, 800, "three")]
    source = make_clip("a.mkv", frames=20, chapters=chapters)
    info = cut(probe(source), Fraction("0.28"), Fraction("0.48"))
    with av.open(str(write(info, tmp_path / "b.mkv"))) as container:
        found = container.chapters()
    scale = [one["time_base"] * 1000 for one in found]
    assert [
        (one["metadata"]["title"], one["start"] * by, one["end"] * by)
        for one, by in zip(found, scale, strict=True)
    ] == [("two", 0, 200)]


@pytest.mark.parametrize(
    ("start", "end", "says"),
    [
        ("9", None, "`start` is 9 s, but 'source.mp4' ends at 0.32 s; name an earlier time"),
        ("0.32", None, "`start` is 0.32 s, but 'source.mp4' ends at 0.32 s"),
    ],
)
def test_what_is_outside_the_video_is_refused(make_clip, start, end, says):
    info = probe(make_clip(frames=8))
    with pytest.raises(InputError, match=says):
        cut(info, Fraction(start), end)


def test_an_end_before_the_first_frame_is_refused(make_clip):
    info = probe(make_clip("a.mkv", pts=[50, 51, 52]))
    assert info.first == 2
    with pytest.raises(InputError, match=r"first frame of 'a\.mkv' is shown at 2\.00 s; name"):
        cut(info, None, SECOND)
