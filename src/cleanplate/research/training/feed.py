"""Batches of training samples, and scores on held-out clips."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from cleanplate.errors import InputError
from cleanplate.network.matching import smooth_fill
from cleanplate.research import holes as synthetic
from cleanplate.research.data.cache import build_cache, carry_all, is_cache, open_cache
from cleanplate.research.data.clips import (
    Clip,
    FileClip,
    Frames,
    hold_out,
    list_photographs,
    open_clips,
    read_photograph,
)
from cleanplate.research.data.sampling import (
    Picture,
    Renderable,
    Sample,
    Sampler,
    Sampling,
)
from cleanplate.research.training.config import Recipe
from cleanplate.research.training.objective import Batch, local_rank, rank, world

_log = logging.getLogger(__name__)
Progress = Callable[[int, int | None], None]
_HOLES = 11
"""Seed of the holes that propagation fills before training."""


@dataclass(frozen=True, slots=True)
class DataPlan:
    """Data sets of a run."""

    clips: Path | None
    """Data set in one of the layouts of `cleanplate.research.data.clips`."""
    photographs: Path | None = None
    """Folder of photographs."""
    cache: Path | None = None
    """Folder for decoded frames, created if missing. Required with `clips`."""
    split: str | None = None
    short_side: int = 192
    """Largest short side of cached frames, pixels."""
    held_out: int = 20
    """Number of clip groups held out for validation."""
    cases: int = 16
    """Largest number of validation cases, one per clip."""


@dataclass(frozen=True, slots=True)
class Data:
    """Data of a run: functions from a number to a sample, and fixed validation cases."""

    clips: Draw
    stills: Draw | None = None
    cases: Sequence[Sample] = ()


def prepare(plan: DataPlan, recipe: Recipe, progress: Progress | None = None) -> Data:
    """Prepare samplers of training clips and photographs, and cases of held-out clips.

    Decodes the clips first if there is no cache. Unreadable files are logged and left out. Raises
    InputError if nothing is left.
    """
    needed = recipe.sampling.frames
    clips: list[Clip] = []
    for clip in _cached(plan, progress) if plan.clips else []:
        if len(clip) >= needed:
            clips.append(clip)
        else:
            found = len(clip)
            _log.warning("left out: %s has %d frames, training takes %d", clip.name, found, needed)
    photographs = _read_photographs(plan.photographs) if plan.photographs else []
    train, kept = hold_out(clips, plan.held_out)
    carried = _carried(plan, train, progress) if recipe.sampling.carried else []
    return draw_from(train, photographs, recipe, kept, plan.cases, carried)


def draw_from(
    clips: Sequence[Clip],
    photographs: Sequence[Picture],
    recipe: Recipe,
    kept: Sequence[Clip] = (),
    cases: int = 16,
    carried: Sequence[Clip] = (),
) -> Data:
    """Make samplers of `clips`, `photographs` and `carried`, and `cases` at most from `kept`."""
    one_each = list({clip.group: clip for clip in kept}.values())[:cases]

    def sampler(sampling: Sampling) -> Sampler:
        return Sampler(clips, photographs, sampling, recipe.seed, carried)

    return Data(
        sampler(recipe.sampling),
        sampler(recipe.stills) if recipe.stills else None,
        draw_cases(one_each, frames=6, step=4, seed=5),
    )


def _cached(plan: DataPlan, progress: Progress | None) -> Sequence[Clip]:
    """Open the clips of the plan's cache; build it if the data set changed or was never decoded."""
    assert plan.clips is not None
    if plan.cache is None:
        raise InputError("clips need a folder for their decoded frames; name one as the cache")
    clips = open_clips(plan.clips, plan.split)
    folder = plan.cache / _name_cache(plan, clips)
    return _build_once(folder, clips, plan.short_side, progress)


def _carried(plan: DataPlan, clips: Sequence[Clip], progress: Progress | None) -> Sequence[Clip]:
    """Open cached pieces of `clips` with holes filled by propagation; compute them once.

    They are stored next to the clips' cache and computed again if that changes.
    """
    assert plan.clips is not None
    assert plan.cache is not None
    source = plan.cache / _name_cache(plan, open_clips(plan.clips, plan.split))
    names = [clip.name for clip in clips]
    pieces = carry_all(source, names, seed=_HOLES, processes=os.cpu_count() or 1)
    return _build_once(source.with_name(f"{source.name}-carried"), pieces, 10**6, progress)


def _build_once(
    folder: Path, clips: Iterable[Clip], short_side: int, progress: Progress | None
) -> Sequence[Clip]:
    """Open the cache in `folder`; the first process of a machine builds it if missing."""
    if not is_cache(folder):
        if local_rank() == 0:
            _log.info("decoding into %s", folder)
            build_cache(clips, folder, short_side=short_side, progress=progress)
        while not is_cache(folder):  # torchrun ends this process if the decoding one fails
            time.sleep(1)
    return open_cache(folder)


def _name_cache(plan: DataPlan, clips: Sequence[FileClip]) -> str:
    """Compute the cache key, which changes when clips are added, removed or replaced."""
    stamps = [(str(clip.path), clip.path.stat().st_mtime_ns) for clip in clips]
    return hashlib.sha256(repr((plan.short_side, stamps)).encode()).hexdigest()[:12]


