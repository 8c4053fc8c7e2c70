"""From frames and masks to finished frames: schedule, regions, engine, run.

Nothing here loads torch before a network is asked (`windows`).
"""

from cleanplate.pipeline.engine import Engine, Finished, Span
from cleanplate.pipeline.models import choose_filler
from cleanplate.pipeline.parts import fill_part
from cleanplate.pipeline.preparation import Settings, check_removal
from cleanplate.pipeline.report import Report
from cleanplate.pipeline.run import inpaint, remove

__all__ = [
    "Engine",
    "Finished",
    "Report",
    "Settings",
    "Span",
    "check_removal",
    "choose_filler",
    "fill_part",
    "inpaint",
    "remove",
]
