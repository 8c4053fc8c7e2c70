"""Patch attention that returns positions: which cell of which frame shows what this cell misses.

Matching part of the light network; `cleanplate.network.light` describes the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


class Features(NamedTuple):
    """Encoding of each frame on its own, by `encode`; all tensors are `(b, t, c, h, w)`."""

    frames: Tensor
    """Known pixels, and the smooth fill inside holes; [-1, 1]."""
    masks: Tensor
    """1 = hole."""
    levels: tuple[Tensor, ...]
    """Unit vectors to compare, at 1/8 and 1/16."""
    visible: tuple[Tensor, ...]
    """Fraction of known pixels in each cell, at 1/8 and 1/16."""

    def first(self, count: int) -> Features:
        """Return the first `count` frames of each clip."""
        return self.pick(slice(count))

    def pick(self, frames: slice | list[int]) -> Features:
        """Return some frames of each clip."""
        levels, visible = ((x[:, frames] for x in part) for part in (self.levels, self.visible))
        return Features(
            self.frames[:, frames], self.masks[:, frames], tuple(levels), tuple(visible)
        )


class Scores(NamedTuple):
    """Scores at 1/16 of every cell of one frame with every cell of another, `n` pairs."""

    first: Tensor
    """Index into the `b * t` frames, `(n,)`."""
    second: Tensor
    """Index into the `b * t` frames, `(n,)`."""
    table: Tensor
    """`(n, hw, hw)`: cells of `first` by cells of `second`."""


class Matches(NamedTuple):
    """Positions that each frame copies from; `n` pairs of (target, source)."""

    targets: Tensor
    """Index into the `b * t` frames, `(n,)`."""
    sources: Tensor
    """Index into the `b * t` frames, `(n,)`."""
    flows: tuple[Tensor, ...]
    """Displacement target → source in pixels, `(n, 2, h, w)`: at 1/16, then twice at 1/8."""
    hidden: Tensor
    """Evidence for the blending weights, `(n, c, h/8, w/8)`."""
    scores: Scores | None
    """Scores by which the coarse positions were chosen; for training."""


def smooth_fill(frames: Tensor, masks: Tensor) -> Tensor:
    """Fill holes with a smooth surface by pull-push (Gortler et al. 1996).

    Averages of known pixels are pulled up a pyramid and pushed back into the unknown ones.
    `frames` `(n, c, h, w)`, `masks` `(n, 1, h, w)` with 1 = hole; known pixels are kept.
    """
    if min(frames.shape[-2:]) == 1 and max(frames.shape[-2:]) == 1:
        return frames
    known = 1 - masks
    weight = F.avg_pool2d(known, 2, ceil_mode=True, count_include_pad=False)
    total = F.avg_pool2d(frames * known, 2, ceil_mode=True, count_include_pad=False)
    pulled = total / weight.clamp_min(1e-6)
    unknown = (weight <= 1e-6).to(frames.dtype)
    coarse = smooth_fill(pulled * (1 - unknown), unknown)
    pushed = F.interpolate(coarse, size=frames.shape[-2:], mode="bilinear", align_corners=False)
    return frames * known + pushed * masks


class _Conv(nn.Conv2d):
    """Convolution that computes in its weights' precision and returns that of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype)).to(x.dtype)


