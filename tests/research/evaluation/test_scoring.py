import numpy as np
import pytest

from cleanplate.errors import InputError
from cleanplate.research.evaluation.clips import survey
from cleanplate.research.evaluation.protocols import Conventions, make_metrics
from cleanplate.research.evaluation.scoring import score


class Given:
    """A method that gives what it was given."""

    name = "given"

    def __init__(self, frames):
        self._frames = frames

    def describe(self):
        return {}

    def fill(self, clip, found):
        return iter(self._frames)


def measure(clip, frames, advance=lambda: None):
    metrics = make_metrics(Conventions(), truth=True)
    return score(Given(frames), clip, survey(clip), metrics, advance)


def test_the_composited_picture_is_scored(make_clip_of, frames, masks):
    wrong = frames.copy()
    wrong[masks] += 10
    wrong[~masks] = 0  # what a method does outside of holes does not count
    result = measure(make_clip_of(frames, masks), wrong)
    inside = 10 * np.log10(255**2 / np.mean((wrong[masks].astype(float) - frames[masks]) ** 2))
    assert result.values["hole_psnr"] == pytest.approx(inside, abs=1e-9)


def test_frames_without_a_hole_are_gaps_in_the_curve(make_clip_of, frames, masks):
    curve = measure(make_clip_of(frames, masks), np.zeros_like(frames)).curves["hole_psnr"]
    assert [value is None for value in curve] == [False] * 4 + [True]


def test_frames_are_scored_as_they_come(make_clip_of, frames, masks):
    seen = []

    def give():
        for index, frame in enumerate(frames):
            seen.append(("made", index))
            yield frame

    measure(make_clip_of(frames, masks), give(), lambda: seen.append(("scored", 0)))
    assert [what for what, _ in seen] == ["made", "scored"] * 5


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (np.s_[:3], "gave 3 frames, but the clip has 5"),
        (np.s_[[0, 1, 2, 3, 4, 4]], "more than the clip's 5"),
        (np.s_[:, :40], "80x40, but the clip is 80x72"),
    ],
)
def test_frames_that_do_not_fit_are_refused(made, message, make_clip_of, frames, masks):
    with pytest.raises(InputError, match=message):
        measure(make_clip_of(frames, masks), frames[made])
