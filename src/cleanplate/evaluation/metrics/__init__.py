"""How good a filled video is: the field's metrics and sound ones, under different names."""

from cleanplate.evaluation.metrics.choice import Conventions, make_metrics
from cleanplate.evaluation.metrics.fidelity import measure_psnr
from cleanplate.evaluation.metrics.frechet import measure_frechet_distance
from cleanplate.evaluation.metrics.metric import Features, Metric, Missing, PooledMetric
from cleanplate.evaluation.metrics.networks import Networks, load_networks
from cleanplate.evaluation.metrics.similarity import measure_ssim_gaussian, measure_ssim_uniform
from cleanplate.evaluation.metrics.vfid import pool_features

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
