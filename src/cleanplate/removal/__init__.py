"""From frames and masks to finished frames: schedule, regions, engine, run.

Nothing here loads torch before a network is asked (`windows`)."""

from cleanplate.options import RemoveOptions
from cleanplate.removal.engine import Engine, Finished, Span
from cleanplate.removal.networks import choose_filler
from cleanplate.removal.preparation import check_removal
from cleanplate.removal.report import Report
from cleanplate.removal.run import fill_part, inpaint, remove

__all__ = [
    "Engine",
    "Finished",
    "RemoveOptions",
    "Report",
    "Span",
    "check_removal",
    "choose_filler",
    "fill_part",
    "inpaint",
    "remove",
]
