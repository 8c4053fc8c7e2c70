"""Write finished pictures as a video, with the other tracks of the source."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
from av.codec.context import Flags

from cleanplate.errors import OutputError
from cleanplate.video.colour import Reshaper
from cleanplate.video.compositing import Compositor, WriteTask
from cleanplate.video.encoding import MUXERS, Encoding, local_url, open_source, reason
from cleanplate.video.info import FieldMarker, VideoInfo
from cleanplate.video.probe import find_video_stream
from cleanplate.video.tracks import Tracks, has_own_keys, kept_metadata


def _film_options(info: VideoInfo) -> dict[str, str]:
    """Choose options for MP4 and QuickTime: fast start, exact timestamps and metadata.

    Edit lists, which store the start of a track, count in the movie's time scale. Use a multiple of
    the pictures' ticks that is as fine as sound.
    """
    ticks = info.time_base.denominator
    keys = "+use_metadata_tags" if info.kind == "video" and has_own_keys(info.path) else ""
    scale = str(min(ticks * -(-48_000 // ticks), 2**31 - 1))
    return {"movflags": f"+faststart{keys}", "movie_timescale": scale}


class FrameMaker(Protocol):
    """A `Compositor`, or another way to make frames."""

    def to_frame(self, work: WriteTask) -> Any:
        """Make an `av.VideoFrame`."""


class VideoFile:
    """Video being written, with all its tracks; `frames` makes them instead of a `Compositor`."""

    def __init__(
        self,
        path: Path,
        info: VideoInfo,
        result: VideoInfo,
        encoding: Encoding,
        suffix: str,
        threads: int,
        audio: bool,
        frames: FrameMaker | None = None,
    ) -> None:
        self._info, self._threads = info, threads
        self._result = result
        self._encoding = encoding
        self._compositor = frames or Compositor(info, result)
        self._reshape = Reshaper(info, result) if info.has_planes else None
        self._fields = FieldMarker(result.field_order) if encoding.codes_fields else None
        self._tracks: Tracks | None = None
        self._held: WriteTask | None = None
        """The latest picture; its duration is known when the next one arrives."""
        muxer = MUXERS[suffix]
        options = {"fflags": "+bitexact"}  # no random identifiers: equal runs give equal bytes
        if muxer in ("mp4", "mov"):
            options |= _film_options(info)
        try:
            self._container = av.open(local_url(path), "w", format=muxer, container_options=options)
            self._stream = self._add_pictures()
            if info.kind == "video":
                self._tracks = Tracks(info, self._container, suffix, audio=audio)
            self._container.start_encoding()
        except (av.error.FFmpegError, ValueError) as error:
            self.discard()
            raise OutputError(
                f"a {suffix} file cannot be begun in '{path.parent}' for this video:"
                f" {reason(error)}; use another place or .mkv"
            ) from None
        except BaseException:
            self.discard()
            raise

    def write(self, work: WriteTask) -> None:
        """Encode the picture before this one, whose duration is now known."""
        # Sound before this picture goes first: muxers expect packets of all tracks by time.
        if self._tracks is not None:
            self._tracks.copy_until(work.picture.time)
        self._encode_held(work.picture.time)
        self._held = work

    def finish(self) -> None:
        """Encode and copy all that is left, and close the file."""
        self._encode_held(self._info.end)
        # Flush: the encoder still holds the pictures of its lookahead.
        self._container.mux(self._stream.encode(None))
        if self._tracks is not None:
            self._tracks.copy_until(None)
            self._tracks.close()
        self._container.close()

    def discard(self) -> None:
        """Close the file; the caller removes it."""
        if self._tracks is not None:
            self._tracks.close()
        if hasattr(self, "_container"):
            # Writing the trailer fails, too, on a full disk; the file is removed anyway.
            with suppress(av.error.FFmpegError, OSError, ValueError):
                self._container.close()

    def _add_pictures(self) -> Any:
        """Add the video stream with all tags, which must be set before anything is encoded."""
        result, encoding = self._result, self._encoding
        options = dict(encoding.options)
        if result.chroma_siting:
            options["chroma_sample_location"] = result.chroma_siting
        stream = self._container.add_stream(encoding.codec, rate=result.rate, options=options)
        context = stream.codec_context
        context.thread_count = self._threads
        context.flags |= Flags.frame_duration  # otherwise the last picture gets a mean duration
        context.width, context.height = result.size.width, result.size.height
        context.pix_fmt = encoding.pixel_format
        context.time_base = stream.time_base = result.time_base
        if result.sample_aspect_ratio:
            context.sample_aspect_ratio = result.sample_aspect_ratio
        # FFmpeg's numbers: range 2 is full, matrix 2 is unspecified.
        context.color_range = 2 if result.is_full_range else result.color_range
        context.color_primaries = result.color_primaries
        context.color_trc = result.color_transfer
        if result.format.family != "rgb":
            context.colorspace = result.color_matrix or 2
        if result.is_interlaced:
            context.field_order = result.field_order
        if result.display_matrix:
            stream.set_display_matrix(result.display_matrix)
        if encoding.codec == "libx265":
            context.codec_tag = "hvc1"  # Apple's players refuse FFmpeg's default, hev1
        if result.kind == "video":
            with open_source(result.path) as source:
                original = find_video_stream(source)
                stream.metadata.update(kept_metadata(original.metadata))
                stream.disposition = original.disposition
        return stream

    def _encode_held(self, until: Fraction | None) -> None:
        if self._held is None:
            return
        frame = self._make_frame(self._held)
        if until is not None:
            frame.duration = max(0, round((until - self._held.picture.time) / frame.time_base))
        self._container.mux(self._stream.encode(frame))

    def _make_frame(self, work: WriteTask) -> Any:
        frame = self._compositor.to_frame(work)
        if self._reshape is not None:
            frame = self._reshape.convert(frame, self._encoding.pixel_format)
        if self._fields is not None:
            frame = self._fields.mark(frame)
        # Transport streams count from an arbitrary moment; outputs start at 0.
        frame.pts = work.picture.pts - round(self._info.start / self._info.time_base)
        frame.time_base = self._info.time_base
        frame.pict_type = 0  # the encoder chooses; a decoded frame carries the source's choice
        return frame
