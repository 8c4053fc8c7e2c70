"""Align matched frames to a fraction of a pixel by what they show: Gauss-Newton steps, no learning.

Matching cells of eight pixels leaves a copy a pixel or two off, which blurs a mixture of copies.
Where target and source are both known, the remaining displacement is solved for from their pixels
(Lucas and Kanade 1981), coarse to fine; inside the hole it goes on as the picture's own motion, a
quadratic model fitted robustly, and smoothly what the surroundings do besides. Where the known
pixels then agree less than before, the displacement before is kept.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from cleanplate.model.matching import Features, Matches, enlarge, smooth_fill, warp

_STEPS = (4, 2, 2)
"""The size of each step is 1 / this."""
_CELL = 8
_NOISE = 1e-5
"""Squared difference that is none."""
_ROUNDS = 5
_RIDGE = (1e-4, 1e-3, 1e-3, 1e-2, 1e-2, 1e-2)
"""What a term of the motion model costs: 1, x, y, xy, xx, yy, from -1 to 1 over the picture."""
_FLAT = 1e-3
"""Structure, in squared levels of [-1, 1], below which a place does not tell its displacement."""
_ODD = 0.02
"""Squared difference above which it is not a displacement's: another thing, a shadow."""
_NUMBERS = 2**20
"""How many numbers are worked on at once, so that they stay in the cache."""


class _Pictures(NamedTuple):
    """All frames at one size."""

    known: Tensor
    """`(n, 1, h, w)`, 1 = no part of a hole."""
    colours: Tensor
    """`(n, 3, h, w)`."""
    shown: Tensor
    """Colours and `known`, then the colours' gradients along x and y, `(n, 10, h, w)`."""


def align(features: Features, matches: Matches) -> Matches:
    """`matches` with finer last displacements; they carry the gradient of those before."""
    with torch.no_grad():
        flow = _align(features, matches)
    last = matches.flows[-1]
    return matches._replace(flows=(*matches.flows[:-1], last + (flow - last).detach()))


