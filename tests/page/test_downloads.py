"""Downloads: whole, or in the ranges of bytes that a request asks for."""

import email

import pytest
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from cleanplate.page.downloads import parse_ranges, send_file

from .conftest import run_apart

DATA = bytes(range(100)) * 3


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "clean.mp4"
    path.write_bytes(DATA)
    return path


def download(path, **headers):
    """The answer, and its body."""
    asked = Headers({name.replace("_", "-"): value for name, value in headers.items()})
    answer = send_file(path, asked, "a clip.mp4")

    async def read():
        return b"".join([part async for part in answer.body_iterator])

    body = run_apart(read())
    assert int(answer.headers["content-length"]) == len(body)
    return answer, body


@pytest.mark.parametrize(
    ("header", "ranges"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-0,5-9", [(0, 1), (5, 10)]),
        ("Bytes = 5-9 , 0-0", [(0, 1), (5, 10)]),
        ("bytes=290-", [(290, 300)]),
        ("bytes=-10", [(290, 300)]),
        ("bytes=-999", [(0, 300)]),
        ("bytes=0-" + "9" * 5000, [(0, 300)]),
        ("bytes=-" + "9" * 5000, [(0, 300)]),
        ("bytes=" + "0" * 5000 + "7-8", [(7, 9)]),
        ("bytes=0-9,5-19,20-29", [(0, 30)]),
        ("bytes=0-9,-295,50-60", [(0, 300)]),
        ("bytes=0-0,900-999", [(0, 1)]),
        ("bytes=,0-0, ,", [(0, 1)]),
        ("bytes=" + ",".join("0-1" for _ in range(16)), [(0, 2)]),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=5-4", None),
        ("bytes=5-4,0-0", None),
        ("bytes=" + "9" * 5000 + "-" + "8" * 5000, None),
        ("bytes=a-b", None),
        ("bytes=1_0-20", None),
        ("bytes=+1-20", None),
        ("bytes=\u0661-\u0662", None),
        ("bytes", None),
        ("frames=0-1", None),
        ("", None),
    ],
)
def test_ranges_are_read(header, ranges):
    found = parse_ranges(header, 300)
    assert found == (None if ranges is None else [range(*one) for one in ranges])


@pytest.mark.parametrize(
    "header",
    ["bytes=300-", "bytes=-0", "bytes=" + "9" * 5000 + "-", "bytes=300-400,500-",
     "bytes=" + ",".join(f"{3 * index}-{3 * index}" for index in range(17)),
     "bytes=" + "0-1," * 1000],
)  # fmt: skip
def test_ranges_outside_and_too_many_are_refused(path, header):
    with pytest.raises(HTTPException) as refusal:
        download(path, range=header)
    assert refusal.value.status_code == 416
    assert refusal.value.headers == {"Content-Range": "bytes */300"}


def test_an_empty_file_has_no_ranges(path):
    path.write_bytes(b"")
    assert download(path)[1] == b""
    with pytest.raises(HTTPException):
        download(path, range="bytes=0-")


def test_all_or_one_range_is_sent_as_it_is(path):
    answer, body = download(path)
    assert (answer.status_code, body) == (200, DATA)
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-disposition"] == "attachment; filename*=utf-8''a%20clip.mp4"
    answer, body = download(path, range="bytes=5-9,8-19")
    assert (answer.status_code, body) == (206, DATA[5:20])
    assert answer.headers["content-range"] == "bytes 5-19/300"


def test_several_ranges_are_parts_of_one_answer(path):
    answer, body = download(path, range="bytes=-3,0-0,5-9")
    assert answer.status_code == 206
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    parts = email.message_from_bytes(head + body).get_payload()
    assert [part["content-range"] for part in parts] == [
        "bytes 0-0/300", "bytes 5-9/300", "bytes 297-299/300",
    ]  # fmt: skip
    sent = [part.get_payload(decode=True) for part in parts]
    assert sent == [DATA[:1], DATA[5:10], DATA[-3:]]


def test_a_range_of_another_version_of_the_file_is_not_sent(path):
    tag = download(path)[0].headers["etag"]
    assert download(path, range="bytes=0-0", if_range=tag)[0].status_code == 206
    assert download(path, range="bytes=0-0", if_range='"other"')[0].status_code == 200


def test_a_file_that_is_gone_is_said(tmp_path):
    with pytest.raises(HTTPException) as refusal:
        download(tmp_path / "absent")
    assert refusal.value.status_code == 404
