"""Opening video files: local files only, whatever their names look like."""

from __future__ import annotations

import io
import os
from functools import cache
from pathlib import Path
from typing import Any

import av

from cleanplate.errors import VideoError
from cleanplate.inputs import check_file
from cleanplate.places import check_local, make_absolute
from cleanplate.video.boxes import check_claims
from cleanplate.video.limits import most_pixels

# Demuxers of single files. Playlists, concatenation scripts, devices and image patterns, all of
# which open other things than the file that was named, are left out.
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,nut,mxf,dv,gif,"
    "apng,yuv4mpegpipe,ivf,h264,hevc,av1,obu,rm,wtv,gxf"
)

MUXERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""Output suffix → FFmpeg's muxer."""


def local_url(path: Path) -> str:
    """The name under which FFmpeg opens exactly this file, even if it looks like an address."""
    return f"file:{make_absolute(path)}"


@cache
def list_codecs(muxer: str) -> frozenset[str]:
    """FFmpeg's names of the codecs that a muxer can hold."""
    with av.open(io.BytesIO(), "w", format=muxer) as container:
        return frozenset(container.supported_codecs)


def open_source(path: Path) -> Any:
    """Open a video file for reading as an `av.container.InputContainer`.

    Its decoders give no frame beyond `most_pixels`. Raises VideoError when it is not there, not
    readable or not a video.
    """
    try:
        check_file(path)
        if os.path.getsize(path) == 0:
            raise VideoError(f"'{path}' is an empty file; give a complete video")
        check_claims(path)
    except FileNotFoundError:
        check_local(path, VideoError)
        raise VideoError(
            f"'{path}' does not exist; give a video file or a folder of images"
        ) from None
    except OSError as error:
        raise VideoError(
            f"'{path}' cannot be read: {error.strerror}; give a video file or a folder of images"
        ) from None
    # Decoders add rims and whole blocks; the exact limit is checked on what they give.
    options = {"max_pixels": str(most_pixels() * 5 // 4 + (1 << 16))}
    strict = {"protocol_whitelist": "file", "format_whitelist": DEMUXERS, **options}
    try:
        container = av.open(local_url(path), options=strict, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        raise VideoError(
            f"'{path}' is not a video that can be opened (damaged, cut short or another kind of"
            f" file): {reason(error)}; try to play it, or copy it again"
        ) from None
    for stream in container.streams.video:
        if stream.codec_context is not None:
            stream.codec_context.options = options
    return container


def reason(error: BaseException) -> str:
    """FFmpeg's words for an error, without numbers and file names."""
    return str(getattr(error, "strerror", None) or error)
