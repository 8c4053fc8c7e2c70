"""Colour tags of a video: range, matrix, primaries, transfer and where chroma samples lie."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from cleanplate.video.fields import make_graph
from cleanplate.video.messages import collect_messages

_UNSPECIFIED = {"color_range": 0, "colorspace": 2, "color_primaries": 2, "color_trc": 2}
"""PyAV's names of the tags, of frames as of codec contexts."""

_NOT_CODED = {
    "prores": "color_range",
    "mpeg1video": "color_range",
    "mpeg2video": "color_range",
    "mjpeg": "colorspace",
    "vp8": "colorspace",
    "dnxhd": "colorspace",
}
"""The tag for which a decoder gives a constant, since the codec's stream has no field for it.

DNxHD has one, which encoders, FFmpeg's among them, leave at BT.709.
"""

_SITING = re.compile(r" cl:(left|center|topleft|top|bottomleft|bottom)\b")


class Tags(NamedTuple):
    """Numbers as in `VideoInfo`."""

    color_range: int
    color_matrix: int
    color_primaries: int
    color_transfer: int


def read_stated(context: Any) -> dict[str, int]:
    """The tags that a container states, by PyAV's names; read them before anything is decoded."""
    return {name: int(getattr(context, name)) for name in _UNSPECIFIED}


def choose_tags(frame: Any, stated: dict[str, int], codec: str) -> Tags:
    """The tags of a decoded frame, but the container's where the codec cannot code one."""
    found = {name: int(getattr(frame, name)) for name in _UNSPECIFIED}
    name = _NOT_CODED.get(codec)
    if name is not None and stated[name] != _UNSPECIFIED[name]:
        found[name] = stated[name]
    return Tags(*found.values())


def read_siting(frame: Any) -> str:
    """Where the chroma samples of 4:2:0 lie, FFmpeg's word such as "left"; "" if unspecified.

    PyAV has no attribute for it, so FFmpeg's filter `showinfo` is asked.
    """
    if not frame.format.name.startswith(("yuv420p", "yuvj420p", "nv12")):
        return ""
    graph = make_graph(frame, "showinfo", "checksum=0:udu_sei_as_ascii=1")
    with collect_messages() as messages:
        graph.push(frame)
        graph.pull()
    found = _SITING.search(" ".join(messages))
    return found[1] if found else ""
