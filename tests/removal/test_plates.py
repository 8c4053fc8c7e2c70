"""Plates in people's hands: exported, edited, given back; frames painted clean."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
from torch import nn

import cleanplate
from cleanplate.errors import InputError, OutputError
from cleanplate.plates.provenance import COLOURS, Provenance
from cleanplate.removal import fill_part
from cleanplate.removal.engine import Span
from cleanplate.video import open_reader, turn_upright

Frames = npt.NDArray[np.uint8]
HEIGHT, WIDTH, COUNT = 120, 180, 40
SPEED = 3
"""Pixels a frame that the camera of a panning clip moves by."""
CROSS = (255, 0, 255)


@pytest.fixture(autouse=True)
def short_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Span, "for_size", classmethod(lambda cls, size: Span(3, 6)))


def draw_scene(width: int, seed: int = 5) -> Frames:
    """A picture (HEIGHT, width, 3) with detail of several sizes, none of it magenta."""
    rng = np.random.default_rng(seed)
    scene = np.zeros((HEIGHT, width, 3), np.float32)
    for size, strength in ((3, 25), (9, 35), (30, 45)):
        noise = rng.normal(size=(HEIGHT // size + 2, width // size + 2, 3)).astype(np.float32)
        scene += strength * cv2.resize(noise, (width, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return (110 + scene).clip(0, 200).astype(np.uint8)


def draw_clip(speed: int) -> tuple[Frames, npt.NDArray[np.bool_]]:
    """A clip of a scene and its holes: a thing that stands in it, in all frames."""
    scene = draw_scene(WIDTH + speed * COUNT)
    frames = np.stack([scene[:, speed * t : speed * t + WIDTH] for t in range(COUNT)])
    masks = np.zeros(frames.shape[:3], np.bool_)
    for t in range(COUNT):
        left = find_left(speed, t)
        masks[t, 36:84, max(0, left) : max(0, left + 40)] = True
    frames = frames.copy()
    frames[masks] = (30, 160, 60)
    return frames, masks


def find_left(speed: int, t: int) -> int:
    """Left edge of the thing in frame t: it stands in the scene."""
    return 60 + speed * COUNT // 2 - speed * t


def write_clip(folder: Path, frames: Frames, masks: npt.NDArray[np.bool_]) -> tuple[Path, Path]:
    for name, pictures in (("clip", frames), ("masks", masks.astype(np.uint8) * 255)):
        (folder / name).mkdir(parents=True)
        for t, picture in enumerate(pictures):
            shown = picture[..., ::-1] if picture.ndim == 3 else picture
            cv2.imwrite(str(folder / name / f"{t:03d}.png"), shown)
    return folder / "clip", folder / "masks"


def read(path: Path) -> Frames:
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


def read_all(folder: Path) -> Frames:
    return np.stack([read(path) for path in sorted(folder.glob("*.png"))])


def paint_cross(picture: Frames, x: int, y: int, size: int = 7) -> None:
    picture[y - 1 : y + 2, x - size : x + size + 1] = CROSS
    picture[y - size : y + size + 1, x - 1 : x + 2] = CROSS


def find_cross(after: Frames, before: Frames) -> tuple[float, float, int]:
    """Middle (x, y) of what became magenta, and how many pixels did."""
    found = np.abs(after.astype(int) - CROSS).max(axis=2) < 90
    found &= np.abs(after.astype(int) - before).max(axis=2) > 20
    y, x = np.nonzero(found)
    return (float(x.mean()), float(y.mean()), len(x)) if len(x) else (-1.0, -1.0, 0)


def run(clip: Path, output: Path, masks: Path, **options: object) -> cleanplate.Report:
    return cleanplate.remove(
        clip, output, masks=masks, exact_mask=True, dilate=2, feather=2, threads=2, **options
    )


def export(folder: Path, speed: int) -> tuple[Path, Path, Path]:
    """Write a clip and its masks, remove, and export the plates."""
    clip, masks = write_clip(folder, *draw_clip(speed))
    run(clip, folder / "before", masks, plates_out=folder / "plates")
    return clip, masks, folder / "plates"


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a still clip, its masks, its result and its plates; not to be changed."""
    folder = tmp_path_factory.mktemp("still")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Span, "for_size", classmethod(lambda cls, size: Span(3, 6)))
        export(folder, 0)
    return folder


