"""Only the file that was named is opened, whatever its name or its content asks for."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cleanplate.errors import CleanplateError, MaskError, VideoError
from cleanplate.masks import open_mask
from cleanplate.video import open_reader, probe
from cleanplate.video.encoding import DEMUXERS, local_url


@pytest.fixture
def trap() -> Iterator[tuple[str, list[bytes]]]:
    """A server's address, and what it was asked for."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            while True:
                try:
                    visitor, _ = listener.accept()
                except OSError:
                    return
                with visitor:
                    asked.append(visitor.recv(100))

        thread = threading.Thread(target=listen)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


NAMES = (
    "http://ADDRESS/a.mp4", "tcp://ADDRESS", "rtmp://ADDRESS/a", "rtp://ADDRESS", "udp://ADDRESS",
    "concat:VIDEO|VIDEO", "concatf:LIST", "subfile,,start,0,end,0,,:VIDEO", "crypto:VIDEO",
    "cache:VIDEO", "async:VIDEO", "data:video/mp4;base64,AAAA", "pipe:0", "-", "fd:", "file:VIDEO",
    "file,,:VIDEO", "hls+file:VIDEO", "md5:VIDEO", "tee:VIDEO", "%d.png", "%03d.png", "*.mp4",
    "lavfi:testsrc", "testsrc", "/dev/video0", "ffrtmphttp://ADDRESS", "gopher://ADDRESS/a",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_a_name(
    name: str, make_clip: Callable[..., Path], trap: tuple[str, list[bytes]], monkeypatch, tmp_path
) -> None:
    address, asked = trap
    video = make_clip("0.mp4")
    (tmp_path / "LIST").write_text(f"{video}\n")
    monkeypatch.chdir(tmp_path)
    given = name.replace("ADDRESS", address).replace("VIDEO", str(video))
    for open_it in (probe, lambda path: open_mask(path).prepare(probe(video))):
        with pytest.raises((VideoError, MaskError)):
            open_it(given)
    assert asked == []


def test_a_file_may_have_the_name_of_an_address(make_clip: Callable[..., Path], tmp_path) -> None:
    plain = make_clip("0.mp4")
    for name in (
        "http:a.mp4",
        "concat:0.mp4|0.mp4",
        "%03d.mp4",
        "a*?[b].mp4",
        "-i.mp4",
        "a b'.mp4",
    ):
        path = tmp_path / name
        path.write_bytes(plain.read_bytes())
        with open_reader(path) as reader:
            assert len(list(reader)) == 8


PLAYLISTS = {
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nADDRESS\n#EXT-X-ENDLIST\n",
    "key.m3u8": '#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXT-X-KEY:METHOD=AES-128,URI="ADDRESS"\n'
    "#EXTINF:9,\n0.mp4\n#EXT-X-ENDLIST\n",
    "list.ffconcat": "ffconcat version 1.0\nfile ADDRESS\n",
    "call.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "list.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"'
    ' mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4"><Representation'
    ' id="1" bandwidth="1"><BaseURL>ADDRESS</BaseURL></Representation></AdaptationSet></Period>'
    "</MPD>",
    "list.asx": '<asx version="3.0"><entry><ref href="ADDRESS"/></entry></asx>',
    "list.ism": '<SmoothStreamingMedia MajorVersion="2"><StreamIndex Type="video" Url="ADDRESS"/>'
    "</SmoothStreamingMedia>",
    "list.imf": '<?xml version="1.0"?><CompositionPlaylist><Id>ADDRESS</Id></CompositionPlaylist>',
    "graph.avs": 'AVISource("ADDRESS")',
}


@pytest.mark.parametrize("shown", ["its own suffix", ".mp4"])
@pytest.mark.parametrize("target", ["http://ADDRESS/a.ts", "VIDEO", "file:VIDEO", "concat:VIDEO"])
@pytest.mark.parametrize("name", PLAYLISTS)
def test_no_playlist_is_followed(
    name: str, target: str, shown: str, make_clip, trap: tuple[str, list[bytes]], tmp_path: Path
) -> None:
    address, asked = trap
    video = make_clip("0.mp4", frames=2)
    place = target.replace("ADDRESS", address).replace("VIDEO", str(video))
    path = tmp_path / (name if shown != ".mp4" else f"{name}.mp4")
    path.write_text(PLAYLISTS[name].replace("ADDRESS", place))
    before = video.stat().st_atime_ns
    os.utime(video, ns=(before - 10**15, video.stat().st_mtime_ns - 10**9))
    stamp = video.stat().st_atime_ns
    with pytest.raises(VideoError, match="not a video that can be opened"):
        probe(path)
    assert asked == []
    assert video.stat().st_atime_ns == stamp, "the file that the list names was read"


def test_a_film_that_refers_to_another_file_is_not_followed(make_clip, tmp_path: Path) -> None:
    """QuickTime may keep its pictures elsewhere: a data reference by path instead of to itself."""
    secret = make_clip("secret.mov")
    data = secret.read_bytes()
    at = data.index(b"url \0\0\0\x01") - 4
    name = f"file://{secret}\0".encode()
    reference = (12 + len(name)).to_bytes(4, "big") + b"url \0\0\0\0" + name
    grown = data[:at] + reference + data[at + 12 :]
    for box in (b"dref", b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        start = grown.rindex(box, 0, at) - 4
        size = int.from_bytes(grown[start : start + 4], "big") + len(reference) - 12
        grown = grown[:start] + size.to_bytes(4, "big") + grown[start + 4 :]
    start = grown.index(b"mdat") - 4
    size = int.from_bytes(grown[start : start + 4], "big")
    path = tmp_path / "refers.mov"
    path.write_bytes(grown[: start + 8] + bytes(size - 8) + grown[start + size :])
    with pytest.raises(CleanplateError), open_reader(path) as reader:
        list(reader)


def test_no_demuxer_opens_other_files() -> None:
    followers = {"hls", "dash", "concat", "sdp", "rtsp", "image2", "imf", "vapoursynth", "avisynth",
                 "lavfi", "smoothstreaming", "applehttp", "rtp", "webm_dash_manifest"}  # fmt: skip
    assert not followers & set(DEMUXERS.split(","))


def test_the_folder_above_a_link_is_the_one_that_the_system_finds(tmp_path: Path) -> None:
    (tmp_path / "far/inside").mkdir(parents=True)
    (tmp_path / "link").symlink_to("far/inside")
    assert local_url(tmp_path / "link/../a.mp4") == f"file:{tmp_path}/far/a.mp4"
