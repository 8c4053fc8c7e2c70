"""The paper's network in each precision against the plain rendition, in one run; for GPUs, too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import torch

from cleanplate.network import SttnConfig, SttnNetwork, initialise
from cleanplate.removal.networks import choose_filler
from cleanplate.removal.windows import WindowFiller
from cleanplate.research.benchmarks.comparison import (
    choose_windows,
    measure_ceilings,
    time_ours,
    time_plain,
)
from cleanplate.research.benchmarks.run import draw_clip, read_clip
from cleanplate.types import Size

_SIZE = Size(432, 240)
_HIDDEN = 0.35
"""Of the deviation that keeps a layer's values as large as its input's, in the transformer."""


@click.command()
@click.option("--device", default="cpu", show_default=True, help="As in `cleanplate remove`.")
@click.option("--precision", "precisions", multiple=True, default=["fp32", "bf16"])
@click.option("--frames", default=80, show_default=True, help="Length of the drawn clip.")
@click.option("--windows", default=1, show_default=True, help="How many are run; 0 for all.")
@click.option("--tiny", is_flag=True, help="A network 8 channels wide, to rehearse.")
def network(
    device: str, precisions: tuple[str, ...], frames: int, windows: int, tiny: bool
) -> None:
    """Released windows: times as fast as the plain rendition, decibels from it; as JSON."""
    click.echo(json.dumps(measure(device, precisions, frames, windows, tiny), indent=2))


@click.command()
@click.option("--device", default="cuda", show_default=True, help="As in `cleanplate remove`.")
@click.option("--rehearse", is_flag=True, help="Few frames, small sizes and a tiny network.")
def gpu(device: str, rehearse: bool) -> None:
    """All bars of a GPU in one command: the network, whole removals, a long clip; as JSON."""
    frames, windows = (12, 1) if rehearse else (80, 0)
    found = {"network": measure(device, ("fp32", "bf16", "fp16"), frames, windows, rehearse)}
    sizes = ["96x48", "192x96"] if rehearse else ["432x240", "1920x1080"]
    for method in ("auto", "network"):
        for size in sizes:
            found[f"{method} {size}"] = _remove(device, method, size, 6 if rehearse else 160)
    found["long"] = _remove(device, "network", sizes[0], 24 if rehearse else 10_000)
    click.echo(json.dumps(found, indent=2))


def measure(
    device: str, precisions: tuple[str, ...], frames: int, windows: int, tiny: bool
) -> dict[str, Any]:
    """The plain rendition once, then the product in each precision on the same windows."""
    drawn = draw_network(tiny)
    with TemporaryDirectory() as folder:
        shown, masks = read_clip(*draw_clip(Path(folder), Size(96, 48) if tiny else _SIZE, frames))
    plain = time_plain(drawn, shown, masks, choose_windows(frames, windows or None))
    found: dict[str, Any] = {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "ceilings": measure_ceilings(torch.device(device), 1 if tiny else 3),
        "plain": plain.to_json(),
    }
    for precision in precisions:
        chosen = choose_filler(
            drawn, method="network", blend="released", device=device, precision=precision
        )
        assert isinstance(chosen.filler, WindowFiller)
        ours = time_ours(plain, chosen.filler, shown, masks)
        rate = round(frames / ours.network_seconds, 2)
        found[precision] = {**ours.to_json(), "frames_per_second": rate}
    return found


def draw_network(tiny: bool) -> SttnNetwork:
    """Values that keep the scale of what passes, so that precision can be judged."""
    network = SttnNetwork(SttnConfig(8, (4, 6), 1) if tiny else SttnConfig()).eval()
    generator = torch.Generator().manual_seed(0)
    initialise(network, generator)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if value.dim() > 1:
                scale = _HIDDEN if name.startswith("transformer.") else 1.0
                value *= scale * (2 / value[0].numel()) ** 0.5 / 0.02
            else:
                value.normal_(0, 0.05, generator=generator)
    return network


def _remove(device: str, method: str, size: str, frames: int) -> dict[str, Any]:
    """`cleanplate benchmark` in a process of its own, for its memory."""
    options = ["--device", device, "--method", method, "--size", size, "--frames", str(frames)]
    command = [sys.executable, "-m", "cleanplate", "benchmark", *options, "--no-ceilings", "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        return {"failed": done.stderr.strip()}
    found: dict[str, Any] = json.loads(done.stdout)
    return found
