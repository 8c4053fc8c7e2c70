"""Interlaced pictures: two fields woven into a frame, each of a moment of its own."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from typing import Any

import av

PROGRESSIVE, TOP_FIRST, BOTTOM_FIRST = 1, 2, 3
"""Of AVFieldOrder, which also has 4 and 5: the same as 2 and 3, for fields stored woven."""
INTERLACED = (2, 3, 4, 5)
_TOP_FIRST = (2, 4)

# HEVC has no woven pictures: its fields are pictures, of half the height each.
_NEVER_WOVEN = ("hevc",)


# Whose pictures may be flagged one by one. All others are alike from the first one on.
_MIXED = ("mpeg2video", "h264", "vc1")


def is_top_first(order: int) -> bool:
    """Whether the field with the frame's first line is the earlier one."""
    return order in _TOP_FIRST


def name_order(order: int) -> str:
    """An AVFieldOrder in words."""
    if order not in INTERLACED:
        return "progressive"
    return "top field first" if is_top_first(order) else "bottom field first"


def find_order(frame: Any, stated: int, codec: str) -> int:
    """AVFieldOrder of a stream by one decoded frame, and by what the file's header says.

    A frame knows better than a header which field comes first; one that says nothing is taken
    for what the header says.
    """
    if codec in _NEVER_WOVEN:
        return PROGRESSIVE
    if not frame.interlaced_frame:
        return stated if stated in INTERLACED else PROGRESSIVE
    top_first = _shows_top_first(frame)
    if stated in INTERLACED and is_top_first(stated) == top_first:
        return stated
    return TOP_FIRST if top_first else BOTTOM_FIRST


class KeyPictures:
    """Looks for an interlaced picture among the key pictures of a stream: the 1st, 2nd, 4th, 8th …

    Broadcasts mix both kinds and may begin with either. Few are decoded however long the stream is.
    """

    def __init__(self, stream: Any) -> None:
        context = stream.codec_context
        self._context = context if context.codec.canonical_name in _MIXED else None
        self._count = 0
        self.interlaced: Any = None
        """The first decoded frame that is."""

    def look(self, packet: Any) -> None:
        """Take the next packet of the stream."""
        if self._context is None or self.interlaced is not None or not packet.is_keyframe:
            return
        self._count += 1
        if self._count & (self._count - 1):
            return
        frames: list[Any] = []
        with suppress(av.error.FFmpegError):  # whoever reads the pictures in order will say so
            frames = [*self._context.decode(packet), *self._context.decode(None)]
        self._context.flush_buffers()
        self.interlaced = next((frame for frame in frames if frame.interlaced_frame), None)


class FieldMarker:
    """Marks frames as progressive, or as interlaced in one order; their samples are shared.

    swscale converts by this mark, and encoders code by it. PyAV can read a part of it only and
    write none, so FFmpeg's filters do both.
    """

    def __init__(self, order: int) -> None:
        self._mode = "prog"
        if order in INTERLACED:
            self._mode = "tff" if is_top_first(order) else "bff"
        self._graph: Any = None
        self._takes: tuple[int, int, str] | None = None

    def mark(self, frame: Any) -> Any:
        """A frame with the same samples and properties, and the mark."""
        takes = (frame.width, frame.height, frame.format.name)
        if takes != self._takes:
            self._takes = takes
            self._graph = make_graph(frame, "setfield", f"mode={self._mode}")
        self._graph.push(frame)
        marked = self._graph.pull()
        marked.pts = frame.pts
        if frame.time_base is not None:
            marked.time_base = frame.time_base
        return marked


def _shows_top_first(frame: Any) -> bool:
    graph = make_graph(frame, "select", "expr='eq(interlace_type,TOPFIRST)'")
    graph.push(frame)
    try:
        graph.pull()
    except BlockingIOError:  # it was not let through
        return False
    return True


def make_graph(frame: Any, name: str, options: str = "") -> Any:
    """A graph of one filter for frames like `frame`."""
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width,
        height=frame.height,
        format=frame.format.name,
        time_base=frame.time_base or Fraction(1, 25),
    )
    step, sink = graph.add(name, options or None), graph.add("buffersink")
    source.link_to(step)
    step.link_to(sink)
    graph.configure()
    return graph
