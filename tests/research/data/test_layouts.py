from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from cleanplate import video
from cleanplate.errors import CleanplateError, InputError
from cleanplate.research.data.cache import (
    build_cache,
    check_clips,
    check_photographs,
    open_cache,
    shrink,
)
from cleanplate.research.data.clips import Frames, hold_out, open_clips


def pictures(count: int = 6, height: int = 24, width: int = 32) -> Frames:
    ramp = np.linspace(0, 200, width, dtype=np.uint8)
    frame = np.broadcast_to(ramp[:, None], (height, width, 3))
    return np.stack([frame + np.uint8(8 * index) for index in range(count)])


def write_folder(folder: Path, frames: Frames) -> Path:
    folder.mkdir(parents=True)
    for index, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{index:05d}.jpg"), frame[..., ::-1])
    return folder


def write_zip(path: Path, frames: Frames) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for index, frame in enumerate(frames):
            archive.writestr(
                f"{index:05d}.jpg", cv2.imencode(".jpg", frame[..., ::-1])[1].tobytes()
            )
    return path


def davis(root: Path) -> Path:
    for name in ("bear", "camel", "dance"):
        write_folder(root / "JPEGImages" / "480p" / name, pictures())
    splits = root / "ImageSets" / "2017"
    splits.mkdir(parents=True)
    (splits / "train.txt").write_text("camel\nbear\n")
    return root


def test_davis(tmp_path: Path) -> None:
    root = davis(tmp_path)
    assert [clip.name for clip in open_clips(root)] == ["bear", "camel", "dance"]
    clips = open_clips(root, "train")
    assert [clip.name for clip in clips] == ["camel", "bear"]
    assert len(clips[0]) == 6
    assert np.abs(clips[0].read([4, 1]).astype(int) - pictures()[[4, 1]]).max() < 12


def test_youtube_vos(tmp_path: Path) -> None:
    write_folder(tmp_path / "train" / "JPEGImages" / "0a1b", pictures())
    write_folder(tmp_path / "valid" / "JPEGImages" / "ffee", pictures())
    assert [clip.name for clip in open_clips(tmp_path, "train")] == ["0a1b"]


def test_released_zips(tmp_path: Path) -> None:
    write_zip(tmp_path / "JPEGImages" / "one.zip", pictures())
    write_zip(tmp_path / "JPEGImages" / "two.zip", pictures())
    (tmp_path / "train.json").write_text(json.dumps({"two": 6}))
    (clip,) = open_clips(tmp_path, "train")
    assert (clip.name, len(clip), clip.read([5]).shape) == ("two", 6, (1, 24, 32, 3))


def write_video(path: Path, frames: Frames, images: Path) -> None:
    info = replace(video.probe(write_folder(images, frames)), rate=Fraction(25))
    with video.open_reader(images) as reader, video.open_writer(path, info) as writer:
        for picture in reader:
            writer.write(picture, picture.rgb, np.ones(picture.rgb.shape[:2], bool))


