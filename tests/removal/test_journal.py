"""What is kept, what comes back, and what is refused."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import cleanplate
from cleanplate.errors import InputError, OutputError, StaleError
from cleanplate.removal import Span
from cleanplate.removal import engine as engines
from cleanplate.removal.journal import Journal, Seen, squeeze, stretch
from cleanplate.types import Size

pytestmark = pytest.mark.usefixtures("one_thread")

JOB = {"dilate": "4", "input": "a" * 64}
OPTIONS = {"box": "20,12,20,16", "method": "flow"}


@pytest.fixture(autouse=True)
def small_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of 8 frames, so that short clips have several."""
    monkeypatch.setattr(Span, "for_size", classmethod(lambda cls, size: Span(4, 3)))
    monkeypatch.setattr(engines, "_SEGMENT", 2)


@pytest.fixture
def clip(pan, tmp_path: Path) -> Path:
    """24 frames of a camera that pans, as images."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for index, frame in enumerate(pan(frames=24, size=(64, 48))):
        assert cv2.imwrite(str(folder / f"{index:02d}.png"), frame)
    return folder


def pixels(*counts: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (count, 4), dtype=np.uint8) for count in counts]


def filled(folder: Path, job: dict[str, str] = JOB, ends: tuple[int, ...] = (2, 6)) -> Seen:
    """A journal of four spans of two frames; segments end where `ends` says."""
    seen = Seen()
    journal = Journal(folder, job, seen)
    for start in range(0, 8, 2):
        for _ in range(2):
            seen.add(np.full((8, 8, 3), start, np.uint8), np.ones((8, 8), np.bool_))
        journal.save(
            range(start, start + 2),
            pixels(5, 0, seed=start),
            begins_segment=start == 0 or start - 2 in ends,
            ends_segment=start in ends,
        )
    return seen


class Stop(Exception):
    pass


def cut_off(after: int) -> Callable[[int, int | None], None]:
    def stop(done: int, total: int | None) -> None:
        if done == after:
            raise Stop

    return stop


def content(path: Path) -> str:
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@pytest.mark.parametrize("count", [0, 1, 2, 1000])
def test_pixels_come_back_as_they_were(count: int) -> None:
    (sent,) = pixels(count)
    back = stretch(squeeze(sent), count)
    assert back is not None
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, sent)


def test_neighbours_that_are_alike_take_little_room() -> None:
    ramp = np.repeat(np.arange(3000, dtype=np.uint8)[:, None], 4, axis=1)
    assert len(squeeze(ramp)) < ramp.size / 50


def test_whole_segments_come_back(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    filled(folder)
    seen = Seen()
    with Journal(folder, JOB, seen, resume=True) as journal:
        assert journal.kept_frames == 8
        for start in range(0, 8, 2):
            for _ in range(2):
                seen.add(np.full((8, 8, 3), start, np.uint8), np.ones((8, 8), np.bool_))
            back = journal.load(range(start, start + 2))
            assert back is not None
            for one, other in zip(back, pixels(5, 0, seed=start), strict=True):
                np.testing.assert_array_equal(one, other)
        assert journal.load(range(8, 10)) is None


def test_a_segment_that_was_not_finished_does_not_come_back(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    filled(folder, ends=(2,))
    assert Journal(folder, JOB, Seen(), resume=True).kept_frames == 4
    assert sorted(path.name for path in folder.iterdir()) == [
        "000000000.span", "000000002.span", "job.json"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-7]),
        lambda path: path.write_bytes(path.read_bytes()[:50] + b"?" + path.read_bytes()[51:]),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
    ],
    ids=["torn", "flipped", "empty", "gone"],
)
def test_what_is_damaged_is_done_again(tmp_path: Path, harm: Callable[[Path], Any]) -> None:
    folder = tmp_path / "journal"
    filled(folder)
    harm(folder / "000000004.span")
    assert Journal(folder, JOB, Seen(), resume=True).kept_frames == 4


def test_a_span_behind_a_lost_one_comes_back_with_its_whole_segment_only(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    filled(folder, ends=(2, 6))
    (folder / "000000000.span").unlink()
    Journal(folder, JOB, Seen(), resume=True)
    assert sorted(path.name for path in folder.glob("*.span")) == [
        "000000004.span", "000000006.span"
    ]  # fmt: skip


def test_other_frames_and_masks_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    filled(folder)
    seen = Seen()
    journal = Journal(folder, JOB, seen, resume=True)
    seen.add(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.bool_))
    seen.add(np.zeros((8, 8, 3), np.uint8), np.eye(8, dtype=np.bool_))
    with pytest.raises(InputError, match="the masks up to frame 2 differ"):
        journal.load(range(2))


def test_another_job_is_refused_and_said_how_it_differs(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    filled(folder)
    with pytest.raises(OutputError, match="dilate was 4 and is now 6; input differs; give the"):
        Journal(folder, {"dilate": "6", "input": "b" * 64}, Seen(), resume=True)
    assert Journal(folder, JOB, Seen(), resume=True).kept_frames == 8


def test_finished_work_is_not_thrown_away_by_mistake(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    filled(folder)
    with pytest.raises(OutputError, match="cut off with 8 frames done; use `resume=True`"):
        Journal(folder, JOB, Seen())
    assert Journal(folder, JOB, Seen(), discard=True).kept_frames == 0
    assert not folder.exists()


def test_an_older_journal_of_another_job_makes_room(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    filled(folder, {"dilate": "1"})
    assert Journal(folder, JOB, Seen()).kept_frames == 0
    assert not folder.exists()


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00"])
def test_a_journal_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "journal"
    filled(folder)
    (folder / "job.json").write_text(text)
    assert Journal(folder, JOB, Seen(), resume=True).kept_frames == 0


def test_a_disk_that_takes_no_more_ends_the_keeping(tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "journal"
    filled(folder)
    seen = Seen()
    journal = Journal(folder, JOB, seen, resume=True)
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space")))
    journal.save(range(8, 10), pixels(3, 3), begins_segment=True, ends_segment=True)
    assert journal.lost == "No space"
    assert journal.kept_frames == 8
    assert not list(folder.glob("*.part"))


def test_a_failure_leaves_only_what_is_of_use(tmp_path: Path) -> None:
    folder = tmp_path / "journal"

    def fail(ends_segment: bool) -> None:
        with Journal(folder, JOB, Seen()) as journal:
            journal.save(range(2), pixels(1, 1), begins_segment=True, ends_segment=ends_segment)
            raise Stop

    with pytest.raises(Stop) as caught:
        fail(ends_segment=False)
    assert not folder.exists()
    assert not hasattr(caught.value, "__notes__")
    with pytest.raises(Stop) as caught:
        fail(ends_segment=True)
    assert folder.exists()
    assert caught.value.__notes__ == ["2 frames are kept; `resume=True` goes on from there"]


@pytest.mark.parametrize(("name", "options"), [
    ("out.mkv", {"lossless": True}), ("out.mp4", {}), ("out", {}),
])  # fmt: skip
def test_resuming_gives_the_same(clip, tmp_path, name, options) -> None:
    whole = tmp_path / f"whole-{name}"
    cleanplate.remove(clip, whole, **OPTIONS, **options)
    for after in (3, 9, 23):
        cut = tmp_path / f"cut-{after}-{name}"
        with pytest.raises(Stop):
            cleanplate.remove(clip, cut, progress=cut_off(after), **OPTIONS, **options)
        assert not cut.exists()
        filled_again = count_filled(lambda cut=cut: cleanplate.remove(
            clip, cut, resume=True, **OPTIONS, **options
        ))  # fmt: skip
        assert filled_again <= 24 - after // 8 * 8
        assert content(whole) == content(cut)
        assert not list(tmp_path.glob(".*"))


def test_a_resumed_run_counts_from_what_it_has_back(clip, tmp_path) -> None:
    target, seen = tmp_path / "out.mkv", []
    with pytest.raises(Stop):
        cleanplate.remove(clip, target, progress=cut_off(23), **OPTIONS)
    options = {**OPTIONS, "resume": True}
    cleanplate.remove(clip, target, progress=lambda *at: seen.append(at), **options)
    kept = seen[0][0]
    assert kept >= 16
    assert seen == [(max(done, kept), 24) for done in range(1, 25)]


def count_filled(work: Callable[[], Any]) -> int:
    """How many frames are filled, and not recalled, while `work` runs."""
    filled = 0
    before = engines.Engine._fill

    def fill(self: Any, wanted: range, until: int | None) -> Any:
        nonlocal filled
        filled += len(wanted)
        return before(self, wanted, until)

    engines.Engine._fill = fill  # type: ignore[method-assign]
    try:
        work()
    finally:
        engines.Engine._fill = before  # type: ignore[method-assign]
    return filled


def test_masks_are_written_again_in_full(clip, tmp_path) -> None:
    whole, cut = tmp_path / "whole.mkv", tmp_path / "cut.mkv"
    cleanplate.remove(clip, whole, mask_out=tmp_path / "all", **OPTIONS)
    with pytest.raises(Stop):
        cleanplate.remove(clip, cut, mask_out=tmp_path / "m", progress=cut_off(12), **OPTIONS)
    assert not (tmp_path / "m").exists()
    cleanplate.remove(clip, cut, mask_out=tmp_path / "m", resume=True, **OPTIONS)
    assert content(tmp_path / "all") == content(tmp_path / "m")


def test_masks_that_are_there_are_replaced_only_with_leave(clip, tmp_path) -> None:
    """Nothing tells whether they are of the run that is resumed."""
    target, masks = tmp_path / "cut.mkv", tmp_path / "m"
    with pytest.raises(Stop):
        cleanplate.remove(clip, target, mask_out=masks, progress=cut_off(12), **OPTIONS)
    masks.mkdir()
    assert cv2.imwrite(str(masks / "00.png"), np.zeros((48, 64), np.uint8))
    with pytest.raises(OutputError, match="exists; use `overwrite=True`"):
        cleanplate.remove(clip, target, mask_out=masks, resume=True, **OPTIONS)
    assert len(list(masks.iterdir())) == 1
    filled_again = count_filled(lambda: cleanplate.remove(
        clip, target, mask_out=masks, resume=True, overwrite=True, **OPTIONS
    ))  # fmt: skip
    assert len(list(masks.iterdir())) == 24
    assert filled_again < 24


def test_another_option_is_refused_by_name(clip, tmp_path) -> None:
    target = tmp_path / "out.mp4"
    with pytest.raises(Stop):
        cleanplate.remove(clip, target, progress=cut_off(12), **OPTIONS)
    changes: list[tuple[dict[str, Any], str]] = [
        ({"dilate": 6}, "dilate was 4 and is now 6"),
        ({"feather": 0}, "feather was 4 and is now 0"),
        ({"crf": 20}, "crf was None and is now 20"),
        ({"method": "auto"}, "method was flow and is now auto"),
        ({"box": "20,12,20,18"}, "the masks up to frame 4 differ"),
    ]
    for change, says in changes:
        with pytest.raises(InputError, match=says):
            cleanplate.remove(clip, target, resume=True, **(OPTIONS | change))
        assert not target.exists()
    filled_again = count_filled(lambda: cleanplate.remove(clip, target, resume=True, **OPTIONS))
    assert filled_again < 24


def test_another_input_and_version_are_refused(clip, tmp_path, monkeypatch) -> None:
    target = tmp_path / "out.mp4"
    with pytest.raises(Stop):
        cleanplate.remove(clip, target, progress=cut_off(12), **OPTIONS)
    monkeypatch.setattr(cleanplate, "__version__", "9.9.9")
    with pytest.raises(InputError, match=r"cleanplate was .* and is now 9\.9\.9"):
        cleanplate.remove(clip, target, resume=True, **OPTIONS)
    monkeypatch.undo()
    cv2.imwrite(str(clip / "23.png"), np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(InputError, match="input differs"):
        cleanplate.remove(clip, target, resume=True, **OPTIONS)


def _plant_link_for_journal(hidden: Path, own: Path) -> None:
    (hidden / "journal").rename(own)
    (hidden / "journal").symlink_to(own)


def _plant_link_for_hidden(hidden: Path, own: Path) -> None:
    hidden.rename(own)
    hidden.symlink_to(own)


def _plant_link_for_span(hidden: Path, own: Path) -> None:
    own.mkdir()
    (hidden / "journal" / "000000099.span").symlink_to(own)


def _plant_diary(hidden: Path, own: Path) -> None:
    own.mkdir()
    (hidden / "diary.txt").write_text("dear")


def _plant_diary_in_journal(hidden: Path, own: Path) -> None:
    own.mkdir()
    (hidden / "journal" / "diary.txt").write_text("dear")


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize(
    ("plant", "says"),
    [
        (_plant_link_for_journal, "holds the link 'journal'"),
        (_plant_link_for_hidden, "is a link; remove it"),
        (_plant_link_for_span, "holds the link '000000099.span'"),
        (_plant_diary, "holds 'diary.txt', which no run made"),
        (_plant_diary_in_journal, "holds 'diary.txt', which no run made"),
    ],
)
def test_nothing_but_our_own_is_cleared(clip, tmp_path, plant, says: str, resume: bool) -> None:
    """However the hidden folder was changed while no run was at it."""
    target, own = tmp_path / "out.mp4", tmp_path / "own"
    with pytest.raises(Stop):
        cleanplate.remove(clip, target, progress=cut_off(12), **OPTIONS)
    plant(tmp_path / ".out.mp4.cleanplate", own)
    (own / "precious.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match=says):
        cleanplate.remove(clip, target, resume=resume, overwrite=True, **OPTIONS)
    assert sorted(tmp_path.rglob("*")) == before


def test_without_a_journal_nothing_is_kept(clip, tmp_path) -> None:
    with pytest.raises(Stop):
        cleanplate.remove(
            clip, tmp_path / "out.mp4", journal=False, progress=cut_off(12), **OPTIONS
        )
    assert not list(tmp_path.glob(".*"))
    cleanplate.remove(clip, tmp_path / "out.mp4", resume=True, **OPTIONS)


def test_the_network_that_is_asked_belongs_to_the_job(clip, tmp_path, tiny) -> None:
    target = tmp_path / "out.mp4"
    options = {"box": "20,12,20,16", "method": "network", "model": tiny}
    with pytest.raises(Stop):
        cleanplate.remove(clip, target, progress=cut_off(8), **options)
    next(tiny.parameters()).data.mul_(1.5)
    with pytest.raises(InputError, match="weights differs"):
        cleanplate.remove(clip, target, resume=True, **options)


def test_the_size_of_spans_belongs_to_the_job(clip, tmp_path, monkeypatch) -> None:
    target = tmp_path / "out.mp4"
    with pytest.raises(Stop):
        cleanplate.remove(clip, target, progress=cut_off(12), **OPTIONS)
    monkeypatch.setattr(Span, "for_size", classmethod(lambda cls, size: Span(5, 3)))
    with pytest.raises(InputError, match=r"span was 4\+3 and is now 5\+3"):
        cleanplate.remove(clip, target, resume=True, **OPTIONS)


def test_the_journal_says_what_it_is_of(clip, tmp_path) -> None:
    target = tmp_path / "out.mp4"
    with pytest.raises(Stop):
        cleanplate.remove(clip, target, progress=cut_off(12), **OPTIONS)
    job = json.loads((tmp_path / ".out.mp4.cleanplate" / "journal" / "job.json").read_text())
    assert job["dilate"] == "4"
    assert job["cleanplate"].startswith(cleanplate.__version__)
    assert len(job["input"]) == 64
    assert Span.for_size(Size(64, 48)) == Span(4, 3)


def mend(path: Path, change: Callable[[dict[str, Any]], object], pixels: bytes = b"") -> None:
    """Change a span's head, or also its pixels, and give it the checksum of what it then is."""
    head, _, packed = path.read_bytes()[:-32].partition(b"\n")
    fields = json.loads(head)
    change(fields)
    body = json.dumps(fields).encode() + b"\n" + (pixels or packed)
    path.write_bytes(body + hashlib.sha256(body).digest())


