"""From frames and masks to finished frames: preparation, engine, filling, networks, journal, run.

torch is loaded only when a network is used: `windows` imports it, and nothing imports `windows`
before.
"""

from cleanplate.options import RemoveOptions
from cleanplate.removal.arrays import inpaint
from cleanplate.removal.engine import Engine, Finished, Span
from cleanplate.removal.learning import Learned, learn_overlay
from cleanplate.removal.networks import choose_filler
from cleanplate.removal.parts import fill_part
from cleanplate.removal.preparation import check_removal
from cleanplate.removal.report import Report
from cleanplate.removal.run import remove
from cleanplate.removal.trial import Forecast, Trial, forecast, try_removal

__all__ = [
    "Engine",
    "Finished",
    "Forecast",
    "Learned",
    "RemoveOptions",
    "Report",
    "Span",
    "Trial",
    "check_removal",
    "choose_filler",
    "fill_part",
    "forecast",
    "inpaint",
    "learn_overlay",
    "remove",
    "try_removal",
]
