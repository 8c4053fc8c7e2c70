"""Optical flow and the propagation of real pixels along it."""

from cleanplate.motion.areas import enlarge, shrink, shrink_mask
from cleanplate.motion.candidates import Weighing
from cleanplate.motion.flicker import apply_gain, measure_flicker
from cleanplate.motion.flow import DisFlow, FlowEstimator
from cleanplate.motion.letterbox import fill_bars, find_picture
from cleanplate.motion.propagation import Propagated, propagate
from cleanplate.motion.spatial import fill_from_rim
from cleanplate.motion.trace import Motion

__all__ = [
    "DisFlow",
    "FlowEstimator",
    "Motion",
    "Propagated",
    "Weighing",
    "apply_gain",
    "enlarge",
    "fill_bars",
    "fill_from_rim",
    "find_picture",
    "measure_flicker",
    "propagate",
    "shrink",
    "shrink_mask",
]
