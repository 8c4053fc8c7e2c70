"""Read the job list of `cleanplate batch`, and identify what decides each result."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from cleanplate.errors import InputError, MaskError, WeightsError, tame
from cleanplate.masks import BoxMask, EmptyMask, MaskSource, TimedBox, open_mask
from cleanplate.masks import Union as Joined
from cleanplate.masks.finding import Search, UnknownMask
from cleanplate.options import (
    DEFAULT,
    OPTION_TEXTS,
    RENAMED_METHODS,
    Method,
    RemoveOptions,
    check_clean,
    split_clean,
)
from cleanplate.removal.identity import describe_code
from cleanplate.removal.networks import asks_network
from cleanplate.storage.paths import make_absolute, parse_json, read_text, split_lines
from cleanplate.video import name_output

_MARKS = ("mask", "box", "track", "text", "region", "logo", "invert", "mask_threshold")
_OWN_FIELDS = ("input", "output", *_MARKS)
_NOT_OPTIONS = ("mask_out", "plates_out", "patch", "truth_out", "threads", "resume", "journal")
"""Options of `remove` that a job cannot set: the batch sets them, or a job has one output."""
MOST_PROBLEMS = 100
"""Invalid lines after which reading stops."""
_LONGEST_LINE = 1 << 20
_PLACEHOLDER = re.compile(r"{(\w*)}")


@dataclass(frozen=True)
class Job:
    """One removal, as by `cleanplate remove`. All paths are absolute.

    Attributes:
        input: a video file or a folder of images.
        output: a video file, or a folder for PNGs; see `video.name_output` for the default.
        mask: images, folders of images or videos that mark what to remove.
        box: rectangles "X,Y,W,H" or "X,Y,W,H@START-END".
        search: what to look for: objects to track, text, logos.
        invert: remove what `mask` leaves black.
        mask_threshold: values above it (0..255) are marked.
        options: other arguments of `remove`, by name.
        line: position in the job list, such as "jobs.jsonl, line 3"; else empty.
    """

    input: str
    output: str
    mask: tuple[str, ...] = ()
    box: tuple[str, ...] = ()
    search: Search = field(default_factory=Search)
    invert: bool = False
    mask_threshold: int = 127
    options: Mapping[str, Any] = field(default_factory=dict)
    line: str = field(default="", compare=False)

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], line: str = "") -> Job:
        """Build a job from the fields of a line; relative paths start at the working directory.

        Raises InputError for missing or unknown fields, wrong types and values out of range.
        """
        for name in fields:
            if name not in _OWN_FIELDS and name not in known_options():
                known = ", ".join([*_OWN_FIELDS, *known_options()])
                raise InputError(f"'{name}' is unknown; use {known}")
        if fields.get("method") in [*RENAMED_METHODS]:
            fields = {**fields, "method": RENAMED_METHODS[fields["method"]]}
        options = {
            name: _checked(name, fields[name], hint)
            for name, hint in known_options().items()
            if name in fields
        }
        if os.path.isfile(options.get("model") or ""):
            options["model"] = make_absolute(options["model"])
        for name in ("plates", "overlay"):
            if options.get(name):
                options[name] = _absolute(name, options[name])
        if "clean" in options:
            given = split_clean(check_clean("clean", options["clean"]))
            options["clean"] = [f"{frame}={_absolute('clean', path)}" for frame, path in given]
        job = cls(
            input=_path(fields, "input"),
            output=_path(fields if "output" in fields else _name_default(fields), "output"),
            mask=tuple(_absolute("mask", path) for path in _texts(fields, "mask")),
            box=_texts(fields, "box"),
            search=_read_search(fields),
            invert=_checked("invert", fields.get("invert", False), bool),
            mask_threshold=_checked("mask_threshold", fields.get("mask_threshold", 127), int),
            options=options,
            line=line,
        )
        job.settings()  # raises for values out of range
        if not (job.mask or job.box or job.search or options.get("overlay")):
            raise InputError("nothing to remove: give mask, box, track, text, logo or overlay")
        job.search.check()
        if job.search and options.get("keep_going"):
            raise InputError("keep_going works with mask and box, not with track, text and logo")
        if job.invert and not job.mask:
            raise InputError("invert needs mask")
        return job

    def find_masks(self) -> tuple[MaskSource, list[str]]:
        """Open all masks as one source, after the search for those that are to be found; and notes.

        Raises MaskError, InputError or VideoError.
        """
        found = self.search.run(self.input)
        notes = [note for one in found for note in one.notes]
        return self.open_masks([one.source for one in found]), notes

    def open_masks(self, found: Sequence[MaskSource] | None = None) -> MaskSource:
        """Open all masks and boxes as one source; raises MaskError or InputError.

        `found` are the masks of the search; None: not found yet, which stands for no hole.
        """
        sources: list[MaskSource] = []
        if found is not None:
            sources += found
        elif self.search:
            sources.append(UnknownMask())
        if self.box:
            sources.append(BoxMask([TimedBox.parse(text) for text in self.box]))
        if not 0 <= self.mask_threshold <= 254:
            raise MaskError(f"mask_threshold is {self.mask_threshold}; it must be 0 to 254")
        for path in self.mask:
            sources.append(open_mask(path, threshold=self.mask_threshold, invert=self.invert))
        return Joined(sources) if sources else EmptyMask()

    def settings(self) -> RemoveOptions:
        """Return the options that decide the result; raises InputError for values out of range."""
        options = {name: value for name, value in self.options.items() if name != "overwrite"}
        return RemoveOptions(**options)

    def reads(self) -> list[str]:
        """List all paths that the job reads: input, masks, model file, plates, overlay."""
        model = self.options.get("model") or ""
        return [
            self.input,
            *self.mask,
            *([model] if os.path.isfile(model) else []),
            *self.list_given(),
        ]

    def list_given(self) -> list[str]:
        """List the paths of plates, frames painted clean and the overlay."""
        given = [self.options.get(name) for name in ("plates", "overlay")]
        clean = [path for _, path in split_clean(self.options.get("clean", ()))]
        return [path for path in (*given, *clean) if path]

    def overwriting(self) -> Job:
        """Return the same job with `overwrite`."""
        return replace(self, options={**self.options, "overwrite": True})


@dataclass(frozen=True)
class Problem:
    """Why a job cannot run: its line, and what is wrong."""

    where: str
    what: str

    def __str__(self) -> str:
        return tame(f"{self.where}: {self.what}")


def name_job(jobs: Sequence[Job], number: int) -> str:
    """Name a job for a message: its line, or its number from 1, and its output."""
    return f"{jobs[number].line or f'job {number + 1}'} ({jobs[number].output})"


def read_jobs(
    path: Path, defaults: Mapping[str, Any] | None = None
) -> tuple[list[Job], list[Problem]]:
    """Read one job per line, a JSON object with the fields of `Job` and options.

    `defaults` are fields for lines that lack them. Empty lines are skipped. The second list has
    the problems of single lines; reading stops after `MOST_PROBLEMS`. Raises InputError when the
    file cannot be read.
    """
    try:
        lines = split_lines(read_text(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise InputError(f"jobs '{path}' cannot be read: {reason}") from None
    jobs: list[Job] = []
    problems: list[Problem] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if len(problems) == MOST_PROBLEMS:
            problems.append(Problem(f"{path}, line {number}", "the lines from here were not read"))
            break
        where = f"{path}, line {number}"
        try:
            jobs.append(Job.from_fields({**(defaults or {}), **_parse(line)}, where))
        except InputError as error:
            problems.append(Problem(where, str(error)))
    return jobs, problems


def match_jobs(pattern: str, fields: Mapping[str, Any]) -> list[Job]:
    """Make a job for each path that `pattern` matches, sorted; `**` matches nested folders.

    In `output` and `mask` of `fields`, {stem}, {name} and {folder} are replaced by the input's
    name without suffix, its whole name, and its folder. Raises InputError.
    """
    # An existing path is meant literally, even with stars and brackets in its name.
    found = [pattern] if os.path.exists(pattern) else _match(pattern)
    if not found:
        raise InputError(f"'{pattern}' matches nothing; name videos, folders of images or a .jsonl")
    return [Job.from_fields({**_filled(fields, Path(path)), "input": path}) for path in found]


def _match(pattern: str) -> list[str]:
    try:
        return sorted(glob.glob(pattern, recursive=True))
    except (OSError, ValueError, RecursionError):  # not valid as file names
        return []


@cache
def known_options() -> dict[str, Any]:
    """Return names and types of the options of `remove` that a job may set."""
    # Networks and torch devices are not JSON, so placeholders do, without loading torch.
    torch = SimpleNamespace(Module=_Torch, device=_Torch)
    hints = get_type_hints(RemoveOptions, localns={"nn": torch, "torch": torch})
    return {name: hints[name] for name in OPTION_TEXTS if name not in _NOT_OPTIONS}


class _Torch:
    """Placeholder for `nn.Module` and `torch.device`."""


def _parse(line: str) -> dict[str, Any]:
    if len(line) > _LONGEST_LINE:
        raise InputError(f"it is {len(line):,} characters long; a job takes some hundred")
    try:
        fields = parse_json(line)
    except ValueError as error:
        raise InputError(f"it is no JSON: {error}") from None
    if not isinstance(fields, dict):
        raise InputError('it is no JSON object such as {"input": …, "output": …, "mask": …}')
    return fields


def _filled(fields: Mapping[str, Any], source: Path) -> dict[str, Any]:
    """Replace the placeholders in output and mask by parts of `source`."""
    parts = {"stem": source.stem, "name": source.name, "folder": str(source.parent)}

    def part(match: re.Match[str]) -> str:
        if match[1] not in parts:
            raise InputError(f"'{match[0]}' is unknown; use {{stem}}, {{name}} or {{folder}}")
        return parts[match[1]]

    filled = dict(fields)
    if "output" in fields:
        output = _checked("output", fields["output"] or "", str)
        filled["output"] = _PLACEHOLDER.sub(part, output)
    filled["mask"] = [_PLACEHOLDER.sub(part, text) for text in _texts(fields, "mask")]
    return filled


def _name_default(fields: Mapping[str, Any]) -> dict[str, str]:
    """The output next to the input, for a job that names none."""
    codec = fields.get("codec", "auto")
    return {"output": str(name_output(_path(fields, "input"), codec=codec))}


def _read_search(fields: Mapping[str, Any]) -> Search:
    """Read what to look for."""
    return Search(
        _texts(fields, "track"),
        _checked("text", fields.get("text", False), bool),
        _checked("region", fields.get("region"), str | None),
        _checked("logo", fields.get("logo", False), bool),
    )


def _path(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise InputError(f"{name} is missing; it must be a path")
    return _absolute(name, value)


def _absolute(name: str, path: str) -> str:
    """Make a path absolute; raises InputError for JSON texts that are not valid paths."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        path += "\0"
    if "\0" in path:
        raise InputError(f"{name} '{path}' is not the name of a file")
    return make_absolute(path)


