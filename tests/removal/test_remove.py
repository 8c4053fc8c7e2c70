"""From file to file, through the public door."""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import cleanplate
from cleanplate.errors import InputError, MaskError
from cleanplate.masks import BoxMask, dilate
from cleanplate.types import Box
from cleanplate.video import Picture, open_reader, probe

pytestmark = pytest.mark.usefixtures("one_thread")

NTSC = Fraction(30000, 1001)
BOX = {"box": "20,12,20,16", "method": "flow"}


def read(path: Path) -> list[Picture]:
    with open_reader(path) as reader:
        return list(reader)


def pictures(path: Path) -> np.ndarray:
    return np.stack([picture.rgb for picture in read(path)])


def times(path: Path) -> list[Fraction]:
    return [picture.time for picture in read(path)]


def around(size: tuple[int, int], box: tuple[int, int, int, int], reach: int) -> np.ndarray:
    width, height = size
    mask = np.zeros((height, width), np.bool_)
    mask[Box(*box).slices] = True
    return dilate(mask, reach)


def assert_untouched_samples_equal(one: Path, other: Path, touched: np.ndarray) -> None:
    """All planes, where no touched pixel shares a sample."""
    count = 0
    for mine, theirs in zip(read(one), read(other), strict=True):
        count += 1
        for plane in range(len(mine.planes.planes)):
            a, b = (samples(picture.planes, plane) for picture in (mine, theirs))
            (rows, columns), (height, width) = a.shape, touched.shape
            blocks = touched.reshape(rows, height // rows, columns, width // columns)
            shared = blocks.any((1, 3))
            np.testing.assert_array_equal(a[~shared], b[~shared])
            assert plane or (a[shared] != b[shared]).any()
    assert count > 3


def samples(frame: av.VideoFrame, plane: int) -> np.ndarray:
    part = frame.planes[plane]
    wide = frame.format.components[0].bits > 8
    rows = np.frombuffer(part, np.uint16 if wide else np.uint8)
    rows = rows.reshape(part.height, -1)
    return rows[:, : part.width]


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "yuv420p10le"])
def test_untouched_samples_equal_when_lossless(make_clip, tmp_path, pixel_format: str) -> None:
    source = make_clip(frames=6, pixel_format=pixel_format)
    target = tmp_path / "out.mkv"
    cleanplate.remove(source, target, lossless=True, dilate=2, feather=3, **BOX)
    assert_untouched_samples_equal(source, target, around((64, 48), (20, 12, 20, 16), 5))


def test_untouched_pixels_equal_in_a_folder(images, tmp_path) -> None:
    folder = images([f"{k}.png" for k in range(6)], size=(64, 48))
    target = tmp_path / "out"
    report = cleanplate.remove(folder, target, dilate=2, feather=3, **BOX)
    assert report.frames == 6
    assert sorted(path.name for path in target.iterdir()) == [f"{k}.png" for k in range(6)]
    one, other = pictures(folder), pictures(target)
    touched = around((64, 48), (20, 12, 20, 16), 5)
    np.testing.assert_array_equal(one[:, ~touched], other[:, ~touched])
    assert (one[:, touched] != other[:, touched]).any()


def test_a_video_becomes_a_folder_of_its_own_pixels(make_clip, tmp_path) -> None:
    source = make_clip(frames=5)
    target = tmp_path / "out"
    cleanplate.remove(source, target, dilate=0, feather=0, **BOX)
    touched = around((64, 48), (20, 12, 20, 16), 0)
    np.testing.assert_array_equal(pictures(source)[:, ~touched], pictures(target)[:, ~touched])


