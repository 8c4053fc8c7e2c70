from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cleanplate.errors import MaskError, VideoError
from cleanplate.masks import files as clip
from cleanplate.masks import list_doubts, open_mask
from cleanplate.masks.files import VideoMask
from cleanplate.types import Size
from cleanplate.video import open_reader, open_writer, probe

from .conftest import SMALL, FakeInfo

Film = Callable[..., FakeInfo]


@pytest.fixture
def film(monkeypatch: pytest.MonkeyPatch) -> Film:
    """Pretend that the mask video is so; its frame number n marks pixel (0, n)."""

    def make(
        frames: int,
        rate: Fraction | int,
        rotation: int = 0,
        start: Fraction = Fraction(0),
        size: Size = SMALL,
        really: int | None = None,
    ) -> FakeInfo:
        info = FakeInfo(size, rotation, frames, Fraction(rate))

        @contextmanager
        def open_reader(path: Path) -> Iterator[Iterator[SimpleNamespace]]:
            def pictures() -> Iterator[SimpleNamespace]:
                for index in range(frames if really is None else really):
                    rgb = np.zeros((*size.shape, 3), np.uint8)
                    rgb[0, index % size.width] = 255
                    yield SimpleNamespace(time=start + index / info.rate, rgb=rgb)

            yield pictures()

        monkeypatch.setattr(clip, "open_reader", open_reader)
        monkeypatch.setattr(clip, "probe", lambda path: info)
        monkeypatch.setattr(clip, "sample_pictures", lambda info, most: iter(()))
        return info

    return make


def chosen(info: FakeInfo, start: Fraction = Fraction(0)) -> list[int]:
    source = VideoMask("mask.mp4")
    source.prepare(info)
    numbers = [
        int(source.mask(i, start + i / info.rate)[0].argmax()) for i in range(info.frame_count)
    ]
    source.close()
    return numbers


def test_equal_counts_are_matched_frame_by_frame_whatever_the_rates(film):
    film(30, 24)
    info = FakeInfo(frame_count=30, rate=Fraction(24000, 1001))
    assert chosen(info) == list(range(30))
    film(30, 25)
    assert chosen(FakeInfo(frame_count=30, rate=Fraction(30000, 1001))) == list(range(30))


@pytest.mark.parametrize(
    ("frames", "rate"), [(29, 30), (31, 30), (60, 30), (60, 60), (15, 15), (29, 29), (31, 31)]
)
def test_another_number_of_frames_is_refused_before_a_frame_is_read(film, frames, rate):
    film(frames, rate)
    info = FakeInfo(frame_count=30, rate=Fraction(30))
    words = rf"{frames} frames in \S+ s \({rate} a second\) but the video has 30 in 1 s \(30\);"
    with pytest.raises(MaskError, match=words):
        VideoMask("mask.mp4").prepare(info)


@pytest.mark.parametrize(
    ("rate", "said"),
    [(15, True), (60, True), (25, True), (30, False), (Fraction(30000, 1001), False)],
)
def test_as_many_frames_at_another_rate_get_a_note(film, rate, said):
    film(30, rate)
    source = VideoMask("mask.mp4")
    source.prepare(FakeInfo(frame_count=30, rate=Fraction(30)))
    notes = [note for note in source.doubts() if "matched one by one" in note]
    assert len(notes) == said
    if said:
        assert f"at another rate, {rate} and not 30 a second" in notes[0]


def test_a_mask_that_breaks_off_is_noticed(film):
    film(10, 25, really=4)
    with pytest.raises(MaskError, match=r"mask mask\.mp4 has .* it breaks off after frame 3"):
        chosen(FakeInfo(frame_count=10, rate=Fraction(25)))


def test_a_wrong_size_names_both(film):
    film(10, 25, size=Size(20, 12))
    with pytest.raises(MaskError, match="is 20x12 but the video is 40x24"):
        chosen(FakeInfo(frame_count=10))


@pytest.mark.parametrize("turned", [90, 180, 270])
def test_a_turned_mask_video_fits_a_turned_video(film, turned):
    film(3, 25, rotation=turned)
    assert chosen(FakeInfo(rotation=turned)) == [0, 1, 2]


def test_a_video_as_shown_is_turned_to_the_stored_frames(film):
    info = FakeInfo(rotation=90)
    film(3, 25, size=info.display_size)
    source = VideoMask("mask.mp4")
    source.prepare(info)
    hole = source.mask(0, Fraction(0))
    assert hole.shape == SMALL.shape
    assert hole[-1, 0]
    assert hole.sum() == 1


def test_what_is_no_video_is_named(tmp_path, monkeypatch):
    def refuse(path: Path) -> None:
        raise VideoError(f"{path} cannot be read")

    monkeypatch.setattr(clip, "probe", refuse)
    (tmp_path / "mask.txt").write_text("no mask")
    with pytest.raises(MaskError, match=r"mask is neither image nor video: .*mask\.txt"):
        open_mask(tmp_path / "mask.txt").prepare(FakeInfo())


def test_closing_twice_and_before_use_is_allowed(film):
    film(3, 25)
    source = VideoMask("mask.mp4")
    source.close()
    source.prepare(FakeInfo())
    source.close()
    source.close()


