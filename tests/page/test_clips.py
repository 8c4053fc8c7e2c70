"""A clip from upload to result, as the page asks for it."""

import io
import zipfile

import cv2
import numpy as np
import pytest

from cleanplate.page.clips import drop_options

from .conftest import draw_scene

DISC = draw_scene(8)[1]
ROWS, COLUMNS = np.nonzero(DISC)
BOX = [int(COLUMNS.min()) - 2, int(ROWS.min()) - 2, int(np.ptp(COLUMNS)) + 5, int(np.ptp(ROWS)) + 5]
BOX_MARK = {"kind": "box", "frame": 8, "box": BOX}


@pytest.fixture
def visitor(shared):
    return shared()


@pytest.fixture
def ready(visitor, scene):
    return visitor.wait(visitor.upload(scene.read_bytes()))


def read_mask(visitor, clip, index, thing="1"):
    path = f"/api/clips/{clip['id']}/masks/{clip['masks'][thing]['version']}/{index}"
    data = np.frombuffer(visitor.ask("GET", path).content, np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) > 127


def test_from_box_to_result(visitor, ready, shared_folder):
    assert ready["video"] == {
        "width": 160, "height": 96, "aspect": pytest.approx(160 / 96), "frames": 16, "rate": 8.0,
        "duration": 2.0, "sound": True,
    }  # fmt: skip
    times = visitor.ask("GET", f"/api/clips/{ready['id']}/times").json()
    assert times == pytest.approx([index / 8 for index in range(16)])
    assert visitor.mark(ready, [BOX_MARK]).status_code == 200
    assert visitor.order(ready, "remove").status_code == 400
    assert visitor.order(ready, "track").status_code == 202
    tracked = visitor.wait(ready)
    assert tracked["job"]["message"] == ""
    for index in (0, 8, 15):
        disc = draw_scene(index)[1]
        assert (read_mask(visitor, tracked, index) & disc).sum() > 0.9 * disc.sum()

    stroke = {"kind": "brush", "frame": 3, "radius": 3, "points": [[150, 90]]}
    assert visitor.mark(tracked, [BOX_MARK, stroke]).status_code == 200
    assert visitor.order(tracked, "remove", dilate=3).status_code == 202
    done = visitor.wait(tracked)
    assert done["job"]["status"] == "done"
    assert not done["result"]["stale"]
    assert not any("--" in note for note in done["result"]["notes"])

    assert sum(done["result"]["origins"].values()) == pytest.approx(1, abs=1e-4)
    path = f"/api/clips/{ready['id']}/results/{done['result']['version']}/origins"
    data = np.frombuffer(visitor.ask("GET", f"{path}/8").content, np.uint8)
    origins = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert origins[48, 70].any(), "the disc is filled"
    assert not origins[10, 150].any()
    assert visitor.ask("GET", f"{path}/16").status_code == 404

    answer = visitor.ask("GET", f"/api/clips/{ready['id']}/result")
    assert answer.headers["content-disposition"] == 'attachment; filename="disc-clean.mp4"'
    archive = visitor.ask("GET", f"/api/clips/{ready['id']}/masks").content
    with zipfile.ZipFile(io.BytesIO(archive)) as masks:
        assert masks.testzip() is None
        assert len(masks.namelist()) == 16
        painted = cv2.imdecode(np.frombuffer(masks.read("000003.png"), np.uint8), 0)
    assert painted[90, 150] == 255
    assert not read_mask(visitor, done, 3)[90, 150]

    assert visitor.mark(done, []).json()["masks"] == {}
    assert visitor.look(done)["result"]["stale"]
    again = visitor.mark(done, [BOX_MARK, stroke]).json()
    assert not again["masks"]["1"]["stale"], "what was cleared and marked again is still found"
    assert not again["result"]["stale"]


def test_what_is_fixed_has_one_mask_for_all_frames(visitor, ready):
    stroke = {"kind": "brush", "frame": 5, "radius": 4, "points": [[140, 20]]}
    box = {"kind": "box", "frame": 2, "box": [10, 10, 20, 8]}
    visitor.mark(ready, [box, stroke], kind="fixed")
    visitor.order(ready, "track")
    clip = visitor.wait(ready)
    first, last = (read_mask(visitor, clip, index) for index in (0, 15))
    assert (first == last).all()
    assert first[10:18, 10:30].all()
    assert first[20, 140]
    assert first.sum() < 260
    assert visitor.mark(clip, [box], kind="fixed").json()["masks"]["1"]["stale"]


