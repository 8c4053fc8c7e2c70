"""Training losses: L1 and hinge of the paper (Section 3.3), and the loss of the light network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from cleanplate.network.light import Training
from cleanplate.network.matching import Matches, Scores, enlarge, warp


@dataclass(frozen=True)
class LossWeights:
    """Shares of the generator's terms in their sum; the paper's values.

    Attributes:
        hole: L1 inside holes.
        valid: L1 outside holes.
        adversarial: the hinge term through the discriminator.
    """

    hole: float = 1.0
    valid: float = 1.0
    adversarial: float = 0.01


def composite(frames: Tensor, filled: Tensor, masks: Tensor) -> Tensor:
    """Known pixels of `frames`, holes from `filled` `(b, t, 3, h, w)`; masks `(b, t, 1, h, w)`."""
    return frames * (1 - masks) + filled * masks


def measure_l1(filled: Tensor, frames: Tensor, area: Tensor) -> Tensor:
    """Mean absolute difference inside `area` (Equations 6 and 7).

    Args:
        filled: `(b, t, 3, h, w)`, the network's output.
        frames: the truth, of the same shape.
        area: `(b, t, 1, h, w)`, 1 where it counts: the masks, or one minus them.

    Returns:
        A scalar; 0 when the area is empty.
    """
    return ((filled - frames) * area).abs().mean() / area.mean().clamp(min=1e-6)


def judge_real(scores: Tensor) -> Tensor:
    """Discriminator's hinge loss on real clips (Equation 8)."""
    return F.relu(1 - scores).mean()


def judge_made(scores: Tensor) -> Tensor:
    """Discriminator's hinge loss on made clips (Equation 8)."""
    return F.relu(1 + scores).mean()


def persuade(scores: Tensor) -> Tensor:
    """Generator's adversarial loss: the made clips' scores should be high (Equation 9)."""
    return -scores.mean()


@dataclass(frozen=True, slots=True)
class LightLossWeights:
    """Shares of the terms."""

    absolute: float = 1.0
    """L1 in the hole; 0, with `square` 0, trains the copies alone and leaves the synthesis out."""
    square: float = 1.0
    """Squared error in the hole: large errors decide the PSNR."""
    copies: float = 0.5
    """L1 and squared error in the hole before the synthesis adds to it."""
    places: float = 0.5
    """The complete source, fetched from where the network points, against the complete target."""
    coarse: float = 0.5
    """The same at 1/16, as a soft copy by the scores."""

    @property
    def synthesise(self) -> bool:
        """Whether the synthesis takes part."""
        return self.absolute > 0 or self.square > 0


def measure_light(
    result: Training, frames: Tensor, masks: Tensor, weights: LightLossWeights
) -> dict[str, Tensor]:
    """Terms and their weighted sum `total`; `frames` complete, both `(b, t, c, h, w)`."""
    error = result.frames - frames
    fused = result.fused.frames[..., : frames.shape[-2], : frames.shape[-1]] - frames
    terms = {
        "absolute": _in_hole(error.abs(), masks),
        "square": _in_hole(error.square(), masks),
        "copies": _in_hole(fused.abs() + fused.square(), masks),
    }
    if result.matches is not None and (weights.places or weights.coarse):
        truth = F.pad(
            frames.flatten(0, 1),
            (0, -frames.shape[-1] % 16, 0, -frames.shape[-2] % 16),
            mode="replicate",
        )
        terms["places"] = _measure_places(result.matches, truth)
        if result.matches.scores is not None:
            terms["coarse"] = _measure_coarse(result.matches.scores, truth, masks)
    total = sum(getattr(weights, name) * value for name, value in terms.items())
    return {**terms, "total": torch.as_tensor(total)}


def _in_hole(error: Tensor, masks: Tensor) -> Tensor:
    per_clip = (error.mean(2, keepdim=True) * masks).flatten(1).sum(1)
    return (per_clip / masks.flatten(1).sum(1).clamp_min(1)).mean()


def _robust(difference: Tensor) -> Tensor:
    """Grows ever more slowly: what is hidden in the source cannot match and must not matter."""
    return (difference.abs() + 0.01).pow(0.5) - 0.1


def _measure_places(matches: Matches, truth: Tensor) -> Tensor:
    """Mean over pairs, at 1/4 for the first refinement and at 1/2 for the second."""
    total = truth.new_zeros(())
    for flow, factor in ((matches.flows[1], 4), (matches.flows[2], 2)):
        small = F.avg_pool2d(truth, factor)
        fetched = warp(small[matches.sources], enlarge(flow, 8 // factor) / factor)
        total = total + _robust(fetched - small[matches.targets]).mean()
    return total


def _measure_coarse(scores: Scores, truth: Tensor, masks: Tensor) -> Tensor:
    """Cells of 4×4 colours, mixed by the scores over the known cells of the source frame."""
    cells = F.pixel_unshuffle(F.avg_pool2d(truth, 4), 4)
    cells = rearrange(cells, "n c h w -> n (h w) c")
    right, bottom = -masks.shape[-1] % 16, -masks.shape[-2] % 16
    holes = F.pad(masks.flatten(0, 1), (0, right, 0, bottom), value=1.0)
    known = rearrange(1 - F.avg_pool2d(holes, 16), "n 1 h w -> n 1 (h w)")
    total = truth.new_zeros(())
    ways = (
        (scores.first, scores.second, scores.table),
        (scores.second, scores.first, scores.table.transpose(1, 2)),
    )
    for target, source, table in ways:
        shares = (table + (known[source] + 1e-4).log()).softmax(-1)
        total = total + _robust(torch.bmm(shares, cells[source]) - cells[target]).mean() / 2
    return total
