"""Time one removal from file to file by stages, against the limits of the machine; on GPUs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import torch

from cleanplate.network import SttnNetwork, initialise
from cleanplate.removal import Report, remove
from cleanplate.removal.networks import choose_filler
from cleanplate.removal.windows import WindowFiller
from cleanplate.research.benchmarks.comparison import (
    Ours,
    Plain,
    choose_windows,
    measure_precisions,
    read_clip,
    time_ours,
    time_plain,
)
from cleanplate.research.benchmarks.speed import draw_clip, measure_ceilings
from cleanplate.types import Size

PAPER = "sttn"


@dataclass(frozen=True)
class Plan:
    """Settings of a measurement.

    Attributes:
        input: a video or a folder of images; None renders the demo's clip.
        mask: mask of what to remove from `input`.
        size: size of the rendered clip.
        frames: frames of the rendered clip, played forwards and backwards as often as needed.
        method: as in `cleanplate remove`; also model, device and precision. The model "sttn" is
            the paper's network with random weights from a fixed seed.
        against_plain: compare with the plain version of the released code.
        windows: number of its windows to run, from the middle; None for all.
        ceilings: measure the machine, too.
    """

    input: Path | None = None
    mask: Path | None = None
    size: Size = field(default_factory=lambda: Size(432, 240))
    frames: int = 80
    method: str = "auto"
    model: str | None = None
    device: str = "auto"
    precision: str = "auto"
    against_plain: bool = False
    windows: int | None = 2
    ceilings: bool = True


@dataclass(frozen=True)
class Measurement:
    """Results of a measurement; see `to_json`."""

    report: Report
    memory: int | None
    device_memory: int | None
    ceilings: dict[str, float] | None
    plain: Plain | None
    ours: Ours | None
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON: seconds per frame by stage (stages overlap) and in total."""
        report, frames = self.report, max(1, self.report.frames)
        stages = {stage: round(value / frames, 5) for stage, value in report.stages.items()}
        found: dict[str, Any] = {
            "machine": _describe(),
            "method": report.method,
            "model": report.model,
            "device": report.device,
            "precision": report.precision,
            "size": report.size,
            "frames": report.frames,
            "hole_share": round(report.hole_share, 5),
            "seconds": round(report.seconds, 3),
            "frames_per_second": round(frames / report.seconds, 3),
            "seconds_per_frame": {**stages, "all": round(report.seconds / frames, 5)},
            "peak_memory_bytes": self.memory,
            "peak_device_bytes": self.device_memory,
            "ceilings": self.ceilings,
            "plain": None,
            "notes": [*report.notes, *self.notes],
        }
        if self.plain is not None:
            found["plain"] = {
                **self.plain.to_json(),
                "ratio": round(self.plain.seconds / report.seconds, 2),
                **(self.ours.to_json() if self.ours else {}),
            }
        return found

    def summary(self) -> list[str]:
        """Format the results as text."""
        found = self.to_json()
        stages: dict[str, float] = found["seconds_per_frame"]
        lines = [
            f"{found['method']}, {found['model'] or 'no network'}, {found['precision']} on"
            f" {found['device']}: {found['frames']} frames of {found['size']},"
            f" a hole of {100 * found['hole_share']:.1f} %",
            *(f"{stage:10} {value:9.4f} s a frame" for stage, value in stages.items()),
            f"{found['frames_per_second']:.2f} frames a second,"
            f" {(self.memory or 0) / 2**20:.0f} MiB at most",
        ]
        if self.device_memory is not None:
            lines.append(f"{self.device_memory / 2**20:.0f} MiB at most on {found['device']}")
        lines += [f"{name:24} {value:9.1f}" for name, value in (self.ceilings or {}).items()]
        lines += _tell(self.plain, self.ours, self.report.seconds) if self.plain else []
        return [*lines, *(f"note: {note}" for note in found["notes"])]


