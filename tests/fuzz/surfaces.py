"""What is given to the program, and what it may do with it: a maker and a runner a surface.

A maker writes its input into `given` and says what the runner is to do; a runner does it as the
command line would. Nothing but a CleanplateError may come out of a runner.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from cleanplate import network as model
from cleanplate import removal as pipeline
from cleanplate.batch.jobs import match_jobs, read_jobs
from cleanplate.batch.ledger import Ledger
from cleanplate.batch.schedule import plan_batch
from cleanplate.masks import BoxMask, TimedBox, open_mask
from cleanplate.video import VideoInfo, probe

from .mutation import spoil, spoil_text, spoil_value
from .originals import CHECKPOINTS, FRAMES, IMAGES, REMOVAL, SIZE, VIDEOS

Plan = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Folders of one case: the whole files, the spoilt ones, and where results may go."""

    originals: Path
    given: Path
    out: Path

    def bytes_of(self, name: str) -> bytes:
        return (self.originals / name).read_bytes()


def _spoilt(place: Place, names: tuple[str, ...], random: Random) -> tuple[str, bytes]:
    """One of the files, spoilt, under its own or another one's name."""
    name = random.choice(names)
    data = spoil(place.bytes_of(name), random, [place.bytes_of(other) for other in names])
    return (random.choice(names) if random.random() < 0.1 else name), data


def make_video(place: Place, random: Random) -> Plan:
    name, data = _spoilt(place, tuple(VIDEOS), random)
    (place.given / name).write_bytes(data)
    return {"input": name, "output": random.choice(("r.mp4", "r.mkv", "r", "r.mov"))}


def make_images(place: Place, random: Random) -> Plan:
    folder = place.given / "frames"
    folder.mkdir()
    for number in range(3):
        whole = random.choice(("colour.png", "colour.jpg", "colour.bmp"))
        (folder / f"{number}{Path(whole).suffix}").write_bytes(place.bytes_of(whole))
    name, data = _spoilt(place, IMAGES, random)
    (folder / f"{random.choice('029')}{Path(name).suffix}").write_bytes(data)
    return {"input": "frames", "output": random.choice(("r.mp4", "r"))}


def run_removal(place: Place, plan: Plan) -> None:
    """Remove a box; the result must be a video of as many frames as the report says."""
    output = place.out / plan["output"]
    # Without a journal, which would rightly stay beside the output of a run that fails.
    report = pipeline.remove(place.given / plan["input"], output, journal=False, **REMOVAL)
    assert [output] == list(place.out.iterdir()), "something lies beside the result"
    found = probe(output).frame_count
    assert found == report.frames, f"{found} frames in the result, {report.frames} in the report"


def make_journal(place: Place, random: Random) -> Plan:
    """The journal of a run that was cut off, one of its files spoilt; its checksum may be right."""
    journal = place.given / "cut" / "journal"
    shutil.copytree(place.originals / "cut", place.given / "cut")
    path = random.choice(sorted(journal.iterdir()))
    data = path.read_bytes()
    if path.suffix == ".json" and random.random() < 0.7:
        data = json.dumps(spoil_value(json.loads(data), random)).encode()
    elif path.suffix == ".span" and random.random() < 0.7:
        data = _with_right_checksum(data, random)
    else:
        data = spoil(data, random)
    path.write_bytes(data)
    return {}


def _with_right_checksum(data: bytes, random: Random) -> bytes:
    """A span whose head or pixels say something else, and whose checksum hides that."""
    head, _, pixels = data[:-32].partition(b"\n")
    what = random.random()
    if what < 0.6:
        head = json.dumps(spoil_value(json.loads(head), random)).encode()
    elif what < 0.8:
        pixels = zlib.compress(spoil(zlib.decompress(pixels), random))
    else:
        pixels = spoil(pixels, random)
    body = head + b"\n" + pixels
    return body + hashlib.sha256(body).digest()


def run_journal(place: Place, plan: Plan) -> None:
    """The run goes on, begins anew, or says why not; beside its output is at most its journal."""
    output = place.out / "cut.mp4"
    beside = place.out / ".cut.mp4.cleanplate"
    shutil.copytree(place.given / "cut", beside)
    try:
        report = pipeline.remove(place.originals / "h264.mp4", output, resume=True, **REMOVAL)
        assert probe(output).frame_count == report.frames == FRAMES
        assert [output] == list(place.out.iterdir()), "something lies beside the result"
    finally:
        assert set(place.out.iterdir()) <= {output, beside}
        shutil.rmtree(beside, ignore_errors=True)


def make_mask(place: Place, random: Random) -> Plan:
    kind = random.choice(("image", "image", "folder", "video"))
    names = ("mask.mkv", "h264.mp4") if kind == "video" else IMAGES
    name, data = _spoilt(place, names, random)
    threshold, invert = random.choice((0, 127, 254)), random.random() < 0.2
    plan = {"mask": name, "threshold": threshold, "invert": invert}
    if kind != "folder":
        (place.given / name).write_bytes(data)
        return plan
    folder = place.given / "masks"
    folder.mkdir()
    for number in range(FRAMES - 1):
        (folder / f"{number}.png").write_bytes(place.bytes_of("grey.png"))
    (folder / f"{random.choice('0279')}{Path(name).suffix}").write_bytes(data)
    return {**plan, "mask": "masks"}


