"""`inpaint`: fill the holes of a clip that is held in memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from cleanplate.arguments import check_flag, check_function, to_bytes
from cleanplate.errors import MaskError
from cleanplate.options import RemoveOptions
from cleanplate.removal.engine import ALL_COVERED, Engine, Finished, Span
from cleanplate.removal.networks import choose_filler
from cleanplate.removal.plate_files import open_given_for_clip
from cleanplate.removal.preparation import check_machine, fit_span, merge_options
from cleanplate.removal.shots import ArrayMemories
from cleanplate.removal.unveiling import open_overlay_for_clip
from cleanplate.types import Size, to_frames, to_masks

Progress = Callable[[int, int | None], None]
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
    options = merge_options(options, overrides)
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
    for index, finished in enumerate(feed(engine, zip(frames, masks, strict=True))):
        made[index] = finished.frame
        if progress is not None:
            progress(index + 1, count)
    return made


def _choose_span(options: RemoveOptions, size: Size, count: int, network: bool) -> Span:
    if options.blend == "released":
        return Span(count + 1, 0)
    return fit_span(size, to_bytes(options.max_memory), network=network)


def _check_arrays(frames: Any, masks: Any) -> tuple[Frames, Masks]:
    frames, masks = to_frames("frames", frames), to_masks("masks", masks)
    if masks.ndim == 2:
        masks = np.broadcast_to(masks, (len(frames), *masks.shape))
    if masks.shape != frames.shape[:3]:
        raise MaskError(f"masks are {masks.shape}, but frames are {frames.shape[:3]} (t, h, w)")
    if masks.all():
        raise MaskError(f"{ALL_COVERED}; use smaller masks (True marks what to fill)")
    return frames, masks


def feed(engine: Engine, pairs: Iterable[tuple[Frames, Masks]]) -> Iterator[Finished]:
    """Push all frames with their masks; yield the finished ones in order."""
    for frame, mask in pairs:
        yield from engine.push(frame, mask)
    yield from engine.finish()
