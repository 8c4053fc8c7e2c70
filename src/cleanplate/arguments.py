"""Check single arguments: each check returns the value as a plain type, or raises an error.

Messages name an argument in backticks, such as `dilate` or `overwrite=True`; the command line
replaces that by its option (`cli.options.name_options`).
"""

from __future__ import annotations

import math
import numbers
import operator
import os
import re
import sys
import warnings
from fractions import Fraction
from typing import TYPE_CHECKING, Any, get_args

from cleanplate.errors import InputError

if TYPE_CHECKING:
    from torch import nn

MOST_PIXELS = 1000
"""Maximum dilation or feather of a mask, in pixels."""
MOST_THREADS = 1024
_MOST_BYTES = 2**60
"""Maximum size in bytes; no machine has more memory or disk space."""
_SHOWN = 60
"""Maximum characters of a value in a message."""


def check_whole(
    name: str, value: Any, least: int, most: int | None = None, unit: str = "", none: bool = False
) -> Any:
    """Check an integer in [least, most]; with `none`, None stays None.

    Accepts NumPy integers, but neither bool nor float. Raises InputError.
    """
    if value is None and none:
        return None
    number = to_int(value)
    if number is None or number < least or (most is not None and number > most):
        bounds = f"from {least} to {most}" if most is not None else f"of at least {least}"
        raise wrong(name, f"a whole number {unit}{' ' if unit else ''}{bounds}", value, none)
    return number


def check_number(name: str, value: Any, least: float, most: float = math.inf) -> float:
    """Check a finite float in [least, most]; raise InputError."""
    is_number = isinstance(value, numbers.Real)
    largest = min(most, sys.float_info.max)
    if not is_number or isinstance(value, bool) or not least <= value <= largest:
        bounds = f"from {least:g} to {most:g}" if most < math.inf else f"of at least {least:g}"
        raise wrong(name, f"a number {bounds}", value)
    return float(value)


def check_flag(name: str, value: Any) -> bool:
    """Check a bool; raise InputError for anything else, such as 1 or "yes"."""
    is_numpy = getattr(getattr(value, "dtype", None), "kind", "") == "b" and value.shape == ()
    if not isinstance(value, bool) and not is_numpy:
        raise wrong(name, "True or False", value)
    return bool(value)


def check_choice(name: str, value: Any, choices: Any) -> None:
    """Raise InputError if `value` is none of the literal type `choices`."""
    known = get_args(choices)
    if not isinstance(value, str):
        raise wrong(name, f"one of {', '.join(known)}", value)
    if value not in known:
        raise InputError(f"`{name}` {show(value)} is unknown; use {', '.join(known)}")


def check_path(name: str, value: Any) -> str:
    """Convert str, bytes and `os.PathLike` to a path as text; raise InputError.

    Bytes that are not UTF-8 become surrogates, as in `os.fsdecode`.
    """
    if not isinstance(value, str | bytes | os.PathLike):
        raise wrong(name, "a path", value)
    try:
        path = os.fsdecode(value)
        is_name = "\0" not in os.fsencode(path).decode("latin-1")
    except TypeError:  # from a `__fspath__` that returns something else
        raise wrong(name, "a path", value) from None
    except UnicodeEncodeError:
        path, is_name = str(value), False
    if not path:
        raise InputError(f"`{name}` is an empty path; name a file or a folder")
    if not is_name:
        raise InputError(f"`{name}` {show(path)} is not the name of a file")
    return path


def check_paths(name: str, value: Any) -> list[str]:
    """Convert one path or a list of paths to texts; raise InputError."""
    if isinstance(value, str | bytes | os.PathLike):
        return [check_path(name, value)]
    if not isinstance(value, list | tuple):
        raise wrong(name, "a path or a list of paths", value)
    return [check_path(name, one) for one in value]


def check_margin(name: str, value: Any) -> int:
    """Check a dilation or feather in pixels; raise InputError."""
    margin: int = check_whole(name, value, 0, MOST_PIXELS, "of pixels")
    return margin


def check_threads(value: Any) -> int | None:
    """Check a number of threads, or None for one per processor; raise InputError."""
    threads: int | None = check_whole("threads", value, 1, MOST_THREADS, none=True)
    return threads


# Nine digits are thirty years; far more digits would overflow a float.
_TIME = re.compile(r"(?:(?:(\d{1,6}):)?([0-5]?\d):)?(\d{1,9}(?:\.\d{0,99})?|\.\d{1,99})", re.ASCII)
_MOST_SECONDS = 1e10


