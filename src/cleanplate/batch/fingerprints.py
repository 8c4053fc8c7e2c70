"""What a job depends on, and what state its files are in."""

from __future__ import annotations

import hashlib
import json
import os
from functools import cache
from typing import Any

from cleanplate import __version__
from cleanplate.batch.jobs import Job, known_options
from cleanplate.errors import WeightsError

Stamp = list[Any] | None
"""Tells one state of a file or folder from another by names, sizes and times; None: not there."""


def fingerprint(job: Job) -> str:
    """A digest that changes when input, masks, boxes, options, weights or version change.

    Files count by size and time of change, as hours of video are too much to read twice.
    """
    options = {name: value for name, value in job.options.items() if name != "overwrite"}
    parts = {
        "version": __version__,
        "input": [job.input, take_stamp(job.input)],
        "masks": [[path, take_stamp(path)] for path in job.mask],
        "marks": [job.box, job.invert, job.mask_threshold],
        "options": options,
        "model": _identify_model(str(job.options.get("model", "default"))),
    }
    assert set(options) <= set(known_options())
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def take_stamp(path: str) -> Stamp:
    """The state of `path`; equal after a round trip through JSON."""
    try:
        if not os.path.isdir(path):
            status = os.stat(path)
            return [["", status.st_size, status.st_mtime_ns]]
        with os.scandir(path) as entries:
            found = [(entry.name, entry.stat()) for entry in entries]
    except OSError:
        return None
    return sorted([name, status.st_size, status.st_mtime_ns] for name, status in found)


@cache
def _identify_model(name: str) -> str | None:
    from cleanplate.network import info

    try:
        return info(name).checksum
    except WeightsError:
        return None
