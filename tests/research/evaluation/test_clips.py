from dataclasses import replace

import cv2
import numpy as np
import pytest

from cleanplate.errors import InputError
from cleanplate.research.evaluation.clips import BLANK, Case, Clip, find_rectangle, survey
from cleanplate.types import Box, Size


def test_methods_see_nothing_of_the_truth(make_clip_of, frames, masks):
    shown = list(make_clip_of(frames, masks).blanked())
    for (frame, mask), source, marked in zip(shown, frames, masks, strict=True):
        assert (mask == marked).all()
        assert (frame[mask] == BLANK).all()
        assert (frame[~mask] == source[~mask]).all()


def test_the_truth_can_be_other_than_the_frames(make_clip_of, frames, masks, write, tmp_path):
    case = make_clip_of(frames, masks).case
    truth = write(tmp_path / "truth", 255 - frames)
    for shot, source in zip(Clip(replace(case, truth=truth)), frames, strict=True):
        assert (shot.frame == source).all()
        assert (shot.truth == 255 - source).all()


def test_without_truth_there_is_none(make_clip_of, frames, masks):
    clip = Clip(replace(make_clip_of(frames, masks).case, truth=None))
    assert not clip.has_truth
    assert [shot.truth for shot in clip] == [None] * 5


def test_frames_are_scaled_to_the_size_of_the_masks(frames, masks, write, tmp_path):
    large = np.stack([cv2.resize(frame, (160, 144)) for frame in frames])
    shown, marked = write(tmp_path / "frames", large), write(tmp_path / "hole", masks)
    clip = Clip(Case("a", "b", shown, marked, shown, Size(80, 72)))
    assert {shot.frame.shape for shot in clip} == {(72, 80, 3)}


def test_a_video_is_turned_upright(make_clip, masks, write, tmp_path):
    video = make_clip("v.mp4", frames=5, size=(64, 48), rotation=90)
    marked = np.zeros((5, 64, 48), np.bool_)
    marked[:, 10:20, 8:40] = True
    clip = Clip(Case("a", "b", video, write(tmp_path / "hole", marked), video))
    assert clip.size == Size(48, 64)
    assert all((shot.mask == marked[0]).all() for shot in clip)
    assert {shot.frame.shape for shot in clip} == {(64, 48, 3)}


@pytest.mark.parametrize("part", ["hole", "truth"])
@pytest.mark.parametrize("wrong", ["count", "size"])
def test_parts_that_do_not_fit_are_named(part, wrong, frames, masks, write, tmp_path):
    parts = {"frames": frames, "hole": masks, "truth": frames}
    parts[part] = parts[part][:3] if wrong == "count" else parts[part][:, :60]
    places = {name: write(tmp_path / name, images) for name, images in parts.items()}
    with pytest.raises(InputError, match="tennis, hole: "):
        Clip(Case("tennis", "hole", places["frames"], places["hole"], places["truth"]))


def test_a_survey_counts_and_finds_the_rectangle(make_clip_of, frames, masks):
    found = survey(make_clip_of(frames, masks))
    assert found.with_hole == 4
    assert found.share == pytest.approx(4 * 16 * 20 / (5 * 72 * 80))
    assert found.box == Box(30, 20, 20, 16)
    assert set(found.moments) == {0, 1, 2, 3}


def test_the_checksum_is_of_the_pixels_not_of_the_files(make_clip_of, frames, masks, tmp_path):
    clip = make_clip_of(frames, masks)
    before = survey(clip).checksum
    for path in sorted(clip.case.masks.iterdir()):
        cv2.imwrite(str(path.with_suffix(".bmp")), cv2.imread(str(path)))
        path.unlink()
    assert survey(Clip(clip.case)).checksum == before


def test_the_checksum_tells_masks_apart(make_clip_of, frames, masks):
    before = survey(make_clip_of(frames, masks)).checksum
    masks[0, 0, 0] = True
    assert survey(make_clip_of(frames, masks)).checksum != before


def test_a_clip_without_any_hole_is_shown_all_the_same(make_clip_of, frames, masks):
    found = survey(make_clip_of(frames, np.zeros_like(masks)))
    assert (found.with_hole, found.box) == (0, None)
    assert len(found.moments) == 4


def test_what_is_no_rectangle_is_none(masks):
    assert find_rectangle(np.zeros((5, 5), np.bool_)) is None
    mask = masks[0].copy()
    mask[20, 30] = False
    assert find_rectangle(mask) is None
