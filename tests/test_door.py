from __future__ import annotations

import subprocess
import sys

import pytest

import cleanplate


def test_names_are_sorted_and_there() -> None:
    assert cleanplate.__all__ == sorted(cleanplate.__all__)
    assert dir(cleanplate) == cleanplate.__all__
    for name in cleanplate.__all__:
        assert getattr(cleanplate, name) is not None


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = cleanplate.nothing


@pytest.mark.parametrize("door", ["cleanplate", "cleanplate.cli"])
def test_import_is_light(door: str) -> None:
    code = f"import sys, {door}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "cv2", "av", "numpy", "rich", "safetensors", "einops"}
    assert heavy.isdisjoint(done.stdout.split())
