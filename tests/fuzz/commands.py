"""Hostile command lines, and files named on them: run as `cleanplate` would, in this process."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random

from .mutation import spoil, spoil_text
from .surfaces import Place, Plan

_LINES = (
    "remove {h264.mp4} -o {OUT r.mp4} --box 4,4,8,8 --method flow --dilate 1 --feather 1",
    "remove {h264.mkv} -o {OUT r.mkv} --mask {mask.mkv} --method flow --lossless --json",
    "remove {mjpeg.avi} -o {OUT r} --mask {grey.png} --mask-threshold 9 --invert --method flow",
    "remove {vp9.webm} -o {OUT r.webm} --box 4,4,8,8@0:00-0:00.1 --method flow --crf 30",
    "remove {h264.mp4} -o {OUT r.mp4} --track 4,4,8,8@0.04 --method flow --mask-out {OUT m.mkv}",
    "remove {h264.mp4} -o {OUT r.mp4} --box 1,1,9,9 --method network --model {ours.safetensors}",
    "remove {h264.mp4} -o {OUT r.mp4} --box 1,1,9,9 --method network --model {zipped.pth}",
    "mask track {h264.mp4} -o {OUT m.mkv} --track 4,4,8,8@0.04 --preview {OUT p.png} --json",
    "mask text {h264.mp4} -o {OUT m} --region 0,0,32,10 --dilate 2 --keep-bars",
    "mask logo {h264.mp4} -o {OUT m.mkv}",
    "batch {jobs.jsonl} --ledger {OUT journal} --workers 1 --retries 0 --dilate 1",
    "models list",
    "models show {ours.safetensors}",
    "models verify {half.safetensors}",
    "models convert {zipped.pth} {OUT w.safetensors} --half",
    "models convert {ours.safetensors} {OUT w.pth}",
    "evaluate {OUT data} -o {OUT report} --methods telea,median --only a,b --resume",
    "evaluate {OUT data} -o {OUT report} --lpips {plain.pth} --i3d {other.pth}",
    "attention {h264.mp4} -o {OUT a} --mask {grey.png} --frame 1 --model {ours.safetensors}",
    "export {other.safetensors} -o {OUT onnx}",
    "train {OUT run} --clips {OUT data} --recipe light-cpu --steps 1 --batch 1 --check-data",
    "serve --host 127.0.0.1 --port 0 --max-upload 2GB --max-duration 1:00 --token 0123456789abcdef",
    "doctor",
    "--version",
)
_FILE = re.compile(r"{(OUT )?([^}]*)}")
_SWAPS = ("--help", "-o", "--json", "--box", "--", "-", "", "--no-such", "--model", "--mask", "9")


def make_commands(place: Place, random: Random) -> Plan:
    """A line with one file spoilt, or some of its words, or both."""
    words = random.choice(_LINES).replace("{OUT ", "{OUT\0").split()
    words = [word.replace("\0", " ") for word in words]
    if random.random() < 0.8:
        at = random.randrange(len(words))
        if not _FILE.fullmatch(words[at]):
            words[at] = spoil_text(words[at], random)
    if random.random() < 0.3:
        at = random.randrange(len(words))
        if not _FILE.fullmatch(words[at]):
            words[at : at + 1] = random.choice(([], [random.choice(_SWAPS)], [words[at]] * 2))
    # As the system hands words over: no NUL, and no bytes but those of a text.
    line = [_name(word, place, random).replace("\0", "") for word in words]
    return {"line": [word.encode("utf-8", "replace").decode() for word in line]}


def _name(word: str, place: Place, random: Random) -> str:
    """The word, with a file's place for its name; the file may be spoilt."""
    match = _FILE.fullmatch(word)
    if match is None:
        return word
    if match[1]:
        name = spoil_text(match[2], random) if random.random() < 0.2 else match[2]
        return str(place.out / name.replace("/", "_"))
    if match[2] == "jobs.jsonl":
        return str(_write_jobs(place, random))
    if random.random() < 0.8:
        return str(place.originals / match[2])
    path = place.given / match[2]
    path.write_bytes(spoil(place.bytes_of(match[2]), random))
    return str(path)


def _write_jobs(place: Place, random: Random) -> Path:
    """One job only: `batch` starts processes, which takes seconds."""
    path = place.given / "jobs.jsonl"
    job = f'{{"input": "{place.originals / "h264.mp4"}", "output": "{place.out / "b.mp4"}", '
    path.write_bytes(spoil((job + '"box": "1,2,3,4", "crf": 99}\n').encode(), random))
    return path


def run_commands(place: Place, plan: Plan) -> None:
    """The command ends with a code of its own and at most one line of complaint."""
    from cleanplate.cli import app
    from cleanplate.page import server

    server.serve = lambda settings, announce: None  # type: ignore[assignment]
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = app._run(plan["line"])
    lines = err.getvalue().strip().splitlines()
    last = lines[-1] if lines else ""
    said = f"{plan['line']} ended with {code} and said {err.getvalue()[-3000:]}"
    assert code in (0, 1, 2), said
    assert not last.startswith("cleanplate: unexpected"), said
    if code:
        assert last.startswith("cleanplate: ") or "Usage:" in lines[0], said