def record(folder: Path, path: Path, **change: object) -> None:
    """Write the images of a folder as a video."""
    stored = replace(probe(folder), **change)
    with open_reader(folder) as reader, open_writer(path, stored) as writer:
        for picture in reader:
            writer.write(picture, picture.rgb, np.zeros(stored.size.shape, bool))


@pytest.fixture
def holes(write) -> np.ndarray:
    """Six masks, `(6, 48, 64)`, which also lie in the folder `masks`."""
    masks = np.zeros((6, 48, 64), bool)
    for index, hole in enumerate(masks):
        hole[10:30, 4 * index : 4 * index + 20] = True
        write(f"masks/{index}.png", hole.astype(np.uint8) * 255)
    return masks


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_real_mask_video(tmp_path, holes, suffix):
    path = tmp_path / f"mask{suffix}"
    record(tmp_path / "masks", path)
    source = open_mask(path)
    source.prepare(FakeInfo(Size(64, 48), 0, 6, Fraction(24)))
    for index in range(6):
        assert (source.mask(index, Fraction(index, 24)) != holes[index]).mean() < 0.01
    source.close()


# A phone's clip: frames 3 and 8 of 30 a second are left out, the others are some ms late or early.
PHONE = [0, 35, 65, 133, 165, 203, 231, 300, 335, 364]
EDITED = {"rate": Fraction(30), "frames": 12}


def positions(source: VideoMask, info) -> list[int]:
    """Which mask frame each frame of `info` gets, by the place of its mark."""
    source.prepare(info)
    with open_reader(info.path) as reader:
        found = [source.mask(picture.index, picture.time) for picture in reader]
    source.close()
    return [int(hole[0].argmax()) // 4 for hole in found]


@pytest.fixture
def counted(tmp_path, write) -> Callable[..., Path]:
    """`counted(name, frames, rate)`: a mask video whose frame n marks the pixels from (0, 4 n)."""

    def make(name: str, frames: int, rate: int) -> Path:
        for number in range(frames):
            pixels = np.zeros((48, 64), np.uint8)
            pixels[:8, 4 * number : 4 * number + 4] = 255
            write(f"{name}/{number}.png", pixels)
        rated = {"rate": Fraction(rate), "time_base": Fraction(1, rate)}
        record(tmp_path / name, tmp_path / f"{name}.mkv", **rated)
        return tmp_path / f"{name}.mkv"

    return make


def test_a_constant_mask_for_a_variable_rate_is_matched_by_time(make_clip, counted):
    info = probe(make_clip("phone.mp4", time_base=Fraction(1, 1000), pts=PHONE))
    assert info.is_variable_rate
    source = VideoMask(counted("edited", 12, 30))
    assert positions(source, info) == [0, 1, 2, 4, 5, 6, 7, 9, 10, 11]
    source.prepare(info)
    assert "12 frames and the video 10, at a variable rate" in source.doubts()[0]
    source.close()


def test_both_are_counted_from_their_first_frame(make_clip, counted):
    late = [700 + pts for pts in PHONE]
    info = probe(make_clip("phone.mkv", time_base=Fraction(1, 1000), pts=late))
    assert info.first == Fraction(7, 10)
    source = VideoMask(counted("edited", 12, 30))
    assert positions(source, info) == [0, 1, 2, 4, 5, 6, 7, 9, 10, 11]


@pytest.mark.parametrize(
    ("frames", "rate", "words"),
    [
        (6, 15, r"frame 1 at 0\.035 s has no mask frame nearer than 0\.067 s"),
        (9, 30, "with the video's length and frame times"),
        (15, 30, "with the video's length and frame times"),
        (24, 30, "with the video's length and frame times"),
    ],
)
def test_what_does_not_fit_a_variable_rate_is_refused(make_clip, counted, frames, rate, words):
    info = probe(make_clip("phone.mp4", time_base=Fraction(1, 1000), pts=PHONE))
    with pytest.raises(MaskError, match=rf"{frames} frames .* on average\); .*{words}"):
        VideoMask(counted("edited", frames, rate)).prepare(info)


def test_a_mask_that_leaves_frames_out_is_refused_for_a_constant_rate(make_clip, tmp_path):
    """As recorders and phones do with frames that did not change."""
    mask = make_clip("mask.mp4", time_base=Fraction(1, 1000), pts=PHONE)
    info = probe(make_clip("clip.mkv", rate=Fraction(30), frames=12))
    with pytest.raises(MaskError, match=r"frame 3 at 0\.100 s has no mask frame nearer than"):
        VideoMask(mask).prepare(info)


def test_samples_of_a_mask_video_are_looked_at(make_clip, tmp_path, write):
    for number in range(8):
        write(f"white/{number}.png", np.full((48, 64), 255 - 255 * (number < 4), np.uint8))
    record(tmp_path / "white", tmp_path / "white.mp4")
    info = FakeInfo(Size(64, 48), 0, 8, Fraction(24))
    source = open_mask(tmp_path / "white.mp4", invert=True)
    source.prepare(info)
    assert list_doubts(source) == []  # some of it is black
    source.close()
    photograph = open_mask(make_clip("photo.mp4", frames=8, rate=Fraction(24)))
    photograph.prepare(info)
    (note,) = list_doubts(photograph)
    assert "looks like a photograph" in note
    assert "sampled frames" in note
    photograph.close()
