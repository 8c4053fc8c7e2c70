"""What the fuzzer is there to see, done on purpose: a fuzzer that sees nothing finds nothing."""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np

from .surfaces import Place, Plan


def make_nothing(place: Place, random: Random) -> Plan:
    (place.given / "input").write_text("whole")
    return {}


def crash(place: Place, plan: Plan) -> None:
    ctypes.string_at(0)


def fail(place: Place, plan: Plan) -> None:
    raise KeyError("nobody expects this")


def swell(place: Place, plan: Plan) -> None:
    assert np.ones(600 << 20, np.uint8).any()


def write_outside(place: Place, plan: Plan) -> None:
    path = Path(__file__).parent / "fuzz-escape"
    path.touch()
    path.unlink()


def write_beside(place: Place, plan: Plan) -> None:
    os.close(tempfile.mkstemp()[0])


def change_input(place: Place, plan: Plan) -> None:
    (place.given / "input").write_text("changed")


def start_program(place: Place, plan: Plan) -> None:
    os.system("true")


def hang(place: Place, plan: Plan) -> None:
    while True:
        pass


Runner = Callable[[Place, Plan], None]
FAULTS: dict[str, Runner] = {
    "fault: crash": crash,
    "fault: exception": fail,
    "fault: memory": swell,
    "fault: file outside": write_outside,
    "fault: file beside": write_beside,
    "fault: input changed": change_input,
    "fault: program": start_program,
    "fault: hang": hang,
}
