"""Which metrics are measured, and by which conventions."""

from __future__ import annotations

from dataclasses import dataclass

from cleanplate.errors import InputError
from cleanplate.evaluation.metrics.fidelity import HolePsnr, Psnr
from cleanplate.evaluation.metrics.metric import Metric


@dataclass(frozen=True)
class Conventions:
    """What is left open by a metric's name.

    Attributes:
        ssim_every: both SSIMs are measured on the first frame and every so many after it.
    """

    ssim_every: int = 1

    def __post_init__(self) -> None:
        if self.ssim_every < 1:
            raise InputError("SSIM can be measured every 1, 2, 3, … frames; give a positive number")


def make_metrics(conventions: Conventions, truth: bool) -> list[Metric]:
    """A fresh set for one sequence, in the order of a report's columns.

    Without `truth` only those that need none.
    """
    return [Psnr(), HolePsnr()] if truth else []
