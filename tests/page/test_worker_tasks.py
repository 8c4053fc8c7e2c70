"""The work behind the page, without its process."""

import cv2
import numpy as np
import pytest

from cleanplate.errors import InputError
from cleanplate.page.worker import prepare_clip, remove_marked, track_clip

ROOM = {"duration": 60, "frames": 100, "pixels": 1e6}


def silent(stage, done, total):
    pass


@pytest.fixture
def request_for(tmp_path):
    """`request_for(source, marks…)`: what the server would ask, with the clip prepared."""

    def make(source, marks=(), base=None, **more):
        previews = tmp_path / "frames"
        request = {"source": str(source), "previews": str(previews), "limits": ROOM}
        made = prepare_clip(request, silent) if not previews.exists() else make.made
        make.made = made
        return {
            "source": str(source), "frames": str(previews), "width": made["width"],
            "height": made["height"], "times": made["times"], "masks": str(tmp_path / "masks"),
            "things": [
                {"thing": {"marks": list(marks), **more}, "base": base and str(base)}
            ],
        }  # fmt: skip

    return make


@pytest.mark.parametrize(
    ("limit", "says"),
    [
        ({"duration": 1}, "the video lasts 0:02 but at most 0:01 are allowed here"),
        ({"frames": 5}, "the video has 16 frames but at most 5 are allowed here"),
        ({"pixels": 1e4}, r"the frames are 160x96 but at most 0\.0 million pixels"),
    ],
)
def test_a_video_beyond_a_limit_is_refused(scene, tmp_path, limit, says):
    request = {
        "source": str(scene), "previews": str(tmp_path / "frames"), "limits": {**ROOM, **limit},
    }  # fmt: skip
    with pytest.raises(InputError, match=says):
        prepare_clip(request, silent)
    assert not (tmp_path / "frames").exists()


def test_a_turned_video_is_shown_and_masked_upright(make_clip, request_for, tmp_path):
    source = make_clip(size=(96, 64), rotation=90, frames=6)
    box = {"kind": "box", "frame": 0, "box": [0, 0, 64, 20]}
    request = request_for(source, [box], kind="fixed")
    assert (request["width"], request["height"]) == (64, 96)
    assert cv2.imread(str(tmp_path / "frames" / "000005.jpg")).shape[:2] == (96, 64)
    track_clip(request, silent)
    mask = cv2.imread(str(tmp_path / "masks" / "1" / "000005.png"), cv2.IMREAD_GRAYSCALE)
    assert mask.shape == (96, 64)
    assert mask[:20].all()
    assert not mask[20:].any()

    request["things"][0]["base"] = str(tmp_path / "masks" / "1")
    request |= {"masks": str(tmp_path / "used"), "dilate": 0}
    request |= {"lossless": True, "output": str(tmp_path / "out.mp4")}
    request |= {"previews": str(tmp_path / "after"), "origins": str(tmp_path / "origins")}
    request |= {"first": 0, "last": 5}
    report = remove_marked(request, silent)
    assert report["size"] > 0
    before, after = (
        cv2.imread(str(tmp_path / name / "000003.jpg")).astype(int) for name in ("frames", "after")
    )
    changed = np.abs(before - after).max(axis=2) > 40
    assert changed[:20].mean() > 0.2
    assert not changed[30:].any()


def test_large_pictures_get_smaller_previews(make_clip, request_for, tmp_path):
    source = make_clip(size=(1600, 64), frames=2)
    request = request_for(source)
    assert request["width"] == 1600
    assert cv2.imread(str(tmp_path / "frames" / "000000.jpg")).shape[:2] == (51, 1280)


def test_strokes_without_a_box_are_followed_from_their_frame(scene, request_for, tmp_path):
    stroke = {"kind": "brush", "frame": 4, "radius": 14, "points": [[50, 48]]}
    request = request_for(scene, [stroke])
    found = track_clip(request, silent)
    assert isinstance(found["things"]["1"]["unsure"], list)
    masks = [
        cv2.imread(str(tmp_path / "masks" / "1" / f"{index:06d}.png"), cv2.IMREAD_GRAYSCALE) > 0
        for index in (4, 12)
    ]
    assert masks[0][48, 50]
    assert masks[1][48, 90]
    assert not masks[1][48, 50]


def test_nothing_marked_is_refused(scene, request_for):
    with pytest.raises(InputError, match="nothing is marked yet"):
        remove_marked(request_for(scene), silent)


def test_text_is_looked_for_inside_the_boxes(scene, request_for, tmp_path, monkeypatch):
    from cleanplate.page import worker as tasks

    asked = {}

    class Text:
        notes = ("one note",)

        def mask(self, index, time):
            return np.full((96, 160), index == 1)

    def find_text(path, *, region, progress):
        asked.update(path=path, region=str(region))
        return Text()

    monkeypatch.setattr(tasks, "find_text", find_text)
    boxes = [
        {"kind": "box", "frame": 0, "box": [10, 10, 20, 5]},
        {"kind": "box", "frame": 3, "box": [50, 12, 20, 9]},
    ]
    found = track_clip(request_for(scene, boxes, kind="text"), silent)
    assert asked["region"] == "10,10,60,11"
    assert found["things"] == {"1": {"unsure": [], "seen": [(1, 1)], "notes": ("one note",)}}
    assert cv2.imread(str(tmp_path / "masks" / "1" / "000001.png")).all()
    assert not cv2.imread(str(tmp_path / "masks" / "1" / "000002.png")).any()
