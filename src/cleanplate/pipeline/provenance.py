"""What made a result: the input, the code, the libraries and the machine."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

import cleanplate
from cleanplate.errors import DecodeError, VideoError
from cleanplate.inputs import open_file
from cleanplate.video import VideoInfo

if TYPE_CHECKING:
    from cleanplate.pipeline.models import Chosen


@dataclass(frozen=True)
class Origin:
    """All that decides what a result looks like, but for the masks.

    Attributes:
        source: SHA-256 of the input; see `digest_source`.
        weights: SHA-256 of the network's weights; None: no network is asked.
        options: of the removal, by name.
        threads: of OpenCV, and of torch where a network is asked.
        stamps: size and time of change of each input file, by path.
    """

    source: str
    weights: str | None
    options: Mapping[str, str | int | bool | None]
    threads: Mapping[str, int]
    stamps: Mapping[Path, os.stat_result]

    def job(self) -> dict[str, str]:
        """The same as texts, to tell one job from another."""
        return {
            "input": self.source,
            "weights": str(self.weights),
            **describe_environment(),
            **{f"threads of {name}": str(count) for name, count in self.threads.items()},
            **{name: str(value) for name, value in self.options.items()},
        }

    def to_json(self, masks: str) -> dict[str, Any]:
        """Plain values; `masks` is the digest of the masks that were used."""
        return {
            "code": describe_code(),
            "libraries": describe_libraries(),
            "processor": describe_processor(),
            "threads": dict(self.threads),
            "checksums": {"input": self.source, "weights": self.weights, "masks": masks},
            "options": dict(self.options),
        }

    def check_source(self) -> None:
        """Raise DecodeError when an input file is no longer what it was when the run began.

        One that was moved, deleted or replaced was still read to its end.
        """
        for path, before in self.stamps.items():
            try:
                now = path.stat()
            except OSError:
                continue
            same = (now.st_size, now.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
            if os.path.samestat(now, before) and not same:
                raise DecodeError(
                    f"'{path}' was changed while it was read; run again when nothing writes to it"
                )


def describe_origin(
    info: VideoInfo, chosen: Chosen, options: Mapping[str, str | int | bool | None]
) -> Origin:
    """Look at everything that a removal depends on; reads all of the input once.

    Raises VideoError when the input cannot be read.
    """
    threads = {"opencv": cv2.getNumThreads()}
    if chosen.filler is not None:
        threads["torch"] = sys.modules["torch"].get_num_threads()
    files = info.files or (info.path,)
    try:
        stamps = {path: path.stat() for path in files}
    except OSError as error:
        raise VideoError(f"'{error.filename}' cannot be read: {error.strerror}") from None
    return Origin(digest_source(info), chosen.weights, dict(options), threads, stamps)


def describe_code() -> str:
    """Version, and a digest of cleanplate's own source: equal texts are equal code."""
    root = Path(cleanplate.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return f"{cleanplate.__version__}+{digest.hexdigest()[:12]}"


def describe_environment() -> dict[str, str]:
    """Code, kind of processor and libraries: what a result depends on wherever it is made."""
    return {
        "cleanplate": describe_code(),
        "processor": describe_processor(),
        **describe_libraries(),
    }


def describe_libraries() -> dict[str, str]:
    """Versions of what pixels and numbers can depend on; torch is not loaded for it."""
    return {
        "python": platform.python_version(),
        "torch": _version("torch"),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "av": _version("av"),
    }


def describe_machine() -> str:
    """Kind of processor, number of cores, and the accelerator if there is one."""
    import torch

    text = f"{describe_processor()}, {os.cpu_count()} cores"
    return f"{text}, {torch.cuda.get_device_name()}" if torch.cuda.is_available() else text


def describe_processor() -> str:
    """Operating system and kind of processor."""
    return f"{platform.system()} {platform.machine()}"


def digest_source(info: VideoInfo) -> str:
    """SHA-256 of a video file, or of the names and contents of a folder's images.

    Raises VideoError when something cannot be read.
    """
    try:
        if info.kind == "video":
            return digest_file(info.path)
        digest = hashlib.sha256()
        for file in info.files:
            digest.update(os.fsencode(file.name) + f"\n{digest_file(file)}\n".encode())
        return digest.hexdigest()
    except OSError as error:
        raise VideoError(f"'{error.filename}' cannot be read: {error.strerror}") from None


def digest_file(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits; raises OSError."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
