"""Some hundred hostile inputs of each kind; `make fuzz` tries forty thousand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from . import pool
from .pool import Case, Child, Result, from_line, make_originals, to_line

COUNTS = {
    "video": 100, "images": 80, "mask": 100, "boxes": 100, "checkpoint": 80, "jobs": 80,
    "journal": 40, "requests": 40, "commands": 30, "paths": 30, "kinds": 30,
    "arguments": 150, "buffers": 12, "callbacks": 5, "batches": 20,
}  # fmt: skip

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="memory is watched by Linux's /proc"
)


@pytest.fixture(scope="module")
def attempt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Case], Result]]:
    """Try a case in a process that all tests of this module share."""
    folder = tmp_path_factory.mktemp("fuzz")
    make_originals(folder)
    with Child(folder, 0) as child:
        yield child.attempt


@pytest.mark.parametrize("surface", COUNTS)
def test_hostile_input_is_refused_in_words_or_used(
    attempt: Callable[[Case], Result], surface: str
) -> None:
    results = [attempt(Case(surface, seed)) for seed in range(COUNTS[surface])]
    bad = [result for result in results if not result.is_good]
    assert not bad, "\n".join(f"{one.case} {one.verdict}: {one.detail}" for one in bad)
    assert {"done", "refused"} & {result.verdict for result in results}


@pytest.mark.parametrize(
    ("surface", "verdict", "says"),
    [
        ("fault: crash", "crash", "ended with -11"),
        ("fault: exception", "traceback", "KeyError"),
        ("fault: memory", "memory", "MiB"),
        ("fault: file outside", "escape", "fuzz-escape"),
        ("fault: file beside", "escape", "left behind"),
        ("fault: input changed", "escape", "an input was changed"),
        ("fault: program", "escape", "os.system"),
        ("fault: hang", "hang", "0.5 s of work"),
    ],
)
def test_the_fuzzer_sees_what_it_looks_for(
    attempt: Callable[[Case], Result],
    monkeypatch: pytest.MonkeyPatch,
    surface: str,
    verdict: str,
    says: str,
) -> None:
    if verdict == "hang":
        monkeypatch.setattr(pool, "HANG", 0.5)
    result = attempt(Case(surface, 0))
    assert result.verdict == verdict
    assert says in result.detail


def test_results_survive_a_stop() -> None:
    result = Result(Case("video", 7), "refused", 'it\'s "bad"\n', 0.5, 12)
    assert from_line(to_line(result)) == result
