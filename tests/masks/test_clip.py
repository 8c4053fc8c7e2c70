from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cleanplate.errors import MaskError, VideoError
from cleanplate.masks import clip, open_mask
from cleanplate.masks.clip import VideoMask
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


def test_the_frame_shown_at_that_moment_is_taken(film):
    film(10, 10)
    assert chosen(FakeInfo(frame_count=20, rate=Fraction(20))) == [n // 2 for n in range(20)]
    film(40, 50)
    assert chosen(FakeInfo(frame_count=20, rate=Fraction(25))) == list(range(0, 40, 2))


def test_both_are_counted_from_their_first_frame(film):
    film(12, 25, start=Fraction(7))
    info = FakeInfo(frame_count=10, rate=Fraction(25))
    assert chosen(info, start=Fraction(1, 12)) == list(range(10))


def test_a_mask_one_frame_short_is_accepted_and_its_last_frame_stays(film):
    film(9, 25)
    assert chosen(FakeInfo(frame_count=10, rate=Fraction(25)))[-2:] == [8, 8]


def test_a_mask_too_short_names_both(film):
    film(5, 25)
    with pytest.raises(MaskError, match=r"5 frames in 0\.2 s but the video has 10 in 0\.4 s"):
        chosen(FakeInfo(frame_count=10, rate=Fraction(25)))


@pytest.mark.parametrize("count", [10, 12])
def test_a_mask_that_breaks_off_is_noticed(film, count):
    film(count, 25, really=4)
    with pytest.raises(MaskError, match=r"mask mask\.mp4 has"):
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


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_real_mask_video(tmp_path, write, suffix):
    holes = np.zeros((6, 48, 64), bool)
    for index, hole in enumerate(holes):
        hole[10:30, 4 * index : 4 * index + 20] = True
        write(f"masks/{index}.png", hole.astype(np.uint8) * 255)
    stored = probe(tmp_path / "masks")
    path = tmp_path / f"mask{suffix}"
    with (
        open_reader(tmp_path / "masks", stored) as reader,
        open_writer(path, stored) as writer,
    ):
        for picture in reader:
            writer.write(picture, picture.rgb, np.zeros((48, 64), bool))
    source = open_mask(path)
    # Twice as many pictures in the same time.
    source.prepare(FakeInfo(Size(64, 48), 0, 12, 2 * stored.rate))
    for index in range(12):
        found = source.mask(index, index / (2 * stored.rate))
        assert (found != holes[index // 2]).mean() < 0.01
    source.close()
