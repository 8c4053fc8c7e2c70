"""`remove` from file to file, `inpaint` from array to array, `fill_part` for parts of a video."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cleanplate.arguments import (
    check_flag,
    check_function,
    check_kind,
    check_path,
    check_paths,
    deprecate,
    to_bytes,
    wrong,
)
from cleanplate.errors import EncodeError, InputError, MaskError, keep_errors, name_count
from cleanplate.masks import BoxLike, MaskLike, MaskSource
from cleanplate.masks.writing import MapWriter, MaskWriter, check_outputs, open_mask_writer
from cleanplate.options import RemoveOptions
from cleanplate.plates.provenance import draw_provenance
from cleanplate.removal.engine import ALL_COVERED, Engine, Finished, Span
from cleanplate.removal.filling import Stages
from cleanplate.removal.journal import Journal, Seen, holds_job
from cleanplate.removal.networks import choose_filler
from cleanplate.removal.plate_files import (
    PaintLog,
    check_plates_out,
    open_export,
    open_given_for_clip,
)
from cleanplate.removal.preparation import Prepared, check_machine, fit_span, prepare, say_early
from cleanplate.removal.report import Report, Tally
from cleanplate.removal.shots import ArrayMemories, FileMemories
from cleanplate.removal.unveiling import open_overlay_for_clip
from cleanplate.storage.paths import check_places
from cleanplate.types import Size, to_frames, to_masks
from cleanplate.video import Picture, Reader, VideoInfo, Writer, open_writer
from cleanplate.video.info import name_order
from cleanplate.video.threads import ReadAhead

Progress = Callable[[int, int | None], None]

_NAMED = 4
"""Times that a note names."""


def fill_part(
    input: str | bytes | os.PathLike[str],
    folder: str | bytes | os.PathLike[str],
    share: range,
    options: RemoveOptions,
    *,
    masks: MaskLike | Sequence[MaskLike] = (),
    box: BoxLike | Sequence[BoxLike] = (),
    progress: Progress | None = None,
    mask: MaskLike | Sequence[MaskLike] | None = None,
) -> None:
    """Fill the segments whose first frame is in `share`, and keep them in `folder`.

    What an earlier run of the same part kept there is not filled again. Reading ends with the
    part. Memory is that of a run, and does not grow with the length.

    Args:
        input: a video file or a folder of images.
        folder: where to; made when there is something to keep, in a folder that is there.
        share: numbers of frames. Parts that share all frames out fill all segments.
        options: those of the whole.
        masks: see `remove`; `mask` is its former name.
        box: see `remove`.
        progress: called with the frames of `share` that are done and their number (None where
            `share` ends beyond the video).

    Raises:
        StaleError: `folder` holds a damaged span, or one of other frames or masks.
        OutputError: `folder` holds something else than an earlier part, or is a link.
        InputError: what was asked for cannot be done.
        CleanplateError: it failed on the way, or the disk took no more.
    """
    _check_arguments(share, options, progress)
    folder = check_path("folder", folder)
    with prepare(input, _choose_masks(masks, mask), box, options) as prepared:
        check_places([folder], prepared.list_read())
        if share.start == 0:
            say_early(prepared.info, prepared.notes)
        origin = prepared.describe_origin()
        job = origin.job()
        # A part of another job is of no use, and filled again from the start.
        goes_on = holds_job(Path(folder), job)
        with Journal(Path(folder), job, seen := Seen(), resume=goes_on, discard=True) as store:
            _fill(prepared, share, store, seen, keep_errors(progress), Path(folder).parent)
            origin.check_source()


def _check_arguments(share: object, options: object, progress: object) -> None:
    check_kind("share", share, range, "a range of frame numbers")
    check_kind("options", options, RemoveOptions, "RemoveOptions")
    check_function("progress", progress)


def _fill(
    prepared: Prepared,
    share: range,
    store: Journal,
    seen: Seen,
    progress: Progress,
    folder: Path,
) -> None:
    """Read up to the end of the part."""
    stages = Stages()
    tally = Tally(None, seen, stages)
    total = len(share) if share.stop <= prepared.info.frame_count else None
    done = 0
    with prepared.look_ahead(folder) as memories, prepared.open_reader() as reader:
        engine = prepared.build_engine(store, stages, share, memories)
        for frame, mask in tally.watch(reader, memories or prepared.source, deque(maxlen=0)):
            done += len(engine.push(frame, mask))
            _require_kept(store)
            if done > share.start:
                progress(min(done, share.stop) - share.start, total)
            if engine.is_past_share:
                return
        engine.finish()
    _require_kept(store)


def _require_kept(store: Journal) -> None:
    if store.lost is not None:
        raise EncodeError(f"what was filled could not be kept: {store.lost}")


Frames = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]

_log = logging.getLogger(__name__)


ARRAY_OPTIONS = RemoveOptions(dilate=0, feather=0, exact_mask=True, fields="off")
"""Defaults of `inpaint`: the masks are taken as they are, the frames as progressive."""


def inpaint(
    frames: Frames,
    masks: Masks,
    *,
    options: RemoveOptions = ARRAY_OPTIONS,
    progress: Progress | None = None,
    **overrides: Any,
) -> Frames:
    """Fill the holes of a clip held in memory.

    Args:
        frames: uint8 RGB (t, h, w, 3), as an array, a tensor on the CPU or a list of frames.
        masks: bool (t, h, w), or (h, w) for all frames; True = hole. Also uint8 of 0 and 1 or of
            0 and 255.
        options: see `RemoveOptions`. By default nothing outside the masks
            changes: they do not grow, and nothing fades. What concerns
            files and their coding has no effect. Without `model`, `method="auto"` asks no network
            and `method="network"` the embedded one, which `model="default"` names. With "released"
            as `blend` the clip is filled as one piece.
        progress: called with the frames done and their number.
        overrides: single options by name, such as `method="flow"`; `fields` may be a bool.

    Returns:
        Frames of the same shape; outside the feathered mask they equal the input.

    Raises:
        InputError: an argument of the wrong kind, shape or range, a device that is not there.
        MaskError: masks of the wrong kind, or that leave no pixel of any frame open.
        WeightsError: weights that cannot be loaded.
    """
    frames, masks = _check_arrays(frames, masks)
    check_function("progress", progress)
    if not isinstance(overrides.get("fields", ""), str):
        overrides["fields"] = "on" if check_flag("fields", overrides["fields"]) else "off"
    options = _merge(options, overrides)
    check_machine(options)
    chosen = choose_filler(
        options.model,
        method=options.method,
        blend=options.blend,
        device=options.device,
        precision=options.precision,
    )
    for note in chosen.notes:
        _log.warning(note)
    count, height, width = masks.shape
    engine = Engine(
        Size(width, height),
        filler=chosen.filler,
        method=options.method,
        dilate=options.dilate,
        feather=options.feather,
        exact_mask=options.exact_mask,
        fields=options.fields == "on",
        span=_choose_span(options, Size(width, height), count, chosen.filler is not None),
        split_shots=options.blend != "released",
        threads=options.threads,
        memories=ArrayMemories(
            frames,
            masks,
            split_shots=options.blend != "released",
            rim=options.dilate + options.feather,
        ),
        plates=open_given_for_clip(options, frames),
        overlay=open_overlay_for_clip(options, frames),
        copy=False,
    )
    made = np.empty(frames.shape, np.uint8)
    for index, finished in enumerate(_feed(engine, zip(frames, masks, strict=True))):
        made[index] = finished.frame
        if progress is not None:
            progress(index + 1, count)
    return made


def _merge(options: object, overrides: dict[str, Any]) -> RemoveOptions:
    if not isinstance(options, RemoveOptions):
        raise wrong("options", "RemoveOptions", options)
    return options.merge(overrides)


def _choose_span(options: RemoveOptions, size: Size, count: int, network: bool) -> Span:
    if options.blend == "released":
        return Span(count + 1, 0)
    return fit_span(size, to_bytes(options.max_memory), network=network)


DEFAULT_OPTIONS = RemoveOptions()


def remove(
    input: str | bytes | os.PathLike[str],
    output: str | bytes | os.PathLike[str],
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
            also a `.png` or `.jpg`.
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
    input, output = check_path("input", input), check_path("output", output)
    check_function("progress", progress)
    folders = [Path(folder) for folder in check_paths("parts", parts)]
    options = _merge(options, overrides)
    kept_at = None if options.mask_out is None else Path(options.mask_out)
    truth_at = None if options.truth_out is None else Path(options.truth_out)
    plates_at = None if options.plates_out is None else Path(options.plates_out)
    overwrite = options.overwrite
    with prepare(input, _choose_masks(masks, mask), box, options) as prepared:
        info, chosen = prepared.info, prepared.chosen
        reads = [*prepared.list_read(), *folders]
        maps = [kept_at, truth_at]
        check_outputs(input, Path(output), *maps, reads=reads, overwrite=overwrite)
        others = [Path(output), *(path for path in maps if path is not None)]
        check_plates_out(plates_at, Path(input), others, reads, overwrite=overwrite)
        say_early(info, prepared.notes)
        origin, stages = prepared.describe_origin(), Stages()
        with (
            open_writer(
                output, info, crf=options.crf, lossless=options.lossless, audio=options.audio,
                overwrite=overwrite, threads=options.threads or 0,
            ) as writer,
            Journal(
                writer.folder / "journal", origin.job(), seen := Seen(),
                keep=options.journal, resume=options.resume, discard=overwrite, parts=folders,
            ) as store,
            _open_kept(kept_at, info, overwrite) as kept,
            _open_truth(truth_at, info, overwrite) as truth,
            open_export(plates_at, info, origin.source, overwrite=overwrite) as export,
            prepared.look_ahead(writer.folder) as memories,
            prepared.open_reader() as reader,
        ):  # fmt: skip
            engine = prepared.build_engine(store, stages, memories=memories)
            tally = Tally(kept, seen, stages)
            painted = PaintLog(prepared.plates, options.plates)
            watch = [painted.watch, *(one.watch for one in (export, truth) if one is not None)]
            ahead = 0 if options.threads == 1 else prepared.span.own
            counted = _count_from(store.kept_frames, keep_errors(progress))
            _pass_through(
                engine, reader, memories or prepared.source, writer, tally, counted, ahead, watch
            )
            origin.check_source()
            # All are complete before the first takes its place: the moves are all that is left.
            writer.finish()
            for other in (kept, truth, export):
                if other is not None:
                    other.finish()
    seconds = time.monotonic() - began
    report = tally.report(info, Path(output), chosen, options.method, seconds, origin)
    notes = [
        *prepared.notes,
        *writer.notes,
        *_describe_flags(reader, prepared.fills_fields),
        *_describe_transparency(reader),
        *_describe_damage(reader, tally.done),
        *_describe_shortage(engine),
        *_describe_widened(engine, info),
        *_describe_memories(memories),
        *painted.describe(),
        *(tally.describe_made_up(info, chosen) if options.method != "network" else []),
    ]
    return replace(report, video=writer.coding, notes=[*report.notes, *notes])


def _choose_masks(
    masks: MaskLike | Sequence[MaskLike], mask: MaskLike | Sequence[MaskLike] | None
) -> MaskLike | Sequence[MaskLike]:
    """The masks, given as `masks` or by its former name; raises InputError for both."""
    if mask is None:
        return masks
    deprecate("`mask` is now called `masks`; the old name works until 0.3")
    if not (isinstance(masks, tuple) and not masks):
        raise InputError("give `masks` or its former name `mask`, not both")
    return mask


def _describe_widened(engine: Engine, info: VideoInfo) -> list[str]:
    """Say in which frames more than the mask was filled."""
    notes = []
    if engine.widened:
        named = _name_times(engine.widened, info)
        what = name_count(len(engine.widened), "frame")
        notes.append(
            f"{what} just before, after or between masked ones still showed the object and came out"
            f" filled: {named}"
        )
    if engine.shaded:
        named = _name_times(engine.shaded, info)
        what = name_count(len(engine.shaded), "frame")
        notes.append(
            f"a soft shadow or glow outside the mask was removed with the object in {what}: {named}"
        )
    return notes


def _describe_memories(memories: FileMemories | None) -> list[str]:
    if memories is None or not memories.is_short:
        return []
    return [
        "the disk had no room for all keyframes of a shot, so parts that only distant frames show"
        " may have been filled from fewer of them"
    ]


def _name_times(numbers: set[int], info: VideoInfo) -> str:
    """The times of the first few of these frames, and how many more there are."""
    ordered = sorted(numbers)
    named = ", ".join(f"{float(number / info.rate):.2f} s" for number in ordered[:_NAMED])
    return named + (f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else "")


def _describe_shortage(engine: Engine) -> list[str]:
    if not engine.halved:
        return []
    return [
        f"memory did not suffice {name_count(engine.halved, 'time')}, so fewer frames were"
        " filled at a time;"
        " the result is the same, `max_memory=SIZE` saves the attempts"
    ]


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
    with closing(ReadAhead(lambda: _feed(engine, pairs), depth=ahead)) as ready:
        for finished in ready:
            picture = waiting.popleft()
            tally.pass_on(writer, picture, finished)
            for see in watch:
                see(picture, finished)
            progress(tally.done, reader.info.frame_count)


def _count_from(kept: int, progress: Progress) -> Progress:
    """Report frames that an earlier run filled as done from the start: they pass by fast."""
    return lambda done, total: progress(max(done, kept), total)


def _describe_flags(reader: Reader, fields: bool) -> list[str]:
    """Note on pictures whose interlacing flags differ from the video's."""
    flags, info = reader.flags, reader.info
    if info.codec == "hevc" or not (flags.interlaced and flags.progressive):
        return []
    how = "field by field" if fields else "frame by frame (`fields='on'`: field by field)"
    return [
        f"{flags.interlaced} frames are flagged as interlaced and {flags.progressive} as"
        f" progressive; all were coded as {name_order(info.field_order)} and filled {how}"
    ]


