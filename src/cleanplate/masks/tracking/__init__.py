"""Masks that follow an object: from a box on one frame to a mask on every frame."""

from cleanplate.masks.tracking.sam import load_sam2
from cleanplate.masks.tracking.segmenter import Found, LostSpan, Segmenter, Tracked
from cleanplate.masks.tracking.track import Cancelled, TrackPrompt, track

__all__ = [
    "Cancelled",
    "Found",
    "LostSpan",
    "Segmenter",
    "TrackPrompt",
    "Tracked",
    "load_sam2",
    "track",
]