def test_several_things_are_found_and_removed_together(visitor, ready):
    logo = {
        "id": "2", "name": "logo", "kind": "fixed", "first": 4, "last": 9,
        "marks": [{"kind": "box", "frame": 5, "box": [120, 6, 30, 12]}],
    }  # fmt: skip
    disc = {"id": "1", "marks": [BOX_MARK]}
    assert visitor.mark_things(ready, [disc, logo]).status_code == 200
    visitor.order(ready, "track")
    found = visitor.wait(ready)
    assert found["masks"]["2"]["seen"] == [[0, 15]]
    assert read_mask(visitor, found, 8)[48, 70]
    assert read_mask(visitor, found, 8, "2")[10, 130]
    assert not read_mask(visitor, found, 8, "2")[48, 70]

    third = {"id": "3", "kind": "fixed", "on": False, "marks": logo["marks"]}
    visitor.mark_things(found, [disc, logo, third])
    visitor.order(found, "remove")
    done = visitor.wait(found)
    assert done["job"]["status"] == "done", done["job"]
    archive = visitor.ask("GET", f"/api/clips/{ready['id']}/masks").content
    with zipfile.ZipFile(io.BytesIO(archive)) as masks:
        used = [cv2.imdecode(np.frombuffer(masks.read(f"{index:06d}.png"), np.uint8), 0)
                for index in range(16)]  # fmt: skip
    assert [bool(mask[10, 130]) for mask in used] == [4 <= index <= 9 for index in range(16)]
    assert all(used[index][48, 30 + 5 * index] for index in (2, 8, 13))

    renamed = visitor.mark_things(done, [disc, {**logo, "name": "other"}, third]).json()
    assert not renamed["result"]["stale"], "a name changes no pixel"
    off = visitor.mark_things(done, [disc, {**logo, "on": False}, third]).json()
    assert off["result"]["stale"]
    assert visitor.order(off, "remove").status_code == 202, "nothing is found again"
    visitor.wait(off)


@pytest.mark.parametrize(("first", "last"), [(4, 6), (15, 15), (0, 0)])
def test_a_part_is_written_alone(visitor, ready, first, last):
    box = {"kind": "box", "frame": 0, "box": [100, 5, 20, 8]}
    visitor.mark(ready, [box], kind="fixed")
    visitor.order(ready, "track")
    visitor.wait(ready)
    assert visitor.order(ready, "remove", first=first, last=last).status_code == 202
    done = visitor.wait(ready)
    assert done["job"]["status"] == "done", done["job"]
    assert (done["result"]["first"], done["result"]["last"]) == (first, last)
    path = f"/api/clips/{ready['id']}/results/{done['result']['version']}"
    for index in range(-1, 17):
        expected = 200 if first <= index <= last else 404
        assert visitor.ask("GET", f"{path}/frames/{index}").status_code == expected
        assert visitor.ask("GET", f"{path}/origins/{index}").status_code == expected
    data = np.frombuffer(visitor.ask("GET", f"{path}/frames/{first}").content, np.uint8)
    shown = cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1].astype(int)
    scene = draw_scene(first)[0].astype(int)
    assert np.abs(shown - scene)[20:].mean() < 12, "it is the frame that was asked for"


@pytest.mark.parametrize(("first", "last"), [(6, 4), (0, 16), (16, None)])
def test_parts_that_do_not_exist_are_refused(visitor, ready, first, last):
    answer = visitor.order(ready, "remove", first=first, last=last)
    assert answer.status_code == 400
    assert "there are no frames" in answer.json()["error"]


def test_a_part_that_is_tried_is_filled_from_the_frames_around_it(visitor, ready):
    visitor.mark(ready, [BOX_MARK])
    visitor.order(ready, "track")
    visitor.wait(ready)
    visitor.order(ready, "remove", first=8, last=8, tried=True)
    done = visitor.wait(ready)
    assert done["result"]["tried"]
    assert done["result"]["origins"]["made_up"] < 0.1
    path = f"/api/clips/{ready['id']}/results/{done['result']['version']}/frames"
    assert visitor.ask("GET", f"{path}/7").status_code == 404
    data = np.frombuffer(visitor.ask("GET", f"{path}/8").content, np.uint8)
    shown = cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1].astype(int)
    assert ((shown[..., 0] - shown[..., 1])[DISC] > 80).mean() < 0.02


