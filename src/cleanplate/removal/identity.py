"""Identify what decides a result: our code as a digest, libraries and processor by version."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cv2
import numpy as np

import cleanplate

WITHOUT_PIXELS = ("__main__", "batch", "cli", "page", "pipeline", "research", "scene")
"""Modules that a removal never imports, so their code cannot change a pixel.

The import contract in `pyproject.toml` keeps all but the two aliases above `removal`.
"""


def describe_code(without: tuple[str, ...] = WITHOUT_PIXELS) -> str:
    """Version, and a digest of our source but for some modules: equal texts are equal code."""
    package = Path(cleanplate.__file__).parent
    return f"{cleanplate.__version__}+{digest_code(package, without)[:12]}"


@cache
def digest_code(package: Path, without: tuple[str, ...] = WITHOUT_PIXELS) -> str:
    """SHA-256 of the names and contents of all modules in a folder, but for those `without`."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package)
        if name.parts[0].removesuffix(".py") not in without:
            digest.update(name.as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def describe_environment() -> dict[str, str]:
    """Code, kind of processor and libraries: all that decides a result besides its inputs."""
    return {
        "cleanplate": describe_code(),
        "processor": describe_processor(),
        **describe_libraries(),
    }


def describe_libraries() -> dict[str, str]:
    """Versions of Python and of the libraries that compute pixels; does not load torch."""
    return {
        "python": platform.python_version(),
        "torch": _find_version("torch"),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "av": _find_version("av"),
    }


def describe_processor() -> str:
    """Operating system and kind of processor."""
    return f"{platform.system()} {platform.machine()}"


def _find_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
