"""Clean plates: what lies behind the holes of a shot."""

from cleanplate.plates.backdrop import Backdrop, add_detail
from cleanplate.plates.keyframes import DiskShelf, KeyframeChooser, MemoryShelf
from cleanplate.plates.memory import ShotMemory

__all__ = [
    "Backdrop",
    "DiskShelf",
    "KeyframeChooser",
    "MemoryShelf",
    "ShotMemory",
    "add_detail",
]
