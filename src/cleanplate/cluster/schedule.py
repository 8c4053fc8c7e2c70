"""In which order a batch's tasks begin, and how far they are."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from cleanplate.cluster.jobs import Job
from cleanplate.cluster.parts import Part, divide
from cleanplate.cluster.tasks import Removal, Task, Ticket
from cleanplate.cluster.work import Outcome, Progressed

_log = logging.getLogger(__name__)


@dataclass
class _Work:
    """What there is to do for job `number`.

    Attributes:
        number: of the job.
        removal: of the whole.
        frames: of the whole, as far as known.
        parts: all of its parts.
        open: how many of them have not ended.
        repeats: attempts at parts, beyond the first.
    """

    number: int
    removal: Removal
    frames: int
    parts: list[Part]
    open: int = 0
    repeats: int = 0


@dataclass
class Schedule:
    """Parts of long videos begin first; what puts a video together follows its last part.

    Videos that are split count twice in `done` and `total`: as they are filled, and as they are
    put together.

    Attributes:
        waiting: what workers may begin, in this order; `end` adds to it.
        done: frames done so far.
        total: frames to do.
    """

    waiting: deque[Ticket] = field(default_factory=deque)
    total: int = 0
    _works: list[_Work] = field(default_factory=list)  # by number of ticket
    _sizes: list[int] = field(default_factory=list)
    _counts: list[int] = field(default_factory=list)

    @classmethod
    def plan(
        cls,
        jobs: Mapping[int, Job],
        frames: Mapping[int, int],
        folders: Mapping[int, Path],
        split: int | None,
    ) -> Schedule:
        """A schedule of `jobs`, of so many `frames` each, whose parts are kept in `folders`.

        `split` is the most frames of a part; None: no video is split. Parts that are finished
        already are not in it.
        """
        schedule = cls()
        whole = []
        for number, job in jobs.items():
            removal = Removal(job, str(folders[number]))
            parts = divide(job, folders[number], frames[number], split)
            work = _Work(number, removal, frames[number], parts)
            # The last part reads the most, so it begins first.
            left = [part for part in reversed(parts) if not part.path.exists()]
            work.open = len(left)
            for part in left:
                schedule._add(part, work, len(part.frames))
            schedule.total += work.frames + sum(len(part.frames) for part in left)
            if not left:
                whole.append(work)
        for work in whole:
            schedule._add(work.removal, work, work.frames)
        return schedule

    @property
    def done(self) -> int:
        """Frames done so far."""
        return sum(self._counts)

    def note(self, news: Progressed) -> None:
        """A task is so far."""
        self._counts[news.number] = min(news.frames, self._sizes[news.number])

    def end(self, outcome: Outcome) -> Outcome | None:
        """A task has ended; what became of its job, if that has ended, too.

        A part that failed is filled by the removal, or shows it what is wrong. Frames that were
        not done are no longer to do.
        """
        work = self._works[outcome.number]
        if outcome.state == "failed":
            self.total -= self._sizes[outcome.number] - self._counts[outcome.number]
            self._sizes[outcome.number] = self._counts[outcome.number]
        self._counts[outcome.number] = self._sizes[outcome.number]
        if not work.open:
            attempts = outcome.attempts + work.repeats
            count = max(1, len(work.parts))
            return replace(outcome, number=work.number, attempts=attempts, parts=count)
        if outcome.state == "failed":
            name = work.removal.job.output
            _log.warning("a part of '%s' is filled later: %s", name, outcome.error)
        work.repeats += outcome.attempts - 1
        work.open -= 1
        if not work.open:
            self._add(work.removal, work, work.frames)
            self.waiting.rotate(1)  # its parts take room until it is done
        return None

    def _add(self, task: Task, work: _Work, size: int) -> None:
        self.waiting.append(Ticket(len(self._works), task))
        self._works.append(work)
        self._sizes.append(size)
        self._counts.append(0)
