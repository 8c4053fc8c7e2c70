"""What made a number: the code, the libraries and the machine."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

import cv2
import numpy as np
import torch

import cleanplate


def describe_code() -> str:
    """Version, and a digest of cleanplate's own source: equal texts are equal code."""
    root = Path(cleanplate.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return f"{cleanplate.__version__}+{digest.hexdigest()[:12]}"


def describe_libraries() -> dict[str, str]:
    """Versions of what numbers can depend on."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }


def describe_machine() -> str:
    """Kind of processor, number of cores, and the accelerator if there is one."""
    text = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return f"{text}, {torch.cuda.get_device_name()}" if torch.cuda.is_available() else text
