from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cleanplate

FILL = """
import numpy as np
from cleanplate.motion import weighing
colours, prior = np.full((2, 4, 3), 7, np.float32), np.ones((2, 4), np.float32)
assert (weighing.agree(colours, prior, np.float32(1000), 1)[0] == 7).all()
print("filled")
"""


def run(code: str, source: Path, **environment: str) -> str:
    known = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**known, "PYTHONPATH": str(source), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """The package where nothing can be cached beside it, whoever runs this."""
    source = tmp_path / "source"
    whole = Path(cleanplate.__file__).parent
    left = shutil.ignore_patterns("__pycache__", "*.safetensors", "research", "page", "cli")
    shutil.copytree(whole, source / "cleanplate", ignore=left)
    (source / "cleanplate" / "motion" / "__pycache__").write_text("no folder")
    return source


def test_the_users_cache_folder_is_used_where_the_package_is_read_only(sealed, tmp_path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    cache = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    assert run(FILL, sealed, **cache) == "filled\n"
    assert list(home.rglob("*.nbi")), "the next process need not compile"


def test_kernels_work_where_nothing_can_be_cached(sealed, tmp_path) -> None:
    home = tmp_path / "home"
    home.write_text("no folder")
    cache = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    assert run(FILL, sealed, **cache) == "filled\n"


@pytest.mark.parametrize("arguments", [["--help"], ["remove", "--help"]])
def test_help_loads_no_numba(arguments) -> None:
    code = f"""
import sys
from cleanplate.cli import main
try:
    main({arguments!r})
except SystemExit:
    pass
assert "numba" not in sys.modules
"""
    run(code, Path(cleanplate.__file__).parents[1])