def test_videos_of_one_source_share_a_group(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    for name in ("trip_0001_0", "trip_0001_1", "trip_0002_0"):
        write_video(tmp_path / "videos" / f"{name}.mp4", pictures(), tmp_path / name)
    clips = open_clips(tmp_path / "videos")
    assert [clip.group for clip in clips] == ["trip_0001", "trip_0001", "trip_0002"]
    assert clips[0].read([0, 3]).shape == (2, 24, 32, 3)


@pytest.mark.parametrize(
    ("split", "content", "message"),
    [
        ("other", None, "no split 'other'; expected other.json or other.txt"),
        ("train.json", "{", "train.json: not a split file"),
        ("train.txt", "bear\nzebra\n", "not in the data set: zebra"),
        ("train.txt", "\n", "the split is empty"),
    ],
)
def test_bad_splits_name_the_file(
    tmp_path: Path, split: str, content: str | None, message: str
) -> None:
    write_folder(tmp_path / "bear", pictures())
    if content is not None:
        (tmp_path / split).write_text(content)
    with pytest.raises(InputError, match=message):
        open_clips(tmp_path, split.split(".")[0])


def test_an_empty_or_missing_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither videos nor"):
        open_clips(tmp_path)
    with pytest.raises(InputError, match="is not there"):
        open_clips(tmp_path / "gone")


def test_check_names_every_unusable_clip(tmp_path: Path) -> None:
    write_folder(tmp_path / "fine", pictures())
    write_folder(tmp_path / "short", pictures(2))
    write_folder(tmp_path / "small", pictures(6, 8, 8))
    broken = write_folder(tmp_path / "broken", pictures())
    (broken / "00003.jpg").write_bytes(b"nothing")
    mixed = write_folder(tmp_path / "mixed", pictures())
    cv2.imwrite(str(mixed / "00002.jpg"), pictures(1, 30, 30)[0])
    (tmp_path / "bad.zip").write_bytes(b"PK no zip")
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    found = {p.name: str(p) for p in check_clips(open_clips(tmp_path), 5, (24, 32))}
    assert found.keys() == {"short", "small", "broken", "mixed", "bad"}
    assert "has 2 frames" in found["short"]
    assert "00003.jpg" in found["broken"]
    assert "frame 3 is 30x30 and the first 32x24" in found["mixed"]
    assert all("\n" not in line for line in found.values())


def test_check_photographs(tmp_path: Path) -> None:
    write_folder(tmp_path / "photos", pictures(2))
    (tmp_path / "photos" / "bad.jpg").write_bytes(b"")
    assert [problem.name for problem in check_photographs(tmp_path / "photos")] == ["bad.jpg"]


def test_cache_gives_the_clips_back(tmp_path: Path) -> None:
    write_folder(tmp_path / "clips" / "one", pictures())
    write_folder(tmp_path / "clips" / "two", pictures(4, 48, 40))
    broken = write_folder(tmp_path / "clips" / "zzz", pictures())
    (broken / "00003.jpg").write_bytes(b"nothing")
    assert build_cache(open_clips(tmp_path / "clips"), tmp_path / "cache", short_side=24) == 2
    one, two = open_cache(tmp_path / "cache")
    assert np.array_equal(one.read([2]), open_clips(tmp_path / "clips")[0].read([2]))
    assert (two.name, len(two), two.shape) == ("two", 4, (29, 24))


def test_a_cache_is_not_written_through_links_of_others(tmp_path: Path) -> None:
    write_folder(tmp_path / "clips" / "one", pictures())
    (tmp_path / "cache").mkdir()
    (tmp_path / "precious").write_text("mine")
    for name in ("frames.u8.part", "index.json.part"):
        (tmp_path / "cache" / name).symlink_to(tmp_path / "precious")
    build_cache(open_clips(tmp_path / "clips"), tmp_path / "cache", short_side=24)
    assert (tmp_path / "precious").read_text() == "mine"
    assert len(open_cache(tmp_path / "cache")) == 1


def test_a_damaged_cache_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "clips" / "one", pictures())
    build_cache(open_clips(tmp_path / "clips"), tmp_path / "cache", short_side=24)
    with (tmp_path / "cache" / "frames.u8").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(InputError, match="incomplete; delete and rebuild it"):
        open_cache(tmp_path / "cache")
    with pytest.raises(InputError, match="no frame cache"):
        open_cache(tmp_path)


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "clips" / "one", pictures())

    def full(self: Path, mode: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(CleanplateError, match="No space left on device"):
        build_cache(open_clips(tmp_path / "clips"), tmp_path / "cache", short_side=24)


def test_shrink_never_enlarges() -> None:
    assert shrink(pictures()[0], 100).shape == (24, 32, 3)
    assert shrink(pictures()[0], 12).shape == (12, 16, 3)


def test_groups_are_held_out_whole(tmp_path: Path) -> None:
    for source in range(10):
        for piece in range(2):
            write_folder(tmp_path / f"s{source}" / f"{piece}", pictures(1))
    clips = [clip for source in range(10) for clip in open_clips(tmp_path / f"s{source}")]
    for clip in clips:
        clip.group = clip.path.parent.name  # type: ignore[misc,attr-defined]
    train, kept = hold_out(clips, 2)
    assert len(kept) == 4
    assert not {clip.group for clip in kept} & {clip.group for clip in train}
    assert hold_out(clips, 0) == (clips, [])
    assert len(hold_out(clips, 20)[1]) == 4, "at most a fifth"


def test_davis_in_full_resolution_with_the_split_of_2016(tmp_path: Path) -> None:
    for name in ("bear", "camel"):
        write_folder(tmp_path / "JPEGImages" / "Full-Resolution" / name, pictures())
    splits = tmp_path / "ImageSets" / "480p"
    splits.mkdir(parents=True)
    lines = [
        f"/JPEGImages/480p/bear/{k:05d}.jpg /Annotations/480p/bear/{k:05d}.png" for k in (0, 1)
    ]
    (splits / "train.txt").write_text("\n".join(lines))
    assert [clip.name for clip in open_clips(tmp_path, "train")] == ["bear"]


def test_all_missing_clips_of_a_split_are_named(tmp_path: Path) -> None:
    root = davis(tmp_path)
    names = ["bear", *(f"gone{index}" for index in range(7))]
    (root / "train.txt").write_text("\n".join(names))
    with pytest.raises(InputError, match=r"train\.txt: .*gone0, .*gone4 and 2 more"):
        open_clips(root, "train")


def test_what_lies_in_the_wrong_place_is_explained(tmp_path: Path) -> None:
    write_folder(tmp_path / "frames", pictures())
    with pytest.raises(InputError, match="give the folder above"):
        open_clips(tmp_path / "frames")
    with pytest.raises(InputError, match="is a file"):
        open_clips(tmp_path / "frames" / "00000.jpg")
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds" / "song.mp3").write_bytes(b"ID3")
    with pytest.raises(InputError, match="neither videos nor folders"):
        open_clips(tmp_path / "sounds")


def test_what_is_no_frame_is_passed_over(tmp_path: Path) -> None:
    """Sound, notes and subfolders beside the frames; macOS's hidden files in zips."""
    folder = write_folder(tmp_path / "one", pictures(3))
    (folder / "sound.wav").write_bytes(b"RIFF")
    (folder / "more").mkdir()
    (folder / ".DS_Store").write_bytes(b"")
    archive = write_zip(tmp_path / "two.zip", pictures(3))
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("__MACOSX/._00000.jpg", b"no image")
        opened.writestr("notes.txt", b"")
    one, two = open_clips(tmp_path)
    assert len(one) == len(two) == 3
    assert not list(check_clips([one, two], 3, (24, 32)))


def test_zips_are_read_in_natural_order(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        for index in (10, 9, 2):
            image = np.full((24, 32, 3), index * 10, np.uint8)
            archive.writestr(f"{index}.png", cv2.imencode(".png", image)[1].tobytes())
    (clip,) = open_clips(tmp_path)
    assert [int(frame[0, 0, 0]) for frame in clip] == [20, 90, 100]


@pytest.mark.parametrize("damage", ["middle", "end"])
def test_a_damaged_zip_is_one_line(tmp_path: Path, damage: str) -> None:
    archive = write_zip(tmp_path / "one.zip", pictures())
    data = bytearray(archive.read_bytes())
    if damage == "middle":
        data[200:260] = bytes(60)
    archive.write_bytes(data if damage == "middle" else data[: len(data) // 2])
    (problem,) = check_clips(open_clips(tmp_path), 3, (24, 32))
    assert "one.zip" in problem.reason
    assert "\n" not in problem.reason


def test_a_clip_that_breaks_off_leaves_nothing_in_the_cache(tmp_path: Path) -> None:
    broken = write_folder(tmp_path / "clips" / "aaa", pictures())
    (broken / "00003.jpg").write_bytes(b"nothing")
    write_folder(tmp_path / "clips" / "bbb", pictures())
    build_cache(open_clips(tmp_path / "clips"), tmp_path / "cache", short_side=24)
    (clip,) = open_cache(tmp_path / "cache")
    assert np.array_equal(clip.read([5]), open_clips(tmp_path / "clips")[1].read([5]))
    assert (tmp_path / "cache" / "frames.u8").stat().st_size == 6 * 24 * 32 * 3


def test_decoding_that_fails_leaves_no_part(tmp_path: Path) -> None:
    broken = write_folder(tmp_path / "clips" / "one", pictures())
    (broken / "00003.jpg").write_bytes(b"nothing")
    with pytest.raises(InputError, match="no clip could be read"):
        build_cache(open_clips(tmp_path / "clips"), tmp_path / "cache", short_side=24)
    assert not list((tmp_path / "cache").iterdir())


def test_a_single_group_is_trained_on(tmp_path: Path) -> None:
    write_folder(tmp_path / "one", pictures())
    clips = open_clips(tmp_path)
    assert hold_out(clips, 20) == (clips, [])
