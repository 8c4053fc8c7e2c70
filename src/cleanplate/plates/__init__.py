"""Clean plates: what lies behind the holes of a shot."""

from cleanplate.plates.backdrop import Backdrop, add_detail

__all__ = ["Backdrop", "add_detail"]
