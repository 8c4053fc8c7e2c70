from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import cv2
import numpy as np
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
    heavy = {"torch", "cv2", "av", "numba", "numpy", "rich", "safetensors", "einops"}
    assert heavy.isdisjoint(done.stdout.split())


def test_a_worker_of_a_batch_starts_without_torch() -> None:
    code = "import sys, cleanplate.batch.workers; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" not in done.stdout.split()


def test_removal_without_a_network_loads_no_torch(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(3):
        cv2.imwrite(str(frames / f"{number}.png"), np.full((24, 32, 3), number, np.uint8))
    code = """
        import sys
        from cleanplate.cli import main
        sys.argv[1:] = ["remove", "frames", "-o", "out", "--box", "4,4,9,9"]
        try:
            main()
        finally:
            print(*sys.modules)
    """
    run = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (tmp_path / "out").is_dir()
    assert {"torch", "einops", "safetensors"}.isdisjoint(done.stdout.split())