def read_manifest(plates: Path) -> dict:
    return json.loads((plates / "plates.json").read_text("utf-8"))


def paint_plate(plates: Path, speed: int) -> int:
    """Paint a cross into the plate in the middle, behind the thing; return its frame."""
    (shot,) = read_manifest(plates)["shots"]
    entry = shot["plates"][len(shot["plates"]) // 2]
    picture = read(plates / entry["picture"])
    paint_cross(picture, find_left(speed, entry["frame"]) + 20, 60)
    cv2.imwrite(str(plates / entry["picture"]), picture[..., ::-1])
    return entry["frame"]


@pytest.mark.parametrize("speed", [0, SPEED], ids=["still", "pan"])
def test_a_cross_painted_into_a_plate_is_in_every_frame(tmp_path: Path, speed: int) -> None:
    clip, masks, plates = export(tmp_path, speed)
    paint_plate(plates, speed)
    report = run(clip, tmp_path / "after", masks, plates=plates)
    before, after = read_all(tmp_path / "before"), read_all(tmp_path / "after")
    holes = np.stack(
        [cv2.dilate(read(path), np.ones((11, 11))) for path in sorted(masks.iterdir())]
    )
    np.testing.assert_array_equal(after[holes == 0], before[holes == 0])
    for t in range(COUNT):
        x, y, count = find_cross(after[t], before[t])
        assert abs(x - find_left(speed, t) - 20) < 0.5
        assert abs(y - 60) < 0.5
        assert 70 < count < 95  # 81 were painted
    assert f"pictures that were given are used in {COUNT} frames" in report.notes


def test_few_plates_cover_what_is_behind_the_holes(tmp_path: Path, still: Path) -> None:
    """One for a camera at rest; for a pan several, as the view moves on."""
    (shot,) = read_manifest(still / "plates")["shots"]
    assert (shot["first"], shot["last"], len(shot["plates"])) == (0, COUNT - 1, 1)
    _, _, plates = export(tmp_path, 2 * SPEED)
    (shot,) = read_manifest(plates)["shots"]
    assert 2 <= len(shot["plates"]) <= COUNT // 4
    before = read_all(tmp_path / "before")
    for entry in shot["plates"]:
        np.testing.assert_array_equal(read(plates / entry["picture"]), before[entry["frame"]])
        for frame, matrix in entry["alignment"].items():
            point = np.array([[[90.0, 60.0]]])
            (moved,) = cv2.perspectiveTransform(point, np.array(matrix).reshape(3, 3))[0]
            right = 90 + 2 * SPEED * (int(frame) - entry["frame"]), 60
            assert np.abs(moved - right).max() < 1


def test_the_map_says_what_was_made_up(still: Path) -> None:
    """The thing stands still before a camera at rest: no frame shows what is behind it."""
    (shot,) = read_manifest(still / "plates")["shots"]
    (entry,) = shot["plates"]
    shown = read(still / "plates" / entry["origin"])
    assert (shown[60, find_left(0, 0) + 20] == COLOURS[Provenance.MADE_UP]).all()
    assert (shown[10, 10] == COLOURS[Provenance.SOURCE]).all()
    assert entry["shares"]["made_up"] > 0.05
    assert sum(entry["shares"].values()) == pytest.approx(1)


def test_plates_without_an_edit_change_nothing(tmp_path: Path, still: Path) -> None:
    report = run(still / "clip", tmp_path / "after", still / "masks", plates=still / "plates")
    np.testing.assert_array_equal(read_all(tmp_path / "after"), read_all(still / "before"))
    assert any("no plate in" in note and "was edited" in note for note in report.notes)


def test_given_pictures_follow_the_light(tmp_path: Path) -> None:
    frames, masks = draw_clip(0)
    dark = np.rint(frames * np.linspace(1, 0.8, COUNT)[:, None, None, None]).astype(np.uint8)
    clip, holes = write_clip(tmp_path, dark, masks)
    grey = dark[0].copy()
    grey[masks[0]] = 120
    cv2.imwrite(str(tmp_path / "clean.png"), grey[..., ::-1])
    run(clip, tmp_path / "after", holes, clean={0: str(tmp_path / "clean.png")})
    after = read_all(tmp_path / "after")
    inside = np.s_[50:70, find_left(0, 0) + 12 : find_left(0, 0) + 28]
    assert (after[0][inside] == 120).all()
    # The scene around it became darker by a fifth of 110, about 22 levels.
    assert 92 < after[-1][inside].mean() < 106


@pytest.mark.parametrize("method", ["auto", "network"])
def test_a_frame_painted_clean_fills_its_shot_only(
    tmp_path: Path, method: str, painter: nn.Module
) -> None:
    frames, masks = draw_clip(0)
    other = draw_scene(WIDTH, seed=9)[:, ::-1]
    frames[25:] = 255 - other
    frames[masks] = (30, 160, 60)
    clip, holes = write_clip(tmp_path, frames, masks)
    clean = draw_scene(WIDTH)
    cv2.imwrite(str(tmp_path / "clean.png"), clean[..., ::-1])
    model = {"model": painter} if method == "network" else {}
    given = f"{tmp_path / 'clean.png'}"
    run(clip, tmp_path / "after", holes, clean=[f"20={given}"], method=method, **model)
    after = read_all(tmp_path / "after")
    for t in (0, 10, 20, 24):  # the scene does not move
        assert np.abs(after[t].astype(int) - clean)[masks[t]].max() <= (0 if t == 20 else 6)
    assert np.abs(after[30].astype(int) - clean)[masks[30]].mean() > 10


def test_a_clean_frame_without_a_hole_is_said_to_do_nothing(tmp_path: Path) -> None:
    frames, masks = draw_clip(0)
    masks[12] = False
    clip, holes = write_clip(tmp_path, frames, masks)
    cv2.imwrite(str(tmp_path / "clean.png"), draw_scene(WIDTH)[..., ::-1])
    report = run(clip, tmp_path / "after", holes, clean=[f"12={tmp_path / 'clean.png'}"])
    assert any(note.startswith("frame 12 has no hole") for note in report.notes)
    np.testing.assert_array_equal(read_all(tmp_path / "after")[12], frames[12])


def test_clips_in_memory_take_clean_frames(tmp_path: Path) -> None:
    frames, masks = draw_clip(SPEED)
    scene = draw_scene(WIDTH + SPEED * COUNT)
    cv2.imwrite(str(tmp_path / "a.png"), scene[:, 60 : 60 + WIDTH, ::-1])
    made = cleanplate.inpaint(frames, masks, clean={20: tmp_path / "a.png"})
    for t in (5, 20, 35):
        right = scene[:, SPEED * t : SPEED * t + WIDTH]
        assert np.abs(made[t].astype(int) - right)[masks[t]].mean() < 2
    with pytest.raises(InputError, match="frames have numbers only"):
        cleanplate.inpaint(frames, masks, clean=[f"0.5={tmp_path / 'a.png'}"])


def copy_plates(still: Path, to: Path) -> Path:
    shutil.copytree(still / "plates", to / "plates")
    return to / "plates"


def change_manifest(plates: Path, change: Callable[[dict], object]) -> None:
    content = read_manifest(plates)
    change(content)
    (plates / "plates.json").write_text(json.dumps(content), "utf-8")


def spoil_size(plates: Path) -> None:
    picture = next(plates.glob("shot-*[0-9].png"))
    cv2.imwrite(str(picture), cv2.resize(cv2.imread(str(picture)), (90, 60)))


def spoil_shot(plates: Path) -> None:
    other = 255 - draw_scene(WIDTH, seed=9)[::-1]
    cv2.imwrite(str(next(plates.glob("shot-*[0-9].png"))), other)


BAD = {
    "a plate of another size": (spoil_size, "is 90x60, but the video is 180x120"),
    "a plate of another shot": (
        spoil_shot,
        "of shot 1 shows something else than the plate that was exported",
    ),
    "no image": (
        lambda plates: next(plates.glob("shot-*[0-9].png")).write_bytes(b"text"),
        "is damaged or no image",
    ),
    "a missing plate": (
        lambda plates: next(plates.glob("shot-*[0-9].png")).unlink(),
        "is missing; put it back",
    ),
    "no manifest": (
        lambda plates: (plates / "plates.json").unlink(),
        "holds no plates.json; name a folder that",
    ),
    "no JSON": (
        lambda plates: (plates / "plates.json").write_text("{"),
        "it is no JSON; export the plates again",
    ),
    "another schema": (
        lambda plates: (plates / "plates.json").write_text("{}"),
        "is no manifest of plates",
    ),
    "a newer version": (
        lambda plates: change_manifest(plates, lambda it: it.update(version=2)),
        "is of format 2, from a newer version of cleanplate; update",
    ),
    "another source": (
        lambda plates: change_manifest(plates, lambda it: it["source"].update(sha256="0")),
        "were exported from another video than 'clip'",
    ),
    "another size": (
        lambda plates: change_manifest(plates, lambda it: it["source"].update(size=[90, 60])),
        "are 90x60, but 'clip' is 180x120",
    ),
    "a frame outside its shot": (
        lambda plates: change_manifest(plates, lambda it: it["shots"][0].update(first=1)),
        "frame 0 is not in shot 1",
    ),
    "a shot beyond the end": (
        lambda plates: change_manifest(plates, lambda it: it["shots"][0].update(last=99)),
        "is damaged: shot 1",
    ),
    "a path": (
        lambda plates: change_manifest(
            plates, lambda it: it["shots"][0]["plates"][0].update(picture="../clip/000.png")
        ),
        "the plate of frame 0 is not shot-0001-frame-000000.png",
    ),
    "a number beyond all bounds": (
        lambda plates: change_manifest(
            plates, lambda it: it["shots"][0]["plates"][0].update(time=10**400)
        ),
        "an entry is missing or damaged",
    ),
    "a wrong type": (
        lambda plates: change_manifest(plates, lambda it: it.update(shots=3)),
        "an entry is missing or damaged",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_plates_are_refused_in_one_line(tmp_path: Path, still: Path, kind: str) -> None:
    spoil, message = BAD[kind]
    plates = copy_plates(still, tmp_path)
    spoil(plates)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        run(still / "clip", tmp_path / "out", still / "masks", plates=plates)
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"plates"}


@pytest.mark.parametrize(
    ("clean", "message"),
    [
        ("40=IMAGE", "names frame 40, but 'clip' has 40 frames, numbered from 0"),
        ("9:00=IMAGE", "names 540 s, but 'clip' ends at 1.67 s"),
        ("x=IMAGE", "'x' is no time"),
        ("0" * 5000 + "=IMAGE", "is no time"),
        ("3=absent.png", "does not exist; check its name"),
        ("3=TEXT", "is damaged or no image"),
        ("3=SMALL", "is 90x60, but the video is 180x120"),
        ("3", "'3' is no FRAME=IMAGE"),
        ("=IMAGE", "is no FRAME=IMAGE"),
    ],
)
def test_bad_clean_frames_are_refused(
    tmp_path: Path, still: Path, clean: str, message: str
) -> None:
    cv2.imwrite(str(tmp_path / "IMAGE.png"), draw_scene(WIDTH))
    cv2.imwrite(str(tmp_path / "SMALL.png"), draw_scene(WIDTH)[:60, :90])
    (tmp_path / "TEXT.png").write_text("text")
    clean = re.sub("=([A-Z]+)$", lambda found: f"={tmp_path / found[1]}.png", clean)
    with pytest.raises(InputError, match=re.escape(message)):
        run(still / "clip", tmp_path / "out", still / "masks", clean=[clean])
    assert not (tmp_path / "out").exists()


def test_plates_are_written_all_or_not_at_all(tmp_path: Path, still: Path) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, total: int | None) -> None:
        if done == 30:
            raise Stop

    clip, masks = still / "clip", still / "masks"
    with pytest.raises(Stop):
        run(clip, tmp_path / "out", masks, plates_out=tmp_path / "plates", progress=stop)
    assert not (tmp_path / "plates").exists()
    done = []
    run(
        clip, tmp_path / "out", masks, plates_out=tmp_path / "plates", resume=True,
        progress=lambda now, total: done.append(now),
    )  # fmt: skip
    assert done[0] == 24
    names = [path.relative_to(still / "plates") for path in (still / "plates").rglob("*.*")]
    assert len(names) == 4
    for name in names:
        assert (tmp_path / "plates" / name).read_bytes() == (still / "plates" / name).read_bytes()


def test_edited_plates_are_not_replaced(tmp_path: Path, still: Path) -> None:
    plates = copy_plates(still, tmp_path)
    clip, masks, out = still / "clip", still / "masks", tmp_path / "out"
    with pytest.raises(OutputError, match="exists; use `overwrite=True` to replace it"):
        run(clip, out, masks, plates_out=plates)
    with pytest.raises(OutputError, match="would replace"):
        run(clip, out, masks, plates_out=plates, plates=plates, overwrite=True)
    (plates / "plates.json").write_text("{}")
    run(clip, out, masks, plates_out=plates, overwrite=True)
    assert read_manifest(plates) == read_manifest(still / "plates")
    paint_plate(plates, 0)
    before = {path: path.read_bytes() for path in plates.rglob("*.*")}
    with pytest.raises(OutputError, match="holds plates that were edited, and is not replaced"):
        run(clip, out, masks, plates_out=plates, overwrite=True)
    assert {path: path.read_bytes() for path in plates.rglob("*.*")} == before
    (plates / "notes.txt").write_text("mine")
    shutil.copy(next((plates / "exported").iterdir()), plates)
    with pytest.raises(OutputError, match="holds files other than plates"):
        run(clip, out, masks, plates_out=plates, overwrite=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("plates.png", "must be a folder for plates; name one without '.png'"),
        ("absent/plates", "does not exist; create it first"),
        ("out", "would replace each other"),
    ],
)
def test_a_place_that_cannot_hold_plates_is_refused(
    tmp_path: Path, still: Path, name: str, message: str
) -> None:
    with pytest.raises(OutputError, match=re.escape(message)):
        run(still / "clip", tmp_path / "out", still / "masks", plates_out=tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_parts_and_resumed_runs_paint_the_same(tmp_path: Path, still: Path) -> None:
    plates = copy_plates(still, tmp_path)
    paint_plate(plates, 0)
    clip, masks = still / "clip", still / "masks"
    run(clip, tmp_path / "whole", masks, plates=plates)
    options = cleanplate.RemoveOptions(
        plates=plates, exact_mask=True, dilate=2, feather=2, threads=2
    )
    for first in (0, 20):
        share = range(first, first + 20)
        fill_part(clip, tmp_path / f"part{first}", share, options, masks=masks)
    parts = [tmp_path / "part0", tmp_path / "part20"]
    run(clip, tmp_path / "joined", masks, plates=plates, parts=parts)
    np.testing.assert_array_equal(read_all(tmp_path / "joined"), read_all(tmp_path / "whole"))


def test_an_edit_makes_another_job(tmp_path: Path, still: Path) -> None:
    """What an interrupted run kept shows the former plate."""

    def stop(done: int, total: int | None) -> None:
        if done == 30:
            raise KeyboardInterrupt

    plates = copy_plates(still, tmp_path)
    clip, masks = still / "clip", still / "masks"
    paint_plate(plates, 0)
    with pytest.raises(KeyboardInterrupt):
        run(clip, tmp_path / "out", masks, plates=plates, progress=stop)
    picture = next(plates.glob("shot-*[0-9].png"))
    painted = read(picture)
    paint_cross(painted, find_left(0, 0) + 25, 70)
    cv2.imwrite(str(picture), painted[..., ::-1])
    with pytest.raises(OutputError, match="given plates differs"):
        run(clip, tmp_path / "out", masks, plates=plates, resume=True)


def make_turned(path: Path, frames: Frames) -> None:
    """Write a video that players turn by 90 degrees clockwise."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.codec_context.width, stream.codec_context.height = WIDTH, HEIGHT
        stream.codec_context.pix_fmt = "yuv444p"
        stream.set_display_rotation(-90)
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        out.mux(stream.encode(None))


def test_turned_video_has_upright_plates(tmp_path: Path) -> None:
    """A phone's video lies on its side; plates stand, and an edit lies where it was painted."""
    frames, masks = draw_clip(0)
    make_turned(tmp_path / "turned.mkv", frames)
    holes = tmp_path / "mask.png"
    cv2.imwrite(str(holes), np.rot90(masks[0].astype(np.uint8) * 255, -1))
    options = {"dilate": 2, "feather": 2, "exact_mask": True, "lossless": True, "threads": 2}
    source, plates = tmp_path / "turned.mkv", tmp_path / "plates"
    cleanplate.remove(source, tmp_path / "a.mkv", masks=holes, plates_out=plates, **options)
    picture = next(plates.glob("shot-*[0-9].png"))
    painted = read(picture)
    assert painted.shape == (WIDTH, HEIGHT, 3)
    paint_cross(painted, 60, find_left(0, 0) + 20)
    cv2.imwrite(str(picture), painted[..., ::-1])
    cleanplate.remove(source, tmp_path / "b.mkv", masks=holes, plates=plates, **options)
    with open_reader(tmp_path / "a.mkv") as one, open_reader(tmp_path / "b.mkv") as other:
        for before, after in zip(one, other, strict=True):
            x, y, count = find_cross(
                turn_upright(after.rgb, other.info), turn_upright(before.rgb, one.info)
            )
            assert abs(x - 60) < 1
            assert abs(y - find_left(0, 0) - 20) < 1
            assert count > 40


def test_interlaced_frames_and_photographs_take_clean_frames(tmp_path: Path, still: Path) -> None:
    clean = draw_scene(WIDTH)
    cv2.imwrite(str(tmp_path / "clean.png"), clean[..., ::-1])
    given = {"clean": {0: tmp_path / "clean.png"}}
    hole = read(still / "masks" / "000.png")[..., 0] > 0
    run(still / "clip", tmp_path / "fields", still / "masks", fields="on", **given)
    for picture in read_all(tmp_path / "fields"):
        assert np.abs(picture.astype(int) - clean)[hole].max() <= 6
    one = still / "clip" / "000.png"
    run(one, tmp_path / "one.png", still / "masks" / "000.png", plates_out=tmp_path / "p", **given)
    np.testing.assert_array_equal(read(tmp_path / "one.png")[hole], clean[hole])
    (shot,) = read_manifest(tmp_path / "p")["shots"]
    assert shot["plates"][0]["shares"]["painted"] > 0.05
