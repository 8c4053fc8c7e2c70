"""From frames and masks to finished frames: schedule, regions, engine, run."""

from cleanplate.pipeline.engine import Engine, Finished, Span
from cleanplate.pipeline.models import choose_filler
from cleanplate.pipeline.report import Report
from cleanplate.pipeline.run import inpaint, remove
from cleanplate.pipeline.windows import WindowFiller

__all__ = [
    "Engine",
    "Finished",
    "Report",
    "Span",
    "WindowFiller",
    "choose_filler",
    "inpaint",
    "remove",
]
