"""`remove`: from file to file."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from cleanplate.arguments import check_function, check_path, check_paths
from cleanplate.errors import keep_errors
from cleanplate.masks import BoxLike, MaskLike, MaskSource
from cleanplate.masks.writing import MapWriter, MaskWriter, check_outputs, open_mask_writer
from cleanplate.options import RemoveOptions
from cleanplate.plates.provenance import draw_provenance
from cleanplate.removal.arrays import feed
from cleanplate.removal.engine import Engine, Finished
from cleanplate.removal.filling import Stages
from cleanplate.removal.journal import Journal, Seen
from cleanplate.removal.notes import (
    describe_damage,
    describe_flags,
    describe_memories,
    describe_shortage,
    describe_transparency,
    describe_widened,
)
from cleanplate.removal.patch_out import open_patch
from cleanplate.removal.plate_files import PaintLog, check_plates_out, open_export
from cleanplate.removal.preparation import choose_masks, merge_options, prepare, say_early
from cleanplate.removal.report import Report, Tally
from cleanplate.video import Picture, Reader, VideoInfo, Writer, name_output, open_writer
from cleanplate.video.patch import check_patch
from cleanplate.video.threads import ReadAhead
from cleanplate.video.writer import check_coding

Progress = Callable[[int, int | None], None]

DEFAULT_OPTIONS = RemoveOptions()


def remove(
    input: str | bytes | os.PathLike[str],
    output: str | bytes | os.PathLike[str] | None = None,
    *,
    masks: MaskLike | Sequence[MaskLike] = (),
    box: BoxLike | Sequence[BoxLike] = (),
    options: RemoveOptions = DEFAULT_OPTIONS,
    parts: Sequence[str | os.PathLike[str]] = (),
    progress: Progress | None = None,
    mask: MaskLike | Sequence[MaskLike] | None = None,
    **overrides: Any,
) -> Report:
    """Remove the masked area from a video and keep its sound, frame rate and tags.

    Args:
        input: a video file, a folder of images, or a photograph.
        output: a video file, or a path without extension for a folder of PNGs; of a single frame
            also a `.png`, `.tif` or `.jpg`. By default next to the input, as in
            `clip-clean.mp4`; the report names it.
        masks: one or more of: an image, a folder of images, a video, an array or tensor as in
            `inpaint`, a MaskSource. A list of arrays (h, w) is one mask a frame. `mask` is the
            former name, which works until 0.3.
        box: one or more rectangles: "X,Y,W,H" or "X,Y,W,H@START-END" in seconds, a `types.Box`,
            or four whole numbers.
        options: see `RemoveOptions`.
        parts: folders that `removal.fill_part` filled; what they hold of this very job is not
            filled again. StaleError when it turns out to be damaged, or of other frames or masks.
        progress: called with the frames done and their number (None if unknown). A resumed run
            counts from the frames that it has back.
        overrides: single options by name, such as `dilate=8`.

    Raises:
        InputError: what was asked for cannot be done (exit code 2). OutputError when an output
            would replace what is read, or what is there without `overwrite`.
        OccupiedError: something appeared at an output path during the run; the finished result
            has another name, which the message says.
        CleanplateError: it failed on the way (exit code 1); the output path is as it was before.

    An error that `progress` raises, KeyboardInterrupt included, ends the run and arrives unchanged;
    a note on it says how many frames the journal keeps, if any. Nothing else is left.
    """
    began = time.monotonic()
    input = check_path("input", input)
    output = None if output is None else check_path("output", output)
    check_function("progress", progress)
    folders = [Path(folder) for folder in check_paths("parts", parts)]
    options = merge_options(options, overrides)
    output = str(name_output(input, codec=options.codec)) if output is None else output
    kept_at = None if options.mask_out is None else Path(options.mask_out)
    truth_at = None if options.truth_out is None else Path(options.truth_out)
    plates_at = None if options.plates_out is None else Path(options.plates_out)
    patch_at = None if options.patch is None else Path(options.patch)
    check_patch(patch_at)
    overwrite = options.overwrite
    with prepare(input, choose_masks(masks, mask), box, options) as prepared:
        info, chosen = prepared.info, prepared.chosen
        reads = [*prepared.list_read(), *folders]
        maps = [kept_at, truth_at, patch_at]
        check_outputs(input, Path(output), *maps, reads=reads, overwrite=overwrite)
        others = [Path(output), *(path for path in maps if path is not None)]
        check_plates_out(plates_at, Path(input), others, reads, overwrite=overwrite)
        coding = prepared.describe_coding()
        check_coding(Path(output), info, **coding)
        say_early(info, prepared.notes)
        origin, stages = prepared.describe_origin(), Stages()
        with (
            open_writer(
                output, info, **coding, audio=options.audio, overwrite=overwrite,
                threads=options.threads or 0,
            ) as writer,
            Journal(
                writer.folder / "journal", origin.job(), seen := Seen(),
                keep=options.journal, resume=options.resume, discard=overwrite, parts=folders,
            ) as store,
            _open_kept(kept_at, info, overwrite) as kept,
            _open_truth(truth_at, info, overwrite) as truth,
            open_patch(patch_at, info, options) as patch,
            open_export(plates_at, info, origin.source, overwrite=overwrite) as export,
            prepared.look_ahead(writer.folder) as memories,
            prepared.open_reader() as reader,
        ):  # fmt: skip
            engine = prepared.build_engine(store, stages, memories=memories)
            tally = Tally(kept, seen, stages)
            painted = PaintLog(prepared.plates, options.plates, info.excerpt)
            watch = [
                painted.watch,
                *(one.watch for one in (export, truth, patch) if one is not None),
            ]
            ahead = 0 if options.threads == 1 else prepared.span.own
            counted = _count_from(store.kept_frames, keep_errors(progress))
            _pass_through(
                engine, reader, memories or prepared.source, writer, tally, counted, ahead, watch
            )
            origin.check_source()
            # All are complete before the first takes its place: the moves are all that is left.
            writer.finish()
            for other in (kept, truth, patch, export):
                if other is not None:
                    other.finish()
    seconds = time.monotonic() - began
    report = tally.report(info, Path(output), chosen, options.method, seconds, origin)
    notes = [
        *prepared.notes,
        *writer.notes,
        *describe_flags(reader, prepared.fills_fields),
        *describe_transparency(reader),
        *describe_damage(reader, tally.done),
        *describe_shortage(engine),
        *describe_widened(engine, info),
        *describe_memories(memories),
        *painted.describe(),
        *(tally.describe_made_up(info, chosen) if options.method != "network" else []),
    ]
    return replace(report, video=writer.coding, notes=[*report.notes, *notes])


def _pass_through(
    engine: Engine,
    reader: Reader,
    source: MaskSource,
    writer: Writer,
    tally: Tally,
    progress: Progress,
    ahead: int,
    watch: Sequence[Callable[[Picture, Finished], None]],
) -> None:
    """Fill and write all pictures; filling goes on in a thread, `ahead` frames of encoding.

    `watch` functions see each picture and what became of it.
    """
    waiting: deque[Picture] = deque()
    pairs = tally.watch(reader, source, waiting)
    with closing(ReadAhead(lambda: feed(engine, pairs), depth=ahead)) as ready:
        for finished in ready:
            picture = waiting.popleft()
            tally.pass_on(writer, picture, finished)
            for see in watch:
                see(picture, finished)
            progress(tally.done, reader.info.frame_count)


def _count_from(kept: int, progress: Progress) -> Progress:
    """Report frames that an earlier run filled as done from the start: they pass by fast."""
    return lambda done, total: progress(max(done, kept), total)


def _open_kept(
    path: Path | None, info: VideoInfo, overwrite: bool
) -> AbstractContextManager[MaskWriter | None]:
    """Open the output for the masks used, if requested."""
    return open_mask_writer(path, info, overwrite=overwrite) if path else nullcontext()


class TruthWriter(MapWriter):
    """Write where each pixel of finished frames is from, in `plates.COLOURS`."""

    def watch(self, picture: Picture, finished: Finished) -> None:
        """Take the next finished frame."""
        self.draw(picture, draw_provenance(finished.provenance))


def _open_truth(
    path: Path | None, info: VideoInfo, overwrite: bool
) -> AbstractContextManager[TruthWriter | None]:
    """Open the output for the map of origins, if requested."""
    return TruthWriter(path, info, "rgb24", overwrite=overwrite) if path else nullcontext()
