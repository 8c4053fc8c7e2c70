"""cleanplate: remove masked objects from video."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

if TYPE_CHECKING:
    from cleanplate.errors import CleanplateError
    from cleanplate.network import load as load_model
    from cleanplate.options import RemoveOptions
    from cleanplate.removal import Engine, Report, inpaint, remove

__all__ = [
    "CleanplateError",
    "Engine",
    "RemoveOptions",
    "Report",
    "__version__",
    "inpaint",
    "load_model",
    "remove",
]

_HOMES = {
    "CleanplateError": ("cleanplate.errors", "CleanplateError"),
    "Engine": ("cleanplate.removal", "Engine"),
    "RemoveOptions": ("cleanplate.options", "RemoveOptions"),
    "Report": ("cleanplate.removal", "Report"),
    "inpaint": ("cleanplate.removal", "inpaint"),
    "load_model": ("cleanplate.network", "load"),
    "remove": ("cleanplate.removal", "remove"),
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use, so that `import cleanplate` stays light (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'cleanplate' has no attribute '{name}'")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return __all__
