"""Time and memory of `cleanplate remove` and `cleanplate batch`, each in its own process.

The clip is the demo's, played forwards and backwards as often as needed, so a longer clip has the
same content and no cut. Wall time depends on other programs: the tables also give the load and the
processor time, which suffers less. Not for Windows, which has no `os.wait4`. `measure_ceilings`
gives the limits of the machine.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from cleanplate.scene import DemoClip, make_demo_clip
from cleanplate.types import Size
from cleanplate.video import open_reader, open_writer, probe


@dataclass(frozen=True)
class Cost:
    """Time and memory of one removal."""

    frames: int
    wall: float
    """Seconds, the start of Python and torch included."""
    processor: float
    """Seconds of all cores together, user and system."""
    memory: int
    """Peak resident bytes."""


@click.command()
@click.option("--frames", default=80, show_default=True, help="Length of the short clip, 432x240.")
@click.option(
    "--long",
    "length",
    default=3000,
    show_default=True,
    help="Length of the clip for memory; compared with a tenth of it.",
)
@click.option("--method", default="auto", show_default=True, help="As in `cleanplate remove`.")
@click.option("--model", help="As in `cleanplate remove`.")
@click.option("--device", default="auto", show_default=True, help="As in `cleanplate remove`.")
@click.option("--only", type=click.Choice(["time", "memory"]), help="Measure only one of the two.")
def speed(frames: int, length: int, only: str | None, **given: str | None) -> None:
    """Seconds a frame, growth with length, peak memory; takes minutes."""
    options = {name: value for name, value in given.items() if value is not None}
    click.echo(
        f"{describe_machine()}, " + ", ".join(f"{name} {value}" for name, value in options.items())
    )
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    if only != "memory":
        short, long = _run_both(Size(432, 240), (frames, 4 * frames), arguments)
        more = long.frames - short.frames
        click.echo(
            f"time of {long.frames} frames / of {short.frames}: {long.wall / short.wall:.2f}"
            f" (processor {long.processor / short.processor:.2f});"
            f" a further frame: {(long.wall - short.wall) / more:.3f} s"
            f" (processor {(long.processor - short.processor) / more:.3f} s)"
        )
    if only != "time":
        short, long = _run_both(Size(216, 120), (length // 10, length), arguments)
        click.echo(
            f"peak memory of {long.frames} frames / of {short.frames}:"
            f" {long.memory / short.memory:.3f}"
        )


def _run_both(size: Size, lengths: tuple[int, int], arguments: list[str]) -> list[Cost]:
    """Measure clips of two lengths and print a row for each."""
    click.echo(f"\n{size}:")
    click.echo("| frames | wall s | wall s/frame | processor s/frame | peak MiB | load after |")
    click.echo("|---|---|---|---|---|---|")
    costs = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        clip = make_demo_clip(folder / "demo", 60, size)
        for frames in lengths:
            cost = measure_removal(clip, folder, frames, arguments)
            costs.append(cost)
            click.echo(
                f"| {frames} | {cost.wall:.1f} | {cost.wall / frames:.3f}"
                f" | {cost.processor / frames:.3f} | {cost.memory / 2**20:.0f} | {_load()} |"
            )
    return costs


def film_frames(folder: Path, target: Path) -> None:
    """Encode a folder of images as the product does."""
    info = probe(folder)
    untouched = np.zeros(info.size.shape, np.bool_)
    with open_reader(folder, info) as reader, open_writer(target, info, crf=10) as writer:
        for picture in reader:
            writer.write(picture, picture.rgb, untouched)


def measure_removal(
    clip: DemoClip,
    folder: Path,
    frames: int,
    arguments: list[str],
    film: Callable[[Path, Path], None] = film_frames,
) -> Cost:
    """Measure `cleanplate remove` on the first `frames` frames of `clip`, encoded by `film`."""
    source, masks = write_clip(clip, folder, frames, film)
    command = [sys.executable, "-m", "cleanplate", "remove", str(source), *arguments]
    command += ["--mask", str(masks), "-o", str(folder / f"{frames}-result.mp4")]
    done = subprocess.run(
        [sys.executable, "-m", "cleanplate.research.benchmarks", "usage", "--", *command],
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        raise click.ClickException(f"cleanplate remove ended with {done.returncode}")
    return Cost(frames, **json.loads(done.stdout))


def write_clip(
    clip: DemoClip, folder: Path, frames: int, film: Callable[[Path, Path], None] = film_frames
) -> tuple[Path, Path]:
    """Write a video of `frames` frames and the folder of its masks."""
    images, masks = folder / f"{frames}-frames", folder / f"{frames}-masks"
    _repeat(clip.frames, images, frames)
    _repeat(clip.masks, masks, frames)
    source = folder / f"{frames}.mp4"
    film(images, source)
    return source, masks


def describe_machine() -> str:
    """Processor architecture, number of cores and load."""
    return f"{platform.machine()}, {os.cpu_count()} cores, load {_load()} before"


def _repeat(source: Path, target: Path, frames: int) -> None:
    """Link `frames` images of `source`, forwards and backwards in turn, into `target`."""
    images = sorted(source.iterdir())
    target.mkdir()
    for index, image in enumerate(islice(cycle([*images, *images[-2:0:-1]]), frames)):
        os.link(image, target / f"{index:05d}{image.suffix}")


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


_STARTS = {
    "python -c pass": ["-c", "pass"],
    "import cleanplate": ["-c", "import cleanplate"],
    "cleanplate --help": ["-m", "cleanplate", "--help"],
    "cleanplate remove --help": ["-m", "cleanplate", "remove", "--help"],
}


@click.command()
@click.option("--repeats", default=9, show_default=True, help="Starts of each; the median counts.")
def start(repeats: int) -> None:
    """Time until the program and the library answer, and whether that loads torch."""
    click.echo(describe_machine())
    click.echo(
        "| command | seconds | without Python's own start | loads torch |\n|---|---|---|---|"
    )
    bare = 0.0
    for name, arguments in _STARTS.items():
        seconds = statistics.median(_time_start(arguments) for _ in range(repeats))
        bare = bare or seconds
        torch = "yes" if _loads_torch(arguments) else "no"
        click.echo(f"| `{name}` | {seconds:.3f} | {seconds - bare:.3f} | {torch} |")


def _time_start(arguments: list[str]) -> float:
    began = time.perf_counter()
    _start_python(arguments)
    return time.perf_counter() - began


def _loads_torch(arguments: list[str]) -> bool:
    done = _start_python(["-X", "importtime", *arguments])
    return any(line.endswith("| torch") for line in done.stderr.splitlines())


def _start_python(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True)


_LARGE_FRAMES = 24
"""Number of drawn frames, played forwards and backwards."""
_LARGE_SHRINK = 4
"""Factor by which frames are drawn smaller and then enlarged, as drawing is slow."""
LARGE_SIZES = {"1080p": Size(1920, 1080), "4k": Size(3840, 2160)}
"""Name → size of a large clip."""


@click.command()
@click.option("--size", type=click.Choice(list(LARGE_SIZES)), default="1080p", show_default=True)
@click.option("--frames", default=60, show_default=True)
@click.option("--max-memory", metavar="SIZE", help="As in `cleanplate remove`.")
def large(size: str, frames: int, max_memory: str | None) -> None:
    """Frames a second and peak memory of a large video; the hole is about 5 % of it."""
    click.echo(describe_machine())
    arguments = ["--max-memory", max_memory] if max_memory else []
    with TemporaryDirectory() as name:
        folder = Path(name)
        clip = draw_large(folder / "demo", frames, LARGE_SIZES[size])
        cost = measure_removal(clip, folder, frames, arguments, film=film_large)
    click.echo(
        f"{LARGE_SIZES[size]}, {frames} frames {' '.join(arguments)}: {cost.wall:.1f} s,"
        f" {frames / cost.wall:.2f} frames a second, peak {cost.memory / 2**20:.0f} MiB"
    )


def draw_large(folder: Path, frames: int, size: Size) -> DemoClip:
    """The demo's clip, drawn small and enlarged to `size`."""
    frames = min(frames, _LARGE_FRAMES)
    small = Size(size.width // _LARGE_SHRINK, size.height // _LARGE_SHRINK)
    clip = make_demo_clip(folder, frames, small)
    for path in [*clip.frames.iterdir(), *clip.masks.iterdir()]:
        image = _read_image(path)
        soft = cv2.INTER_NEAREST if image.ndim == 2 else cv2.INTER_CUBIC
        cv2.imwrite(str(path), cv2.resize(image, (size.width, size.height), interpolation=soft))
    return replace(clip, size=size)


def _read_image(path: Path) -> npt.NDArray[np.uint8]:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise click.ClickException(f"{path} is not an image")
    return np.asarray(image, np.uint8)


def film_large(folder: Path, target: Path) -> None:
    """Encode as MPEG-4 part 2: the product's own codec would take most of the time."""
    images = [_read_image(path) for path in sorted(folder.iterdir())[:_LARGE_FRAMES]]
    height, width = images[0].shape[:2]
    turn = [*images, *images[-2:0:-1]]
    film = cv2.VideoWriter(str(target), cv2.VideoWriter.fourcc(*"mp4v"), 25, (width, height))
    for at in range(len(list(folder.iterdir()))):
        film.write(turn[at % len(turn)])
    film.release()


@click.command()
@click.option("--jobs", default=12, show_default=True, help="Number of clips.")
@click.option("--frames", default=80, show_default=True, help="Length of each clip, 432x240.")
@click.option("--workers", default=2, show_default=True, help="Workers, compared with one.")
def crew(jobs: int, frames: int, workers: int) -> None:
    """Speed-up of a batch with several one-thread workers over one."""
    click.echo(describe_machine())
    with TemporaryDirectory() as name:
        folder = Path(name)
        clip = make_demo_clip(folder / "demo", 60, Size(432, 240))
        source, masks = write_clip(clip, folder, frames)
        seconds = [_time_batch(folder, source, masks, jobs, count) for count in (1, workers)]
    for count, taken in zip((1, workers), seconds, strict=True):
        rate = jobs * frames / taken
        click.echo(f"{count} workers of one thread: {taken:.1f} s, {rate:.1f} frames a second")
    click.echo(f"ratio: {seconds[0] / seconds[1]:.2f}")


@click.command()
@click.option("--frames", default=1024, show_default=True, help="Length of the video, 432x240.")
@click.option(
    "--part-frames", "--split", "split", default=512, show_default=True, help="Frames per part."
)
@click.option("--workers", default=2, show_default=True, help="Workers, compared with one.")
def parts(frames: int, split: int, workers: int) -> None:
    """Speed-up of one long video in parts with several one-thread workers over one."""
    click.echo(describe_machine())
    with TemporaryDirectory() as name:
        folder = Path(name)
        clip = make_demo_clip(folder / "demo", 60, Size(432, 240))
        source, masks = write_clip(clip, folder, frames)
        whole = _time_batch(folder, source, masks, 1, 1)
        click.echo(f"one worker of one thread: {whole:.1f} s")
        divided = _time_batch(folder, source, masks, 1, workers, "--part-frames", str(split))
        click.echo(f"{workers} workers, parts of {split} of {frames} frames: {divided:.1f} s")
        results = [(folder / f"{count}-0.mp4").read_bytes() for count in (1, workers)]
    click.echo(f"ratio: {whole / divided:.2f}; files are equal: {results[0] == results[1]}")


def _time_batch(
    folder: Path, source: Path, masks: Path, jobs: int, workers: int, *more: str
) -> float:
    lines = [
        {"input": str(source), "mask": str(masks), "output": str(folder / f"{workers}-{n}.mp4")}
        for n in range(jobs)
    ]
    plan = folder / f"{workers}.jsonl"
    plan.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    command = [sys.executable, "-m", "cleanplate", "batch", str(plan)]
    command += ["--workers", str(workers), "--threads", "1", *more]
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - began


_DRAWN = 60


def draw_clip(folder: Path, size: Size, frames: int) -> tuple[Path, Path]:
    """Draw the demo's clip, played forwards and backwards: folders of images and of masks."""
    clip = make_demo_clip(folder / "drawn", min(frames, _DRAWN), size)
    targets = folder / "frames", folder / "masks"
    for source, target in zip((clip.frames, clip.masks), targets, strict=True):
        _repeat(source, target, frames)
    return targets


_SIDE = 2048
_CHANNELS, _HEIGHT, _WIDTH = 256, 60, 108
"""Feature map size of the paper's network at 432x240."""
_COPY = 2**26


def measure_ceilings(device: torch.device, repeats: int = 3) -> dict[str, float]:
    """Measure GFLOP/s of matrix products and 3x3 convolutions by type, and GB/s of a copy.

    A copy's bytes count twice, read and written. Takes some seconds on a CPU.
    """
    found: dict[str, float] = {}
    with torch.inference_mode():
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            one = torch.randn(_SIDE, _SIDE, device=device).to(dtype)
            seconds = _best(lambda one=one: one @ one, device, repeats)  # type: ignore[misc]
            found[f"matrix_{name}_gflops"] = 2 * _SIDE**3 / seconds / 1e9
            maps = torch.randn(4, _CHANNELS, _HEIGHT, _WIDTH, device=device).to(dtype)
            maps = maps.contiguous(memory_format=torch.channels_last)
            weight = torch.randn(_CHANNELS, _CHANNELS, 3, 3, device=device).to(dtype)
            weight = weight.contiguous(memory_format=torch.channels_last)
            seconds = _best(
                lambda m=maps, w=weight: F.conv2d(m, w, padding=1),  # type: ignore[misc]
                device,
                repeats,
            )
            work = 2 * maps.numel() * _CHANNELS * 9
            found[f"convolution_{name}_gflops"] = work / seconds / 1e9
        source = torch.ones(_COPY, device=device)
        target = torch.empty_like(source)
        seconds = _best(lambda: target.copy_(source), device, repeats)
        found["copy_gb_per_second"] = 2 * 4 * _COPY / seconds / 1e9
    return {name: round(value, 1) for name, value in found.items()}


def clock(work: Callable[[], object], device: torch.device) -> float:
    """Time `work` in seconds; on CUDA with events."""
    if device.type != "cuda":
        began = time.perf_counter()
        work()
        return time.perf_counter() - began
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    first.record()
    work()
    last.record()
    torch.cuda.synchronize(device)
    return float(first.elapsed_time(last)) / 1000


def _best(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    work()
    return min(clock(work, device) for _ in range(repeats))
