"""The paper's network in each precision and in ONNX Runtime, timed against the released code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
import torch

from cleanplate.network import SttnConfig, SttnNetwork, initialise
from cleanplate.network.runner import SttnRunner
from cleanplate.options import Precision
from cleanplate.removal.filling import find_box
from cleanplate.removal.networks import choose_filler, schedule_windows
from cleanplate.removal.windows import WindowFiller
from cleanplate.research.benchmarks.comparison import (
    choose_windows,
    clock,
    measure_ceilings,
    time_ours,
    time_plain,
)
from cleanplate.research.benchmarks.run import draw_clip, read_clip
from cleanplate.research.export import export_onnx
from cleanplate.types import Size

_SIZE = Size(432, 240)
_HIDDEN = 0.35
"""Scale of the transformer's weights, relative to an initialisation that keeps the variance."""


@click.command()
@click.option("--device", default="cpu", show_default=True, help="As in `cleanplate remove`.")
@click.option("--precision", "precisions", multiple=True, default=["fp32", "bf16"])
@click.option("--frames", default=80, show_default=True, help="Length of the drawn clip.")
@click.option("--windows", default=1, show_default=True, help="Windows to run; 0 for all.")
@click.option("--tiny", is_flag=True, help="Use a network 8 channels wide, to try the command.")
def network(
    device: str, precisions: tuple[Precision, ...], frames: int, windows: int, tiny: bool
) -> None:
    """Speed-up over the released code and PSNR against it, for each precision, as JSON."""
    click.echo(json.dumps(measure(device, precisions, frames, windows, tiny), indent=2))


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
    found = {"network": measure(device, ("fp32", "bf16", "fp16"), frames, windows, rehearse)}
    sizes = ["96x48", "192x96"] if rehearse else ["432x240", "1920x1080"]
    for method in ("auto", "network"):
        for size in sizes:
            found[f"{method} {size}"] = _remove(device, method, size, 6 if rehearse else 160)
    found["long"] = _remove(device, "network", sizes[0], 24 if rehearse else 10_000)
    click.echo(json.dumps(found, indent=2))


def measure(
    device: str, precisions: tuple[Precision, ...], frames: int, windows: int, tiny: bool
) -> dict[str, Any]:
    """Run the released code once, then the product in each precision on the same windows."""
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
    """Random weights that keep the scale of activations, so that precision can be judged."""
    network = SttnNetwork(SttnConfig(8, (4, 6), 1) if tiny else SttnConfig()).eval()
    generator = torch.Generator().manual_seed(0)
    initialise(network, generator)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if value.dim() > 1:
                scale = _HIDDEN if name.startswith("transformer.") else 1.0
                value.mul_(scale * (2 / value[0].numel()) ** 0.5 / 0.02)
            else:
                value.normal_(0, 0.05, generator=generator)
    return network


def _remove(device: str, method: str, size: str, frames: int) -> dict[str, Any]:
    """Run `cleanplate benchmark` in its own process, which measures peak memory."""
    options = ["--device", device, "--method", method, "--size", size, "--frames", str(frames)]
    command = [sys.executable, "-m", "cleanplate", "benchmark", *options, "--no-ceilings", "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        return {"failed": done.stderr.strip()}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


_CPU = torch.device("cpu")


@click.command()
@click.option("--frames", default=80, show_default=True, help="Length of the drawn clip.")
@click.option("--repeats", default=2, show_default=True, help="Runs of each; the fastest counts.")
@click.option("--tiny", is_flag=True, help="Use a network 8 channels wide, to try the command.")
def onnx(frames: int, repeats: int, tiny: bool) -> None:
    """Time the middle window in ONNX Runtime and in the product, float32; as JSON."""
    size = Size(96, 48) if tiny else Size(432, 240)
    with TemporaryDirectory() as name:
        folder = Path(name)
        shown, holes = read_clip(*draw_clip(folder, size, frames))
        windows = list(schedule_windows(frames))
        window = windows[len(windows) // 2]
        network, count = draw_network(tiny), len(window.neighbours)
        chosen = list(window.frames)
        masks = torch.from_numpy(holes[chosen])[:, None].float()
        images = torch.from_numpy(shown[chosen]).permute(0, 3, 1, 2) / 127.5 - 1
        found = _compare_runtimes(network, images * (1 - masks), masks, count, folder, repeats)
    click.echo(json.dumps(found, indent=2))


def _compare_runtimes(
    network: SttnNetwork,
    images: torch.Tensor,
    masks: torch.Tensor,
    count: int,
    folder: Path,
    repeats: int,
) -> dict[str, Any]:
    """Fill the first `count` frames of a window with both, encoding all frames each time."""
    import onnxruntime

    exported = _Exported(network, folder)
    runner = SttnRunner(network, _CPU, torch.float32)
    box = find_box(masks[:count, 0].bool().numpy())
    assert box is not None
    made: dict[str, torch.Tensor] = {}

    def ours() -> None:
        with torch.inference_mode():
            opened = runner.open(images, masks)
            made["ours"] = opened.fill(list(range(len(images))), count, box)

    def theirs() -> None:
        made["theirs"] = exported.fill(images, masks, count)

    seconds = {
        name: _time_fastest(work, repeats) for name, work in (("ours", ours), ("onnx", theirs))
    }
    hole = masks[:count].bool().expand_as(made["ours"])
    apart = (made["ours"] - made["theirs"])[hole].abs().max()
    return {
        "onnxruntime": onnxruntime.__version__,
        "torch": torch.__version__,
        "frames": len(images),
        "ours_seconds": round(seconds["ours"], 3),
        "onnx_seconds": round(seconds["onnx"], 3),
        "onnx_takes_times_as_long": round(seconds["onnx"] / seconds["ours"], 2),
        "largest_difference_levels": round(float(apart) * 127.5, 4),
    }


class _Exported:
    """The three exported parts in sequence, with one thread per processor."""

    def __init__(self, network: SttnNetwork, folder: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = os.cpu_count() or 1
        self._parts = {
            path.stem: onnxruntime.InferenceSession(path, options)
            for path in export_onnx(network, folder / "onnx")
        }

    def fill(self, images: torch.Tensor, masks: torch.Tensor, count: int) -> torch.Tensor:
        features = self._run("encoder", images)
        mixed = self._run("transformer", features, masks)
        return self._run("decoder", mixed[:count])

    def _run(self, part: str, *inputs: torch.Tensor) -> torch.Tensor:
        session = self._parts[part]
        names = [node.name for node in session.get_inputs()]
        # A network that ignores masks is exported without that input.
        feed = {name: x[None].numpy() for name, x in zip(names, inputs, strict=False)}
        return torch.from_numpy(np.asarray(session.run(None, feed)[0]))[0]


def _time_fastest(work: Any, repeats: int) -> float:
    return min(clock(work, _CPU) for _ in range(repeats))
