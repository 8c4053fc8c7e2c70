"""How coarsely a video was coded, by what its decoder says."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from typing import Any

import av
import numpy as np

from cleanplate.video.encoding import open_source
from cleanplate.video.info import VideoInfo
from cleanplate.video.probe import find_video_stream

_PICTURES = 24
"""Pictures that are asked, at most."""
_H264 = 1
"""FFmpeg's number of the scale of H.264's quantiser parameters."""
_HEADER, _BLOCK_PARAMETER = 24, 16
_STEP = 0.33
"""Standard deviation of coding noise, in steps of the quantiser."""
_ROUNDING = 0.3


def estimate_coding_noise(info: VideoInfo) -> float | None:
    """Standard deviation of the coding noise of luma, in levels of 255; None if unknown.

    Known for H.264, whose decoder gives the quantiser of each block.
    """
    if info.kind != "video" or not info.has_planes:
        return None
    found: list[float] = []
    with suppress(av.error.FFmpegError), open_source(info.path) as container:
        stream = find_video_stream(container)
        options = {**stream.codec_context.options, "export_side_data": "venc_params"}
        stream.codec_context.options = options
        for frame in islice(container.decode(stream), _PICTURES):
            found += _read_parameters(frame)
    if not found:
        return None
    step = 2 ** ((float(np.mean(found)) - 4) / 6)
    return _ROUNDING + _STEP * step


def _read_parameters(frame: Any) -> list[float]:
    """Mean quantiser parameter of a frame, from FFmpeg's AVVideoEncParams."""
    for one in frame.side_data:
        if one.type.name != "VIDEO_ENC_PARAMS":
            continue
        data = np.frombuffer(bytes(one), np.uint8)
        if len(data) < _HEADER + 8:
            return []
        count = int(data[:4].view(np.uint32)[0])
        start, size = (int(number) for number in data[8:24].view(np.uint64))
        kind, base = (int(number) for number in data[24:32].view(np.int32))
        if kind != _H264:
            return []
        blocks = data[start : start + count * size]
        if not count or size < _BLOCK_PARAMETER + 4 or len(blocks) != count * size:
            return [float(base)]
        table = blocks.reshape(count, size)[:, _BLOCK_PARAMETER : _BLOCK_PARAMETER + 4]
        return [base + float(np.ascontiguousarray(table).view(np.int32).mean())]
    return []
