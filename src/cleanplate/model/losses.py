"""Training losses (STTN, Section 3.3): L1 inside and outside holes, and the hinge of the GAN."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


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
