"""A limit on memory: one line that says so, and nothing half done."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cleanplate.errors import CleanplateError, MemoryLimitError, memory_errors_told

from .conftest import START, Outcome

SLOW = pytest.mark.slow
LIMITED = (
    """
import resource, sys
import numpy as np
import cleanplate.removal.filling

# OpenBLAS takes its memory at the first call, and ends the process when it gets none.
np.linalg.lstsq(np.eye(300), np.ones((300, 300)), rcond=None)
with open("/proc/self/status") as status:
    taken = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmSize"))
limit = taken + (int(sys.argv.pop(1)) << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
"""
    + START
)
"""The command, which gets so many MiB of address space more than libraries take when they start."""


def raise_numpy() -> None:
    np.empty(1 << 60, np.uint8)


def raise_torch() -> None:
    torch.empty(1 << 60, dtype=torch.uint8)


def raise_words() -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("work", [raise_numpy, raise_torch, raise_words])
def test_what_libraries_raise_is_told_in_one_way(work: Callable[[], None]) -> None:
    with pytest.raises(MemoryLimitError, match="not enough memory"), memory_errors_told():
        work()


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(cv2.error), memory_errors_told():
        cv2.cvtColor(np.zeros((2, 2), np.float64), cv2.COLOR_RGB2GRAY)
    with pytest.raises(CleanplateError, match="cannot allocate memory"), memory_errors_told():
        raise CleanplateError("cannot allocate memory for fun")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the address space")
@pytest.mark.parametrize("mebibytes", [150, *(pytest.param(k, marks=SLOW) for k in (50, 400))])
def test_a_run_that_gets_no_memory(
    run: Callable[..., Outcome], tmp_path: Path, out: Path, mebibytes: int
) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    ramp = np.add.outer(np.arange(1400), np.arange(2000)).astype(np.uint8)
    for index in range(20):
        image = cv2.merge([np.roll(ramp, 7 * index, axis=1)] * 3)
        assert cv2.imwrite(str(folder / f"{index:02d}.png"), image)

    options = ("--box", "300,300,700,700", "--method", "flow", "--threads", "1")
    command = ("remove", folder, *options, "-o", out / "r.mp4")
    tried = run(mebibytes, *command, program=LIMITED)
    assert "memory" in tried.check(1)
    assert not (out / "r.mp4").exists()
