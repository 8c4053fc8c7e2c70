"""What a run writes is kept apart from what it reads, however the paths are spelled."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cleanplate.errors import OutputError
from cleanplate.storage import paths as places
from cleanplate.storage.paths import check_places, find_clashes, hide, make_absolute


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """A folder of two masks."""
    folder = tmp_path / "masks"
    folder.mkdir()
    for name in ("0.png", "1.png"):
        (folder / name).write_bytes(b"mask")
    return folder


def _link(folder: Path) -> Path:
    (folder.parent / "link").symlink_to(folder)
    return folder.parent / "link"


def _step_through_link(folder: Path) -> Path:
    """`link/../masks`, where `link` leads elsewhere: only the system's own `..` finds it."""
    (folder.parent / "deep" / "down").mkdir(parents=True)
    (folder.parent / "deep" / "masks").symlink_to(folder)
    (folder.parent / "link").symlink_to(folder.parent / "deep" / "down")
    return folder.parent / "link" / ".." / "masks"


def _link_to_one(folder: Path) -> Path:
    (folder.parent / "mask.png").symlink_to(folder / "0.png")
    return folder.parent / "mask.png"


def _folder_of_links(folder: Path) -> Path:
    other = folder.parent / "other"
    other.mkdir()
    (other / "0.png").symlink_to(folder / "0.png")
    return other


def _over_a_link_inside(folder: Path) -> Path:
    """The mask itself lies elsewhere, but a link on the way to it would be removed."""
    (folder.parent / "far.png").write_bytes(b"mask")
    (folder / "far.png").symlink_to(folder.parent / "far.png")
    return folder / "far.png"


SPELLINGS: list[Callable[[Path], Path]] = [
    lambda folder: folder,
    lambda folder: folder / "0.png",
    lambda folder: folder / ".",
    lambda folder: folder / ".." / folder.name,
    lambda folder: Path(os.path.relpath(folder)),
    _link,
    _step_through_link,
    _link_to_one,
    _folder_of_links,
    _over_a_link_inside,
]


@pytest.mark.parametrize("spell", SPELLINGS)
def test_a_folder_with_what_is_read_is_not_written(masks: Path, spell) -> None:
    path = spell(masks)
    with pytest.raises(OutputError) as caught:
        check_places([masks], [path])
    assert f"'{masks}' would replace '{path}'" in str(caught.value)


@pytest.mark.parametrize("spell", [_link, _step_through_link, lambda f: f / ".." / f.name])
def test_an_output_is_known_under_other_names(masks: Path, spell) -> None:
    with pytest.raises(OutputError, match="would replace"):
        check_places([spell(masks)], [masks / "0.png"])


def test_a_hard_link_of_what_is_read_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"video")
    (tmp_path / "b.mp4").hardlink_to(tmp_path / "a.mp4")
    with pytest.raises(OutputError, match="would replace"):
        check_places([tmp_path / "b.mp4"], [tmp_path / "a.mp4"])


def test_the_folder_one_works_in_is_not_written(
    masks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(masks)
    with pytest.raises(OutputError, match="would replace"):
        check_places(["../masks"], ["0.png"])


def test_nothing_is_read_from_a_hidden_folder_that_is_cleared(tmp_path: Path) -> None:
    hidden = hide(tmp_path / "r.mp4")
    hidden.mkdir()
    (hidden / "mask.png").write_bytes(b"mask")
    with pytest.raises(OutputError, match="is read, but lies in the hidden folder"):
        check_places([tmp_path / "r.mp4"], [hidden / "mask.png"])


def test_results_may_lie_in_a_folder_of_images_but_not_as_one_of_them(masks: Path) -> None:
    fine = [masks / "r.mp4", masks / "clean", masks / "report.json"]
    check_places([*fine, masks.parent / "sheet.png"], [masks])
    with pytest.raises(OutputError, match="would become one of the images in"):
        check_places([masks / "sheet.PNG"], [masks])


@pytest.mark.parametrize(
    "outputs",
    [
        ("r.mp4", "r.mp4"),
        ("r.mp4", "masks/../r.mp4"),
        ("masks", "masks/m.mp4"),
        ("masks/m.mp4", "masks"),
        ("r.mp4", ".r.mp4.cleanplate/m.mp4"),
        ("r.mp4", ".r.mp4.cleanplate"),
    ],
)
def test_two_outputs_have_each_their_own_place(masks: Path, outputs: tuple[str, str]) -> None:
    first, second = (os.path.join(masks.parent, name) for name in outputs)
    clashes = [(clash.written, clash.other) for clash in find_clashes([first, second], [])]
    assert clashes in ([(first, second)], [(second, first)])


def test_names_that_differ_in_case_are_one_place_where_case_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = [tmp_path / "R.mp4", tmp_path / "r.mp4"]
    check_places(pair, [])
    monkeypatch.setattr(places, "_ignores_case", lambda folder: True)
    with pytest.raises(OutputError, match="would replace each other"):
        check_places(pair, [])


def test_paths_that_do_not_exist_and_links_in_a_circle_are_left_to_others(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    check_places([tmp_path / "r", tmp_path / "s\0"], ["default", tmp_path / "r", tmp_path / "a"])


def test_a_batch_learns_of_all_that_clash(masks: Path) -> None:
    found = find_clashes([masks, "r.mp4"], [masks / "0.png", masks.parent, masks / "1.png"])
    assert [clash.other for clash in found] == [masks / "0.png", masks / "1.png"]


def test_the_hidden_name_is_never_too_long(tmp_path: Path) -> None:
    assert hide(tmp_path / "r.mp4") == tmp_path / ".r.mp4.cleanplate"
    assert len(os.fsencode(hide(tmp_path / ("é" * 110)).name)) < 60


def test_the_folder_above_a_link_is_the_one_that_the_system_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "far/inside").mkdir(parents=True)
    (tmp_path / "near").mkdir()
    (tmp_path / "near/link").symlink_to("../far/inside")
    monkeypatch.chdir(tmp_path)
    assert make_absolute("near/link/../new") == str(tmp_path / "far/new")
    assert make_absolute("near/link/..") == str(tmp_path / "far")
    assert make_absolute("near/link/a") == str(tmp_path / "near/link/a")
    assert make_absolute("near/nothing/../a/.") == str(tmp_path / "near/a")
    assert hide(Path("near/link/../new")) == tmp_path / "far/.new.cleanplate"