def _align(features: Features, matches: Matches) -> Tensor:
    pictures = {factor: _reduce(features, factor) for factor in set(_STEPS)}
    visible = features.visible[0].flatten(0, 1)
    done = []
    group = max(1, _NUMBERS // pictures[min(_STEPS)].shown[0].numel())
    for start in range(0, len(matches.targets), group):
        part = slice(start, start + group)
        here, there, first = matches.targets[part], matches.sources[part], matches.flows[-1][part]
        flow = first
        for factor in _STEPS:
            step, trust = _step(pictures[factor], here, there, flow, factor)
            trust = trust * visible[here] * warp(visible[there], flow)
            flow = _complete(flow + step, trust)
        done.append(_choose(pictures[min(_STEPS)], here, there, (first, flow)))
    return torch.cat(done)


def _choose(
    pictures: _Pictures, here: Tensor, there: Tensor, flows: tuple[Tensor, Tensor]
) -> Tensor:
    """The second of two flows where it explains what is known no worse than the first."""
    errors, counts = zip(*(_misfit(pictures, here, there, flow) for flow in flows), strict=True)
    told = (torch.minimum(*counts) > 0.1).to(errors[0].dtype)
    better = (errors[1] <= errors[0] + _NOISE).to(errors[0].dtype)
    share = smooth_fill(better, 1 - told)
    return flows[0] + share * (flows[1] - flows[0])


def _misfit(
    pictures: _Pictures, here: Tensor, there: Tensor, flow: Tensor
) -> tuple[Tensor, Tensor]:
    """Robust squared difference over windows of 40 pixels, and the share of pixels that tell."""
    factor = min(_STEPS)
    fetched = _fetch(pictures.shown[there, :4], flow, factor)
    both, off = _compare(pictures, here, fetched)
    error = off.square().mean(1, keepdim=True)
    error = error / (1 + error / _ODD) * both
    sums = F.avg_pool2d(F.avg_pool2d(torch.cat([error, both], 1), _CELL // factor), 5, 1, 2)
    return sums[:, :1] / sums[:, 1:].clamp_min(1e-3), sums[:, 1:]


def _reduce(features: Features, factor: int) -> _Pictures:
    """Frames at 1 / `factor` of the size."""
    colours = F.avg_pool2d(features.frames.flatten(0, 1), factor)
    known = (F.avg_pool2d(features.masks.flatten(0, 1), factor) < 0.01).to(colours.dtype)
    along_x = F.pad(colours[..., 2:] - colours[..., :-2], (1, 1)) / 2
    along_y = F.pad(colours[..., 2:, :] - colours[..., :-2, :], (0, 0, 1, 1)) / 2
    return _Pictures(known, colours, torch.cat([colours, known, along_x, along_y], 1))


def _step(
    pictures: _Pictures, here: Tensor, there: Tensor, flow: Tensor, factor: int
) -> tuple[Tensor, Tensor]:
    """One step in pixels `(n, 2, h/8, w/8)`, and how far it is to be trusted, 0 to 1."""
    fetched = _fetch(pictures.shown[there], flow, factor)
    both, off = _compare(pictures, here, fetched)
    along_x, along_y = fetched[:, 4:].chunk(2, 1)
    share = both / (1 + off.square().mean(1, keepdim=True) / _ODD)
    pairs = ((along_x, along_x), (along_x, along_y), (along_y, along_y), (along_x, off))
    products = [(a * b).sum(1, keepdim=True) * share for a, b in (*pairs, (along_y, off))]
    # Sums over three cells each way: windows of 24 pixels.
    sums = F.avg_pool2d(F.avg_pool2d(torch.cat([*products, both], 1), _CELL // factor), 3, 1, 1)
    xx, xy, yy, x, y, count = sums.chunk(6, 1)
    xx, yy = xx + _FLAT / 5, yy + _FLAT / 5
    determinant = xx * yy - xy * xy
    step = torch.cat([yy * x - xy * y, xx * y - xy * x], 1) / determinant
    weakest = determinant / (xx + yy)
    trust = weakest / (weakest + _FLAT) * (count > 0.1).to(count.dtype)
    return step.clamp(-1, 1) * factor, trust


def _fetch(shown: Tensor, flow: Tensor, factor: int) -> Tensor:
    """`shown`, at 1 / `factor` of the size, from where `flow` in full pixels at 1/8 points."""
    return warp(shown, enlarge(flow, _CELL // factor) / factor)


def _compare(pictures: _Pictures, here: Tensor, fetched: Tensor) -> tuple[Tensor, Tensor]:
    """Where target and copy are both known, 0 or 1, and how they differ in colour."""
    both = pictures.known[here] * (fetched[:, 3:4] > 0.99).to(fetched.dtype)
    return both, pictures.colours[here] - fetched[:, :3]


def _complete(flow: Tensor, trust: Tensor) -> Tensor:
    """`flow` as far as it is trusted; else the picture's motion and what is around besides."""
    model = fit_motion(flow, trust)
    return model + smooth_fill(flow - model, 1 - trust)


def fit_motion(flow: Tensor, weight: Tensor) -> Tensor:
    """Quadratic motion that most of `flow` `(n, 2, h, w)` follows, by `weight` `(n, 1, h, w)`.

    Least squares with falling weight for what is far off (Geman and McClure), its scale the mean
    deviation.
    """
    h, w = flow.shape[-2:]
    y, x = torch.meshgrid(
        *(torch.linspace(-1, 1, n, dtype=flow.dtype, device=flow.device) for n in (h, w)),
        indexing="ij",
    )
    terms = torch.stack([torch.ones_like(x), x, y, x * y, x * x, y * y], -1).flatten(0, 1)
    values = rearrange(flow, "n c h w -> n (h w) c")
    given = share = rearrange(weight, "n 1 h w -> n (h w) 1")
    ridge = torch.diag(terms.new_tensor(_RIDGE))
    model = torch.zeros_like(values)
    for _ in range(_ROUNDS):
        total = share.sum(1, keepdim=True).clamp_min(1e-4)
        weighed = (terms * share / total).transpose(1, 2)
        model = terms @ torch.linalg.solve(weighed @ terms + ridge, weighed @ values)
        off = (values - model).square().sum(-1, keepdim=True)
        scale = ((off.sqrt() * share).sum(1, keepdim=True) / total).clamp_min(0.1)
        share = given / (1 + off / scale.square())
    return rearrange(model, "n (h w) c -> n c h w", h=h)
