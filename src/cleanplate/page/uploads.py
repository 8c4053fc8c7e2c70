"""Receive uploads of all sessions: stream to disk, with limits on size, rate and disk space."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from cleanplate.arguments import describe_bytes
from cleanplate.errors import CleanplateError, InputError, OutputError
from cleanplate.page.settings import MEGABYTE, Limits, TooMuch

_RESERVE = 512 * MEGABYTE
"""Disk space in bytes that uploads leave free."""
_GRACE = 5.0
"""Seconds for which an upload is never stopped, even if its slot or disk space is needed."""


class TooLarge(InputError):
    """The upload exceeds the size limit."""


class UploadStopped(CleanplateError):
    """The upload stalled or was too slow."""


class Uploads:
    """Slots and disk space for the uploads of all sessions, stored below `folder`."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.limits = limits
        self._folder = folder
        self._lock = threading.Lock()
        self._active: set[Upload] = set()

    @contextmanager
    def begin(self, owner: object, announced: int) -> Iterator[Upload]:
        """Reserve a slot for an upload of `owner` and disk space for `announced` bytes.

        Raises TooMuch if all slots are taken, TooLarge and OutputError as `Upload.receive`.
        """
        upload = Upload(self, owner)
        with self._lock:
            self._check_places(owner)
            self._reserve(upload, announced)
            self._active.add(upload)
        try:
            yield upload
        finally:
            with self._lock:
                self._active.discard(upload)

    def reserve(self, upload: Upload, length: int) -> None:
        """Reserve disk space for `length` more bytes; raise TooLarge or OutputError."""
        with self._lock:
            self._reserve(upload, length)

    def _check_places(self, owner: object) -> None:
        limits = self.limits
        if sum(one.owner is owner for one in self._active) >= limits.uploads_each:
            raise TooMuch(
                f"{limits.uploads_each} of your videos are being uploaded, which is the maximum;"
                " wait for one or stop it"
            )
        if len(self._active) >= limits.uploads:
            self._stop_slow()
        if len(self._active) >= limits.uploads:
            raise TooMuch(
                f"{limits.uploads} videos are being uploaded, which is the maximum; try again"
                " in a minute"
            )

    def _reserve(self, upload: Upload, length: int) -> None:
        if upload.received + length > self.limits.upload:
            raise TooLarge(
                f"the video is larger than {describe_bytes(self.limits.upload)}, the limit"
                " here; cut it into parts or make it smaller"
            )
        upload.reserved = max(upload.reserved, length)
        needed = upload.reserved + _RESERVE
        if self._room(upload) < needed:
            self._stop_slow(upload)
            if self._room(upload) < needed:
                raise _disk_full(self._room(upload))

    def _room(self, upload: Upload) -> int:
        """Measure the free disk space in bytes that no other upload has reserved."""
        others = sum(one.reserved for one in self._active if one is not upload)
        return shutil.disk_usage(self._folder).free - others

    def _stop_slow(self, keep: Upload | None = None) -> None:
        """Stop uploads that are too slow to keep others waiting."""
        for upload in self._active.copy() - {keep}:
            if upload.is_slow():
                upload.stop(UploadStopped("the upload was too slow while others wait; try again"))
                self._active.discard(upload)


class Upload:
    """An upload in progress.

    Attributes:
        owner: session of the upload.
        received: bytes written.
        reserved: bytes not yet written for which disk space is reserved.
    """

    def __init__(self, uploads: Uploads, owner: object) -> None:
        self.owner = owner
        self.received = self.reserved = 0
        self._uploads = uploads
        self._began = time.monotonic()
        self._refusal: CleanplateError | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.Timeout | None = None

    def is_slow(self) -> bool:
        """Whether the average rate is below `limits.pace`."""
        return time.monotonic() > self._due(_GRACE)

    def stop(self, refusal: CleanplateError) -> None:
        """Make `receive` raise `refusal`; thread-safe."""
        self._refusal = refusal
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake)

    async def receive(self, chunks: AsyncIterator[bytes], target: Path) -> None:
        """Write `chunks` to `target`.

        Raises TooLarge and OutputError (the disk is full) before the excess is written, and
        UploadStopped on the timeout `limits.patience` or below the rate `limits.pace`. The caller
        removes the partial file.
        """
        self._loop = asyncio.get_running_loop()
        try:
            with target.open("xb", buffering=0) as file:
                os.chmod(file.fileno(), 0o600)
                while (chunk := await self._next(chunks)) is not None:
                    self._uploads.reserve(self, len(chunk))
                    _write(file.fileno(), chunk)
                    self.received += len(chunk)
                    self.reserved -= len(chunk)
        except OSError as error:
            if self._refusal is not None:  # its folder may be deleted
                raise self._refusal from None
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise _disk_full(0) from None
            raise
        if self.received == 0:
            raise InputError("the file is empty; choose a video")

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        """Return the next bytes, or None at the end."""
        patience = self._uploads.limits.patience
        wait = min(patience, self._due(2 * patience) - time.monotonic())
        if wait < 0:
            raise UploadStopped(self._describe_wait(wait))
        try:
            async with asyncio.timeout(wait) as self._timer:
                chunk = await anext(chunks, None)
        except TimeoutError:
            raise self._refusal or UploadStopped(self._describe_wait(wait)) from None
        finally:
            self._timer = None
        if self._refusal is not None:
            raise self._refusal
        return chunk

    def _due(self, allowance: float) -> float:
        """Compute when the next bytes are due at the minimum rate, plus `allowance`."""
        return self._began + allowance + self.received / self._uploads.limits.pace

    def _describe_wait(self, wait: float) -> str:
        limits = self._uploads.limits
        if wait >= limits.patience:
            return f"the upload stalled for {limits.patience:g} seconds; upload the video again"
        return (
            f"the upload was slower than {describe_bytes(limits.pace)} per second; use a faster"
            " connection or make the video smaller"
        )

    def _wake(self) -> None:
        if self._timer is not None and not self._timer.expired():
            self._timer.reschedule(asyncio.get_running_loop().time())


def _write(file: int, data: bytes) -> None:
    """Write all of `data` unbuffered, so that the next check of free disk space includes it."""
    while data:
        data = data[os.write(file, data) :]


def _disk_full(room: int) -> OutputError:
    return OutputError(
        "there is too little space on the server's disk"
        f" ({describe_bytes(max(room, 0))} free); free some and try again"
    )
