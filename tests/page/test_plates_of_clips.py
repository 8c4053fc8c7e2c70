"""Clean plates on the page: shown after a removal, replaced by an edited picture, restored."""

import cv2
import numpy as np
import pytest

from .conftest import SIZE

WIDTH, HEIGHT = SIZE
BOX = {"kind": "box", "frame": 0, "box": [60, 30, 30, 30]}


@pytest.fixture
def visitor(shared):
    return shared()


@pytest.fixture
def done(visitor, scene):
    """A clip with a fixed rectangle removed."""
    clip = visitor.wait(visitor.upload(scene.read_bytes()))
    assert visitor.mark(clip, [BOX], kind="fixed").status_code == 200
    for kind, options in (("track", {}), ("remove", {"lossless": True})):
        assert visitor.order(clip, kind, **options).status_code == 202
        clip = visitor.wait(clip)
        assert clip["job"]["status"] == "done", clip["job"]
    return clip


def find_plate(clip, number=0):
    return f"/api/clips/{clip['id']}/plates/{clip['plates']['version']}/{number}"


def read(answer):
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    return cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR)


def encode(picture, suffix=".png"):
    return cv2.imencode(suffix, picture)[1].tobytes()


def read_result(visitor, clip, index):
    path = f"/api/clips/{clip['id']}/results/{clip['result']['version']}/frames/{index}"
    return cv2.imdecode(np.frombuffer(visitor.ask("GET", path).content, np.uint8), 1)


def test_a_plate_is_replaced_used_and_restored(visitor, done, shared_folder):
    (plate,) = done["plates"]["pictures"]
    assert plate["frame"] == 0
    assert not plate["replaced"]
    picture = read(visitor.ask("GET", find_plate(done)))
    assert picture.shape == (HEIGHT, WIDTH, 3)
    origin = read(visitor.ask("GET", f"{find_plate(done)}?origin=true"))
    assert {tuple(colour) for colour in origin[40:50, 70:80].reshape(-1, 3)} <= {
        (75, 180, 60), (60, 40, 230)
    }  # fmt: skip
    edited = picture.copy()
    edited[38:52, 68:82] = (255, 0, 255)
    answer = visitor.ask("PUT", find_plate(done), content=encode(edited))
    assert answer.status_code == 202
    now = visitor.wait(done)
    assert now["job"]["status"] == "done", now["job"]
    assert now["plates"]["pictures"][0]["replaced"]
    assert now["result"]["stale"]
    np.testing.assert_array_equal(read(visitor.ask("GET", find_plate(now))), edited)

    assert visitor.order(now, "remove", lossless=True).status_code == 202
    used = visitor.wait(now)
    assert used["job"]["status"] == "done", used["job"]
    assert not used["result"]["stale"]
    assert used["plates"] == now["plates"]
    for index in (0, 8, 15):
        middle = read_result(visitor, used, index)[43:47, 73:77].astype(int)
        assert np.abs(middle - (255, 0, 255)).max() < 60

    restored = visitor.ask("DELETE", find_plate(used)).json()
    assert not restored["plates"]["pictures"][0]["replaced"]
    assert restored["result"]["stale"]
    np.testing.assert_array_equal(read(visitor.ask("GET", find_plate(restored))), picture)
    assert len(list(shared_folder.rglob(f"{done['id']}/plates-*"))) == 1
    assert list(shared_folder.rglob(f"{done['id']}/arrived-*")) == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (encode(np.zeros((20, 30, 3), np.uint8)), "is 30x20, but the video is 160x96"),
        (b"text", "damaged or no image"),
    ],
)
def test_a_picture_that_is_no_plate_changes_nothing(visitor, done, shared_folder, body, says):
    assert visitor.ask("PUT", find_plate(done), content=body).status_code == 202
    now = visitor.wait(done)
    assert now["job"]["status"] == "failed"
    assert says in now["job"]["message"]
    assert str(shared_folder) not in now["job"]["message"]
    assert now["plates"] == done["plates"]
    assert not now["result"]["stale"]
    assert list(shared_folder.rglob(f"{done['id']}/arrived-*")) == []


def test_requests_for_plates_are_checked(visitor, shared, done):
    path = find_plate(done)
    body = encode(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    for method in ("GET", "PUT", "DELETE"):
        content = body if method == "PUT" else None
        for wrong in (find_plate(done, 7), path.replace("/plates/", "/plates/9")):
            assert visitor.ask(method, wrong, content=content).status_code == 404
        assert shared().ask(method, path, content=content).status_code == 404
    answer = visitor.ask("PUT", path, content=bytes(8 * WIDTH * HEIGHT + (1 << 20) + 1))
    assert answer.status_code == 413
    assert "the picture is larger than" in answer.json()["error"]
    assert visitor.ask("PUT", path, content=b"").status_code == 400
    assert visitor.look(done)["plates"] == done["plates"]
