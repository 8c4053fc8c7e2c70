"""Optical flow and the propagation of real pixels along it."""

from cleanplate.flow.candidates import Weighing
from cleanplate.flow.estimate import DisFlow, FlowEstimator
from cleanplate.flow.pairs import Motion
from cleanplate.flow.propagation import Propagated, propagate
from cleanplate.flow.sizes import enlarge, shrink, shrink_mask

__all__ = [
    "DisFlow",
    "FlowEstimator",
    "Motion",
    "Propagated",
    "Weighing",
    "enlarge",
    "propagate",
    "shrink",
    "shrink_mask",
]
