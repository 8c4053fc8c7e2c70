"""Light network: patch attention finds where to copy from, a small network adds the rest.

It follows STTN (Zeng et al. 2020, section 3): holes of all frames are filled at once by
matching patches of several sizes across neighbouring and distant frames, and only known pixels
count (Equation 4). Differences, with reasons:

* Patches overlap, one at every position. The score of two patches is then the sum of the scores of
  their cells along the diagonal, so all patch sizes come from one table of scores, and dividing by
  the visibility that both patches share makes Equation 4 exact to the pixel.
* Attention returns *positions*, found at 1/16 and refined at 1/8 of the size, then aligned to a
  fraction of a pixel. Pixels are sampled there once at full resolution, so a copy stays sharp. A
  softmax over frames blends the copies.
* Background that no frame shows starts from a smooth fill of the hole. A U-shaped network with
  attention over all frames at 1/16 of the size adds a residual.

Patch sizes are absolute (cells of 16 or 8 pixels), not fractions of the map, so that weights
learned on small crops work on larger pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from cleanplate.network.alignment import Extend, align
from cleanplate.network.matching import (
    Describe,
    Features,
    Match,
    Matches,
    conv,
    enlarge,
    silence,
    smooth_fill,
    warp,
)

_COARSEST = 16
# Values blended at once: a few megabytes, so that they stay in the cache.
_PIXELS = 2**20


@dataclass(frozen=True)
class LightConfig:
    """Sizes of the light network."""

    matching: int = 32
    """Channels of the features to compare."""
    dilations: tuple[int, ...] = (1, 3, 9)
    """Patch sizes at 1/16 are 3, 9 and 27 cells: each dilation triples the one before."""
    sources: int = 5
    """Maximum number of other frames that each frame copies from; the most useful are chosen."""
    widths: tuple[int, ...] = (48, 80, 128)
    """Channels of the synthesis network at 1/4, 1/8 and 1/16 of the size."""
    heads: int = 4
    """Heads of the attention over all frames at 1/16."""
    blocks: int = 2
    """Attention blocks at 1/16."""
    architecture: str = "light"

    def __post_init__(self) -> None:
        if self.architecture != "light":
            raise ValueError(f"architecture is '{self.architecture}', not 'light'")
        if len(self.widths) != 3:
            raise ValueError(f"widths are three numbers, not {len(self.widths)}")
        if min(self.matching, self.sources, self.heads, *self.widths, *self.dilations) < 1:
            raise ValueError("channels, sources, heads and dilations must be at least 1")
        if self.blocks < 0 or self.widths[2] % self.heads:
            raise ValueError(f"{self.widths[2]} channels do not divide by {self.heads} heads")


class Fused(NamedTuple):
    """Blend of the copies."""

    frames: Tensor
    """`(b, t, 3, h, w)`: known pixels and copies; the smooth fill where there are none."""
    coverage: Tensor
    """`(b, t, 1, h, w)`: copied fraction of each pixel."""
    masks: Tensor
    """`(b, t, 1, h, w)`: 1 = hole."""


class Training(NamedTuple):
    """Everything that the training loss needs."""

    frames: Tensor
    fused: Fused
    matches: Matches | None


class LightNetwork(nn.Module):
    """Fill the holes of a few frames at once.

    Maps `(b, t, 3, h, w)` in [-1, 1] with holes 0, and `(b, t, 1, h, w)` with 1 = hole, to
    `(b, t, 3, h, w)` in [-1, 1]. Any height and width; padding is internal.
    """

    def __init__(self, config: LightConfig | None = None) -> None:
        super().__init__()
        self.config = config or LightConfig()
        self.describe = Describe(self.config.matching)
        self.extend = Extend()
        self.match = Match(self.config.dilations, self.config.sources)
        self.mix = _Mix(self.match.evidence)
        self.synthesis = _Synthesis(self.config)

    def forward(self, masked_frames: Tensor, masks: Tensor, targets: int | None = None) -> Tensor:
        """Fill frames, in [-1, 1]; known pixels are returned unchanged.

        With `targets`, only the first `targets` frames are filled and returned; the others are
        references to copy from.
        """
        height, width = masked_frames.shape[-2:]
        features = self.encode(masked_frames, masks)
        made = self.decode(self.transform(features, targets), (height, width))
        return made.to(masked_frames.dtype)

    def forward_training(
        self, masked_frames: Tensor, masks: Tensor, *, synthesise: bool = True
    ) -> Training:
        """Fill as `forward` does, and return the intermediate results that the training loss needs.

        Without `synthesise`, the frames are the copies alone.
        """
        height, width = masked_frames.shape[-2:]
        features = self.encode(masked_frames, masks)
        matches = self.match(features, features.frames.shape[1])
        fused, first = self._fuse(features, matches, features.frames.shape[1])
        frames = fused.frames[..., :height, :width]
        if synthesise:
            frames = self.decode((fused, self.synthesis.deepen(fused, first)), (height, width))
        return Training(frames, fused, matches)

    def encode(self, masked_frames: Tensor, masks: Tensor) -> Features:
        """Encode each frame on its own: smooth fill, features to compare, visibility."""
        b, t, _, height, width = masked_frames.shape
        right, bottom = -width % _COARSEST, -height % _COARSEST
        # Positions need more digits than half precision has; only convolutions may use it.
        flat = rearrange(masked_frames, "b t c h w -> (b t) c h w").float()
        holes = rearrange(masks, "b t c h w -> (b t) c h w").to(flat.dtype)
        # Padding is a hole: nothing is copied from it.
        flat = F.pad(flat, (0, right, 0, bottom))
        holes = F.pad(holes, (0, right, 0, bottom), value=1.0)
        filled = smooth_fill(flat * (1 - holes), holes)
        visible = [1 - F.avg_pool2d(holes, 8), 1 - F.avg_pool2d(holes, 16)]
        levels = self.describe(filled, holes)

        def unflatten(x: Tensor) -> Tensor:
            return rearrange(x, "(b t) c h w -> b t c h w", b=b, t=t)

        return Features(
            unflatten(filled),
            unflatten(holes),
            tuple(map(unflatten, levels)),
            tuple(map(unflatten, visible)),
        )

    def transform(
        self, features: Features, targets: int | None = None
    ) -> tuple[Fused, tuple[Tensor, ...]]:
        """Match all frames, copy, and encode the result across all frames.

        With `targets`, for the first `targets` frames only.
        """
        count = targets or features.frames.shape[1]
        fused, first = self._fuse(features, self.match(features, count), count)
        return fused, self.synthesis.deepen(fused, first)

    def _fuse(
        self, features: Features, matches: Matches | None, count: int
    ) -> tuple[Fused, Features]:
        """Return the copies for the first `count` frames, and the features of these."""
        first = features.first(count)
        first = first._replace(frames=self.extend(first))
        return self.mix(first, features, align(features, matches) if matches else None), first

    def decode(
        self, transformed: tuple[Fused, tuple[Tensor, ...]], size: tuple[int, int]
    ) -> Tensor:
        """Decode each frame: known pixels unchanged, copies plus the residual of the synthesis."""
        fused, depths = transformed
        b, t = fused.frames.shape[:2]
        residual = self.synthesis.rise(depths)
        residual = rearrange(residual, "(b t) c h w -> b t c h w", b=b, t=t)
        frames = fused.frames + residual * fused.masks
        return (frames if self.training else frames.clamp(-1, 1))[..., : size[0], : size[1]]


class _Norm(nn.Module):
    """Divide the channels at each position by their root mean square."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * (torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-4)) * self.gain


