"""Requests that nobody sends by mistake: refused in words, never a fault of the server.

`CLEANPLATE_EXAMPLES=5000` tries that many of each kind.
"""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from(["box", "brush", "erase", "moving", "text", "../../etc", "\0", "9" * 99])
    | st.text(max_size=8)
)
NAMES = st.sampled_from(
    ["kind", "frame", "box", "point", "points", "radius", "marks", "revision", "shadows", "dilate",
     "lossless", "__class__"]
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5)
)
MARKS = st.fixed_dictionaries(
    {"kind": st.sampled_from(["box", "brush", "erase", "click"]), "frame": VALUES},
    optional={"box": VALUES, "point": VALUES, "points": VALUES, "radius": VALUES},
)
THINGS = st.lists(
    st.fixed_dictionaries(
        {"marks": st.lists(MARKS, max_size=3)},
        optional={"id": VALUES, "name": VALUES, "on": VALUES, "first": VALUES, "last": VALUES},
    ),
    max_size=3,
)
BODIES = VALUES | st.fixed_dictionaries(
    {"revision": VALUES, "marks": st.fixed_dictionaries({"things": THINGS})}
)
PATIENT = settings(
    max_examples=int(os.environ.get("CLEANPLATE_EXAMPLES", "60")),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def target(shared, scene):
    """A visitor with a clip that is ready."""
    visitor = shared()
    return visitor, visitor.wait(visitor.upload(scene.read_bytes()))


def check(answer):
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400 and answer.request.method != "HEAD":
        message = answer.json()["error"]
        assert "Traceback" not in message
        assert "/cleanplate/" not in message


@PATIENT
@given(body=BODIES, place=st.sampled_from([("PUT", "marks"), ("POST", "click"), ("POST", "job")]))
def test_any_json_is_answered(target, body, place):
    visitor, clip = target
    method, name = place
    path = f"/api/clips/{clip['id']}/{name}"
    kind = {"Content-Type": "application/json"}
    check(visitor.ask(method, path, content=json.dumps(body), headers=kind))
    visitor.ask("DELETE", f"/api/clips/{clip['id']}/job")


@pytest.mark.parametrize("count", [20, 300, 4000, 5000])
def test_numbers_of_many_digits_are_answered(target, count):
    visitor, clip = target
    number = "9" * count
    root = f"/api/clips/{clip['id']}"
    for sign in ("", "-"):
        for end in ("frames/N", "masks/N/0", "masks/1/N", "results/N/frames/0", "N"):
            answer = visitor.ask("GET", f"{root}/{end.replace('N', sign + number)}")
            check(answer)
            assert answer.status_code in (404, 422)
        for method, end, body in (
            ("PUT", "marks", '{"revision": N, "marks": {}}'),
            ("PUT", "marks", '{"revision": 0, "marks": {"things": [{"marks": [{"kind": "box",'
             ' "frame": N, "box": [N, 1, 2, N]}]}]}}'),
            ("POST", "click", '{"frame": N, "point": [N, N]}'),
            ("POST", "job", '{"kind": "remove", "dilate": N}'),
        ):  # fmt: skip
            answer = visitor.ask(method, f"{root}/{end}", content=body.replace("N", sign + number))
            check(answer)
            assert 400 <= answer.status_code < 500


def test_what_was_sent_is_not_sent_back_at_length(target):
    visitor, clip = target
    path = f"/api/clips/{clip['id']}/marks"
    long = "x" * 1_000_000
    for marks in ({long: 1}, {"things": [{"marks": [{"kind": long}]}]}):
        answer = visitor.ask("PUT", path, json={"revision": 0, "marks": marks})
        assert answer.status_code == 422
        assert len(answer.content) < 1000


@PATIENT
@given(body=st.binary(max_size=200), kind=st.sampled_from(["application/json", "text/plain", "\t"]))
def test_any_bytes_are_answered(target, body, kind):
    visitor, clip = target
    path = f"/api/clips/{clip['id']}/marks"
    check(visitor.ask("PUT", path, content=body, headers={"Content-Type": kind}))


@PATIENT
@given(
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"]),
    parts=st.lists(
        st.sampled_from(
            ["api", "clips", "static", "frames", "masks", "results", "..", "%2e%2e", "%00", "-1",
             "1e9", "9" * 40, "é", "session", "job", "etc", "passwd", ""]
        ),
        max_size=6,
    ),
)  # fmt: skip
def test_any_path_is_answered(target, method, parts):
    visitor, _ = target
    check(visitor.ask(method, "http://127.0.0.1/" + "/".join(parts), follow_redirects=False))


@PATIENT
@given(name=st.text(max_size=60), body=st.binary(min_size=1, max_size=300))
def test_any_upload_is_answered_and_its_name_is_only_shown(target, name, body):
    visitor, _ = target
    answer = visitor.ask("POST", "/api/clips", params={"name": name}, content=body)
    check(answer)
    if answer.status_code == 201:
        shown = answer.json()["name"]
        assert shown
        assert not set(shown) & set('/\\"<>|:*?\0\r\n')
        assert visitor.ask("DELETE", f"/api/clips/{answer.json()['id']}").status_code == 204
