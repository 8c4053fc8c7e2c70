"""Former name of `cleanplate.removal`, kept until version 0.3."""

from __future__ import annotations

import warnings
from typing import Any

from cleanplate import removal

_RENAMED = {"Settings": "RemoveOptions"}


def __getattr__(name: str) -> Any:
    """Give what `cleanplate.removal` has, with a DeprecationWarning."""
    name = _RENAMED.get(name, name)
    found = getattr(removal, name)
    warnings.warn(
        f"cleanplate.pipeline.{name} has moved: use cleanplate.removal.{name}",
        DeprecationWarning,
        stacklevel=2,
    )
    return found
