"""Align matched frames to sub-pixel accuracy, and extend known surroundings into a hole."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from cleanplate.network.matching import Features, Matches, conv, enlarge, silence, smooth_fill, warp

_STEPS = (4, 2, 2)
"""Downscaling factor of each step."""
_CELL = 8
_NOISE = 1e-5
"""Squared difference that counts as zero."""
_ROUNDS = 5
_RIDGE = (1e-4, 1e-3, 1e-3, 1e-2, 1e-2, 1e-2)
"""Regularisation of the motion model's terms 1, x, y, xy, xx, yy; x and y are -1 to 1."""
_FLAT = 1e-3
"""Structure, in squared levels of [-1, 1], below which a displacement is not determined."""
_ODD = 0.02
"""Squared difference above which the cause is no displacement but an object or a shadow."""
_NUMBERS = 2**20
"""Values processed at once, so that they stay in the cache."""


class _Pictures(NamedTuple):
    """All frames at one size."""

    known: Tensor
    """`(n, 1, h, w)`, 1 = known, 0 = hole."""
    colours: Tensor
    """`(n, 3, h, w)`."""
    shown: Tensor
    """Colours and `known`, then the colours' gradients along x and y, `(n, 10, h, w)`."""


def align(features: Features, matches: Matches) -> Matches:
    """Refine the last displacements of `matches`; gradients pass through to the previous ones."""
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
        # Coarse to fine: a step is limited to one pixel of its size, so each brings the next one
        # within reach.
        for factor in _STEPS:
            step, trust = _step(pictures[factor], here, there, flow, factor)
            trust = trust * visible[here] * warp(visible[there], flow)
            flow = _complete(flow + step, trust)
        done.append(_choose(pictures[min(_STEPS)], here, there, (first, flow)))
    return torch.cat(done)


def _choose(
    pictures: _Pictures, here: Tensor, there: Tensor, flows: tuple[Tensor, Tensor]
) -> Tensor:
    """Take the second of two flows where it matches known pixels no worse than the first."""
    errors, counts = zip(*(_misfit(pictures, here, there, flow) for flow in flows), strict=True)
    told = (torch.minimum(*counts) > 0.1).to(errors[0].dtype)
    better = (errors[1] <= errors[0] + _NOISE).to(errors[0].dtype)
    # Inside the hole nothing can be compared: extend the decision from its surroundings.
    share = smooth_fill(better, 1 - told)
    return flows[0] + share * (flows[1] - flows[0])


