from __future__ import annotations

import json
from pathlib import Path

import pytest

from cleanplate.removal.networks import schedule_windows


@pytest.mark.parametrize("length", [1, 4, 7, 25, 80])
def test_windows_are_the_released_ones(parity: Path, length: int) -> None:
    expected = json.loads((parity / "windows.json").read_text())[str(length)]
    found = [
        {"neighbors": list(window.neighbours), "references": list(window.references)}
        for window in schedule_windows(length)
    ]
    assert found == expected
