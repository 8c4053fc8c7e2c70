"""The paper's network exported to ONNX Runtime against the product, on one window, in one run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
import onnxruntime
import torch

from benchmarks.network import draw_network
from cleanplate.network import SttnNetwork
from cleanplate.network.runner import SttnRunner
from cleanplate.removal.filling import find_box
from cleanplate.removal.networks import schedule_windows
from cleanplate.research.benchmarks.comparison import clock
from cleanplate.research.benchmarks.run import draw_clip, read_clip
from cleanplate.research.export import export_onnx
from cleanplate.types import Size

CPU = torch.device("cpu")


@click.command()
@click.option("--frames", default=80, show_default=True, help="Length of the drawn clip.")
@click.option("--repeats", default=2, show_default=True, help="The fastest one counts.")
@click.option("--tiny", is_flag=True, help="A network 8 channels wide, to rehearse.")
def onnx(frames: int, repeats: int, tiny: bool) -> None:
    """Seconds of the middle window in ONNX Runtime and in the product, float32; as JSON."""
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
        found = _compare(network, images * (1 - masks), masks, count, folder, repeats)
    click.echo(json.dumps(found, indent=2))


def _compare(
    network: SttnNetwork,
    images: torch.Tensor,
    masks: torch.Tensor,
    count: int,
    folder: Path,
    repeats: int,
) -> dict[str, Any]:
    """Both fill the first `count` frames of a window from nothing, encoding all of it."""
    exported = _Exported(network, folder)
    runner = SttnRunner(network, CPU, torch.float32)
    box = find_box(masks[:count, 0].bool().numpy())
    assert box is not None
    made: dict[str, torch.Tensor] = {}

    def ours() -> None:
        with torch.inference_mode():
            opened = runner.open(images, masks)
            made["ours"] = opened.fill(list(range(len(images))), count, box)

    def theirs() -> None:
        made["theirs"] = exported.fill(images, masks, count)

    seconds = {name: _best(work, repeats) for name, work in (("ours", ours), ("onnx", theirs))}
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
    """The three exported parts, one after the other, with as many threads as processors."""

    def __init__(self, network: SttnNetwork, folder: Path) -> None:
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
        # A network that does not look at masks is exported without that input.
        feed = {name: x[None].numpy() for name, x in zip(names, inputs, strict=False)}
        return torch.from_numpy(np.asarray(session.run(None, feed)[0]))[0]


def _best(work: Any, repeats: int) -> float:
    return min(clock(work, CPU) for _ in range(repeats))
