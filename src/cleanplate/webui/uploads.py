"""Receiving a video: straight to its place, counted as it comes."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from cleanplate.errors import CleanplateError, InputError, OutputError
from cleanplate.webui.settings import MEGABYTE, Limits

_RESERVE = 512 * MEGABYTE
"""Bytes of the disk that uploads leave free."""


class TooLarge(InputError):
    """More than the limit."""


class UploadStopped(CleanplateError):
    """The rest did not come."""


async def receive_upload(
    chunks: AsyncIterator[bytes], announced: int | None, target: Path, limits: Limits
) -> None:
    """Write `chunks` to `target`.

    `announced` is the length that the sender names. Raises TooLarge as soon as it is clear,
    UploadStopped when nothing comes for `limits.patience` seconds, OutputError when the disk is
    full. What is there then is the caller's to remove.
    """
    _check_length(announced or 0, target.parent, limits)
    length = 0
    try:
        with target.open("xb") as file:
            os.chmod(file.fileno(), 0o600)
            while True:
                async with asyncio.timeout(limits.patience):
                    chunk = await anext(chunks, None)
                if chunk is None:
                    break
                length += len(chunk)
                if length > limits.upload:
                    _check_length(length, target.parent, limits)
                file.write(chunk)
    except TimeoutError:
        raise UploadStopped(
            f"nothing more of the video came for {limits.patience:g} seconds; send it again"
        ) from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full(target.parent) from None
        raise
    if length == 0:
        raise InputError("the file is empty; choose a video")


def _check_length(length: int, folder: Path, limits: Limits) -> None:
    if length > limits.upload:
        raise TooLarge(
            f"the video is larger than {describe_bytes(limits.upload)}, the most that is taken"
            " here; cut it into parts or make it smaller"
        )
    if shutil.disk_usage(folder).free < length + _RESERVE:
        raise _disk_full(folder)


def _disk_full(folder: Path) -> OutputError:
    free = describe_bytes(shutil.disk_usage(folder).free)
    return OutputError(
        f"there is too little room on the server's disk ({free} free); make room and try again"
    )


def describe_bytes(count: float) -> str:
    """A size for people: `1.5 GB`."""
    for unit in ("bytes", "KB", "MB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} GB"
