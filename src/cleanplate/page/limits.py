"""Settings and limits of the server, and uploads within the limits on size, rate and disk space."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cleanplate.arguments import describe_bytes
from cleanplate.errors import CleanplateError, InputError, OutputError

MEGABYTE = 10**6


class TooMuch(CleanplateError):
    """A limit of the page is reached; the message names it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits per session and for all sessions. Every refusal names its limit.

    Attributes:
        upload: size of a video in bytes.
        duration: length of a video in seconds.
        pixels: coded pixels of a frame.
        frames: frames of a video, whatever duration it declares.
        clips: videos per session.
        jobs: waiting and running jobs per session.
        waiting: waiting jobs of all sessions.
        sessions: open sessions.
        uploads: simultaneous uploads.
        uploads_each: simultaneous uploads per session.
        pace: minimum average upload rate in bytes per second. Enforced after twice `patience`
            seconds, or after 5 seconds when another upload needs the slot or the disk space.
        body: size of any other request body in bytes.
        rate: requests per second per session, averaged over a few seconds.
        idle: seconds without a request after which a session and its files are deleted.
        stall: seconds without progress after which a job is stopped.
        patience: timeout in seconds for the next bytes of an upload.
    """

    upload: int = 2000 * MEGABYTE
    duration: float = 600.0
    pixels: int = 4096 * 2304
    frames: int = 40_000
    clips: int = 12
    jobs: int = 4
    waiting: int = 200
    sessions: int = 1000
    uploads: int = 8
    uploads_each: int = 2
    pace: int = 32_000
    body: int = 4 * MEGABYTE
    rate: float = 400.0
    idle: float = 12 * 3600.0
    stall: float = 600.0
    patience: float = 60.0

    def to_json(self) -> dict[str, float]:
        """The limits that the page shows in advance."""
        return {"upload": self.upload, "duration": self.duration, "clips": self.clips}


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Address, access and resources of the server.

    Attributes:
        host: address to listen on; an address other than loopback needs a token.
        port: TCP port; 0 selects a free one.
        token: access token that a visitor must present once, or None on loopback.
        names: allowed host names, in addition to IP addresses and `localhost`.
        workers: number of parallel tracking and removal jobs.
        folder: parent folder of the session files, or None for the system's temporary folder.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    token: str | None = None
    names: tuple[str, ...] = ()
    workers: int = 1
    folder: Path | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.token is None and not is_loopback(self.host):
            raise InputError(
                f"'{self.host}' can be reached from other machines; set a token to restrict access"
            )
        if self.token is not None and len(self.token) < 16:
            raise InputError("the token is too short to be secure; use at least 16 characters")


def is_loopback(host: str) -> bool:
    """True when only this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
