"""Errors with a remedy, and explanations of the exit of a child process."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

T = TypeVar("T")

_LONGEST, _LONGEST_QUOTE = 1500, 400
"""Maximum characters of a message, and of a quoted text in it, such as a path."""


class CleanplateError(Exception):
    """The run failed (exit code 1).

    Messages contain file names and texts of libraries. Their line breaks and control characters are
    replaced, and long ones are shortened.
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(tame(message))


def tame(text: str) -> str:
    """Convert `text` to one line without control characters, of bounded length."""
    return "".join(map(_tame_letter, shorten(text)))


def name_count(count: int, noun: str) -> str:
    """Format a count and a noun, such as "1 frame" or "2 frames"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def shorten(text: str) -> str:
    """Cut the middle of texts that are too long: first of quoted ones, then of the whole.

    A message begins with the problem and ends with the remedy, so both are kept.
    """
    if len(text) <= _LONGEST_QUOTE:
        return text
    quote = rf"'[^']{{{_LONGEST_QUOTE + 1},}}'"
    return _cut(re.sub(quote, lambda found: _cut(found[0], _LONGEST_QUOTE), text), _LONGEST)


def _cut(text: str, longest: int) -> str:
    kept = (longest - 3) // 2
    return text if len(text) <= longest else f"{text[:kept]} … {text[-kept:]}"


def _tame_letter(letter: str) -> str:
    if letter.isprintable():
        return letter
    return " " if letter.isspace() else "\ufffd"


class InputError(CleanplateError):
    """The request cannot be met: wrong usage or unusable input (exit code 2)."""

    exit_code = 2


class VideoError(InputError):
    """A video or a folder of images cannot be read or used."""


class MaskError(InputError):
    """A mask does not fit its video, or marks nothing."""


class WeightsError(InputError):
    """A checkpoint is damaged, holds another network, or would run code."""


class OutputError(InputError):
    """The output path cannot be used."""


class StaleError(InputError):
    """The journal of an earlier run is damaged, or belongs to other frames or masks."""


class DecodeError(CleanplateError):
    """The source failed while it was read."""


class EncodeError(CleanplateError):
    """The result could not be written: the disk is full, or the encoder failed."""


class OccupiedError(EncodeError):
    """The result is complete but not at its path; the message says where it is."""


NO_MEMORY = "there is not enough memory; close other programs, or make the video smaller"
_MEMORY_WORDS = (
    "allocate memory",
    "out of memory",
    "insufficient memory",
    "bad_alloc",
    "start new thread",
)


class MemoryLimitError(CleanplateError):
    """There is not enough memory."""


@contextmanager
def memory_errors_told() -> Iterator[None]:
    """Convert out-of-memory errors from NumPy, PyAV, OpenCV and torch to MemoryLimitError."""
    try:
        yield
    except CleanplateError:
        raise
    except Exception as error:
        if not _is_about_memory(error) or getattr(error, _FROM_CALLER, False):
            raise
        limit = MemoryLimitError(NO_MEMORY)
        for note in getattr(error, "__notes__", ()):
            limit.add_note(note)
        raise limit from None


_FROM_CALLER = "_cleanplate_from_caller"


def keep_errors(callback: Callable[[int, T], None] | None) -> Callable[[int, T], None]:
    """Wrap the progress `callback`, so that its errors reach the caller; None: do nothing.

    `memory_errors_told` would convert a MemoryError of the caller's own function.
    """

    def call(done: int, total: T) -> None:
        if callback is None:
            return
        try:
            callback(done, total)
        except BaseException as error:
            with suppress(Exception):
                setattr(error, _FROM_CALLER, True)
            raise

    return call


def _is_about_memory(error: Exception) -> bool:
    """Whether an error means out of memory: torch and OpenCV say so only in its text."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _MEMORY_WORDS)


_CRASHES = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS")
_WINDOWS_CRASH = 0xC0000000
"""Exit codes of crashed processes on Windows begin here: NTSTATUS, such as 0xC0000005."""
_BUG = "This is a bug; please report it"


def explain_exit(code: int | None, *, memory: str) -> str:
    """Explain in one line why a worker process ended early, and say what to do.

    Args:
        code: `Popen.returncode` or `Process.exitcode`: negative if a signal ended the process,
            None if unknown.
        memory: remedy for too little memory, such as "use fewer workers".
    """
    number = _find_signal(code)
    if number is not None:
        return _explain_signal(number, memory)
    if code is not None and code >= _WINDOWS_CRASH:
        return f"the program crashed (code 0x{code:X}). {_BUG}"
    end = "for an unknown reason" if code is None else f"with exit code {code}"
    return f"the program ended early, {end}. {_BUG}"


def _find_signal(code: int | None) -> int | None:
    """Return the signal that ended a process; 128 + N is the exit code after handling signal N."""
    if code is not None and code < 0:
        return -code
    return code - 128 if code is not None and 128 < code <= 128 + 64 else None


def _explain_signal(number: int, memory: str) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:  # real-time signals have no names
        name = ""
    words = f"signal {number}, {name}" if name else f"signal {number}"
    if name in _CRASHES:
        return f"the program crashed ({words}). {_BUG}"
    if name == "SIGKILL":
        return f"the program was killed ({words}), most likely because memory ran out; {memory}"
    return f"the program was stopped from outside ({words})"
