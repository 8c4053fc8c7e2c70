"""`filter_stream`: remove from a stream of frames while it runs, with a bounded delay."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from cleanplate.arguments import to_bytes
from cleanplate.errors import DecodeError, MaskError, memory_errors_told
from cleanplate.masks import MaskSource, still_mask
from cleanplate.options import RemoveOptions
from cleanplate.removal.arrays import Frames, Masks, feed
from cleanplate.removal.engine import Engine
from cleanplate.removal.networks import choose_filler
from cleanplate.removal.preparation import check_machine, fit_span
from cleanplate.removal.report import NOTHING_LEFT
from cleanplate.removal.shots import FileMemories, Mask
from cleanplate.types import Size
from cleanplate.video import Picture
from cleanplate.video.y4m import ENDLESS, StreamReader, StreamWriter

_HELD_PIXELS = 200_000_000
_MOST_HELD, _FEWEST_HELD = 250, 32


def count_held(size: Size) -> int:
    """Number of frames of a shot that are read ahead, which are held in memory (1 GB)."""
    fitting = _HELD_PIXELS // (size.width * size.height)
    return max(_FEWEST_HELD, min(_MOST_HELD, fitting))


class StreamLookahead(FileMemories):
    """Memories of a stream, which can be read only once: up to `most` frames of a shot are held.

    A shot of at most that many frames is known as in a file; of a longer one, each part.
    """

    def __init__(
        self, reader: StreamReader, source: MaskSource, folder: Path, rim: int, most: int
    ) -> None:
        self._held: deque[Picture] = deque()
        self._most = most
        super().__init__(self._hold(reader), source, folder, reader.info.size.shape, rim)

    def pictures(self) -> Iterator[Picture]:
        """Yield the pictures in order; ask for the mask of each before the next one.

        Raises DecodeError after the last whole one.
        """
        while True:
            if not self._held and not self._begin_part():
                break
            yield self._held.popleft()
        if self._error is not None:
            raise self._error

    def _hold(self, reader: StreamReader) -> Iterator[Picture]:
        for picture in reader:
            self._held.append(picture)
            yield picture

    def _begin_part(self) -> bool:
        """Read the first picture of the next part; False at the end of the stream."""
        picture = next(self._pictures, None)
        if picture is None:
            return False
        self._detector.begins_shot(picture.rgb)
        self._begun = picture, self._source.mask(picture.index, picture.time)
        return True

    def _read_shot(self) -> Iterator[tuple[Picture, Mask]]:
        return islice(super()._read_shot(), self._most)


def filter_stream(
    source: BinaryIO,
    target: BinaryIO,
    masks: MaskSource,
    options: RemoveOptions,
    frames: int | None = None,
) -> int:
    """Remove from a y4m stream; return the number of frames.

    Frames are written as by `remove`, but shots of more than 250 frames (fewer above 800,000
    pixels; see `count_held`) are looked at in parts. That many frames, and up to 88 that are filled
    together, are read before the first of them is written.

    Args:
        source: y4m; it is read to its end.
        target: where y4m is written; the header is that of the source.
        masks: closed at the end.
        options: as in `remove`; those of files and times have no effect.
        frames: number of frames that the masks belong to, if they end.

    Raises:
        VideoError: the source is no y4m.
        DecodeError: it ends in the middle of a frame, or before the masks do; all whole frames
            were written.
        MaskError: the masks do not fit.
        BrokenPipeError: nothing reads the target any more.
    """
    check_machine(options)
    with memory_errors_told(), closing(masks):
        reader = StreamReader(source, ENDLESS if frames is None else frames)
        info = reader.info
        masks.prepare(info)
        still = still_mask(masks)
        if still is not None and still.all():
            raise MaskError(NOTHING_LEFT)
        writer = StreamWriter(target, reader)
        rim = options.dilate + options.feather
        waiting: deque[Picture] = deque()
        errors: list[DecodeError] = []
        count = 0
        with (
            tempfile.TemporaryDirectory(prefix="cleanplate-") as folder,
            closing(
                StreamLookahead(reader, masks, Path(folder), rim, count_held(info.size))
            ) as memories,
        ):
            engine = _build_engine(reader, options, memories)
            for finished in feed(engine, _pair(memories, waiting, errors)):
                writer.write(waiting.popleft(), finished.frame, finished.touched)
                count += 1
        if errors:
            raise errors[0]
    if frames is not None and count < frames:
        raise DecodeError(
            f"the stream ended after {count} of {frames} frames, which the masks have; what writes"
            " it may have stopped early"
        )
    return count


def _pair(
    memories: StreamLookahead,
    waiting: deque[Picture],
    errors: list[DecodeError],
) -> Iterator[tuple[Frames, Masks]]:
    """Read frames with their masks; a damaged end is put in `errors`, so that the rest is kept."""
    try:
        for picture in memories.pictures():
            mask = memories.mask(picture.index, picture.time)
            waiting.append(picture)
            yield picture.rgb, mask
    except DecodeError as error:
        errors.append(error)


def _build_engine(
    reader: StreamReader, options: RemoveOptions, memories: StreamLookahead
) -> Engine:
    info = reader.info
    chosen = choose_filler(
        options.model,
        method=options.method,
        blend=options.blend,
        device=options.device,
        precision=options.precision,
    )
    network = chosen.filler is not None
    return Engine(
        info.size,
        filler=chosen.filler,
        method=options.method,
        dilate=options.dilate,
        feather=options.feather,
        fields=info.is_interlaced if options.fields == "auto" else options.fields == "on",
        span=fit_span(info.size, to_bytes(options.max_memory), network=network),
        exact_mask=options.exact_mask,
        threads=options.threads,
        memories=memories if options.method != "network" else None,
        copy=False,
    )
