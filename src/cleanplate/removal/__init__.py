"""From frames and masks to finished frames: preparation, engine, filling, networks, journal, run.

torch is loaded only when a network is used: `windows` imports it, and nothing imports `windows`
before.
"""

from cleanplate.options import RemoveOptions
from cleanplate.removal.engine import Engine, Finished, Span
from cleanplate.removal.learning import Learned, learn_overlay
from cleanplate.removal.networks import choose_filler
from cleanplate.removal.preparation import check_removal
from cleanplate.removal.report import Report
from cleanplate.removal.run import fill_part, inpaint, remove

__all__ = [
    "Engine",
    "Finished",
    "Learned",
    "RemoveOptions",
    "Report",
    "Span",
    "check_removal",
    "choose_filler",
    "fill_part",
    "inpaint",
    "learn_overlay",
    "remove",
]