@pytest.mark.parametrize(
    "change",
    [
        lambda fields: fields.pop("seen"),
        lambda fields: fields.update(more=1),
        lambda fields: fields.update(stop="2"),
        lambda fields: fields.update(stop=10**30),
        lambda fields: fields.update(stop=True),
        lambda fields: fields.update(counts=None),
        lambda fields: fields.update(counts=[5]),
        lambda fields: fields.update(counts=[5, -1]),
        lambda fields: fields.update(seen={}),
        lambda fields: fields.update(begins_segment=1),
        lambda fields: fields.update(ends_segment=1),
    ],
)
def test_a_head_of_other_values_counts_as_damaged(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    filled(tmp_path / "journal")
    mend(tmp_path / "journal" / "000000000.span", change)
    assert Journal(tmp_path / "journal", JOB, Seen(), resume=True).kept_frames == 4


@pytest.mark.parametrize("job", ['{"dilate": 4}', "[]", "[" * 100_000, '{"input": null}'])
def test_a_job_of_other_values_counts_as_none(tmp_path: Path, job: str) -> None:
    filled(tmp_path / "journal")
    (tmp_path / "journal" / "job.json").write_text(job)
    assert Journal(tmp_path / "journal", JOB, Seen(), resume=True).kept_frames == 0


@pytest.mark.parametrize("packed", [b"x", squeeze(pixels(6)[0]), zlib.compress(bytes(10**8))])
def test_pixels_of_another_number_are_refused(tmp_path: Path, packed: bytes) -> None:
    folder = tmp_path / "journal"
    filled(folder)
    mend(folder / "000000000.span", lambda fields: None, packed)
    seen = Seen()
    journal = Journal(folder, JOB, seen, resume=True)
    for _ in range(2):
        seen.add(np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.bool_))
    with pytest.raises(InputError, match="is damaged; use `overwrite=True` instead"):
        journal.load(range(2))


def test_the_remedy_for_other_masks_works(clip: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    with pytest.raises(Stop):
        cleanplate.remove(clip, target, progress=cut_off(12), **OPTIONS)
    other = OPTIONS | {"box": "20,12,20,18"}
    with pytest.raises(StaleError, match="use `overwrite=True` instead of `resume=True`"):
        cleanplate.remove(clip, target, resume=True, **other)
    report = cleanplate.remove(clip, target, overwrite=True, **other)
    assert report.frames == 24
    assert target.exists()


def test_what_does_not_fit_the_masks_is_refused(clip: Path, tmp_path: Path) -> None:
    output = tmp_path / "r.mp4"
    with pytest.raises(Stop):
        cleanplate.remove(clip, output, progress=cut_off(12), **OPTIONS)
    span = tmp_path / ".r.mp4.cleanplate" / "journal" / "000000000.span"

    def move(fields: dict[str, Any]) -> None:
        fields["counts"][0] += 1
        fields["counts"][1] -= 1

    mend(span, move)
    with pytest.raises(InputError, match="does not fit its masks"):
        cleanplate.remove(clip, output, resume=True, **OPTIONS)
    assert not output.exists()