def _texts(fields: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return one text or a list of texts as a tuple."""
    value = fields.get(name) or ()
    values = (value,) if isinstance(value, str) else value
    if not isinstance(values, Sequence) or not all(isinstance(one, str) for one in values):
        raise InputError(f"{name} is {json.dumps(value)}; it must be a text or a list of texts")
    return tuple(values)


def _checked(name: str, value: Any, hint: Any) -> Any:
    if not _fits(value, hint):
        wanted = " or ".join(_describe(hint))
        raise InputError(f"{name} is {json.dumps(value)}; it must be {wanted}")
    return value


def _fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value has the type of a parameter."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    if get_origin(hint) is not None and issubclass(get_origin(hint), Sequence):
        return isinstance(value, list) and all(_fits(one, get_args(hint)[0]) for one in value)
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint


def _describe(hint: Any) -> list[str]:
    """Describe the JSON values of this type in words."""
    if get_origin(hint) is Literal:
        return [json.dumps(choice) for choice in get_args(hint)]
    if get_origin(hint) is not None and issubclass(get_origin(hint), Sequence):
        return ["a list of texts"]
    if get_origin(hint) in (Union, UnionType):
        return [word for one in get_args(hint) for word in _describe(one)]
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    words[NoneType] = "null"
    return [words[hint]] if hint in words else []


Stamp = list[Any] | None
"""State of a file or folder by names, sizes and times; None if it does not exist."""


def fingerprint(job: Job) -> str:
    """Digest input, masks, boxes, options, weights, and the code that can change pixels.

    Files count by size and modification time: hours of video take too long to read twice.
    """
    options = {name: value for name, value in job.options.items() if name != "overwrite"}
    parts = {
        "code": describe_code(),
        "input": [job.input, take_stamp(job.input)],
        "masks": [[path, take_stamp(path)] for path in job.mask],
        "marks": [job.box, job.invert, job.mask_threshold, asdict(job.search)],
        "options": options,
        "plates": [[path, take_stamp(path)] for path in job.list_given()],
        "model": _identify_asked(options.get("model"), options.get("method", "auto")),
    }
    assert set(options) <= set(known_options())
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def take_stamp(path: str) -> Stamp:
    """Record the state of `path`; equal after a round trip through JSON.

    Of a name such as `shot_%06d.png`, that of its folder.
    """
    if "%" in os.path.basename(path) and not os.path.lexists(path):
        path = os.path.dirname(path)
    try:
        if not os.path.isdir(path):
            status = os.stat(path)
            return [["", status.st_size, status.st_mtime_ns]]
        with os.scandir(path) as entries:
            found = [(entry.name, entry.stat()) for entry in entries]
    except OSError:
        return None
    return sorted([name, status.st_size, status.st_mtime_ns] for name, status in found)


def _identify_asked(model: str | None, method: Method) -> str | None:
    """Checksum of the network that is asked, if one is: telling it loads torch."""
    return _identify_model(model or DEFAULT) if asks_network(model, method) else None


@cache
def _identify_model(name: str) -> str | None:
    from cleanplate.network import info

    try:
        return info(name).checksum
    except WeightsError:
        return None
