"""`fill_part`: fill a part of a video, so that several workers can share one."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from cleanplate.arguments import check_function, check_kind, check_path
from cleanplate.errors import EncodeError, keep_errors
from cleanplate.masks import BoxLike, MaskLike
from cleanplate.options import RemoveOptions
from cleanplate.removal.filling import Stages
from cleanplate.removal.journal import Journal, Seen, holds_job
from cleanplate.removal.preparation import Prepared, choose_masks, prepare, say_early
from cleanplate.removal.report import Tally
from cleanplate.storage.paths import check_places

Progress = Callable[[int, int | None], None]


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
    with prepare(input, choose_masks(masks, mask), box, options) as prepared:
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
