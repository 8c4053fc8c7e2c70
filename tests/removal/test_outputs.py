"""Outputs of a whole run: they replace nothing that is read, and lose nothing that is finished."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import cleanplate
from cleanplate.errors import CleanplateError, MaskError, OccupiedError, OutputError, StaleError
from cleanplate.masks import BoxMask, Inverted, Union, list_paths, open_mask
from cleanplate.masks.writing import record_masks
from cleanplate.options import RemoveOptions
from cleanplate.removal import Span, fill_part
from cleanplate.removal import engine as engines
from cleanplate.types import Box
from cleanplate.video import probe

pytestmark = pytest.mark.usefixtures("one_thread")

OPTIONS = {"method": "flow", "dilate": 0, "feather": 0}
BOX = "20,12,20,16"
FRAMES = 12


@pytest.fixture
def home(pan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`frames`, `masks` and `mask.png` in a folder; segments of 4 frames."""
    monkeypatch.setattr(Span, "for_size", classmethod(lambda cls, size: Span(4, 2)))
    monkeypatch.setattr(engines, "_SEGMENT", 1)
    mask = np.zeros((48, 64), np.uint8)
    mask[12:28, 20:40] = 255
    for name in ("frames", "masks"):
        (tmp_path / name).mkdir()
    for index, frame in enumerate(pan(frames=FRAMES, size=(64, 48))):
        assert cv2.imwrite(str(tmp_path / "frames" / f"{index:02d}.png"), frame)
        assert cv2.imwrite(str(tmp_path / "masks" / f"{index:02d}.png"), mask)
    assert cv2.imwrite(str(tmp_path / "mask.png"), mask)
    return tmp_path


