"""Where each filled pixel is from: the map, the report and its note."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

import cleanplate
from cleanplate.errors import OutputError
from cleanplate.plates.provenance import COLOURS, Provenance
from cleanplate.removal.report import list_runs
from cleanplate.video import open_reader

HEIGHT, WIDTH, COUNT, LEFT_AT = 96, 128, 90, 80
LEAVES, STAYS = np.s_[20:44, 16:48], np.s_[50:80, 76:116]
"""A thing that leaves at frame LEFT_AT, and one that is there in all frames."""


def draw_clip() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    rng = np.random.default_rng(7)
    noise = rng.normal(size=(HEIGHT, WIDTH, 3))
    layers = [cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (1.5, 4, 10)]
    scene = (128 + 26 * sum(layers)).clip(20, 235).astype(np.uint8)
    frames, masks = np.stack([scene] * COUNT), np.zeros((COUNT, HEIGHT, WIDTH), np.bool_)
    masks[:LEFT_AT, *LEAVES] = True
    masks[:, *STAYS] = True
    frames[masks] = (230, 30, 40)
    return frames, masks


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of the frames and of the masks."""
    folder = tmp_path_factory.mktemp("clip")
    frames, masks = draw_clip()
    for name, pictures in (("frames", frames[..., ::-1]), ("masks", masks.astype(np.uint8) * 255)):
        (folder / name).mkdir()
        for t, picture in enumerate(pictures):
            cv2.imwrite(str(folder / name / f"{t:03d}.png"), picture)
    return folder / "frames", folder / "masks"


def run(clip: tuple[Path, Path], output: Path, **options: object) -> cleanplate.Report:
    return cleanplate.remove(
        clip[0], output, masks=clip[1], exact_mask=True, dilate=0, feather=0, threads=2, **options
    )


def read(folder: Path) -> npt.NDArray[np.uint8]:
    paths = sorted(folder.glob("*.png"))
    return np.stack([np.asarray(cv2.imread(str(path)), np.uint8)[..., ::-1] for path in paths])


@pytest.fixture(scope="module")
def done(
    clip: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[npt.NDArray[np.uint8], cleanplate.Report]:
    """The map of origins and the report."""
    folder = tmp_path_factory.mktemp("done")
    report = run(clip, folder / "out", truth_out=folder / "truth")
    return read(folder / "truth"), report


def share(pixels: npt.NDArray[np.uint8], origin: Provenance) -> float:
    return float((pixels == COLOURS[origin]).all(axis=-1).mean())


def test_the_map_says_what_was_seen_near_far_or_nowhere(done) -> None:
    truth, _ = done
    assert share(truth[5, *LEAVES], Provenance.FAR) > 0.9
    assert share(truth[LEFT_AT - 3, *LEAVES], Provenance.NEAR) > 0.9
    assert share(truth[5, *STAYS], Provenance.MADE_UP) == 1
    assert share(truth[LEFT_AT, *LEAVES], Provenance.SOURCE) == 1
    outside = ~draw_clip()[1]
    assert share(truth[outside], Provenance.SOURCE) == 1


def test_the_report_sums_the_map_up(done) -> None:
    truth, report = done
    filled = truth[(truth != COLOURS[Provenance.SOURCE]).any(axis=-1)]
    for origin in (Provenance.NEAR, Provenance.FAR, Provenance.MADE_UP, Provenance.PAINTED):
        assert report.filled_from[origin.name.lower()] == pytest.approx(
            share(filled, origin), abs=1e-5
        )
    assert sum(report.filled_from.values()) == pytest.approx(1, abs=1e-5)


def test_a_note_names_the_spans_that_were_mostly_made_up(done) -> None:
    percent = round(100 * done[1].filled_from["made_up"])
    (note,) = [note for note in done[1].notes if "made up" in note]
    assert note.startswith(f"no frame shows {percent} % of what was filled, so it was made up")
    assert note.endswith("most of the hole at 0.00-3.75 s")  # 90 frames at 24 a second


def test_what_is_seen_needs_no_note(clip: tuple[Path, Path], tmp_path: Path) -> None:
    report = cleanplate.remove(
        clip[0], tmp_path / "out", box="16,20,32,24@0-0.4", dilate=0, feather=0, threads=1
    )
    assert report.filled_from["made_up"] == 0
    assert not [note for note in report.notes if "made up" in note]


def test_a_video_holds_the_same_map(
    clip: tuple[Path, Path], done: tuple[npt.NDArray[np.uint8], cleanplate.Report], tmp_path: Path
) -> None:
    run(clip, tmp_path / "out", truth_out=tmp_path / "truth.mkv")
    with open_reader(tmp_path / "truth.mkv") as reader:
        shown = np.stack([picture.rgb for picture in reader])
    assert np.array_equal(shown, done[0])


def test_a_resumed_run_gives_the_same_map(
    clip: tuple[Path, Path], done: tuple[npt.NDArray[np.uint8], cleanplate.Report], tmp_path: Path
) -> None:
    class Stop(Exception):
        pass

    def stop(count: int, total: int | None) -> None:
        if count == 80:
            raise Stop

    out, truth = tmp_path / "out", tmp_path / "truth"
    with pytest.raises(Stop):
        run(clip, out, truth_out=truth, progress=stop)
    assert not truth.exists()
    report = run(clip, out, truth_out=truth, resume=True)
    assert np.array_equal(read(truth), done[0])
    assert report.filled_from == done[1].filled_from


def test_nothing_is_replaced_unasked(clip: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError):
        run(clip, tmp_path / "out", truth_out=tmp_path / "truth")
    with pytest.raises(OutputError):
        run(clip, tmp_path / "out", truth_out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_runs_are_listed() -> None:
    assert list_runs([]) == []
    assert list_runs([True, True, False, True]) == [range(2), range(3, 4)]
