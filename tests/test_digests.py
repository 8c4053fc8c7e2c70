"""Recorded digests of some twenty runs: a change of the layout must not change a pixel.

Digests depend on the processor and on the versions of the libraries. They are compared where they
were recorded and skipped elsewhere; record them anew, from the code before a change, with
`CLEANPLATE_RECORD=1 python -m pytest tests/test_digests.py -m slow`.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import cleanplate
from cleanplate.types import Size

pytestmark = pytest.mark.slow

EVAL = Path(__file__).parents[2] / "shared" / "data" / "eval"
RECORDED = Path(__file__).with_name("digests.json")
FRAMES = 20


def describe_machine() -> str:
    """What the digests depend on, besides this project's code."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    lines = [
        re.search(rf"^{name}\s*: (.*)$", text, re.MULTILINE) for name in ("model name", "flags")
    ]
    processor = "|".join(line[1] for line in lines if line) or platform.processor()
    import torch

    versions = [np.__version__, cv2.__version__, av.__version__, torch.__version__]
    return hashlib.sha256("|".join([processor, *versions]).encode()).hexdigest()[:16]


@pytest.fixture(autouse=True)
def _two_threads():
    """Torch adds in another order with another number of threads."""
    import torch

    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(usual)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A clip, its masks as folders, and videos of it."""
    if not EVAL.exists():
        pytest.skip("needs ../shared/data/eval")
    folder = tmp_path_factory.mktemp("digests")
    for kind in ("frames", "stationary", "moving"):
        (folder / kind).mkdir()
        for index in range(FRAMES):
            (found,) = (EVAL / "tennis" / kind).glob(f"*{index:05d}.*")
            picture = cv2.imread(str(found))[::2, ::2]
            assert cv2.imwrite(str(folder / kind / f"{index:05d}.png"), picture)
    pictures = [cv2.imread(str(folder / "frames" / f"{i:05d}.png")) for i in range(FRAMES)]
    write(folder / "clip.mp4", pictures, "libx264", "yuv420p")
    write(folder / "clip.mov", pictures, "prores_ks", "yuv422p10le")
    write(folder / "fields.mkv", pictures, "ffv1", "yuv420p")
    masks = [cv2.imread(str(folder / "moving" / f"{i:05d}.png")) for i in range(FRAMES)]
    write(folder / "mask.mkv", masks, "ffv1", "bgr0")
    return folder


def write(path: Path, pictures: list[np.ndarray], codec: str, pixels: str) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.thread_count = pixels, 1  # several threads may encode differently
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        out.mux(stream.encode(None))


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "cleanplate", *map(str, arguments)]


def run(*arguments: object) -> None:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def digest(path: Path) -> str:
    """Of the decoded pixels, times and colour tags of a video; of every file of a folder."""
    found = hashlib.sha256()
    if path.is_dir():
        for file in sorted(path.rglob("*.png")):
            found.update(file.name.encode() + cv2.imread(str(file), cv2.IMREAD_UNCHANGED).tobytes())
        return found.hexdigest()[:16]
    with av.open(str(path)) as opened:
        stream = opened.streams.video[0]
        found.update(
            f"{opened.format.name} {stream.codec_context.name} {stream.time_base}".encode()
        )
        for frame in opened.decode(stream):
            tags = (frame.pts, frame.format.name, frame.colorspace, frame.color_range)
            found.update(repr(tags).encode() + frame.to_ndarray().tobytes())
    return found.hexdigest()[:16]


def fill(clip: Path, kind: str, **options: object) -> str:
    names = [f"{index:05d}.png" for index in range(FRAMES)]
    frames = np.stack([cv2.imread(str(clip / "frames" / name))[..., ::-1] for name in names])
    masks = np.stack([cv2.imread(str(clip / kind / name), 0) > 127 for name in names])
    done = np.asarray(cleanplate.inpaint(frames, masks, **options))
    return hashlib.sha256(done.tobytes()).hexdigest()[:16]


ARRAYS = {
    "auto-stationary": ("stationary", {}),
    "auto-moving": ("moving", {}),
    "flow-moving": ("moving", {"method": "flow"}),
    "network-moving": ("moving", {"method": "network"}),
    "network-released-blend": ("stationary", {"method": "network", "blend": "released"}),
    "auto-wide": ("moving", {"dilate": 12, "feather": 0}),
}

COMMANDS = {
    "mp4-folder-mask": ("clip.mp4", "out.mp4", ["--mask", "moving"]),
    "lossless-mask-video": ("clip.mp4", "out.mkv", ["--mask", "mask.mkv", "--lossless"]),
    "pngs-mask-image": ("frames", "out", ["--mask", "stationary/00003.png"]),
    "invert": ("clip.mp4", "out.mkv", ["--mask", "moving", "--invert", "--dilate", "0"]),
    "box-in-time": (
        "clip.mp4",
        "out.mkv",
        ["--box", "20,20,30,16@0.2-0.6"],
    ),
    "track": ("clip.mp4", "out.mkv", ["--track", "80,40,40,60", "--mask-out", "masks"]),
    "fields": ("fields.mkv", "out.mkv", ["--mask", "moving", "--fields", "on"]),
    "prores": ("clip.mov", "out.mov", ["--mask", "moving"]),
    "flow-crf": (
        "clip.mp4",
        "out.mp4",
        ["--mask", "stationary", "--method", "flow"],
    ),
    "network": ("clip.mp4", "out.mkv", ["--mask", "moving", "--method", "network"]),
    "little-memory": ("clip.mp4", "out.mkv", ["--mask", "moving", "--max-memory", "800MB"]),
}


@pytest.fixture(scope="module")
def recorded():
    machine = describe_machine()
    known = json.loads(RECORDED.read_text())
    if os.environ.get("CLEANPLATE_RECORD"):
        found: dict[str, str] = {}
        yield found
        RECORDED.write_text(json.dumps({"machine": machine, "digests": found}, indent=1) + "\n")
    elif known["machine"] != machine:
        pytest.skip("digests were recorded on another processor or with other libraries")
    else:
        yield known["digests"]


def check(recorded: dict[str, str], name: str, found: str) -> None:
    assert recorded.setdefault(name, found) == found


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(clip, recorded, name):
    kind, options = ARRAYS[name]
    check(recorded, name, fill(clip, kind, **options))


@pytest.mark.parametrize("name", COMMANDS)
def test_commands(clip, recorded, name, tmp_path):
    source, target, options = COMMANDS[name]
    options = [clip / text if (clip / text).exists() else text for text in options]
    options = [tmp_path / text if text == "masks" else text for text in options]
    run("remove", clip / source, "-o", tmp_path / target, *options)
    check(recorded, name, digest(tmp_path / target))
    if (tmp_path / "masks").exists():
        check(recorded, f"{name}-masks", digest(tmp_path / "masks"))


def test_engine(clip, recorded):
    """A stream gives what `inpaint` gives, frame by frame."""
    found = hashlib.sha256()
    engine = cleanplate.Engine(Size(216, 120), dilate=4, feather=4)
    for index in range(FRAMES):
        frame = cv2.imread(str(clip / "frames" / f"{index:05d}.png"))[..., ::-1]
        mask = cv2.imread(str(clip / "moving" / f"{index:05d}.png"), 0) > 127
        for done in engine.push(frame, mask):
            found.update(done.frame.tobytes())
    for done in engine.finish():
        found.update(done.frame.tobytes())
    check(recorded, "engine", found.hexdigest()[:16])


def test_masks(clip, recorded, tmp_path):
    box = ["--track", "80,40,40,60"]
    run("mask", "track", clip / "clip.mp4", "-o", tmp_path / "masks", *box)
    check(recorded, "mask-command", digest(tmp_path / "masks"))


def test_resume(clip, recorded, tmp_path):
    """Interrupted once something is finished, then resumed: as in one go."""
    line = ["remove", clip / "clip.mp4", "-o", tmp_path / "out.mkv", "--mask", clip / "moving"]
    line += ["--method", "network"]
    run(*line)
    whole = digest(tmp_path / "out.mkv")
    (tmp_path / "out.mkv").unlink()
    process = subprocess.Popen(command(*line), stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(tmp_path.rglob("*.span")):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.wait()
    if not (tmp_path / "out.mkv").exists():
        run(*line, "--resume")
    assert digest(tmp_path / "out.mkv") == whole
    check(recorded, "resume", whole)


def test_batch_in_parts(clip, recorded, tmp_path):
    line = [clip / "clip.mp4", "-o", tmp_path / "{stem}.mkv", "--mask", clip / "moving"]
    run("batch", *line, "--part-frames", "8", "--ledger", tmp_path / "batch.jsonl")
    check(recorded, "batch-parts", digest(tmp_path / "clip.mkv"))
