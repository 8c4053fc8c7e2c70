"""Outputs of a batch: checks before it starts, and the ledger of finished jobs."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path
from types import TracebackType

from cleanplate.batch.jobs import Job, Problem, Stamp, fingerprint, name_job, take_stamp
from cleanplate.batch.tasks import Outcome, find_result
from cleanplate.errors import InputError, OutputError
from cleanplate.storage.atomic import LockedError, is_at, lock_file
from cleanplate.storage.paths import Clash, find_clashes, make_absolute, open_log, parse_json
from cleanplate.video.images import SUFFIXES


@contextmanager
def make_folders(paths: Mapping[str, str]) -> Iterator[list[Problem]]:
    """Create the missing folders of `paths`; at the end of the block remove those still empty.

    `paths` maps each path to the job that needs it. Yields the folders that cannot be used.
    """
    first: dict[str, str] = {}
    for path, where in paths.items():
        first.setdefault(os.path.dirname(make_absolute(path)), where)
    made: list[str] = []
    try:
        yield [
            Problem(where, f"{reason}; choose another place")
            for folder, where in first.items()
            if (reason := _make_folder(folder, made)) is not None
        ]
    finally:
        for folder in reversed(made):
            with suppress(OSError):
                os.rmdir(folder)


def _make_folder(folder: str, made: list[str]) -> str | None:
    """Create a folder and its parents, and add them to `made`; return why that fails."""
    missing = []
    while not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    try:
        for path in reversed(missing):
            os.mkdir(path)
            made.append(path)
            folder = path
    except FileExistsError:  # another process created it just now
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return f"the folder '{missing[0]}' cannot be created: {reason}"
    if not os.path.isdir(folder):
        return f"'{folder}' is no folder"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"the folder '{folder}' may not be written to"
    return None


@dataclass(frozen=True)
class Matched:
    """Jobs from patterns, without those whose input is a result of this batch.

    Attributes:
        jobs: the remaining jobs.
        left_out: inputs that are results of this batch.
        problems: inputs at an output's path that this batch did not write.
    """

    jobs: list[Job]
    left_out: list[str]
    problems: list[Problem]


def leave_out_results(jobs: Sequence[Job], matched: Collection[int], ledger: Ledger) -> Matched:
    """Drop jobs whose input the batch itself wrote, as when a pattern matches its outputs.

    Only the jobs numbered in `matched` come from patterns; others name their input explicitly.
    Results are outputs in the ledger, outputs of other jobs, folders that hold only such outputs,
    and the ledger itself.
    """
    known = {number for number in matched if ledger.holds(jobs[number].input)}
    writers, holders = _index_outputs(jobs)
    kept: list[Job] = []
    left_out: list[str] = []
    problems: list[Problem] = []
    for number, job in enumerate(jobs):
        place = os.path.realpath(job.input)
        others = writers.get(place, set()) - known - {number}
        is_known = number in known
        is_around = bool(holders.get(place, set()) - {number}) and not _has_images(place)
        is_ledger = place == os.path.realpath(ledger.path)
        if number not in matched or not (others or is_known or is_around or is_ledger):
            kept.append(job)
        elif others and not is_known:
            what = (
                f"its output '{job.input}' matches the pattern of inputs, and this batch did not"
                " make it; move it away or choose another output"
            )
            problems.append(Problem(name_job(jobs, min(others)), what))
        else:
            left_out.append(job.input)
    return Matched(kept, left_out, problems)


def find_problems(jobs: Sequence[Job], lists: Sequence[Path], ledger: Path) -> list[Problem]:
    """Find outputs that two jobs share, and paths that one job writes and any job reads.

    `lists` are the job lists.
    """
    writers: dict[str, list[int]] = defaultdict(list)
    readers: dict[str, list[int]] = defaultdict(list)
    for number, job in enumerate(jobs):
        writers[job.output].append(number)
        for path in job.reads():
            readers[path].append(number)
    problems = [
        _share(jobs, first, number)
        for first, *others in writers.values()
        for number in others
    ]  # fmt: skip
    listed = [make_absolute(path) for path in lists]
    for clash in find_clashes([*writers, make_absolute(ledger)], [*readers, *listed]):
        problems.append(_describe(jobs, clash, writers, readers))
    places = {os.path.realpath(output): output for output in writers}
    for path in readers:
        # `find_clashes` skips missing paths. Here another job is going to create them.
        output = None if os.path.exists(path) else places.get(os.path.realpath(path))
        if output is not None:
            problems.append(_describe(jobs, Clash(output, path, ""), writers, readers))
    return problems


def _describe(
    jobs: Sequence[Job],
    clash: Clash,
    writers: Mapping[str, Sequence[int]],
    readers: Mapping[str, Sequence[int]],
) -> Problem:
    """Describe a clash, and name the job it concerns."""
    written, other = str(clash.written), str(clash.other)
    if written == other and other not in readers:
        # Outputs are unique here, so one of the two is the ledger.
        return Problem(f"ledger '{written}'", clash.reason)
    if written in writers and other in writers and other not in readers:
        first, second = sorted((writers[written][0], writers[other][0]))
        return _share(jobs, first, second)
    if written not in writers:
        return Problem(f"ledger '{written}'", clash.reason)
    writer = writers[written][0]
    if other not in readers or (writer in readers[other] and clash.reason):
        return Problem(name_job(jobs, writer), clash.reason)
    what = (
        f"it reads '{other}', the place of the output of {name_job(jobs, writer)};"
        " choose another name"
    )
    return Problem(name_job(jobs, readers[other][0]), what)


def _share(jobs: Sequence[Job], first: int, second: int) -> Problem:
    what = f"{name_job(jobs, first)} has this output, too; give each job its own"
    return Problem(name_job(jobs, second), what)


def _index_outputs(jobs: Sequence[Job]) -> tuple[dict[str, set[int]], dict[str, set[int]]]:
    """Map each path to the jobs that write it, and each folder to those that write below it."""
    writers: dict[str, set[int]] = defaultdict(set)
    holders: dict[str, set[int]] = defaultdict(set)
    for number, job in enumerate(jobs):
        place = os.path.realpath(job.output)
        writers[place].add(number)
        for folder in Path(place).parents:
            holders[str(folder)].add(number)
    return writers, holders


def _has_images(folder: str) -> bool:
    try:
        return any(name.lower().endswith(SUFFIXES) for name in os.listdir(folder))
    except OSError:
        return True  # not a folder, or unreadable: do not treat it as results


_BEGINNING = b'{"output": '
"""Beginning of every line of a ledger."""
_LONGEST_LINE = 1 << 20


@dataclass(frozen=True)
class _LedgerEntry:
    fingerprint: str
    result: Stamp


class Ledger:
    """The ledger of finished jobs, one JSON object per line, as a context manager.

    It is locked while open. A line that a crash cut short is skipped. A new file that is still
    empty at the end is removed. Entering raises OutputError when the file cannot be written, and
    InputError when another batch has it open or it is not a ledger; the file is then unchanged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, _LedgerEntry] = {}
        self._places: dict[str, str] | None = None  # outputs by resolved path
        self._file: BufferedRandom | None = None
        self._is_new = False

    def __enter__(self) -> Ledger:
        self._is_new = not os.path.lexists(self.path)
        try:
            self._file = open_log(self.path)
        except OSError as error:
            raise OutputError(
                f"the ledger '{self.path}' cannot be written: {error.strerror}; name another"
                " place with `ledger`"
            ) from None
        try:
            _lock(self._file, self.path)
            self._read(self._file)
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is None:
            return
        if self._is_new and not self._entries:
            with suppress(OSError):
                self.path.unlink()
        self._file.close()

    def is_done(self, job: Job) -> bool:
        """Whether the job's output exists and was made with the same `fingerprint`."""
        entry = self._entries.get(job.output)
        return self.made(job) and entry is not None and entry.fingerprint == fingerprint(job)

    def made(self, job: Job) -> bool:
        """Whether the job's output was made by this batch and is unchanged."""
        entry = self._entries.get(job.output)
        return (
            entry is not None
            and entry.result is not None
            and entry.result == take_stamp(job.output)
        )

    def holds(self, path: str) -> bool:
        """Whether `path` is an unchanged output of this batch."""
        if self._places is None:
            outputs = [output for output in self._entries if "\0" not in output]
            self._places = {os.path.realpath(output): output for output in outputs}
        output = self._places.get(os.path.realpath(path))
        return output is not None and self._entries[output].result == take_stamp(output)

    def add(self, job: Job, print_of_job: str, outcome: Outcome) -> None:
        """Record a finished job; `print_of_job` is its `fingerprint` from before the work."""
        assert self._file is not None
        entry = _LedgerEntry(print_of_job, take_stamp(job.output))
        self._entries[job.output] = entry
        line = {"output": job.output, "fingerprint": entry.fingerprint, "result": entry.result}
        self._file.write(json.dumps({**line, "report": outcome.report}).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def recover(self, job: Job) -> None:
        """Record a result that a killed batch moved into place but did not record."""
        if not os.path.lexists(job.output) or self.made(job):
            return
        if (found := find_result(job)) is not None:
            self.add(job, found.fingerprint, Outcome(0, "done", report=found.report))

    def _read(self, file: BufferedRandom) -> None:
        file.seek(0)
        line, is_ledger = b"\n", False
        for line in iter(lambda: file.readline(_LONGEST_LINE), b""):
            is_known = self._take(line.rstrip())
            if not is_known and not is_ledger:
                raise InputError(
                    f"'{self.path}' is no ledger of a batch and was not changed; name another"
                    " place with `ledger`"
                )
            is_ledger = is_ledger or bool(line.strip())
        if not line.endswith(b"\n"):
            file.write(b"\n")  # so that the next line does not continue a truncated one

    def _take(self, line: bytes) -> bool:
        """Read one line; return False when it is neither an entry nor the beginning of one."""
        try:
            found = parse_json(line)
            os.fsencode(found["output"])  # raises for an invalid path
            self._entries[found["output"]] = _LedgerEntry(found["fingerprint"], found["result"])
        except (KeyError, TypeError):
            return False
        except ValueError:
            return _BEGINNING.startswith(line[: len(_BEGINNING)])
        return True


def _lock(file: BufferedRandom, path: Path) -> None:
    """Lock the ledger until it is closed; raises InputError."""
    try:
        is_locked = lock_file(file.fileno())
    except LockedError:
        raise InputError(f"another batch is using '{path}'; wait until it has ended") from None
    if is_locked and not is_at(file.fileno(), path):
        raise InputError(f"another batch has just ended with '{path}'; run the command again")
