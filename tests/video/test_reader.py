"""Reading: times, colours, damage, and threads that end."""

from __future__ import annotations

import threading
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cleanplate.errors import DecodeError, VideoError
from cleanplate.video import open_reader, probe
from cleanplate.video.threads import ReadAhead, Worker

SHARED = Path(__file__).resolve().parents[3] / "shared"


@pytest.fixture(autouse=True)
def no_thread_stays():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_pictures_in_order_with_their_times(make_clip, suffix):
    pts = [100, 140, 180, 300, 340, 700]
    path = make_clip("vfr" + suffix, time_base=Fraction(1, 1000), pts=pts)
    with open_reader(path) as reader:
        found = list(reader)
    assert [picture.index for picture in found] == list(range(6))
    assert [picture.time for picture in found] == [Fraction(p, 1000) for p in pts]
    assert [p.pts * reader.info.time_base for p in found] == [p.time for p in found]
    for picture in found:
        assert picture.rgb.shape == (48, 64, 3)
        assert picture.rgb.dtype == np.uint8


def test_rotated_pictures_stay_coded(make_clip):
    with open_reader(make_clip(rotation=-90)) as reader:
        assert next(iter(reader)).rgb.shape == (48, 64, 3)


@pytest.mark.parametrize("tag", [1, 2])
def test_range_tag_is_followed(make_clip, painted, tag):
    path = make_clip(
        "444.mp4", pixel_format="yuv444p", color=(tag, 1, 1, 1), options={"crf": "1"}, frames=2
    )
    with open_reader(path) as reader:
        first = next(iter(reader))
    assert np.abs(first.rgb.astype(int) - painted(0, (64, 48))).mean() < 2


def test_avi_without_presentation_times(make_clip):
    path = make_clip("a.avi", codec="mpeg4", options={"bf": "2"})
    with open_reader(path) as reader:
        times = [picture.time for picture in reader]
    assert len(times) == 8
    assert all(b > a for a, b in pairwise(times))


def test_transport_stream(make_clip):
    with open_reader(make_clip("a.ts", audio=("eng",))) as reader:
        times = [picture.time for picture in reader]
    assert len(times) == 8
    assert 0 <= times[0] < Fraction(1, 10)


def test_folder(images, painted):
    with open_reader(images()) as reader:
        found = list(reader)
    assert [picture.time for picture in found] == [0, Fraction(1, 24), Fraction(2, 24)]
    for index, picture in enumerate(found):
        np.testing.assert_array_equal(picture.rgb, painted(index, (20, 16)))


def test_folder_that_changes(images):
    folder = images()
    info = probe(folder)
    images(["2.png"], size=(30, 16))
    with open_reader(folder, info) as reader, pytest.raises(DecodeError, match="no longer 20x16"):
        list(reader)


def test_leaving_early(make_clip):
    path = make_clip(frames=60)
    with open_reader(path) as reader:
        next(iter(reader))
    with open_reader(path):
        pass
    reader.close()
    assert list(reader) == []


def test_errors_reach_the_caller(tmp_path):
    with pytest.raises(VideoError):
        open_reader(tmp_path / "none.mp4")


def test_damage_in_the_middle_is_told(make_clip):
    """Zeros over the coded pictures: the decoder would paint over them and go on."""
    path = make_clip(frames=60, options={"g": "20", "crf": "1"}, movflags="faststart")
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat")
    middle = start + (len(data) - start) // 2
    data[middle : middle + 4000] = bytes(4000)
    info = probe(path)
    path.write_bytes(data)
    with open_reader(path, info) as reader, pytest.raises(DecodeError) as caught:
        list(reader)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_file_that_shrinks_while_read(make_clip, name):
    path = make_clip(name, frames=60, movflags="faststart", options={"crf": "1"})
    info = probe(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with open_reader(path, info) as reader, pytest.raises(DecodeError):
        list(reader)


def test_read_ahead_is_bounded_and_ends():
    made = []

    def count():
        for number in range(100):
            made.append(number)
            yield number

    ahead = ReadAhead(count, depth=3)
    assert next(ahead) == 0
    ahead.close()
    assert len(made) <= 6


def test_without_depth_all_is_done_by_the_caller():
    made = []

    def count():
        try:
            for number in range(3):
                made.append(threading.current_thread())
                yield number
        finally:
            made.append(None)

    ahead = ReadAhead(count, depth=0)
    assert next(ahead) == 0
    assert made == [threading.current_thread()]
    ahead.close()
    assert made[-1] is None
    assert list(ahead) == []
    assert list(ReadAhead(count, depth=0)) == [0, 1, 2]


def test_a_worker_without_depth_and_its_caller_take_turns():
    done = []

    def consume(items):
        for item in items:
            time.sleep(0.01)
            done.append(item)

    worker = Worker(consume, depth=0)
    for number in range(3):
        worker.send(number)
        assert done == list(range(number + 1))
    worker.finish()


def test_one_thread_reads_the_same(make_clip):
    path = make_clip(frames=20)
    with open_reader(path) as many, open_reader(path, threads=1) as one:
        for a, b in zip(many, one, strict=True):
            np.testing.assert_array_equal(a.rgb, b.rgb)


def test_worker_hands_its_error_over():
    def fail(items):
        next(items)
        raise DecodeError("broken")

    worker = Worker(fail, depth=1)
    worker.send(1)
    with pytest.raises(DecodeError, match="broken"):
        worker.finish()
    with pytest.raises(DecodeError, match="broken"):
        worker.send(1)
    worker.abort()


def test_worker_can_be_aborted_with_a_full_queue():
    worker = Worker(lambda items: [None for _ in items] and None, depth=2)
    worker.send(1)
    worker.abort()


@pytest.mark.skipif(not SHARED.exists(), reason="no footage beside the checkout")
def test_real_clip():
    path = SHARED / "data/eval/originals/schoolgirls/video.mp4"
    with open_reader(path) as reader:
        found = sum(1 for _ in reader)
    assert found == reader.info.frame_count == 80


def test_frames_out_of_order_in_an_avi_are_shown_in_order(make_clip, painted):
    source = make_clip("a.avi", frames=12, options={"bf": "3", "b-adapt": "0", "crf": "1"})
    with open_reader(source) as reader:
        pictures = list(reader)
    steps = np.diff([picture.pts for picture in pictures])
    assert steps.tolist() == [1] * 11
    made = [painted(index, (64, 48)).astype(int) for index in range(12)]
    likeness = [[np.abs(one - picture.rgb).mean() for one in made] for picture in pictures]
    assert np.argmin(likeness, axis=1).tolist() == list(range(12))