def _misfit(
    pictures: _Pictures, here: Tensor, there: Tensor, flow: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute the robust squared difference over 40 pixels, and the fraction known in both."""
    factor = min(_STEPS)
    fetched = _fetch(pictures.shown[there, :4], flow, factor)
    both, off = _compare(pictures, here, fetched)
    error = off.square().mean(1, keepdim=True)
    # Saturate, so that one occluded object does not outweigh everything around it.
    error = error / (1 + error / _ODD) * both
    sums = F.avg_pool2d(F.avg_pool2d(torch.cat([error, both], 1), _CELL // factor), 5, 1, 2)
    return sums[:, :1] / sums[:, 1:].clamp_min(1e-3), sums[:, 1:]


def _reduce(features: Features, factor: int) -> _Pictures:
    """Downscale frames by `factor`."""
    colours = F.avg_pool2d(features.frames.flatten(0, 1), factor)
    known = (F.avg_pool2d(features.masks.flatten(0, 1), factor) < 0.01).to(colours.dtype)
    along_x = F.pad(colours[..., 2:] - colours[..., :-2], (1, 1)) / 2
    along_y = F.pad(colours[..., 2:, :] - colours[..., :-2, :], (0, 0, 1, 1)) / 2
    return _Pictures(known, colours, torch.cat([colours, known, along_x, along_y], 1))


def _step(
    pictures: _Pictures, here: Tensor, there: Tensor, flow: Tensor, factor: int
) -> tuple[Tensor, Tensor]:
    """Solve one step in pixels `(n, 2, h/8, w/8)`, and its confidence, 0 to 1."""
    # One Gauss-Newton step of Lucas and Kanade (1981): linearise the copy in the displacement, and
    # solve the 2x2 normal equations of each window.
    fetched = _fetch(pictures.shown[there], flow, factor)
    both, off = _compare(pictures, here, fetched)
    along_x, along_y = fetched[:, 4:].chunk(2, 1)
    share = both / (1 + off.square().mean(1, keepdim=True) / _ODD)
    pairs = ((along_x, along_x), (along_x, along_y), (along_y, along_y), (along_x, off))
    products = [(a * b).sum(1, keepdim=True) * share for a, b in (*pairs, (along_y, off))]
    # Sums over three cells each way: windows of 24 pixels, as a single pixel is ambiguous.
    sums = F.avg_pool2d(F.avg_pool2d(torch.cat([*products, both], 1), _CELL // factor), 3, 1, 1)
    xx, xy, yy, x, y, count = sums.chunk(6, 1)
    # A ridge keeps the solution finite, and close to zero in flat windows.
    xx, yy = xx + _FLAT / 5, yy + _FLAT / 5
    determinant = xx * yy - xy * xy
    step = torch.cat([yy * x - xy * y, xx * y - xy * x], 1) / determinant
    # About the smaller eigenvalue: low along an edge, where the displacement is ambiguous.
    weakest = determinant / (xx + yy)
    trust = weakest / (weakest + _FLAT) * (count > 0.1).to(count.dtype)
    return step.clamp(-1, 1) * factor, trust


def _fetch(shown: Tensor, flow: Tensor, factor: int) -> Tensor:
    """Warp `shown`, downscaled by `factor`, by `flow` in full-size pixels at 1/8."""
    return warp(shown, enlarge(flow, _CELL // factor) / factor)


def _compare(pictures: _Pictures, here: Tensor, fetched: Tensor) -> tuple[Tensor, Tensor]:
    """Find where target and copy are both known, 0 or 1, and their difference in colour."""
    both = pictures.known[here] * (fetched[:, 3:4] > 0.99).to(fetched.dtype)
    return both, pictures.colours[here] - fetched[:, :3]


def _complete(flow: Tensor, trust: Tensor) -> Tensor:
    """Keep trusted `flow`; elsewhere take the global motion plus the residual around."""
    model = fit_motion(flow, trust)
    return model + smooth_fill(flow - model, 1 - trust)


def fit_motion(flow: Tensor, weight: Tensor) -> Tensor:
    """Fit a quadratic motion to most of `flow` `(n, 2, h, w)`, by `weight` `(n, 1, h, w)`.

    Least squares with lower weights for outliers (Geman and McClure); the scale is the mean
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
    # Iteratively reweighted: fit, then lower the weight of what moves differently.
    for _ in range(_ROUNDS):
        total = share.sum(1, keepdim=True).clamp_min(1e-4)
        weighed = (terms * share / total).transpose(1, 2)
        model = terms @ torch.linalg.solve(weighed @ terms + ridge, weighed @ values)
        off = (values - model).square().sum(-1, keepdim=True)
        scale = ((off.sqrt() * share).sum(1, keepdim=True) / total).clamp_min(0.1)
        share = given / (1 + off / scale.square())
    return rearrange(model, "n (h w) c -> n c h w", h=h)


# Steps of the rays in cells, x then y; the second half mirrors the first, ray by ray.
_DOWN = ((-2, 1), (-1, 1), (0, 1), (1, 1), (2, 1))
_RIGHT = ((1, -2), (1, 0), (1, 2))
_RAYS = len(_DOWN) + len(_RIGHT)
_WIDTH = 16


def cast_rays(known: Tensor) -> Tensor:
    """Find the number of the first known cell in each direction, -1 if none; `(n, 16, h, w)`.

    `known` is bool `(n, h, w)`. Cells are numbered row by row, and known cells find themselves.
    """
    n, h, w = known.shape
    own = torch.arange(h * w, device=known.device).reshape(h, w).expand(n, h, w)
    start = torch.where(known, own, -1)
    # A sweep goes down, row by row. Transposed and flipped maps give the other directions.
    turned = start.transpose(1, 2)
    forth = [
        _sweep(start, [dx for dx, _ in _DOWN]),
        _turn(_sweep(turned, [dy for _, dy in _RIGHT])),
    ]
    back = [
        _sweep(start.flip(1, 2), [dx for dx, _ in _DOWN]).flip(2, 3),
        _turn(_sweep(turned.flip(1, 2), [dy for _, dy in _RIGHT]).flip(2, 3)),
    ]
    return torch.cat(forth + back, 1)


def _turn(x: Tensor) -> Tensor:
    return x.transpose(2, 3)


def _sweep(start: Tensor, offsets: list[int]) -> Tensor:
    """Propagate numbers down, row by row, with each sideways offset; `(n, d, h, w)`."""
    n, h, w = start.shape
    widest = max(abs(offset) for offset in offsets)
    columns = torch.arange(w, device=start.device) + widest
    reach = torch.stack([columns - offset for offset in offsets])
    row = start.new_full((n, len(offsets), w), -1)
    rows = []
    for y in range(h):
        padded = F.pad(row, (widest, widest), value=-1)
        carried = padded.gather(2, reach.expand(n, -1, -1))
        row = torch.where(start[:, None, y] >= 0, start[:, None, y], carried)
        rows.append(row)
    return torch.stack(rows, 2)


class Extend(nn.Module):
    """First fill of each frame on its own, `(b, t, 3, h, w)`; known pixels are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.disagreement = nn.Parameter(torch.tensor(6.0))
        self.length = nn.Parameter(torch.tensor(1.0))
        self.enter = conv(9, _WIDTH)
        self.among = conv(_WIDTH, _WIDTH, size=1)
        self.look = conv(_WIDTH, _WIDTH)
        self.leave = silence(conv(_WIDTH, 1))
        self.plain = silence(conv(_WIDTH, 1))
        nn.init.constant_(self.plain.bias, -4.0)  # type: ignore[arg-type]

    def forward(self, features: Features) -> Tensor:
        """Fill all frames, from pixels at 1/4 and features at 1/8."""
        b = features.frames.shape[0]
        frames, masks = features.frames.flatten(0, 1), features.masks.flatten(0, 1)
        # Known colours only: dividing by the known fraction removes the hole's black.
        share = F.avg_pool2d(1 - masks, 4)
        colours = F.avg_pool2d(frames * (1 - masks), 4) / share.clamp_min(1e-3)
        rays = cast_rays(share[:, 0] > 0.5)
        smooth = F.avg_pool2d(frames, 4)
        ends, far = _look_up(colours, smooth, rays)
        learned, plain = self._judge(features, ends, far, rays, smooth)
        # One softmax over all rays and the smooth fill, which wins where no ray is convincing.
        shares = torch.cat([self._base(ends, far) + learned, plain], 1).softmax(1)
        mixed = (shares[:, :-1] * ends).sum(1) + shares[:, -1] * smooth
        return rearrange(_blend(mixed, frames, masks), "(b t) c h w -> b t c h w", b=b)

    def _base(self, ends: Tensor, far: Tensor) -> Tensor:
        """Score rays without learning: prefer near lines whose ends agree, and the nearer end."""
        apart = (ends - _opposite(ends)).square().mean(2, keepdim=True)
        other = _opposite(far)
        length = (far + other).clamp(1, 200)
        lone = ((other >= 1000) | (far >= 1000)).to(far.dtype)
        return (
            -self.disagreement * apart * (1 - lone)
            - 2.3 * lone
            - self.length * length.log()
            + (other.clamp(0.5, 1000) / (far + other).clamp_min(1)).log()
            - 20 * (far >= 1000).to(far.dtype)
        )

    def _judge(
        self, features: Features, ends: Tensor, far: Tensor, rays: Tensor, smooth: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute the learned logits `(n, 16, 1, h/4, w/4)` of the rays, and of the smooth fill."""
        n = len(ends)
        vectors = features.levels[0].flatten(0, 1)
        h, w = vectors.shape[-2:]
        rays = rays[..., ::2, ::2]
        found = (rays.clamp_min(0) // (4 * w)) * w + rays.clamp_min(0) % (2 * w) // 2
        index = rearrange(found, "n r h w -> n 1 (r h w)").expand(-1, vectors.shape[1], -1)
        hits = rearrange(vectors.flatten(2).gather(2, index), "n c (r h w) -> n r c h w", h=h, w=w)
        alike = (hits * _opposite(hits)).sum(2, keepdim=True)
        ends, far, smooth = ends[..., ::2, ::2], far[..., ::2, ::2], smooth[..., ::2, ::2]
        apart = (ends - _opposite(ends)).abs().mean(2, keepdim=True)
        near = far.clamp(0, 100).add(1).log() / 4
        visible = features.visible[0].flatten(0, 1)[:, None].expand_as(alike)
        lone = (far >= 1000).to(far.dtype)
        evidence = torch.cat(
            [ends - smooth[:, None], alike, apart, near, _opposite(near), lone, visible], 2
        )
        x = F.silu(self.enter(evidence.flatten(0, 1)))
        mean = rearrange(x, "(n r) c h w -> n r c h w", n=n).mean(1)
        x = x + self.among(mean).repeat_interleave(2 * _RAYS, 0)
        x = self.leave(F.silu(self.look(F.silu(x))))
        plain = enlarge(self.plain(mean), 2)
        return rearrange(enlarge(x, 2), "(n r) c h w -> n r c h w", n=n), plain[:, None]


def _look_up(colours: Tensor, smooth: Tensor, rays: Tensor) -> tuple[Tensor, Tensor]:
    """Sample colours at the rays' ends `(n, 16, 3, h, w)`; lengths in cells `(n, 16, 1, h, w)`.

    A ray that leaves the picture gets the smooth fill's colour and a length of 1000.
    """
    h, w = colours.shape[-2:]
    index = rearrange(rays.clamp_min(0), "n r h w -> n 1 (r h w)").expand(-1, 3, -1)
    ends = rearrange(colours.flatten(2).gather(2, index), "n c (r h w) -> n r c h w", h=h, w=w)
    none = (rays < 0)[:, :, None]
    row = torch.arange(h, device=rays.device)[:, None]
    column = torch.arange(w, device=rays.device)
    far = torch.hypot((rays // w - row).to(colours.dtype), (rays % w - column).to(colours.dtype))
    return torch.where(none, smooth[:, None], ends), far[:, :, None].masked_fill(none, 1000)


def _opposite(x: Tensor) -> Tensor:
    """Return the values of the ray in the opposite direction; rays are the second axis."""
    return x.roll(_RAYS, 1)


def _blend(mixed: Tensor, frames: Tensor, masks: Tensor) -> Tensor:
    """Upsample from 1/4, continuous with the known pixels around the hole."""
    large = enlarge(mixed, 4)
    return (
        frames * (1 - masks) + (large + smooth_fill((frames - large) * (1 - masks), masks)) * masks
    )