def _describe_transparency(reader: Reader) -> list[str]:
    count = reader.flags.transparent
    if not count:
        return []
    return [f"{count} frame{'s are' if count > 1 else ' is'} transparent in part, shown on white"]


def _describe_damage(reader: Reader, done: int) -> list[str]:
    """Note on pictures that were skipped."""
    words = [text.partition(";")[0] for text in (reader.info.damage, *map(str, reader.damage.met))]
    known = [text for text in words if text]
    if not known:
        return []
    more = f", and {len(known) - 1} more such places" if len(known) > 1 else ""
    lost = reader.info.frame_count - done
    count = f"; {lost} of {reader.info.frame_count} frames are left out" if lost > 0 else ""
    return [f"the input is damaged: {known[0]}{more}{count}"]


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


def _feed(engine: Engine, pairs: Iterable[tuple[Frames, Masks]]) -> Iterator[Finished]:
    for frame, mask in pairs:
        yield from engine.push(frame, mask)
    yield from engine.finish()


def _check_arrays(frames: Any, masks: Any) -> tuple[Frames, Masks]:
    frames, masks = to_frames("frames", frames), to_masks("masks", masks)
    if masks.ndim == 2:
        masks = np.broadcast_to(masks, (len(frames), *masks.shape))
    if masks.shape != frames.shape[:3]:
        raise MaskError(f"masks are {masks.shape}, but frames are {frames.shape[:3]} (t, h, w)")
    if masks.all():
        raise MaskError(f"{ALL_COVERED}; use smaller masks (True marks what to fill)")
    return frames, masks
