"""Scores on held-out clips, against fills that need no network."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from cleanplate.datasets.clip import Clip, Frames
from cleanplate.datasets.sampling import Sample
from cleanplate.masks import synthetic
from cleanplate.model.matching import smooth_fill
from cleanplate.training.feed import stack, to_network


def hole_psnr(filled: Frames, sample: Sample) -> float:
    """PSNR inside the hole over the whole clip, dB, data range 255."""
    difference = filled[sample.masks].astype(np.float64) - sample.frames[sample.masks]
    return float(10 * np.log10(255**2 / max(np.square(difference).mean(), 1e-6)))


def draw_cases(clips: Sequence[Clip], frames: int, step: int, seed: int) -> list[Sample]:
    """One case a clip, half with a hole at rest and half with a moving one."""
    cases = []
    for index, clip in enumerate(clips):
        rng = np.random.default_rng((seed, index))
        stride = max(1, min(step, (len(clip) - 1) // max(frames - 1, 1)))
        times = list(range(0, min(len(clip), stride * frames), stride))
        pictures = clip.read(times)
        size = pictures.shape[1], pictures.shape[2]
        cases.append(Sample(pictures, synthetic.free_form(size, times, rng, moving=index % 2 == 1)))
    return [case for case in cases if case.masks.any()]


@torch.no_grad()
def fill(network: nn.Module, sample: Sample, device: torch.device | None = None) -> Frames:
    """Run the network over all frames of a sample at once; uint8 `(t, h, w, 3)`."""
    frames, masks = to_network(*stack([sample], device or "cpu"))
    return _to_pixels(network(frames * (1 - masks), masks)[0])


def fill_smoothly(sample: Sample) -> Frames:
    """The smooth fill that the light network starts from."""
    frames, masks = to_network(*stack([sample], "cpu"))
    return _to_pixels(smooth_fill((frames * (1 - masks))[0], masks[0]))


def _to_pixels(frames: Tensor) -> Frames:
    pixels = ((frames + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.asarray(rearrange(pixels, "t c h w -> t h w c").cpu().numpy())


def fill_telea(sample: Sample) -> Frames:
    """OpenCV's Telea, frame by frame."""
    pairs = zip(sample.frames, sample.masks, strict=True)
    return np.stack([cv2.inpaint(f, m.astype(np.uint8), 5, cv2.INPAINT_TELEA) for f, m in pairs])


def fill_median(sample: Sample) -> Frames:
    """The median over time of what is known at each pixel; Telea where nothing is."""
    hidden = np.ma.masked_array(sample.frames, np.repeat(sample.masks[..., None], 3, -1))
    median = np.ma.median(hidden, axis=0)  # type: ignore[no-untyped-call]
    never = np.ma.getmaskarray(median)
    return np.where(never[None], fill_telea(sample), median.filled(0)[None]).astype(np.uint8)


def contact_sheet(cases: Sequence[Sample], results: Sequence[Frames]) -> Tensor:
    """Rows of hole, result, truth of the middle frame of each case; uint8 `(3, h, w)`."""
    rows = []
    for case, result in zip(cases, results, strict=True):
        middle = len(case.frames) // 2
        truth, mask = case.frames[middle], case.masks[middle][..., None]
        shown = np.where(mask, result[middle], truth)
        row = np.hstack([np.where(mask, 127, truth), shown, truth]).astype(np.uint8)
        rows.append(cv2.resize(row, (960, round(960 * row.shape[0] / row.shape[1]))))
    return torch.from_numpy(np.vstack(rows)).permute(2, 0, 1)
