"""Metrics of filled videos: the field's conventions, and corrected ones under other names."""

from cleanplate.research.metrics.choice import Conventions, Networks, load_networks, make_metrics
from cleanplate.research.metrics.metric import (
    Features,
    Metric,
    Missing,
    PooledMetric,
    measure_psnr,
    measure_ssim_gaussian,
    measure_ssim_uniform,
)
from cleanplate.research.metrics.vfid import measure_frechet_distance, pool_features

__all__ = [
    "Conventions",
    "Features",
    "Metric",
    "Missing",
    "Networks",
    "PooledMetric",
    "load_networks",
    "make_metrics",
    "measure_frechet_distance",
    "measure_psnr",
    "measure_ssim_gaussian",
    "measure_ssim_uniform",
    "pool_features",
]
