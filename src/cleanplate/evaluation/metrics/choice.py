"""Which metrics are measured, and by which conventions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cleanplate.errors import InputError
from cleanplate.evaluation.metrics.correspondence import Follower
from cleanplate.evaluation.metrics.fidelity import HolePsnr, Psnr
from cleanplate.evaluation.metrics.metric import Metric, Missing
from cleanplate.evaluation.metrics.networks import Networks
from cleanplate.evaluation.metrics.perceptual import Lpips
from cleanplate.evaluation.metrics.similarity import (
    GAUSSIAN_SIDE,
    UNIFORM_SIDE,
    Ssim,
    measure_ssim_gaussian,
    measure_ssim_uniform,
)
from cleanplate.evaluation.metrics.steadiness import Flicker, WarpingError
from cleanplate.evaluation.metrics.vfid import Vfid
from cleanplate.flow import DisFlow, FlowEstimator


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


def make_metrics(
    conventions: Conventions,
    truth: bool,
    networks: Networks | None = None,
    flow: Callable[[], FlowEstimator] = DisFlow,
) -> list[Metric]:
    """A fresh set for one sequence, in the order of a report's columns.

    Args:
        conventions: what a metric's name leaves open.
        truth: whether the true frames are known; without them only E_warp and flicker are measured.
        networks: those that were loaded (`load_networks`); a metric whose network is not there is
            `Missing`, with the reason.
        flow: makes the optical flow that E_warp and flicker follow.
    """
    follower = Follower(flow())
    steadiness: list[Metric] = [WarpingError(follower), Flicker(follower)]
    if not truth:
        return steadiness
    every = conventions.ssim_every
    return [
        Psnr(),
        Ssim("ssim", measure_ssim_uniform, UNIFORM_SIDE, every),
        HolePsnr(),
        Ssim("ssim_gaussian", measure_ssim_gaussian, GAUSSIAN_SIDE, every),
        *steadiness,
        *_make_learned(networks or Networks()),
    ]


def _make_learned(networks: Networks) -> list[Metric]:
    metrics: list[Metric] = []
    for name, describer in (("vfid", networks.by_clip), ("vfid_eval", networks.by_training)):
        if describer is None:
            metrics.append(Missing(name, "no weights of I3D were given"))
        else:
            metrics.append(Vfid(name, describer))
    if networks.lpips is None:
        metrics.append(Missing("lpips", "no weights of LPIPS were given"))
    else:
        metrics.append(Lpips(networks.lpips))
    return metrics
