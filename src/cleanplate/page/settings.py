"""How the page is served, and what it refuses."""

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
    """What one person, and all together, may ask for. Every refusal names its limit.

    Attributes:
        upload: bytes of one video.
        duration: seconds of one video.
        pixels: of one frame, as coded.
        frames: of one video, whatever it says it lasts.
        clips: videos that one session keeps.
        jobs: of one session that wait or run.
        waiting: jobs of all sessions that wait.
        sessions: people that are known at once.
        uploads: videos that are received at once.
        uploads_each: videos that are received at once from one session.
        pace: bytes a second that an upload must reach on average, after twice `patience`
            seconds; after 5 seconds when another one needs its place or its room on the disk.
        body: bytes of any other request.
        rate: requests a second of one session, averaged over a few seconds.
        idle: seconds after which a session that asks for nothing is forgotten, with its files.
        stall: seconds after which a job of which nothing is heard is stopped.
        patience: seconds for which an upload may stand still.
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
        """What the page says before somebody runs into it."""
        return {"upload": self.upload, "duration": self.duration, "clips": self.clips}


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the page is served and to whom.

    Attributes:
        host: address to listen on; anything but a loopback address needs a token.
        port: 0 takes any free one.
        token: what a visitor must show once, or None on loopback.
        names: names under which the server may be called, besides addresses and `localhost`.
        workers: removals that run beside each other.
        folder: where sessions are kept, or None for the system's temporary folder.
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
                f"'{self.host}' can be reached from other machines; give a token, so that not"
                " everybody who can reach it may use it"
            )
        if self.token is not None and len(self.token) < 16:
            raise InputError("the token is too short to be safe; use at least 16 characters")


def is_loopback(host: str) -> bool:
    """True when only this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
