import pytest

from cleanplate.errors import InputError
from cleanplate.research.evaluation.protocols import PROTOCOLS, find_cases


def find(name, data, tmp_path, **options):
    return find_cases(PROTOCOLS[name], data, masks=tmp_path / "masks", **options)


@pytest.fixture
def davis(frames, masks, write, tmp_path):
    root = tmp_path / "davis"
    for name in ("bear", "camel"):
        write(root / "JPEGImages" / "480p" / name, frames)
        write(root / "Annotations" / "480p" / name, masks)
    (root / "ImageSets" / "2017").mkdir(parents=True)
    (root / "ImageSets" / "2017" / "val.txt").write_text("camel\n")
    return root


def test_every_folder_of_masks_is_a_case(make_data, tmp_path):
    found = find("folder", make_data(), tmp_path)
    names = [str(case) for case in found.cases]
    assert names == ["one, moving", "one, still", "two, moving", "two, still"]
    assert all(case.truth == case.frames for case in found.cases)
    assert found.notes == ()


def test_folders_of_another_kind_are_passed_over_and_named(make_data, frames, write, tmp_path):
    data = make_data(["one"])
    write(data / "originals" / "one" / "frames", frames)
    write(data / "bare" / "frames", frames)
    found = find("folder", data, tmp_path)
    assert {case.sequence for case in found.cases} == {"one"}
    assert [note.split("'")[1] for note in found.notes] == ["bare", "originals"]


def test_one_sequence_may_be_the_data_set(make_data, tmp_path):
    found = find("folder", make_data(["one"]) / "one", tmp_path)
    assert [str(case) for case in found.cases] == ["one, moving", "one, still"]


def test_a_truth_beside_the_frames_is_taken(make_data, frames, write, tmp_path):
    data = make_data(["one"])
    truth = write(data / "one" / "truth", frames)
    assert {case.truth for case in find("folder", data, tmp_path).cases} == {truth}


def test_frames_may_be_a_video(make_data, make_clip, tmp_path):
    data = make_data(["one"])
    for image in (data / "one" / "frames").iterdir():
        image.unlink()
    video = make_clip("v.mp4", frames=5).rename(data / "one" / "frames.mp4")
    assert {case.frames for case in find("folder", data, tmp_path).cases} == {video}


def test_paper_draws_masks_for_published_data(davis, tmp_path):
    found = find("paper", davis, tmp_path, split="val")
    assert [str(case) for case in found.cases] == ["camel, stationary", "camel, moving"]
    assert (tmp_path / "masks" / "camel" / "moving" / "00004.png").is_file()
    assert (tmp_path / "masks" / "SHA256SUMS").is_file()
    assert {str(case.size) for case in found.cases} == {"432x240"}


def test_paper_takes_folders_with_frames_and_folders_of_videos(make_data, make_clip, tmp_path):
    names = [case.sequence for case in find("paper", make_data(), tmp_path).cases]
    assert names == ["one", "one", "two", "two"]
    (tmp_path / "videos").mkdir()
    make_clip("bear.mp4", frames=3).rename(tmp_path / "videos" / "bear.mp4")
    names = [case.sequence for case in find("paper", tmp_path / "videos", tmp_path).cases]
    assert names == ["bear", "bear"]


def test_youtube_vos_is_found_by_its_split(frames, masks, write, tmp_path):
    write(tmp_path / "vos" / "train" / "JPEGImages" / "0a1b", frames)
    write(tmp_path / "vos" / "train" / "Annotations" / "0a1b", masks)
    found = find("objects", tmp_path / "vos", tmp_path, split="train")
    assert [str(case) for case in found.cases] == ["0a1b, object"]
    assert found.cases[0].masks == tmp_path / "vos" / "train" / "Annotations" / "0a1b"


def test_objects_have_no_truth(davis, make_data, tmp_path):
    assert [case.truth for case in find("objects", davis, tmp_path).cases] == [None, None]
    assert {case.truth for case in find("objects", make_data(), tmp_path).cases} == {None}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("folder", {"only": ["three"]}, "no sequence 'three'; there are one"),
        ("folder", {"split": "val"}, "`split` needs"),
    ],
)
def test_wrong_names_are_said(name, options, message, make_data, tmp_path):
    with pytest.raises(InputError, match=message):
        find(name, make_data(["one"]), tmp_path, **options)


def test_a_split_that_is_not_there_is_said(davis, tmp_path):
    with pytest.raises(InputError, match="no split 'test'"):
        find("paper", davis, tmp_path, split="test")


def test_data_that_is_none_is_said(tmp_path, frames, write):
    with pytest.raises(InputError, match="not a folder"):
        find("folder", tmp_path / "none", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no sequence"):
        find("folder", tmp_path / "empty", tmp_path)
    write(tmp_path / "davis" / "JPEGImages" / "bear", frames)
    with pytest.raises(InputError, match="no annotations"):
        find("objects", tmp_path / "davis", tmp_path)
    (tmp_path / "zips" / "JPEGImages").mkdir(parents=True)
    (tmp_path / "zips" / "JPEGImages" / "bear.zip").touch()
    with pytest.raises(InputError, match="unpack"):
        find("paper", tmp_path / "zips", tmp_path)
