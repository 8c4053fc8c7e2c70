import time

import pytest
from click.testing import CliRunner

from cleanplate.motion import propagation, spatial
from cleanplate.research.benchmarks import speed
from cleanplate.research.benchmarks.split import STEPS, Clock, format_table, split
from cleanplate.types import Size


def work(seconds: float) -> None:
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        pass


def test_a_step_is_charged_without_the_steps_it_calls() -> None:
    clock = Clock()
    inner = clock.charge("inner", lambda: work(0.05))

    def both() -> None:
        work(0.02)
        inner()

    clock.charge("outer", both)()
    assert clock.calls == {"inner": 1, "outer": 1}
    assert clock.seconds["inner"] >= 0.05 > clock.seconds["outer"] >= 0.02


def test_every_step_is_wrapped_where_it_is_used_and_unwrapped_afterwards() -> None:
    function = spatial.guess_at
    with Clock().watch():
        assert propagation.guess_at is spatial.guess_at is not function
    assert propagation.guess_at is spatial.guess_at is function


def test_the_steps_of_a_removal_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(speed.LARGE_SIZES, "1080p", Size(192, 128))
    result = CliRunner().invoke(split, ["--frames", "5"])
    assert result.exit_code == 0, result.output
    rows = [line.split(" | ") for line in result.output.splitlines() if line.startswith("|")][2:]
    shares = {row[0].strip("| "): float(row[1].rstrip(" %")) for row in rows}
    assert {"flow", "trace", "weigh", "all"} <= shares.keys()
    assert shares.keys() - {"all", "rest: encode, decode"} <= STEPS.keys()
    assert shares.pop("all") == 100
    assert sum(shares.values()) == pytest.approx(100, abs=1)


def test_a_row_gives_time_by_frame_and_by_pixel() -> None:
    clock = Clock()
    clock.seconds["trace"], clock.calls["trace"] = 2.0, 4
    table = format_table(clock, 8.0, 10, 1e6)
    assert table[2] == "| trace | 25.0 % | 200.0 | 2000 | 4 |"
    assert table[-1].startswith("| all | 100.0 % | 800.0 | 8000 |")


def test_a_source_needs_a_mask() -> None:
    assert CliRunner().invoke(split, ["film.mp4"]).exit_code == 2
