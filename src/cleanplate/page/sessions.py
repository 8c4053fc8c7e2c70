"""Sessions, identified by a secret cookie, with their clips and folders."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

from cleanplate.errors import OutputError
from cleanplate.page.clips import Clip, Gone
from cleanplate.page.queue import Kind, Queue
from cleanplate.page.settings import Limits, ServerSettings, TooMuch
from cleanplate.page.uploads import Uploads
from cleanplate.storage.atomic import LockedError, lock_file

_PREFIX = "cleanplate-page-"
_LOCK = "in-use"


class Session:
    """Session of one browser; its clips are hidden from other sessions."""

    def __init__(
        self, folder: Path, queues: dict[Kind, Queue], limits: Limits, uploads: Uploads
    ) -> None:
        self.limits = limits
        self._folder, self._queues, self._uploads = folder, queues, uploads
        self._lock = threading.Lock()
        self._is_closed = False
        self.clips: dict[str, Clip] = {}
        self.seen = time.monotonic()
        self._tokens = limits.rate * 4

    def add_clip(self, name: str) -> Clip:
        """Add a clip without a video; raise TooMuch, or Gone after `discard`."""
        with self._lock:
            if self._is_closed:
                raise Gone("this session has ended; reload the page")
            if len(self.clips) >= self.limits.clips:
                raise TooMuch(
                    f"{self.limits.clips} clips are open, which is the maximum; close one first"
                )
            self._folder.mkdir(mode=0o700, exist_ok=True)
            clip = Clip(self._folder, name, self._queues, self.limits)
            self.clips[clip.id] = clip
            return clip

    async def receive(
        self, clip: Clip, chunks: AsyncIterator[bytes], announced: int | None
    ) -> None:
        """Receive the video of `clip` and queue its preparation.

        `announced` is the Content-Length. Raises TooMuch, the errors of `Upload.receive`, and Gone
        if the clip is closed during the upload.
        """
        with self._uploads.begin(self, announced or 0) as upload:
            await clip.receive(upload, chunks)
        clip.prepare()

    def drop_clip(self, clip: Clip) -> None:
        """Close a clip: cancel its job and delete its files."""
        self.clips.pop(clip.id, None)
        clip.discard()

    def check_jobs(self) -> None:
        """Raise TooMuch if the session has reached its job limit."""
        if sum(clip.is_busy for clip in self.clips.values()) >= self.limits.jobs:
            raise TooMuch(
                f"{self.limits.jobs} of your clips are waiting or running, which is the maximum;"
                " wait for one or cancel it"
            )

    def take_request(self) -> bool:
        """Count a request; return False when the rate limit is exceeded (token bucket)."""
        with self._lock:
            now = time.monotonic()
            full = self.limits.rate * 4
            self._tokens = min(full, self._tokens + (now - self.seen) * self.limits.rate) - 1
            self.seen = now
            if self._tokens < 0:
                self._tokens = 0.0
                return False
            return True

    @property
    def is_busy(self) -> bool:
        """Whether an upload is in progress or a job waits or runs."""
        return any(clip.is_busy or clip.is_arriving for clip in list(self.clips.values()))

    def discard(self) -> None:
        """Close the session and delete its files."""
        with self._lock:
            self._is_closed = True
        for clip in list(self.clips.values()):
            self.drop_clip(clip)
        shutil.rmtree(self._folder, ignore_errors=True)


class Sessions:
    """All sessions, in a private temporary folder that is deleted at the end."""

    def __init__(self, settings: ServerSettings) -> None:
        self.limits = settings.limits
        parent = Path(settings.folder or tempfile.gettempdir())
        _sweep(parent)
        try:
            self.folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        except OSError as error:
            raise OutputError(
                f"no folder can be made in '{parent}': {error.strerror}; choose another `folder`"
            ) from None
        self._claim: int | None = _claim(self.folder / _LOCK)
        limit = settings.limits.waiting
        self._work = Queue(settings.workers, limit, ("cleanplate.removal",))
        self._quick = Queue(1, limit, ("cleanplate.page.worker",))
        self._queues: dict[Kind, Queue] = {
            "prepare": self._quick,
            "track": self._work,
            "remove": self._work,
        }
        self._sessions: dict[str, Session] = {}
        self._uploads = Uploads(self.folder, settings.limits)
        self._lock = threading.Lock()

    def find(self, secret: str | None) -> Session | None:
        """Find the session of a cookie value."""
        return self._sessions.get(_hash(secret)) if secret else None

    def create(self) -> tuple[str, Session]:
        """Create a session; return its cookie value with it. Raises TooMuch."""
        secret = secrets.token_urlsafe(32)
        with self._lock:
            if len(self._sessions) >= self.limits.sessions:
                self._make_room()
            folder = self.folder / secrets.token_hex(8)
            session = Session(folder, self._queues, self.limits, self._uploads)
            self._sessions[_hash(secret)] = session
        return secret, session

    def _make_room(self) -> None:
        """Drop the least recently used session without clips."""
        empty = [(one.seen, key) for key, one in self._sessions.items() if not one.clips]
        if not empty:
            raise TooMuch(
                f"{self.limits.sessions} sessions are open, which is the maximum; try again later"
            )
        self._sessions.pop(min(empty)[1]).discard()

    def tidy(self) -> None:
        """Stop stalled jobs and remove idle sessions."""
        for queue in (self._quick, self._work):
            queue.stop_stalled(self.limits.stall)
        border = time.monotonic() - self.limits.idle
        with self._lock:
            gone = [
                key for key, one in self._sessions.items() if one.seen < border and not one.is_busy
            ]
            idle = [self._sessions.pop(key) for key in gone]
        for session in idle:
            session.discard()

    def close(self) -> None:
        """Stop all jobs and delete all files; idempotent."""
        self._quick.close()
        self._work.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self._claim is not None:
            os.close(self._claim)
            self._claim = None


def _hash(secret: str) -> str:
    """Hash a secret for lookup, so that timing reveals nothing about it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _claim(path: Path) -> int:
    """Open `path` and lock it for the lifetime of this process."""
    handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    lock_file(handle)
    return handle


def _sweep(parent: Path) -> None:
    """Delete the folders that killed servers left in `parent`."""
    for folder in parent.glob(f"{_PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            handle = os.open(folder / _LOCK, os.O_RDWR)
        except (OSError, AttributeError):
            continue
        try:
            # Without file locks, whether the server still runs cannot be known.
            left_behind = lock_file(handle)
        except LockedError:
            left_behind = False
        finally:
            os.close(handle)
        if left_behind:
            shutil.rmtree(folder, ignore_errors=True)