def _read_photographs(folder: Path) -> list[Picture]:
    pictures = []
    for path in list_photographs(folder):
        try:
            pictures.append(read_photograph(path))
        except InputError as error:
            _log.warning("left out: %s", error)
    if not pictures:
        raise InputError(f"{folder}: no photograph could be read; name another folder")
    return pictures


Draw = Callable[[int], Renderable]
"""Function that returns sample `number`, always the same one."""
_AHEAD, _THREADS = 3, 4
_Orders = list[list[Future[Renderable]]]


class Feed:
    """Endless batches from step `step` on; each process gets its part.

    Args:
        sources: samplers, and the number of samples per step of each, over all processes.
        step: the first step; it determines the sample numbers.
        device: device on which samples are rendered.
    """

    def __init__(
        self, sources: Sequence[tuple[Draw, int]], step: int, device: torch.device
    ) -> None:
        self.waited = 0.0
        """Time in seconds that the device waited for samples."""
        self._sources, self._step, self._device = sources, step, device
        self._pool = ThreadPoolExecutor(_THREADS, "samples")
        self._waiting: deque[_Orders] = deque()

    def __enter__(self) -> Self:
        for _ in range(_AHEAD):
            self._order()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def next(self) -> list[Batch]:
        """Return a batch from each source; raise errors of the threads that draw samples."""
        began = time.monotonic()
        batches = [
            to_network(*stack([future.result() for future in futures], self._device))
            for futures in self._waiting.popleft()
        ]
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # to know how long rendering takes
        self.waited += time.monotonic() - began
        self._order()
        return batches

    def _order(self) -> None:
        """Queue the samples of one more step in the thread pool."""
        self._waiting.append(
            [
                [
                    self._pool.submit(draw, self._step * batch + index)
                    for index in range(rank(), batch, world())
                ]
                for draw, batch in self._sources
            ]
        )
        self._step += 1


def stack(samples: Sequence[Renderable], device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Stack samples of one size to uint8 `(b, t, h, w, 3)` and bool `(b, t, h, w)` tensors."""
    frames, masks = zip(*(sample.render(device) for sample in samples), strict=True)
    return torch.stack(frames), torch.stack(masks)


def to_network(frames: Tensor, masks: Tensor) -> Batch:
    """Convert a stack to frames `(b, t, 3, h, w)` in [-1, 1], masks `(b, t, 1, h, w)`, 1 = hole."""
    return (
        rearrange(frames, "b t h w c -> b t c h w").float() / 127.5 - 1,
        rearrange(masks, "b t h w -> b t 1 h w").float(),
    )


def draw_cases(clips: Sequence[Clip], frames: int, step: int, seed: int) -> list[Sample]:
    """Draw one case per clip, half with a stationary hole and half with a moving one."""
    cases = []
    for index, clip in enumerate(clips):
        rng = np.random.default_rng((seed, index))
        stride = max(1, min(step, (len(clip) - 1) // max(frames - 1, 1)))
        times = list(range(0, min(len(clip), stride * frames), stride))
        pictures = clip.read(times)
        size = pictures.shape[1], pictures.shape[2]
        cases.append(
            Sample(pictures, synthetic.draw_free_form(size, times, rng, moving=index % 2 == 1))
        )
    return [case for case in cases if case.masks.any()]


@torch.no_grad()
def fill(network: nn.Module, sample: Sample, device: torch.device | None = None) -> Frames:
    """Run the network over all frames of a sample at once; uint8 `(t, h, w, 3)`."""
    frames, masks = to_network(*stack([sample], device or "cpu"))
    return _to_pixels(network(frames * (1 - masks), masks)[0])


def fill_smoothly(sample: Sample) -> Frames:
    """Baseline: the smooth fill from which the light network starts."""
    frames, masks = to_network(*stack([sample], "cpu"))
    return _to_pixels(smooth_fill((frames * (1 - masks))[0], masks[0]))


def _to_pixels(frames: Tensor) -> Frames:
    pixels = ((frames + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.asarray(rearrange(pixels, "t c h w -> t h w c").cpu().numpy())


def fill_telea(sample: Sample) -> Frames:
    """Baseline: OpenCV's Telea, frame by frame."""
    pairs = zip(sample.frames, sample.masks, strict=True)
    return np.stack([cv2.inpaint(f, m.astype(np.uint8), 5, cv2.INPAINT_TELEA) for f, m in pairs])


def fill_median(sample: Sample) -> Frames:
    """Baseline: temporal median of known pixels; Telea where there are none."""
    hidden = np.ma.masked_array(sample.frames, np.repeat(sample.masks[..., None], 3, -1))
    median = np.ma.median(hidden, axis=0)  # type: ignore[no-untyped-call]
    never = np.ma.getmaskarray(median)
    return np.where(never[None], fill_telea(sample), median.filled(0)[None]).astype(np.uint8)


def contact_sheet(cases: Sequence[Sample], results: Sequence[Frames]) -> Tensor:
    """Draw hole, result and ground truth of the middle frame of each case; uint8 `(3, h, w)`."""
    rows = []
    for case, result in zip(cases, results, strict=True):
        middle = len(case.frames) // 2
        truth, mask = case.frames[middle], case.masks[middle][..., None]
        shown = np.where(mask, result[middle], truth)
        row = np.hstack([np.where(mask, 127, truth), shown, truth]).astype(np.uint8)
        rows.append(cv2.resize(row, (960, round(960 * row.shape[0] / row.shape[1]))))
    return torch.from_numpy(np.vstack(rows)).permute(2, 0, 1)
