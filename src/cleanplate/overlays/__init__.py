"""Half-transparent overlays: learn their opacity and colour, and solve what shines through."""

from cleanplate.overlays.placing import Placement, place
from cleanplate.overlays.profile import Profile, read_profile
from cleanplate.overlays.regression import estimate_overlay
from cleanplate.overlays.solving import Solver

__all__ = ["Placement", "Profile", "Solver", "estimate_overlay", "place", "read_profile"]
