import shutil

import numpy as np
import pytest

from cleanplate.research.evaluation.clips import Unsuitable, survey
from cleanplate.research.evaluation.methods import Delogo


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg on the PATH")
def test_it_goes_on_with_what_is_around(make_clip_of, masks):
    slope = np.broadcast_to(np.arange(80, dtype=np.uint8)[:, None] + 60, (5, 72, 80, 3)).copy()
    clip = make_clip_of(slope, masks)
    made = np.stack(list(Delogo().fill(clip, survey(clip))))
    assert made.shape == slope.shape
    assert np.abs(made[masks].astype(int) - slope[masks]).max() <= 8
    assert np.abs(made[~masks].astype(int) - slope[~masks]).max() <= 2
    assert "delogo of ffmpeg version" in Delogo().describe()["kind"]


def test_holes_it_is_not_made_for_are_left_out(make_clip_of, frames, masks, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/true")
    masks[0, 20, 30] = False
    clip = make_clip_of(frames, masks)
    with pytest.raises(Unsuitable, match="rectangle"):
        Delogo().fill(clip, survey(clip))
    masks[:] = False
    masks[:, 10:20, :30] = True
    clip = make_clip_of(frames, masks)
    with pytest.raises(Unsuitable, match="rim"):
        Delogo().fill(clip, survey(clip))


def test_without_the_program_it_is_left_out(make_clip_of, frames, masks, monkeypatch):
    monkeypatch.setenv("PATH", "")
    clip = make_clip_of(frames, masks)
    with pytest.raises(Unsuitable, match="ffmpeg"):
        Delogo().fill(clip, survey(clip))
    assert "no ffmpeg" in Delogo().describe()["kind"]