class _Residual(nn.Module):
    """Two 3×3 convolutions around the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = _Norm(width)
        self.first, self.second = conv(width, width), conv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.second(F.silu(self.first(self.norm(x))))
        return x + added


class _Mix(nn.Module):
    """Sample the pixels of all sources and blend them: a softmax over sources and "none"."""

    def __init__(self, evidence: int) -> None:
        super().__init__()
        self.first = conv(evidence, 1)
        self.look = nn.Sequential(conv(evidence + 8, 32), nn.SiLU(), conv(32, 32), nn.SiLU())
        self.second = silence(conv(32, 1))

    def forward(self, features: Features, sources: Features, matches: Matches | None) -> Fused:
        b = features.frames.shape[0]
        frames, masks = features.frames.flatten(0, 1), features.masks.flatten(0, 1)
        if matches is None:
            return Fused(features.frames, torch.zeros_like(features.masks), features.masks)
        shown = 1 - sources.masks.flatten(0, 1)
        pixels = torch.cat([sources.frames.flatten(0, 1) * shown, shown], 1)
        # The loss looks at all pixels; inference needs only those around the holes.
        if self.training:
            mixture, coverage = self._mix_all(frames, masks, pixels, matches)
        else:
            part, near = _look_around(masks, matches)
            some = self._mix_all(frames[part], masks[part], pixels, near)
            mixture, coverage = torch.zeros_like(frames), torch.zeros_like(masks)
            mixture[part], coverage[part] = some
        mixture, coverage = (
            rearrange(x, "(b t) c h w -> b t c h w", b=b) for x in (mixture, coverage)
        )
        mixture = features.frames * (1 - features.masks) + mixture * features.masks
        return Fused(mixture, coverage * features.masks, features.masks)

    def _mix_all(
        self, frames: Tensor, masks: Tensor, pixels: Tensor, matches: Matches
    ) -> tuple[Tensor, Tensor]:
        """Blend all frames, a few at a time; return the blend and its coverage."""
        each = len(matches.targets) // len(frames)
        group = max(1, _PIXELS // (each * pixels[0].numel()))
        parts = [
            self._mix(frames, masks, pixels, matches, slice(start, start + group))
            for start in range(0, len(frames), group)
        ]
        mixture, coverage = (torch.cat(part) for part in zip(*parts, strict=True))
        return mixture, coverage

    def _mix(
        self, frames: Tensor, masks: Tensor, pixels: Tensor, matches: Matches, chosen: slice
    ) -> tuple[Tensor, Tensor]:
        """Blend the `chosen` frames; return `(n, 3, h, w)` and the coverage `(n, 1, h, w)`."""
        total = self.fetch(frames, masks, pixels, matches, chosen).sum(1)
        # The smooth fill has weight one, so that it remains where no source shows the pixel.
        weight = total[:, 3:] + 1
        return (total[:, :3] + frames[chosen]) / weight, 1 - 1 / weight

    def fetch(
        self, frames: Tensor, masks: Tensor, pixels: Tensor, matches: Matches, chosen: slice
    ) -> Tensor:
        """Weight the copies for the `chosen` frames; colours and weights, `(n, k, 3 + 1, h, w)`.

        The smooth fill has weight one. `frames` `(b * t, 3, h, w)` and `masks` belong to the
        targets, `pixels` `(b * t, 4, h, w)` are the sources' known pixels and their visibility.
        """
        each = len(matches.targets) // len(frames)
        pairs = slice(chosen.start * each, chosen.stop * each)
        fetched = warp(pixels[matches.sources[pairs]], enlarge(matches.flows[2][pairs], 8))
        own, known = frames[chosen], 1 - masks[chosen]
        logits = self._weigh(fetched, own, known, matches.hidden[pairs])
        # Bounded before the exponential, so that no weight overflows.
        shares = enlarge(logits.clamp(-12, 12).exp(), 8)
        return rearrange(fetched * shares, "(n k) c h w -> n k c h w", k=each)

    def _weigh(self, fetched: Tensor, own: Tensor, known: Tensor, hidden: Tensor) -> Tensor:
        """Compute the logarithm of each copy's weight, `(n k, 1, h/8, w/8)`; the smooth fill has 0.

        Uses the evidence of the match, the agreement of the copy with the known pixels around the
        hole, and its distance from the other copies.
        """
        n, each = len(own), len(fetched) // len(own)
        copies = rearrange(fetched, "(n k) c h w -> n k c h w", n=n)
        # Known pixels at the rim tell whether the copy continues the frame.
        misfit = (copies[:, :, :3] - own[:, None] * copies[:, :, 3:]).abs().mean(2, keepdim=True)
        misfit = (misfit * known[:, None]).flatten(0, 1)
        small = F.avg_pool2d(torch.cat([fetched, misfit], 1), 8)
        share, misfit = small[:, 3:4], small[:, 4:]
        colours = small[:, :3] / share.clamp_min(0.05)
        # Two rounds: weights from the match alone, then again with the distance of each copy from
        # their weighted mean, so that an outlier loses weight.
        first: Tensor = self.first(hidden)
        weight = first.clamp(-12, 12).exp() * share
        weighed = torch.cat([colours * weight, weight], 1)
        weighed = rearrange(weighed, "(n k) c h w -> n k c h w", n=n).sum(1)
        agreed = weighed[:, :3] / weighed[:, 3:].clamp_min(1e-4)
        smooth = F.avg_pool2d(own, 8)
        evidence = [
            (colours - agreed.repeat_interleave(each, 0)) * share,
            (colours - smooth.repeat_interleave(each, 0)) * share,
            misfit,
            share,
        ]
        second: Tensor = self.second(self.look(torch.cat([hidden, *evidence], 1)))
        return first + second


def _look_around(masks: Tensor, matches: Matches) -> tuple[tuple[slice, ...], Matches]:
    """Find the part of the pictures that blending in the holes `(n, 1, h, w)` needs.

    Three convolutions and an upsampling at 1/8 read four cells beyond a hole.
    """
    spans = []
    for axis, other in ((2, 3), (3, 2)):
        found = masks.amax((0, 1, other)).nonzero().flatten()
        first, last = (int(found[0]), int(found[-1])) if len(found) else (0, 0)
        spans.append(slice(max(0, first // 8 - 4), min(masks.shape[axis] // 8, last // 8 + 5)))
    cells = (slice(None), slice(None), *spans)
    # Flows are relative to the position in the cropped map, so add the offset of the crop.
    start = matches.flows[2].new_tensor([8 * spans[1].start, 8 * spans[0].start])
    flow = matches.flows[2][cells] + rearrange(start, "c -> c 1 1")
    part = (slice(None), slice(None), *(slice(8 * span.start, 8 * span.stop) for span in spans))
    return part, matches._replace(flows=(*matches.flows[:2], flow), hidden=matches.hidden[cells])


class _Attention(nn.Module):
    """Attention over the cells of all frames at 1/16; known cells get more weight as keys."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = _Norm(width)
        self.project = conv(width, 3 * width, size=1)
        self.out = conv(width, width, size=1)
        self.trust = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor, visible: Tensor, t: int) -> Tensor:
        h = x.shape[-2]
        query, key, value, bias = self._project(x, visible, t)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        added: Tensor = self.out(rearrange(mixed, "b m (t h w) c -> (b t) (m c) h w", t=t, h=h))
        return x + added

    def look(self, x: Tensor, visible: Tensor, t: int, *, frame: int) -> Tensor:
        """Return the attention of the cells of one frame in `forward` of one clip `(t, c, h, w)`.

        Returns `(heads, h * w, t, h, w)`: from each cell of `frame` to all cells of all frames;
        each sums to 1.
        """
        h, w = x.shape[-2:]
        query, key, _, bias = self._project(x, visible, t)
        query = query[0, :, frame * h * w : (frame + 1) * h * w] * query.shape[-1] ** -0.5
        weights: Tensor = (query @ key[0].transpose(1, 2) + bias[0]).softmax(-1)
        return rearrange(weights, "m q (t h w) -> m q t h w", t=t, h=h)

    def _project(self, x: Tensor, visible: Tensor, t: int) -> tuple[Tensor, ...]:
        """Compute queries, keys and values `(b, m, t h w, c)`, and the bias of the keys."""
        query, key, value = rearrange(
            self.project(self.norm(x)),
            "(b t) (s m c) h w -> s b m (t h w) c",
            s=3,
            m=self.heads,
            t=t,
        )
        return query, key, value, rearrange(visible, "b t c h w -> b c 1 (t h w)") * self.trust


