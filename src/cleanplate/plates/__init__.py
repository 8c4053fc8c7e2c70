"""Clean plates: what lies behind the holes of a shot."""

from cleanplate.plates.archive import KeyframeArchive
from cleanplate.plates.backdrop import Backdrop, add_detail
from cleanplate.plates.given import GivenPlate, GivenPlates
from cleanplate.plates.keyframes import DiskShelf, Keyframe, KeyframeChooser, MemoryShelf, hide_bars
from cleanplate.plates.memory import ShotMemory
from cleanplate.plates.provenance import Codes, Provenance, label
from cleanplate.plates.registration import Registration, SmallPicture, register

__all__ = [
    "Backdrop",
    "Codes",
    "DiskShelf",
    "GivenPlate",
    "GivenPlates",
    "Keyframe",
    "KeyframeArchive",
    "KeyframeChooser",
    "MemoryShelf",
    "Provenance",
    "Registration",
    "ShotMemory",
    "SmallPicture",
    "add_detail",
    "hide_bars",
    "label",
    "register",
]