def state(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _over_masks(home: Path) -> tuple[Path, Path]:
    return home / "masks", home / "masks"


def _over_linked_masks(home: Path) -> tuple[Path, Path]:
    (home / "shelf").symlink_to(home / "masks")
    return home / "shelf", home / "masks"


def _around_a_mask(home: Path) -> tuple[Path, Path]:
    (home / "out").mkdir()
    (home / "mask.png").rename(home / "out" / "mask.png")
    return home / "out" / "mask.png", home / "out"


def _over_a_mask_video(home: Path) -> tuple[Path, Path]:
    record_masks(home / "frames", BoxMask([Box(20, 12, 20, 16)]), home / "m.mkv")
    return home / "m.mkv", home / "frames" / ".." / "m.mkv"


def _over_a_hard_link(home: Path) -> tuple[Path, Path]:
    mask = _over_a_mask_video(home)[0]
    (home / "n.mkv").hardlink_to(mask)
    return mask, home / "n.mkv"


@pytest.mark.parametrize("as_source", [False, True])
@pytest.mark.parametrize(
    "place",
    [_over_masks, _over_linked_masks, _around_a_mask, _over_a_mask_video, _over_a_hard_link],
)
def test_no_mask_is_replaced(home: Path, place: Callable[..., object], as_source: bool) -> None:
    mask, output = place(home)
    before = state(home)
    given = Union([Inverted(open_mask(mask))]) if as_source else mask
    with pytest.raises(OutputError) as caught:
        cleanplate.remove(home / "frames", output, masks=given, overwrite=True, **OPTIONS)
    assert f"output '{output}' would replace '{mask}'" in str(caught.value)
    assert state(home) == before


@pytest.mark.parametrize("name", ["frames", "m.safetensors", "part"])
def test_neither_input_nor_model_nor_part_is_replaced(home: Path, name: str, tiny) -> None:
    from cleanplate.network import save

    save(tiny, home / "m.safetensors")
    (home / "part").mkdir()
    (home / "m.mkv").symlink_to(home / "m.safetensors")
    before = state(home)
    output = home / ("m.mkv" if name == "m.safetensors" else name)
    with pytest.raises(OutputError, match=f"'{output}' would replace '.*{name}'"):
        cleanplate.remove(
            home / "frames", output, box=BOX, method="network", model=home / "m.safetensors",
            parts=[home / "part"], overwrite=True,
        )  # fmt: skip
    assert state(home) == before


def test_kept_masks_replace_neither_masks_nor_the_result(home: Path) -> None:
    for masks, says in (("masks", "would replace '.*masks'"), ("r", "would replace each other")):
        with pytest.raises(OutputError, match=says):
            cleanplate.remove(
                home / "frames", home / "r", masks=home / "masks", mask_out=home / masks,
                overwrite=True, **OPTIONS,
            )  # fmt: skip
    assert len(list((home / "masks").iterdir())) == FRAMES


def test_written_masks_and_previews_replace_no_masks(home: Path) -> None:
    source = open_mask(home / "masks")
    with pytest.raises(OutputError, match="would replace"):
        record_masks(home / "frames", source, home / "masks", overwrite=True)
    with pytest.raises(OutputError, match=r"would become one of the images in '.*frames'"):
        record_masks(home / "frames", source, home / "m", preview=home / "frames" / "s.png")
    assert not (home / "m").exists()


def test_sources_say_what_they_read(home: Path) -> None:
    sources = [open_mask(home / name) for name in ("masks", "mask.png")]
    united = Union([Inverted(sources[0]), BoxMask([Box(0, 0, 1, 1)]), sources[1]])
    assert list_paths(united) == [home / "masks", home / "mask.png"]


def test_a_result_in_the_folder_of_its_frames_changes_no_later_run(home: Path) -> None:
    for _ in range(2):
        report = cleanplate.remove(
            home / "frames", home / "frames" / "r.mp4", box=BOX, overwrite=True, **OPTIONS
        )
        assert report.frames == FRAMES
        assert probe(home / "frames").frame_count == FRAMES


def test_a_part_is_kept_in_no_folder_of_other_things(home: Path) -> None:
    (home / "docs").mkdir()
    (home / "docs" / "letter").write_text("dear")
    (home / "link").symlink_to(home / "masks")
    before = state(home)
    for name, says in (("docs", "holds 'letter'"), ("link", "is a link"), ("masks", "replace")):
        with pytest.raises(OutputError, match=says):
            fill_part(
                home / "frames", home / name, range(FRAMES), RemoveOptions(method="flow"),
                masks=home / "masks" if name == "masks" else (), box=() if name == "masks" else BOX,
            )  # fmt: skip
    assert state(home) == before


def test_a_finished_run_is_kept_under_other_names(home: Path) -> None:
    """Both outputs found their places taken, and both are complete next to them."""
    (home / "out").mkdir()

    def take(done: int, total: int | None) -> None:
        (home / "out" / "r.mkv").write_text("theirs")
        (home / "out" / "m").write_text("theirs")

    with pytest.raises(OccupiedError, match=r"r-1\.mkv") as caught:
        cleanplate.remove(
            home / "frames", home / "out" / "r.mkv", box=BOX, mask_out=home / "out" / "m",
            progress=take, **OPTIONS,
        )  # fmt: skip
    assert "'m' could not be put in place" in str(caught.value.__notes__).replace(
        f"{home}/out/", ""
    )
    names = sorted(path.name for path in (home / "out").iterdir())
    assert names == ["m", "m-1", "r-1.mkv", "r.mkv"]
    assert {(home / "out" / name).read_text() for name in ("m", "r.mkv")} == {"theirs"}
    assert probe(home / "out" / "r-1.mkv").frame_count == FRAMES
    assert len(list((home / "out" / "m-1").iterdir())) == FRAMES


def test_masks_whose_place_is_taken_do_not_end_the_run(home: Path) -> None:
    def take(done: int, total: int | None) -> None:
        (home / "m").write_text("theirs")

    with pytest.raises(OccupiedError, match=r"the finished result is '.*m-1'"):
        cleanplate.remove(
            home / "frames", home / "r.mkv", box=BOX, mask_out=home / "m", progress=take, **OPTIONS
        )
    assert probe(home / "r.mkv").frame_count == FRAMES
    assert not list(home.glob(".*"))


def test_a_sheet_does_not_replace_what_appeared(home: Path) -> None:
    def take(done: int, total: int | None) -> None:
        (home / "s.png").write_text("theirs")

    source = BoxMask([Box(20, 12, 20, 16)])
    with pytest.raises(OccupiedError, match=r"s-1\.png"):
        record_masks(home / "frames", source, home / "m", preview=home / "s.png", progress=take)
    assert (home / "s.png").read_text() == "theirs"
    assert cv2.imread(str(home / "s-1.png")) is not None
    assert len(list((home / "m").iterdir())) == FRAMES


class Own(Exception):
    """Of the caller."""


ERRORS = [KeyboardInterrupt, SystemExit, MemoryError, Own, MaskError, StaleError, GeneratorExit]
every_error = pytest.mark.parametrize("error", ERRORS)


def fail_at(number: int, error: type[BaseException]) -> tuple[BaseException, Callable[..., None]]:
    """An error, and a progress function that raises it."""
    mine = error("out of memory, says the caller")

    def progress(done: int, total: int | None) -> None:
        if done >= number:
            raise mine

    return mine, progress


def threads() -> list[str]:
    return sorted(one.name for one in threading.enumerate() if one.name.startswith("cleanplate"))


@every_error
def test_an_error_of_the_caller_leaves_only_the_journal(home: Path, error) -> None:
    mine, progress = fail_at(10, error)
    with pytest.raises(error) as caught:
        cleanplate.remove(
            home / "frames", home / "r.mp4", box=BOX, mask_out=home / "m", progress=progress,
            **OPTIONS,
        )  # fmt: skip
    assert caught.value is mine
    assert threads() == []
    hidden = home / ".r.mp4.cleanplate"
    assert [path.name for path in hidden.iterdir()] == ["journal"]
    assert [path.name for path in home.glob(".*")] == [hidden.name]
    assert not (home / "m").exists()
    if error is not StaleError:
        assert "frames are kept" in mine.__notes__[0]
    cleanplate.remove(home / "frames", home / "r.mp4", box=BOX, resume=True, **OPTIONS)
    assert not hidden.exists()


@every_error
def test_without_a_journal_an_error_of_the_caller_leaves_nothing(home: Path, error) -> None:
    mine, progress = fail_at(10, error)
    with pytest.raises(error) as caught:
        cleanplate.remove(
            home / "frames", home / "r", box=BOX, journal=False, progress=progress,
            threads=1, **OPTIONS,
        )  # fmt: skip
    assert caught.value is mine
    assert not list(home.glob(".*"))
    assert not (home / "r").exists()
    assert threads() == []


@every_error
def test_an_error_of_the_caller_ends_a_part(home: Path, error) -> None:
    mine, progress = fail_at(4, error)
    settings = RemoveOptions(method="flow", dilate=0, feather=0)
    with pytest.raises(error) as caught:
        fill_part(
            home / "frames", home / "part", range(FRAMES), settings, box=BOX, progress=progress
        )
    assert caught.value is mine
    assert threads() == []
    assert {path.suffix for path in (home / "part").iterdir()} == {".span", ".json"}


@every_error
@pytest.mark.parametrize("name", ["m", "m.mkv"])
def test_an_error_of_the_caller_ends_the_writing_of_masks(home: Path, error, name: str) -> None:
    mine, progress = fail_at(10, error)
    before = state(home)
    source = BoxMask([Box(20, 12, 20, 16)])
    with pytest.raises(error) as caught:
        record_masks(
            home / "frames", source, home / name, preview=home / "p.mp4", progress=progress
        )
    assert caught.value is mine
    assert (state(home), list(home.glob(".*")), threads()) == (before, [], [])


@every_error
def test_an_error_of_the_caller_ends_inpainting(home: Path, error, pan) -> None:
    mine, progress = fail_at(3, error)
    mask = np.zeros((48, 64), np.bool_)
    mask[12:28, 20:40] = True
    with pytest.raises(error) as caught:
        cleanplate.inpaint(pan(frames=8, size=(64, 48)), mask, method="flow", progress=progress)
    assert caught.value is mine
    assert threads() == []


def test_a_shortage_of_memory_in_the_work_is_told_with_what_is_kept(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cleanplate.video import Writer

    write, count = Writer.write, iter(range(100))

    def fail(self: Writer, *arguments: object) -> None:
        if next(count) == 9:
            raise MemoryError
        write(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Writer, "write", fail)
    with pytest.raises(CleanplateError, match="not enough memory") as caught:
        cleanplate.remove(home / "frames", home / "r.mp4", box=BOX, **OPTIONS)
    assert "frames are kept" in caught.value.__notes__[0]
