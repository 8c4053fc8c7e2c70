"""`cleanplate pipe`: a filter between two programs, from standard input to standard output."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cleanplate.cli.options import (
    FilePath,
    invert_option,
    mask_threshold_option,
    removal_options,
)
from cleanplate.errors import EncodeError, InputError

if TYPE_CHECKING:
    from cleanplate.masks import MaskSource


@click.command(short_help="Remove from a stream between two programs, such as ffmpeg.")
@click.option(
    "--mask",
    "paths",
    multiple=True,
    metavar="PATH",
    type=FilePath(path_type=Path),
    help="As in `cleanplate remove`.",
)
@click.option(
    "--box",
    "boxes",
    multiple=True,
    metavar="X,Y,W,H[@START-END]",
    help="As in `cleanplate remove`.",
)
@invert_option
@mask_threshold_option
@removal_options("method", "model", "blend", "dilate", "feather", "exact_mask", "fields")
@removal_options("device", "precision", "threads", "max_memory")
def pipe(
    paths: tuple[Path, ...],
    boxes: tuple[str, ...],
    invert: bool,
    mask_threshold: int,
    **options: Any,
) -> None:
    """Remove from uncompressed video (y4m) on standard input, and write it to standard output.

    \b
    ffmpeg -i clip.mp4 -f yuv4mpegpipe -strict -1 - | cleanplate pipe --mask logo.png |
      ffmpeg -i - -i clip.mp4 -map 0:v -map 1:a? -c:a copy clean.mp4

    The frames are those of `cleanplate remove`, except in shots of more than 250 frames (96 at
    1920x1080), which are looked at in parts. At most that many, and 88 more, are held back.
    """
    context = click.get_current_context()
    if not (paths or boxes):
        raise click.UsageError("nothing to remove: give --mask or --box", context)
    if invert and not paths:
        raise click.UsageError("--invert needs --mask", context)
    if sys.stdin is None or sys.stdout is None:
        raise InputError("standard input or output is closed; pipe y4m in and out")
    if sys.stdin.isatty():
        raise InputError(
            "nothing is piped into it; pipe y4m into it, as ffmpeg -i clip.mp4 -f yuv4mpegpipe -"
            " does"
        )
    if sys.stdout.isatty():
        raise InputError("the output is video; pipe it into a program or a file")
    from cleanplate.masks import BoxMask, TimedBox, Union, open_mask
    from cleanplate.motion.propagation import limit_threads
    from cleanplate.options import RemoveOptions
    from cleanplate.removal.stream import filter_stream

    settings = RemoveOptions(**options)
    if settings.threads:
        limit_threads(settings.threads)
    sources: list[MaskSource] = []
    if boxes:
        sources.append(BoxMask([TimedBox.parse(text) for text in boxes]))
    sources += [open_mask(path, threshold=mask_threshold, invert=invert) for path in paths]
    counts = [count for count in map(_count_frames, paths) if count is not None]
    try:
        filter_stream(
            sys.stdin.buffer,
            sys.stdout.buffer,
            Union(sources),
            settings,
            counts[0] if counts else None,
        )
    except BrokenPipeError:
        # Python would fail again when it flushes the output at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise EncodeError(
            "the program that reads the output stopped before its end; see its message"
        ) from None
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise EncodeError(
            f"the stream was cut off: {error.strerror or error}; free space where it is written"
        ) from None


def _count_frames(path: Path) -> int | None:
    """Count the frames of a mask; None for one image, which belongs to any number."""
    from cleanplate.video import probe

    info = probe(path)
    return info.frame_count if info.kind == "video" or path.is_dir() else None
