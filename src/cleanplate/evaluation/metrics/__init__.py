"""How good a filled video is: the field's metrics and sound ones, under different names."""

from cleanplate.evaluation.metrics.choice import Conventions, make_metrics
from cleanplate.evaluation.metrics.metric import Features, Metric, Missing, PooledMetric

__all__ = [
    "Conventions",
    "Features",
    "Metric",
    "Missing",
    "PooledMetric",
    "make_metrics",
]
