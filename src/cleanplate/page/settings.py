"""Settings and limits of the server."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from cleanplate.errors import CleanplateError, InputError

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