def read_time(text: str) -> Fraction:
    """Convert `SS.fff`, `MM:SS.fff` or `HH:MM:SS.fff` to seconds; raise ValueError otherwise."""
    match = _TIME.fullmatch(text.strip())
    if match is None or (match[2] is not None and Fraction(match[3]) >= 60):
        raise ValueError(
            f"{show(text)} is no time; write seconds, MM:SS or HH:MM:SS, such as 1:02.5"
        )
    return int(match[1] or 0) * 3600 + int(match[2] or 0) * 60 + Fraction(match[3])


def check_time(name: str, value: Any) -> float | None:
    """Check a time, in seconds or as text such as "1:02.5", and return seconds, or None."""
    if value is None:
        return None
    if not isinstance(value, str):
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            raise wrong(name, 'a time in seconds, or a text such as "1:02.5"', value, none=True)
        return check_number(name, value, 0, _MOST_SECONDS)
    try:
        return float(read_time(value))
    except ValueError as error:
        raise InputError(f"`{name}` {error}") from None


def parse_bytes(text: str) -> int:
    """Parse a size such as 3GB (units of 1000), 2.5GiB (of 1024) or 3000000000 to bytes.

    Raises InputError, also for less than one byte.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(I?)B?\s*", text.upper())
    if not found:
        raise InputError(f"{show(text)} is no size; give one such as 3GB or 800MB")
    number, unit, binary = found.groups()
    count = float(number) * (1024 if binary else 1000) ** " KMGT".index(unit or " ")
    if not 1 <= count <= _MOST_BYTES:
        raise InputError(
            f"{show(text)} is too {'large' if count > 1 else 'small'}; give one such as 3GB"
        )
    return int(count)


def describe_bytes(count: float) -> str:
    """Format a size in units of 1000, such as "1.5 GB"; `parse_bytes` reads it back."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def check_memory(name: str, memory: Any) -> int | str | None:
    """Check a memory limit: bytes, a text such as "3GB", or None; raise InputError."""
    if isinstance(memory, str):
        parse_bytes(memory)
        return memory
    if memory is not None and not hasattr(memory, "__index__"):
        raise wrong(name, 'a number of bytes or a size such as "3GB"', memory, none=True)
    number: int | None = check_whole(name, memory, 1, _MOST_BYTES, "of bytes", none=True)
    return number


def to_bytes(memory: int | str | None) -> int | None:
    """Convert a size, possibly text such as "3GB", to bytes."""
    return parse_bytes(memory) if isinstance(memory, str) else memory


def check_function(name: str, value: Any) -> None:
    """Raise InputError unless `value` is None or callable."""
    if value is not None and not callable(value):
        raise wrong(name, "a function, or None", value)


def check_kind(name: str, value: Any, kind: type, words: str, none: bool = False) -> None:
    """Raise InputError if `value` is no `kind`, named as in "a range of frame numbers"."""
    if not isinstance(value, kind) and not (none and value is None):
        raise wrong(name, words, value, none)


def is_network(value: Any) -> bool:
    """Whether `value` is a torch network; does not load torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def check_model(name: str, value: Any) -> str | nn.Module | None:
    """Check a network, or its name or path, which becomes text; raise InputError."""
    if value is None:
        return None
    if is_network(value):
        network: nn.Module = value
        return network
    if not isinstance(value, str | bytes | os.PathLike):
        words = "'default', a checkpoint file or a loaded torch.nn.Module"
        raise wrong(name, words, value, none=True)
    return check_path(name, value)


def describe_renamed(former: str, present: str) -> str:
    """Message about a former name that still works."""
    return f"{former} is now called {present}; the old name works until 0.3"


def deprecate(message: str) -> None:
    """Issue a DeprecationWarning at the first caller outside this package."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] in _INSIDE:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, DeprecationWarning, stacklevel=level + 1)


_INSIDE = ("cleanplate", "dataclasses")


def wrong(name: str, wanted: str, value: Any, none: bool = False) -> InputError:
    """Make the error that says what the argument must be, and what it is."""
    return InputError(f"`{name}` must be {wanted}{', or None' if none else ''}, not {show(value)}")


def show(value: Any) -> str:
    """Describe a value in a few words: plain ones literally, others by type."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, str | bytes | bool | int | float | None):
        return _shorten(value)
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{_name_kind(value)} of {value.dtype} {tuple(value.shape)}"
    return _name_kind(value)


def _name_kind(value: Any) -> str:
    name = type(value).__name__.replace("ndarray", "array")
    return f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"


def _shorten(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python does not format an int of more than 4,300 digits
        return "an int of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def to_int(value: Any) -> int | None:
    """Convert Python and NumPy integers to int; None for anything else, such as True or 2.0."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)
    except (TypeError, ValueError):
        return None
