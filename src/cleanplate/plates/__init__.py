"""Clean plates: what lies behind the holes of a shot."""

from cleanplate.plates.backdrop import Backdrop, add_detail
from cleanplate.plates.keyframes import DiskShelf, KeyframeChooser, MemoryShelf
from cleanplate.plates.memory import ShotMemory
from cleanplate.plates.provenance import Codes, Provenance, label

__all__ = [
    "Backdrop",
    "Codes",
    "DiskShelf",
    "KeyframeChooser",
    "MemoryShelf",
    "Provenance",
    "ShotMemory",
    "add_detail",
    "label",
]
