"""How a worker process ended, in words for the person who waits for its result."""

from __future__ import annotations

import signal

_CRASHES = ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGTRAP", "SIGSYS")
_WINDOWS_CRASH = 0xC0000000
"""Windows ends a process that crashed with an NTSTATUS error code, such as 0xC0000005."""
_BUG = "This is a bug; please report it"


def explain_exit(code: int | None, *, memory: str) -> str:
    """Explain in one line why a worker process ended early, and say what to do.

    Args:
        code: `Popen.returncode` or `Process.exitcode`: negative when a signal ended the process,
            None when it is unknown.
        memory: how this program can be run with less memory, such as "use fewer workers".
    """
    number = _find_signal(code)
    if number is not None:
        return _explain_signal(number, memory)
    if code is not None and code >= _WINDOWS_CRASH:
        return f"the program crashed (code 0x{code:X}). {_BUG}"
    end = "for an unknown reason" if code is None else f"with exit code {code}"
    return f"the program ended early, {end}. {_BUG}"


def _find_signal(code: int | None) -> int | None:
    """The signal that ended a process; 128 + N is how one leaves that handled signal N."""
    if code is not None and code < 0:
        return -code
    return code - 128 if code is not None and 128 < code <= 128 + 64 else None


def _explain_signal(number: int, memory: str) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:  # real-time signals have no names of their own
        name = ""
    words = f"signal {number}, {name}" if name else f"signal {number}"
    if name in _CRASHES:
        return f"the program crashed ({words}). {_BUG}"
    if name == "SIGKILL":
        return f"the program was killed ({words}), most likely because memory ran out; {memory}"
    return f"the program was stopped from outside ({words})"
