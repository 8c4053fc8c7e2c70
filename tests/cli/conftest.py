"""What the tests of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cleanplate import removal
from cleanplate.cli import main


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class FakeReport:
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"frames": 3, "notes": list(self.notes)}

    def summary(self) -> list[str]:
        return ["3 frames", "in 1 s"]


class FakeRemove:
    """Stands for `removal.remove`; keeps its arguments, may raise."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.paths: tuple[Path, ...] = ()
        self.options: dict[str, Any] = {}

    def __call__(self, source: Path, output: Path, **options: Any) -> FakeReport:
        self.paths, self.options = (source, output), options
        if self.error is not None:
            raise self.error
        return FakeReport()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    def run_main(*arguments: object) -> Outcome:
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return Outcome(left.value.code, captured.out, captured.err)

    return run_main


@pytest.fixture
def remove(monkeypatch: pytest.MonkeyPatch) -> FakeRemove:
    fake = FakeRemove()
    monkeypatch.setattr(removal, "remove", fake, raising=False)
    return fake