def test_only_what_changed_is_found_again(visitor, ready):
    boxes = [{"kind": "box", "frame": 0, "box": [x, 5, 20, 8]} for x in (5, 60, 110)]
    first, second = ({"id": str(n), "kind": "fixed", "marks": [boxes[n]]} for n in (0, 1))
    visitor.mark_things(ready, [first, second])
    visitor.order(ready, "track")
    before = visitor.wait(ready)["masks"]
    visitor.mark_things(ready, [first, {**second, "marks": [boxes[2]]}])
    visitor.order(ready, "track")
    after = visitor.wait(ready)["masks"]
    assert after["0"] == before["0"]
    assert after["1"]["version"] > before["1"]["version"]


def test_things_with_one_id_are_refused(visitor, ready):
    answer = visitor.mark_things(ready, [{"id": "1"}, {"id": "1"}])
    assert answer.status_code == 422
    assert "same id" in answer.json()["error"]


def test_a_clip_without_text_says_so_in_plain_words(visitor, ready):
    visitor.mark(ready, [], kind="text")
    assert visitor.order(ready, "track").status_code == 202
    clip = visitor.wait(ready)
    assert clip["job"]["status"] == "failed"
    assert clip["job"]["message"] == (
        "no burned-in text was found in 'disc.mp4'; mark it with a box or a mask instead"
    )


def test_cancelling_stops_at_once_and_leaves_nothing(visitor, ready, shared_folder):
    before = {path for path in shared_folder.rglob("*") if path.is_file()}
    visitor.mark(ready, [BOX_MARK])
    visitor.order(ready, "track")
    clip = visitor.ask("DELETE", f"/api/clips/{ready['id']}/job").json()
    assert clip["job"]["status"] == "cancelled"
    assert clip["masks"] == {}
    assert {path for path in shared_folder.rglob("*") if path.is_file()} == before
    assert visitor.order(ready, "track").status_code == 202
    assert visitor.order(ready, "track").status_code == 409
    assert visitor.mark(ready, []).status_code == 409
    assert visitor.wait(ready)["masks"]


def test_another_tab_is_noticed(visitor, ready):
    body = {"revision": ready["revision"], "marks": {"things": [{"marks": [BOX_MARK]}]}}
    path = f"/api/clips/{ready['id']}/marks"
    assert visitor.ask("PUT", path, json=body).status_code == 200
    answer = visitor.ask("PUT", path, json=body)
    assert answer.status_code == 409
    assert "another tab" in answer.json()["error"]


@pytest.mark.parametrize(
    ("mark", "says"),
    [
        ({"kind": "box", "frame": 16, "box": [1, 1, 5, 5]}, "there is no frame 17"),
        ({"kind": "box", "frame": 0, "box": [160, 1, 5, 5]}, "outside the picture"),
        ({"kind": "box", "frame": 0, "box": [-9, 1, 5, 5]}, "outside the picture"),
        ({"kind": "box", "frame": 0, "box": [1, 1, 0, 5]}, "has no size"),
        ({"kind": "click", "frame": 0, "point": ["a", 1]}, "cannot be read"),
    ],
)
def test_bad_marks_are_explained(visitor, ready, mark, says):
    answer = visitor.mark(ready, [mark])
    assert answer.status_code in (400, 422)
    assert says in answer.json()["error"]


def test_clicks_are_shown_before_they_are_used(visitor, ready):
    path = f"/api/clips/{ready['id']}/click"
    answer = visitor.ask("POST", path, json={"frame": 8, "point": [70, 48]})
    found = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_GRAYSCALE) > 127
    assert (found & DISC).sum() / (found | DISC).sum() > 0.85
    assert visitor.ask("POST", path, json={"frame": 99, "point": [1, 1]}).status_code == 400
    assert visitor.ask("POST", path, json={"frame": 0, "point": [900, 1]}).status_code == 400


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("it is wrong; use `dilate=3`", "it is wrong"),
        ("it is wrong: a, b; mend it", "it is wrong: a, b; mend it"),
        ("use `overwrite=True`", "use `overwrite=True`"),
    ],
)
def test_options_of_the_command_line_are_not_named(message, kept):
    assert drop_options(message) == kept