class _Synthesis(nn.Module):
    """U-shaped network that adds what could not be copied."""

    def __init__(self, config: LightConfig) -> None:
        super().__init__()
        quarter, eighth, sixteenth = config.widths
        self.enter = conv(5 * 16, quarter)
        self.down = conv(quarter, eighth, 2)
        self.eighth = _Residual(eighth)
        self.further = conv(eighth + config.matching, sixteenth, 2)
        self.attend = nn.ModuleList(
            [_Attention(sixteenth, config.heads) for _ in range(config.blocks)]
        )
        self.think = nn.ModuleList([_Residual(sixteenth) for _ in range(config.blocks + 1)])
        self.up = conv(sixteenth, eighth, size=1)
        self.after = _Residual(eighth)
        self.upper = conv(eighth, quarter, size=1)
        self.last = _Residual(quarter)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        self.finish = _Norm(quarter)
        self.leave = silence(conv(quarter, 48))

    def deepen(self, fused: Fused, features: Features) -> tuple[Tensor, ...]:
        """Compute features at 1/4, 1/8 and 1/16, the last after attention over all frames."""
        t = fused.frames.shape[1]
        x = torch.cat([fused.frames, features.masks, fused.coverage], 2).flatten(0, 1)
        quarter = self.enter(F.pixel_unshuffle(x, 4))
        eighth = self.eighth(self.down(quarter))
        deep = self.further(torch.cat([eighth, features.levels[0].flatten(0, 1)], 1))
        deep = self.think[0](deep)
        # Attention exchanges content between frames; the convolutions work within each.
        for attend, think in zip(self.attend, self.think[1:], strict=True):
            deep = think(attend(deep, features.visible[1], t))
        return quarter, eighth, deep

    def rise(self, depths: tuple[Tensor, ...]) -> Tensor:
        """Compute residual pixels `(b t, 3, h, w)` from the three depths."""
        quarter, eighth, deep = depths
        eighth = self.after(eighth + enlarge(self.up(deep), 2))
        quarter = self.last(quarter + enlarge(self.upper(eighth), 2))
        # A tenth, since one step of Adam moves all of a pixel's many weights at once.
        return F.pixel_shuffle(self.leave(self.finish(quarter)) * 0.1, 4)