def run_mask(place: Place, plan: Plan) -> None:
    """Every frame's mask is bool and has the frame's size."""
    info = _whole(place.originals)
    path = place.given / plan["mask"]
    with closing(open_mask(path, threshold=plan["threshold"], invert=plan["invert"])) as source:
        _look(source, info)


def make_boxes(place: Place, random: Random) -> Plan:
    texts = ("1,2,8,9", "4,4,8,8@0:00.01-0:00.1", "0,0,32,24@-0.1", "-5,-5,20,20@.04-", "1,1,1,1")
    return {"boxes": [spoil_text(random.choice(texts), random) for _ in range(2)]}


def run_boxes(place: Place, plan: Plan) -> None:
    with closing(BoxMask([TimedBox.parse(text) for text in plan["boxes"]])) as source:
        _look(source, _whole(place.originals))


def _look(source: Any, info: VideoInfo) -> None:
    source.prepare(info)
    for index in range(info.frame_count):
        hole = source.mask(index, Fraction(index) / info.rate)
        assert hole.dtype == np.bool_, f"a mask of {hole.dtype}"
        assert hole.shape == SIZE[::-1], f"a mask of {hole.shape}"


@cache
def _whole(originals: Path) -> VideoInfo:
    return probe(originals / "h264.mp4")


def make_checkpoint(place: Place, random: Random) -> Plan:
    name, data = _spoilt(place, (*CHECKPOINTS, "other.safetensors"), random)
    if name.endswith("safetensors") and random.random() < 0.4:
        data = _with_spoilt_header(place.bytes_of("ours.safetensors"), random)
    (place.given / name).write_bytes(data)
    return {"model": name}


def _with_spoilt_header(data: bytes, random: Random) -> bytes:
    """A safetensors file whose header is JSON, of its right length, but says something else."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    if random.random() < 0.5:
        config = json.loads(header["__metadata__"]["config"])
        header["__metadata__"]["config"] = json.dumps(spoil_value(config, random))
    else:
        header = spoil_value(header, random)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def run_checkpoint(place: Place, plan: Plan) -> None:
    """A network that loads has its values; what cannot be described is refused as well."""
    network = model.load(place.given / plan["model"])
    assert not any(value.is_meta for value in network.state_dict().values()), "values are missing"
    if plan["model"].endswith("safetensors"):
        model.info(place.given / plan["model"])


def make_jobs(place: Place, random: Random) -> Plan:
    video = str(place.originals / "h264.mp4")
    jobs: list[dict[str, Any]] = [
        {"input": video, "output": str(place.out / "a.mp4"), "box": "1,2,8,9", "dilate": 2},
        {"input": video, "output": str(place.out / "b"), "mask": str(place.originals / "grey.png"),
         "mask_threshold": 9, "invert": True, "crf": 20, "method": "flow", "lossless": False},
        {"input": video, "output": str(place.out / "{stem}.mkv"), "box": ["1,2,3,4", "4,4,8,8@1-"]},
    ]  # fmt: skip
    if random.random() < 0.5:
        at = random.randrange(len(jobs))
        jobs[at] = spoil_value(jobs[at], random)
    text = "\n".join(map(json.dumps, jobs)).encode()
    if random.random() < 0.6:
        text = spoil(text, random)
    (place.given / "jobs.jsonl").write_bytes(text)
    pattern = spoil_text(str(place.originals / "*.mp4"), random)
    return {"pattern": pattern, "fields": spoil_value(jobs[2], random)}


def run_jobs(place: Place, plan: Plan) -> None:
    """The jobs are read and checked as `batch` does before it starts the first."""
    jobs, problems = read_jobs(place.given / "jobs.jsonl")
    for problem in problems:
        _check_line(str(problem))
    with Ledger(place.out / "journal") as journal:
        for problem in plan_batch(jobs, journal).problems:
            _check_line(str(problem))
    (place.out / "journal").unlink(missing_ok=True)
    if isinstance(plan["fields"], dict):
        match_jobs(plan["pattern"], plan["fields"])


def _check_line(text: str) -> None:
    assert "\n" not in text, f"a message of several lines: {text!r}"


Maker = Callable[[Place, Random], Plan]
Runner = Callable[[Place, Plan], None]
SURFACES: dict[str, tuple[Maker, Runner]] = {
    "video": (make_video, run_removal),
    "images": (make_images, run_removal),
    "mask": (make_mask, run_mask),
    "boxes": (make_boxes, run_boxes),
    "checkpoint": (make_checkpoint, run_checkpoint),
    "jobs": (make_jobs, run_jobs),
    "journal": (make_journal, run_journal),
}