def test_an_odd_clip_with_two_languages_keeps_its_container(make_clip, packets, tmp_path) -> None:
    source = make_clip(
        rate=NTSC, size=(61, 47), codec="libvpx-vp9", frames=12, audio=["eng", "fra"],
        metadata={"title": "Odd"}, color=(1, 1, 1, 1),
    )  # fmt: skip
    target = tmp_path / "out.mp4"
    report = cleanplate.remove(source, target, **BOX)
    before, after = probe(source), probe(target)
    assert (report.rate, report.frames) == ("30000/1001", 12)
    assert after.size == before.size
    assert after.rate == before.rate == NTSC
    assert times(source) == times(target)
    assert packets(source, "audio") == packets(target, "audio")
    assert (after.color_range, after.color_matrix, after.color_primaries) == (1, 1, 1)
    with av.open(str(target)) as file:
        assert [stream.metadata["language"] for stream in file.streams.audio] == ["eng", "fra"]
        assert file.metadata["title"] == "Odd"


def test_a_phone_clip_of_variable_rate_keeps_its_turn(make_clip, packets, tmp_path) -> None:
    pts = [0, 400, 900, 1200, 2100, 2500, 3300, 3600, 4200]
    source = make_clip(
        time_base=Fraction(1, 12000), pts=pts, rotation=90, audio=["eng"],
        metadata={"location": "+52.5+013.4/"},
    )  # fmt: skip
    target = tmp_path / "out.mp4"
    cleanplate.remove(source, target, box="5,8,16,20", method="flow")
    before, after = probe(source), probe(target)
    assert before.is_variable_rate
    assert times(source) == times(target)
    assert after.rotation == before.rotation != 0
    assert after.display_size == before.display_size
    assert packets(source, "audio") == packets(target, "audio")