def conv(inputs: int, outputs: int, stride: int = 1, size: int = 3) -> nn.Conv2d:
    """Make a convolution whose output is `stride` times smaller than its input."""
    return _Conv(inputs, outputs, size, stride, padding=size // 2)


def silence(layer: nn.Conv2d) -> nn.Conv2d:
    """Set the weights of `layer` to zero, so that it adds nothing at the start of training."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Describe(nn.Module):
    """Features to compare, at 1/8 and 1/16, as unit vectors."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.quarter = nn.Sequential(conv(64, 40), nn.SiLU())
        self.eighth = nn.Sequential(conv(40, 64, 2), nn.SiLU(), conv(64, 64), nn.SiLU())
        self.sixteenth = nn.Sequential(conv(64, 80, 2), nn.SiLU(), conv(80, 80), nn.SiLU())
        self.out = nn.ModuleList([conv(width, channels, size=1) for width in (64, 80)])

    def forward(self, filled: Tensor, holes: Tensor) -> list[Tensor]:
        """Map `(n, 3, h, w)` and `(n, 1, h, w)` to `(n, channels, h/8, w/8)` and half that size."""
        x = self.quarter(F.pixel_unshuffle(torch.cat([filled, holes - 0.5], 1), 4))
        maps = [self.eighth(x)]
        maps.append(self.sixteenth(maps[0]))
        return [F.normalize(out(y), dim=1) for out, y in zip(self.out, maps, strict=True)]


def _sum_diagonally(scores: Tensor, step: int) -> Tensor:
    """Add to the score of cells x and y those of x ± step and y ± step; `(n, h, w, h, w)`."""
    # A patch score is the sum of cell scores at equal offsets in both frames. Rows and columns are
    # separable, and each call with three times the step triples the patch.
    for query, key in ((1, 3), (2, 4)):
        size = scores.shape[query]
        if step >= size:
            continue
        length = size - step
        low = scores.narrow(query, 0, length).narrow(key, 0, length)
        high = scores.narrow(query, step, length).narrow(key, step, length)
        # A copy, since `low` and `high` are views of the sums before this step.
        total = scores.clone()
        total.narrow(query, step, length).narrow(key, step, length).add_(low)
        total.narrow(query, 0, length).narrow(key, 0, length).add_(high)
        scores = total
    return scores


def _grid(height: int, width: int, like: Tensor) -> Tensor:
    """Make the cell positions x, y, `(2, h, w)`."""
    ys, xs = torch.meshgrid(
        torch.arange(height, device=like.device, dtype=like.dtype),
        torch.arange(width, device=like.device, dtype=like.dtype),
        indexing="ij",
    )
    return torch.stack([xs, ys])


def warp(images: Tensor, flow: Tensor) -> Tensor:
    """Sample `images` `(n, c, h, w)` bilinearly at each position plus `flow` `(n, 2, y, x)`.

    The flow is in pixels of `images`, and may have another size. Outside the picture is 0.
    """
    height, width = images.shape[-2:]
    place = flow + _grid(flow.shape[-2], flow.shape[-1], flow)
    # grid_sample counts from -1 to 1 over the outer edges of the corner pixels.
    x = (place[:, 0] * 2 + 1) / width - 1
    y = (place[:, 1] * 2 + 1) / height - 1
    return F.grid_sample(images, torch.stack([x, y], -1), padding_mode="zeros", align_corners=False)


def enlarge(x: Tensor, factor: int) -> Tensor:
    """Upsample bilinearly by an integer factor."""
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def complete(flow: Tensor, known: Tensor, shown: Tensor) -> Tensor:
    """Keep `flow` where both ends are known; elsewhere extend it smoothly from the surroundings.

    `flow` `(n, 2, h, w)`, the target's visibility `known` and the source's `shown` `(n, 1, h, w)`.
    """
    # Without gradient: visibility decides what is kept, and is nothing to learn from.
    trust = known * warp(shown, flow.detach())
    return smooth_fill(flow, 1 - trust)


class Match(nn.Module):
    """Find displacements from features: a full search at 1/16, then two local ones at 1/8."""

    def __init__(self, dilations: tuple[int, ...], sources: int) -> None:
        super().__init__()
        self.dilations, self.count = dilations, sources
        self.sharpness = nn.Parameter(torch.full((len(dilations),), 12.0))
        self.evidence_needed = nn.Parameter(torch.full((len(dilations),), -1.0))
        self.distance = nn.Parameter(torch.tensor(0.02))
        self.near = _Refine(radius=2, carried=0)
        self.nearer = _Refine(radius=1, carried=self.near.hidden)
        self.evidence = self.nearer.hidden

    def forward(self, features: Features, targets: int) -> Matches | None:
        """Match the first `targets` frames with all; None for a single frame."""
        if features.frames.shape[1] == 1:
            return None
        places, scores = self._search(features, targets)
        # Refining costs most, so it runs only for the sources that fill most of the hole.
        here, there, flow = self._choose(features, places, targets)
        known = features.visible[1].flatten(0, 1)
        # A cell inside the hole has no features of its own: its match is extended from the rim.
        flow = complete(flow, known[here], known[there])
        near, nearer, hidden = self._refine(features, here, there, flow)
        # In pixels: one cell is 16 pixels wide in the coarse search and 8 in the refinements.
        return Matches(here, there, (flow * 16, near * 8, nearer * 8), hidden, scores)

    def _search(self, features: Features, targets: int) -> tuple[Tensor, Scores | None]:
        """Find the displacements of all cells at 1/16, `(b, pairs, 2, h, w)`.

        The scores of a pair of frames serve both directions: first from `_pair_up`'s first to
        second, then back.
        """
        level, visible = features.levels[1].flatten(0, 1), features.visible[1].flatten(0, 1)
        b, t = features.frames.shape[:2]
        h, w = level.shape[-2:]
        first, second = _pair_up(targets, t, level.device)
        base = torch.arange(b, device=level.device)[:, None] * t
        first, second = (base + first).flatten(), (base + second).flatten()
        # Scaled by visibility, so that a product counts as far as both cells are known.
        vectors = rearrange(level * visible, "n c h w -> n (h w) c")
        known = rearrange(visible, "n c h w -> n (h w) c")
        there, back, kept = [], [], []
        group = _count_at_once(level, (h * w) ** 2)
        for start in range(0, len(first), group):
            part = slice(start, start + group)
            scores = self._score(vectors, known, first[part], second[part], (h, w))
            there.append(_find_best(scores, h, w))
            back.append(_find_best(scores.transpose(1, 2), h, w))
            # The loss needs the whole table; inference drops it, since it is the largest tensor.
            if self.training:
                kept.append(scores)
        places = [
            rearrange(torch.cat(way), "(b p) c h w -> b p c h w", b=b) for way in (there, back)
        ]
        return torch.cat(places, 1), Scores(first, second, torch.cat(kept)) if kept else None

    def _score(
        self, vectors: Tensor, known: Tensor, first: Tensor, second: Tensor, size: tuple[int, int]
    ) -> Tensor:
        """Score all cells of frames `first` with all of frames `second`, `(n, hw, hw)`."""
        total, *likenesses = self.compare(vectors, known, first, second, size)
        for likeness in likenesses:
            total = total + likeness
        return total.reshape(len(first), size[0] * size[1], -1)

    def compare(
        self, vectors: Tensor, known: Tensor, first: Tensor, second: Tensor, size: tuple[int, int]
    ) -> Iterator[Tensor]:
        """Yield the terms of a score: first the distance `(h, w, h, w)`.

        Then, for each patch size, the mean similarity `(n, h, w, h, w)` over the cells that both
        patches know (Equation 4, cell by cell), shrunk to zero where they know little. `vectors`
        are known cells `(b * t, hw, c)`, `known` their visibility `(b * t, hw, 1)`.
        """
        h, w = size
        table = (len(first), h, w, h, w)
        likeness = _multiply(vectors[first], vectors[second]).reshape(table)
        shared = _multiply(known[first], known[second]).reshape(table)
        places = rearrange(_grid(h, w, vectors), "c h w -> (h w) c")
        # Among equal matches prefer the nearest: footage rarely jumps between two frames.
        yield -self.distance.abs() * torch.cdist(places, places).reshape(table[1:])
        for index, step in enumerate(self.dilations):
            likeness, shared = _sum_diagonally(likeness, step), _sum_diagonally(shared, step)
            # A patch with few shared cells must not win by one lucky cell. The number of cells
            # that it needs grows with the width of the patch.
            needed = F.softplus(self.evidence_needed[index]) * (3.0 ** (index + 1))
            yield self.sharpness[index] * likeness / (shared + needed)

    def _choose(
        self, features: Features, places: Tensor, targets: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Choose for each target the sources that show most of what it misses.

        Returns the targets and sources of all chosen pairs, `(n,)` each, and their displacements.
        """
        known = features.visible[1]
        b, t = known.shape[:2]
        first, second = _pair_up(targets, t, known.device)
        here, there = torch.cat([first, second]), torch.cat([second, first])
        seen = warp(known[:, there].flatten(0, 1), places.detach().flatten(0, 1))
        seen = rearrange(seen, "(b p) c h w -> b p c h w", b=b)
        # Count what the source shows inside the target's hole; the rest needs no copy.
        gain = (seen * (1 - known[:, here])).flatten(2).sum(2)
        # Below any gain, so that a frame is never chosen as its own source.
        table = gain.new_full((b, t, t), -1.0)
        table[:, here, there] = gain
        number = torch.zeros(t, t, dtype=torch.long, device=known.device)
        number[here, there] = torch.arange(len(here), device=known.device)
        chosen = table[:, :targets].topk(min(self.count, t - 1), dim=-1).indices
        own = torch.arange(targets, device=known.device)[None, :, None].expand_as(chosen)
        batch = torch.arange(b, device=known.device)[:, None, None].expand_as(chosen)
        flow = places[batch, number[own, chosen]]
        return (
            (batch * t + own).flatten(),
            (batch * t + chosen).flatten(),
            flow.flatten(0, 2),
        )

    def _refine(
        self, features: Features, targets: Tensor, sources: Tensor, flow: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Refine displacements at 1/8 twice; return both, and the evidence `(n, c, h, w)`."""
        vectors, visible = features.levels[0].flatten(0, 1), features.visible[0].flatten(0, 1)
        found = []
        group = _count_at_once(vectors, vectors[0].numel())
        for start in range(0, len(targets), group):
            part = slice(start, start + group)
            here, there = targets[part], sources[part]
            pair = vectors[here], visible[here], vectors[there], visible[there]
            # Twice as many cells, so the same displacement is twice as many cells long.
            near, hidden = self.near(pair, enlarge(flow[part], 2) * 2, None)
            # Refined at the rim, so extend it into the hole again.
            again = complete(near, visible[here], visible[there])
            found.append((near, *self.nearer(pair, again, hidden)))
        near, nearer, hidden = (torch.cat(parts) for parts in zip(*found, strict=True))
        return near, nearer, hidden


def _multiply(first: Tensor, second: Tensor) -> Tensor:
    """Multiply all rows, `(n, x, c)` and `(n, y, c)` → `(n, x, y)`, never in half precision."""
    if not torch.amp.is_autocast_available(first.device.type):
        return torch.bmm(first, second.transpose(1, 2))
    with torch.autocast(first.device.type, enabled=False):
        return torch.bmm(first, second.transpose(1, 2))


def _pair_up(targets: int, t: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """List all pairs first < second of `t` frames that include one of the first `targets`."""
    first, second = torch.triu_indices(targets, t, 1, device=device)
    return first, second


def _count_at_once(like: Tensor, size: int) -> int:
    """Count the pairs of `size` numbers to process at once: on a CPU, what fits into its cache."""
    return max(1, (2**18 if like.device.type == "cpu" else 2**26) // size)


def _find_best(scores: Tensor, h: int, w: int) -> Tensor:
    """Find each cell's best match, with sub-cell accuracy from its neighbours; `(n, 2, h, w)`."""
    best = scores.detach().argmax(-1, keepdim=True)
    # The mean position of the best cell and its eight neighbours, weighted by a softmax over their
    # scores. A softmax over all cells would average distant matches.
    row, column = best // w, best % w
    offsets = torch.arange(-1, 2, device=scores.device)
    rows = row + offsets.repeat_interleave(3)
    columns = column + offsets.repeat(3)
    inside = (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
    near = scores.gather(-1, rows.clamp(0, h - 1) * w + columns.clamp(0, w - 1))
    share = near.masked_fill(~inside, -1e4).softmax(-1)
    place = torch.stack([(share * columns).sum(-1), (share * rows).sum(-1)], 1)
    return rearrange(place, "n c (h w) -> n c h w", h=h) - _grid(h, w, scores)


class _Refine(nn.Module):
    """One refinement: compare positions near the present displacement."""

    hidden = 16

    def __init__(self, radius: int, carried: int) -> None:
        super().__init__()
        self.radius = radius
        self.sharpness = nn.Parameter(torch.tensor([8.0, 8.0]))
        places = (2 * radius + 1) ** 2
        self.look = nn.Sequential(
            conv(2 * places + 5 + carried, 32), nn.SiLU(), conv(32, 32), nn.SiLU()
        )
        self.correct = silence(conv(32, 2))
        self.keep = conv(32, self.hidden, size=1)

    def forward(
        self, pair: tuple[Tensor, Tensor, Tensor, Tensor], flow: Tensor, carried: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        target, known, source, shown = pair
        # Visibility is sampled with the features, so that hidden cells fade out of the comparison.
        fetched = warp(torch.cat([source * shown, shown], 1), flow)
        fetched, seen = fetched[:, :-1], fetched[:, -1:]
        likeness, shared = self._compare(target * known, fetched, known, seen)
        # Two window sizes: the small one locates an edge, the large one decides in flat areas.
        small = F.avg_pool2d(likeness, 3, 1, 1)
        small_shared = F.avg_pool2d(shared, 3, 1, 1)
        large, large_shared = _wide_mean(likeness), _wide_mean(shared)
        near, far = small / (small_shared + 0.1), large / (large_shared + 0.02)
        logits = self.sharpness[0] * near + self.sharpness[1] * far
        share = logits.softmax(1)
        step = torch.arange(-self.radius, self.radius + 1, device=flow.device, dtype=flow.dtype)
        moves = torch.stack([step.repeat(len(step)), step.repeat_interleave(len(step))])
        moved = flow + torch.einsum("n p h w, c p -> n c h w", share, moves)
        # The middle position is the one of no move.
        middle = shared.shape[1] // 2
        evidence = [near, far, small_shared[:, middle : middle + 1], known, seen]
        evidence.append((moved - flow) / self.radius)
        if carried is not None:
            evidence.append(carried)
        looked = self.look(torch.cat(evidence, 1))
        return moved + self.correct(looked), self.keep(looked)

    def _compare(
        self, target: Tensor, fetched: Tensor, known: Tensor, seen: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compute similarity and shared visibility at each position, `(n, places, h, w)` each."""
        radius, (height, width) = self.radius, target.shape[-2:]
        fetched, seen = F.pad(fetched, (radius,) * 4), F.pad(seen, (radius,) * 4)
        likeness, shared = [], []
        for dy in range(2 * radius + 1):
            for dx in range(2 * radius + 1):
                place = slice(dy, dy + height), slice(dx, dx + width)
                likeness.append((target * fetched[..., *place]).sum(1))
                shared.append(known[:, 0] * seen[:, 0, *place])
        return torch.stack(likeness, 1), torch.stack(shared, 1)


def _wide_mean(x: Tensor) -> Tensor:
    """Average over about eleven cells each way, computed at half the size."""
    return enlarge(F.avg_pool2d(F.avg_pool2d(x, 2), 5, 1, 2), 2)
