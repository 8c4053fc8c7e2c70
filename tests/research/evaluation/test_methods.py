import numpy as np
import pytest

import cleanplate
from cleanplate.errors import CleanplateError, InputError
from cleanplate.network import SttnConfig, SttnNetwork, checksum, initialise, save
from cleanplate.research.evaluation.clips import BLANK, survey
from cleanplate.research.evaluation.methods import NAMES, Results, choose_methods


def choose(*texts, model="default"):
    return choose_methods(texts, model=model, device="cpu", precision="auto")


@pytest.fixture
def checkpoint(tmp_path):
    import torch

    network = SttnNetwork(SttnConfig(channels=8, widths=(4, 6), blocks=1))
    initialise(network, torch.Generator().manual_seed(3))
    save(network, tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"


def test_all_names_are_known():
    names = [name for name in NAMES if name != "network"]
    assert [method.name for method in choose(*names)] == names


def test_flow_is_what_inpaint_does(make_clip_of, frames, masks):
    clip = make_clip_of(frames, masks)
    made = np.stack(list(choose("flow")[0].fill(clip, survey(clip))))
    frames[masks] = BLANK
    assert (made == cleanplate.inpaint(frames, masks, method="flow")).all()


def test_a_checkpoint_is_used_alone_or_behind_the_propagation(
    checkpoint, make_clip_of, frames, masks
):
    alone, behind = choose(f"mine={checkpoint}", f"both=auto:{checkpoint}")
    assert alone.describe()["kind"] == "cleanplate, method network"
    assert behind.describe()["kind"] == "cleanplate, method auto"
    assert alone.describe()["weights"] == checksum(checkpoint)
    clip = make_clip_of(frames, masks)
    made = [np.stack(list(method.fill(clip, survey(clip)))) for method in (alone, behind)]
    assert (made[0] != made[1]).any()


def test_model_is_of_ours(checkpoint):
    assert choose("network", model=str(checkpoint))[0].describe()["model"] == str(checkpoint)


@pytest.mark.parametrize("inner", ["clip/hole", "clip"])
def test_results_of_another_program_are_read(inner, make_clip_of, frames, masks, write, tmp_path):
    write(tmp_path / "theirs" / inner, 255 - frames)
    clip = make_clip_of(frames, masks)
    method = choose(f"theirs={tmp_path / 'theirs'}")[0]
    assert (np.stack(list(method.fill(clip, survey(clip)))) == 255 - frames).all()


def test_results_may_be_videos(make_clip_of, make_clip, frames, masks, tmp_path):
    (tmp_path / "theirs" / "clip").mkdir(parents=True)
    made = make_clip("v.mp4", frames=5, size=(80, 72))
    made.rename(tmp_path / "theirs" / "clip" / "hole.mp4")
    clip = make_clip_of(frames, masks)
    assert len(list(Results("theirs", tmp_path / "theirs").fill(clip, survey(clip)))) == 5


@pytest.mark.parametrize("wrong", [slice(0, 3), np.s_[:, :40]])
def test_results_that_do_not_fit_are_refused(wrong, make_clip_of, frames, masks, write, tmp_path):
    write(tmp_path / "theirs" / "clip", frames[wrong])
    clip = make_clip_of(frames, masks)
    with pytest.raises(InputError, match="but 5 of 80x72 are scored"):
        list(Results("theirs", tmp_path / "theirs").fill(clip, survey(clip)))


def test_missing_results_are_said(make_clip_of, frames, masks, tmp_path):
    clip = make_clip_of(frames, masks)
    (tmp_path / "theirs").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        list(Results("theirs", tmp_path / "theirs").fill(clip, survey(clip)))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "no method"),
        (["magic"], "no method 'magic'; use auto"),
        (["telea", "telea"], "named twice"),
        (["telea=x"], "another name"),
        (["a/b=x"], "another name"),
        (["mine=missing.pth"], "does not exist"),
        (["network"], "not part of cleanplate"),
    ],
)
def test_wrong_names_are_said(texts, message):
    with pytest.raises(CleanplateError, match=message):
        choose(*texts, model="sttn")
