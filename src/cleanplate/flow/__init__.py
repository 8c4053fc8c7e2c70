"""Optical flow and the propagation of real pixels along it."""

from cleanplate.flow.backdrop import Backdrop, add_detail
from cleanplate.flow.candidates import Weighing
from cleanplate.flow.estimate import DisFlow, FlowEstimator
from cleanplate.flow.pairs import Motion
from cleanplate.flow.propagation import Propagated, propagate
from cleanplate.flow.sizes import enlarge, shrink, shrink_mask
from cleanplate.flow.spatial import fill_from_rim

__all__ = [
    "Backdrop",
    "DisFlow",
    "FlowEstimator",
    "Motion",
    "Propagated",
    "Weighing",
    "add_detail",
    "enlarge",
    "fill_from_rim",
    "propagate",
    "shrink",
    "shrink_mask",
]