def run(plan: Plan, folder: Path) -> Measurement:
    """Measure according to `plan`; `folder` is for temporary files.

    Raises CleanplateError as `remove` does.
    """
    if plan.input is None or plan.mask is None:
        source, mask = draw_clip(folder, plan.size, plan.frames)
    else:
        source, mask = plan.input, plan.mask
    network = draw_network() if plan.model == PAPER else None
    notes = ["the network's values are drawn, not learned"] if network is not None else []
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    report = remove(
        source,
        folder / "result.mp4",
        masks=str(mask),
        model=network or plan.model,
        method=plan.method,
        device=plan.device,
        precision=plan.precision,
        journal=False,
    )
    memory = _peak_memory()
    cuda = report.device == "cuda"
    plain, ours = _compare(plan, source, mask, network) if plan.against_plain else (None, None)
    if plain is not None and len(plain.windows) < plain.count:
        notes.append(
            f"{len(plain.windows)} of {plain.count} windows were run, the middle ones;"
            " the rest is scaled"
        )
    return Measurement(
        report,
        memory,
        torch.cuda.max_memory_allocated() if cuda else None,
        measure_ceilings(torch.device(report.device)) if plan.ceilings else None,
        plain,
        ours,
        notes,
    )


def draw_network() -> SttnNetwork:
    """Make the paper's network with random weights from a fixed seed: as fast as trained ones."""
    network = SttnNetwork()
    initialise(network, torch.Generator().manual_seed(0))
    return network.eval()


def _compare(
    plan: Plan, source: Path, mask: Path, network: SttnNetwork | None
) -> tuple[Plain, Ours | None]:
    frames, masks = read_clip(source, mask)
    windows = choose_windows(len(frames), plan.windows)
    plain = time_plain(network or draw_network(), frames, masks, windows)
    if network is None:
        return plain, None
    chosen = choose_filler(
        network,
        method="network",
        blend="released",
        device=plan.device,
        precision=plan.precision,  # type: ignore[arg-type]
    )
    assert isinstance(chosen.filler, WindowFiller)
    return plain, time_ours(plain, chosen.filler, frames, masks)


def _tell(plain: Plain, ours: Ours | None, seconds: float) -> list[str]:
    lines = [
        f"the plain version: {plain.seconds:.1f} s, {plain.seconds / seconds:.2f} times as long"
        " as this run"
    ]
    if ours is not None:
        lines.append(
            f"released windows by the network alone: {ours.network_seconds:.1f} s,"
            f" {ours.network_ratio:.2f} times faster; {ours.decibels:.1f} dB from the plain ones,"
            f" {100 * ours.within_one_level:.3f} % within one level"
        )
    return lines


def _peak_memory() -> int | None:
    """Return this process's peak resident memory in bytes; None if it is not reported."""
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def _describe() -> dict[str, Any]:
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


@click.command()
@click.option("--device", default="cuda", show_default=True, help="As in `cleanplate remove`.")
@click.option(
    "--rehearse",
    is_flag=True,
    help="Try the command with a tiny network.",
)
def gpu(device: str, rehearse: bool) -> None:
    """Measure a GPU in one command: the network, whole removals, a long clip; as JSON."""
    frames, windows = (12, 1) if rehearse else (80, 0)
    found = {
        "network": measure_precisions(device, ("fp32", "bf16", "fp16"), frames, windows, rehearse)
    }
    sizes = ["96x48", "192x96"] if rehearse else ["432x240", "1920x1080"]
    for method in ("auto", "network"):
        for size in sizes:
            found[f"{method} {size}"] = _remove(device, method, size, 6 if rehearse else 160)
    found["long"] = _remove(device, "network", sizes[0], 24 if rehearse else 10_000)
    click.echo(json.dumps(found, indent=2))


def _remove(device: str, method: str, size: str, frames: int) -> dict[str, Any]:
    """Run `cleanplate benchmark` in its own process, which measures peak memory."""
    options = ["--device", device, "--method", method, "--size", size, "--frames", str(frames)]
    command = [sys.executable, "-m", "cleanplate", "benchmark", *options, "--no-ceilings", "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        return {"failed": done.stderr.strip()}
    found: dict[str, Any] = json.loads(done.stdout)
    return found