def test_boxes_are_where_people_see_them(make_clip, tmp_path) -> None:
    source = make_clip(rotation=90, frames=4)
    info = probe(source)
    target = tmp_path / "out.mkv"
    cleanplate.remove(
        source, target, box="0,0,12,10", method="flow", dilate=0, feather=0, lossless=True
    )
    shown = np.zeros(info.display_size.shape, np.bool_)
    shown[:10, :12] = True
    turned = np.rot90(pictures(source)[0], -info.rotation // 90)
    result = np.rot90(pictures(target)[0], -info.rotation // 90)
    changed = (turned != result).any(axis=2)
    assert changed[shown].any()
    assert not changed[~dilate(shown, 4)].any()  # chroma reaches across


def test_a_box_for_a_span_of_time(make_clip, tmp_path) -> None:
    source = make_clip(frames=10)
    target = tmp_path / "out.mkv"
    report = cleanplate.remove(
        source, target, box="20,12,20,16@0.08-0.2", method="flow", lossless=True
    )
    changed = (pictures(source) != pictures(target)).any(axis=(1, 2, 3))
    assert changed.nonzero()[0].tolist() == [2, 3, 4]
    assert report.frames_with_hole == 3


def test_masks_and_boxes_add_up(make_clip, tmp_path) -> None:
    source = make_clip(frames=4)
    mask = tmp_path / "mask.png"
    pixels = np.zeros((48, 64), np.uint8)
    pixels[:4, :5] = 255
    cv2.imwrite(str(mask), pixels)
    target = tmp_path / "out.mp4"
    report = cleanplate.remove(
        source, target, masks=[mask, BoxMask([Box(20, 20, 10, 4)])], box="40,40,4,5", method="flow"
    )
    assert report.hole_share == pytest.approx((20 + 40 + 20) / (64 * 48))


def test_the_report(make_clip, tmp_path) -> None:
    source, target = make_clip(frames=5), tmp_path / "out.mp4"
    seen: list[tuple[int, int | None]] = []
    report = cleanplate.remove(
        str(source), str(target), progress=lambda *at: seen.append(at), **BOX
    )
    assert seen == [(done, 5) for done in range(1, 6)]
    told = json.loads(json.dumps(report.to_json()))
    assert told["cleanplate"] == cleanplate.__version__
    assert told["frames"] == told["frames_with_hole"] == 5
    assert told["size"] == "64x48"
    assert told["rate"] == "25"
    assert (told["method"], told["model"]) == ("flow", None)
    assert told["seconds"] > 0
    origin = told["origin"]
    assert origin["code"].startswith(f"{cleanplate.__version__}+")
    assert origin["libraries"]["numpy"] == np.__version__
    assert origin["checksums"]["input"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert origin["checksums"]["weights"] is None
    assert len(origin["checksums"]["masks"]) == 64
    assert origin["options"]["dilate"] == 4
    first, *notes = report.summary()
    assert str(target) in first
    assert notes == [f"note: {note}" for note in told["notes"]]


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.webm"])
def test_the_same_again_is_the_same_file(make_clip, tmp_path, name: str) -> None:
    source = make_clip(frames=20, size=(80, 48), audio=["eng"] if name != "out.webm" else [])
    files, origins = set(), []
    for folder in (tmp_path / "one", tmp_path / "two"):
        folder.mkdir()
        report = cleanplate.remove(source, folder / name, **BOX)
        files.add((folder / name).read_bytes())
        origins.append(report.origin)
    assert len(files) == 1
    assert origins[0] == origins[1]


def test_other_masks_and_weights_show_in_the_origin(make_clip, tmp_path, tiny) -> None:
    source, target = make_clip(frames=3), tmp_path / "out.mp4"
    one = cleanplate.remove(source, target, **BOX).origin
    options = {"method": "network", "model": tiny, "overwrite": True}
    other = cleanplate.remove(source, target, box="21,12,20,16", **options).origin
    assert one["checksums"]["masks"] != other["checksums"]["masks"]
    assert one["checksums"]["input"] == other["checksums"]["input"]
    assert len(other["checksums"]["weights"]) == 64
    assert other["threads"]["torch"] == 1
    next(tiny.parameters()).data.mul_(1.5)
    third = cleanplate.remove(source, target, box="21,12,20,16", **options).origin
    assert third["checksums"]["weights"] != other["checksums"]["weights"]


def test_an_empty_mask_is_said_so(make_clip, tmp_path) -> None:
    source, mask = make_clip(frames=4), tmp_path / "masks"
    mask.mkdir()
    for index in range(4):
        cv2.imwrite(str(mask / f"{index}.png"), np.zeros((48, 64), np.uint8))
    target = tmp_path / "out.mkv"
    report = cleanplate.remove(source, target, masks=mask, method="flow", lossless=True)
    assert report.frames_with_hole == 0
    assert [note for note in report.notes if "marks nothing" in note and "copy" in note]
    np.testing.assert_array_equal(pictures(source), pictures(target))


def test_nothing_to_remove_is_refused(make_clip, tmp_path) -> None:
    with pytest.raises(MaskError, match="no mask given"):
        cleanplate.remove(make_clip(frames=3), tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_auto_says_who_filled_what_no_frame_saw(make_clip, tmp_path) -> None:
    report = cleanplate.remove(make_clip(frames=3), tmp_path / "out.mp4", box="5,5,9,9")
    assert report.model is None
    (note,) = report.notes
    assert "so it was made up" in note


def test_auto_asks_the_network_that_was_named(make_clip, tmp_path, tiny) -> None:
    report = cleanplate.remove(make_clip(frames=3), tmp_path / "out.mp4", box="5,5,9,9", model=tiny)
    assert report.model == "SttnNetwork"
    (note,) = report.notes
    assert "so the network filled it" in note


def test_auto_asks_the_embedded_network_where_it_is_named(make_clip, tmp_path) -> None:
    source = make_clip(frames=3)
    reports = [
        cleanplate.remove(source, tmp_path / f"{name}.mp4", box="5,5,9,9", model=name, device="cpu")
        for name in ("default", None)
    ]
    assert [one.model for one in reports] == ["default", None]
    assert ["the network filled it" in str(one.notes) for one in reports] == [True, False]


def test_inpaint_with_the_embedded_network_by_name(still_mask) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), np.uint8)
    masks = still_mask(frames)
    made = {
        (method, model): cleanplate.inpaint(
            frames, masks, method=method, model=model, device="cpu", threads=1
        )
        for method in ("auto", "network")
        for model in ("default", None)
    }
    np.testing.assert_array_equal(made["network", "default"], made["network", None])
    assert (made["auto", "default"] != made["auto", None]).any()


def test_a_model_that_flow_does_not_ask_is_noted(make_clip, tmp_path) -> None:
    report = cleanplate.remove(
        make_clip(frames=3), tmp_path / "out.mp4", box="5,5,9,9", method="flow", model="default"
    )
    assert report.model is None
    assert report.notes[0] == "`method='flow'` uses no network; `model` is ignored"


def test_the_network_with_the_embedded_weights(make_clip, tmp_path) -> None:
    from cleanplate.network.weights import EMBEDDED

    if not EMBEDDED.exists():
        pytest.skip("this build has no weights")
    report = cleanplate.remove(
        make_clip(frames=4), tmp_path / "out.mp4", box="5,5,9,9", method="network", device="cpu"
    )
    assert report.model == "default"
    assert report.notes == []


def test_the_network_with_a_loaded_network(make_clip, tmp_path, tiny) -> None:
    report = cleanplate.remove(
        make_clip(frames=3), tmp_path / "out.mp4", box="5,5,9,9", method="network", model=tiny
    )
    assert report.model == "SttnNetwork"
    assert report.notes == []


@pytest.mark.parametrize("blend", ["crossfade", "released"])
def test_inpaint_with_a_network(pan, still_mask, tiny, blend) -> None:
    frames = pan(frames=7)
    masks = still_mask(frames)
    seen: list[tuple[int, int | None]] = []
    made = cleanplate.inpaint(
        frames, masks[0], model=tiny, method="network", blend=blend,
        progress=lambda *at: seen.append(at),
    )  # fmt: skip
    assert made.shape == frames.shape
    assert made.dtype == np.uint8
    np.testing.assert_array_equal(made[~masks], frames[~masks])
    assert seen[-1] == (7, 7)


@pytest.mark.parametrize(
    ("frames", "masks", "says"),
    [
        (
            np.zeros((2, 8, 8, 3), np.float32),
            np.zeros((2, 8, 8), bool),
            "`frames` must be uint8 RGB .*not an array of float32",
        ),
        (np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8), bool), "must be uint8"),
        (np.zeros((0, 8, 8, 3), np.uint8), np.zeros((0, 8, 8), bool), "at least one pixel"),
        (np.zeros((2, 8, 8, 3), np.uint8), np.full((2, 8, 8), 7, np.uint8), "but holds 7"),
        (np.zeros((2, 8, 8, 3), np.uint8), np.zeros((3, 8, 8), bool), r"\(3, 8, 8\), but frames"),
        (np.zeros((2, 8, 8, 3), np.uint8), np.zeros((8, 9), bool), r"\(2, 8, 9\), but frames"),
    ],
)
def test_inpaint_refuses_what_does_not_fit(frames, masks, says: str) -> None:
    with pytest.raises(InputError, match=says):
        cleanplate.inpaint(frames, masks, method="flow")


def test_a_device_that_is_not_there_is_refused(pan, still_mask, tiny) -> None:
    import torch

    missing = "mps" if torch.cuda.is_available() else "cuda"
    frames = pan(frames=2)
    with pytest.raises(InputError, match=f"device '{missing}' is not available"):
        cleanplate.inpaint(frames, still_mask(frames), model=tiny, device=missing)


@pytest.mark.parametrize("name", ["method", "blend", "device", "precision"])
def test_an_unknown_choice_is_refused(pan, still_mask, tiny, name: str) -> None:
    frames = pan(frames=2)
    with pytest.raises(InputError, match=f"`{name}` 'best' is unknown; use "):
        cleanplate.inpaint(frames, still_mask(frames), **{"model": tiny, name: "best"})
