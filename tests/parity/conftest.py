from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared" / "parity"


@pytest.fixture(scope="session")
def parity() -> Path:
    """The folder of stored results of the released code."""
    if not SHARED.is_dir():
        pytest.skip("the parity fixtures are not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def released(parity: Path) -> ModuleType:
    """The module that makes the weights and clips the stored results belong to."""
    spec = importlib.util.spec_from_file_location("parity_weights", parity / "weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = bytecode
    return module
