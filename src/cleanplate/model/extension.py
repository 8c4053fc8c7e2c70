"""Extend what surrounds a hole into it: a cell attends to the nearest known cells around it.

What no frame shows must come from the frame itself. From each cell of a hole rays go out in
sixteen directions to the first known cell; where the two ends of a line agree, what lies between
them is likely the same (a road's edge, the horizon). A softmax over the rays mixes their colours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from cleanplate.model.matching import Features, conv, enlarge, silence, smooth_fill

# Steps of the rays in cells, x then y; the second half mirrors the first, ray by ray.
_DOWN = ((-2, 1), (-1, 1), (0, 1), (1, 1), (2, 1))
_RIGHT = ((1, -2), (1, 0), (1, 2))
_RAYS = len(_DOWN) + len(_RIGHT)
_WIDTH = 16


def cast_rays(known: Tensor) -> Tensor:
    """Number of the first known cell in each direction, -1 where there is none; `(n, 16, h, w)`.

    `known` is bool `(n, h, w)`; cells are numbered row by row, and known cells find themselves.
    """
    n, h, w = known.shape
    own = torch.arange(h * w, device=known.device).reshape(h, w).expand(n, h, w)
    start = torch.where(known, own, -1)
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
    """Carry numbers down, row by row, with each of the sideways `offsets`; `(n, d, h, w)`."""
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
    """A first fill of each frame by itself, `(b, t, 3, h, w)`; known pixels are kept."""

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
        """The fill of all frames; looks at pixels at 1/4 and features at 1/8."""
        b = features.frames.shape[0]
        frames, masks = features.frames.flatten(0, 1), features.masks.flatten(0, 1)
        share = F.avg_pool2d(1 - masks, 4)
        colours = F.avg_pool2d(frames * (1 - masks), 4) / share.clamp_min(1e-3)
        rays = cast_rays(share[:, 0] > 0.5)
        smooth = F.avg_pool2d(frames, 4)
        ends, far = _look_up(colours, smooth, rays)
        learned, plain = self._judge(features, ends, far, rays, smooth)
        shares = torch.cat([self._base(ends, far) + learned, plain], 1).softmax(1)
        mixed = (shares[:, :-1] * ends).sum(1) + shares[:, -1] * smooth
        return rearrange(_blend(mixed, frames, masks), "(b t) c h w -> b t c h w", b=b)

    def _base(self, ends: Tensor, far: Tensor) -> Tensor:
        """What needs no learning: lines whose ends agree and are near, and the nearer end."""
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
        """What is learned: logits `(n, 16, 1, h/4, w/4)` of the rays, and of the smooth fill."""
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
    """Colours at the rays' ends `(n, 16, 3, h, w)` and their way in cells `(n, 16, 1, h, w)`.

    A ray that leaves the picture has the smooth fill's colour and a way of 1000.
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
    """What the ray in the opposite direction has; rays are the second axis."""
    return x.roll(_RAYS, 1)


def _blend(mixed: Tensor, frames: Tensor, masks: Tensor) -> Tensor:
    """Full size from 1/4, and continuous with the known pixels around the hole."""
    large = enlarge(mixed, 4)
    return (
        frames * (1 - masks) + (large + smooth_fill((frames - large) * (1 - masks), masks)) * masks
    )
