"""The paper's network against a plain version of STTN's released code: speed and precision.

The network is also timed in each precision, and in ONNX Runtime.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from cleanplate.errors import InputError
from cleanplate.masks import open_mask
from cleanplate.network import SttnConfig, SttnNetwork, initialise
from cleanplate.network.runner import SttnRunner
from cleanplate.options import Precision
from cleanplate.removal.networks import choose_filler, schedule_windows
from cleanplate.removal.regions import find_box
from cleanplate.removal.windows import WindowFiller
from cleanplate.research.benchmarks.speed import clock, draw_clip, measure_ceilings
from cleanplate.research.evaluation.metric import to_decibels
from cleanplate.research.export import ExportedNetwork
from cleanplate.types import Size
from cleanplate.video import open_reader, probe

_STEP, _RADIUS, _REFERENCES = 5, 5, 10


def run_plain(
    network: SttnNetwork,
    frames: npt.NDArray[np.uint8],
    masks: npt.NDArray[np.bool_],
    windows: range | None = None,
) -> npt.NDArray[np.uint8]:
    """Fill the holes of a clip as the released code does (STTN, Section 3.1), in float32.

    Args:
        network: its weights are used; `config.masked` is ignored, as the released code ignores
            its mask inside the attention.
        frames: `(t, h, w, 3)` RGB; height and width must divide by 4 times every scale.
        masks: `(t, h, w)`, True = hole.
        windows: numbers of the windows to run, by default all; there is one around every fifth
            frame. Frames outside these windows are returned unchanged.

    Returns:
        `(t, h, w, 3)`. A frame in several windows is the mean of the earlier result and the new
        one, in order.
    """
    state = {name: value.detach().float() for name, value in network.state_dict().items()}
    shown = torch.from_numpy(np.where(masks[..., None], 127.5, frames)).float() / 127.5 - 1
    result: list[npt.NDArray[np.float32] | None] = [None] * len(frames)
    with torch.inference_mode():
        features = _encode(state, shown.permute(0, 3, 1, 2).contiguous())
        centres = range(0, len(frames), _STEP)
        for number in range(len(centres)) if windows is None else windows:
            near = [k for k in range(len(frames)) if abs(k - centres[number]) <= _RADIUS]
            far = [k for k in range(0, len(frames), _REFERENCES) if k not in near]
            mixed = _transform(state, features[near + far], network.config)
            made = torch.tanh(_decode(state, mixed[: len(near)])).permute(0, 2, 3, 1)
            levels = ((made + 1) / 2 * 255).numpy().astype(np.uint8)
            for k, picture in zip(near, levels, strict=True):
                new = np.where(masks[k][..., None], picture, frames[k]).astype(np.float32)
                old = result[k]
                result[k] = new if old is None else old * 0.5 + new * 0.5
    pairs = zip(result, frames, strict=True)
    return np.stack([(old if new is None else new).astype(np.uint8) for new, old in pairs])


def _conv(state: Mapping[str, Tensor], name: str, x: Tensor, **options: int) -> Tensor:
    return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **options)


def _act(state: Mapping[str, Tensor], name: str, x: Tensor, **options: int) -> Tensor:
    return F.leaky_relu_(_conv(state, name, x, **options), 0.2)


def _encode(state: Mapping[str, Tensor], x: Tensor) -> Tensor:
    for layer, stride in ((0, 2), (2, 1), (4, 2), (6, 1)):
        x = _act(state, f"encoder.{layer}", x, stride=stride, padding=1)
    return x


def _transform(state: Mapping[str, Tensor], x: Tensor, config: SttnConfig) -> Tensor:
    for block in range(config.blocks):
        name = f"transformer.{block}."
        x = x + _attention(state, name + "attention.", x, config.scales)
        y = _act(state, name + "feed_forward.conv.0", x, padding=2, dilation=2)
        x = x + _act(state, name + "feed_forward.conv.2", y, padding=1)
    return x


def _attention(
    state: Mapping[str, Tensor], name: str, x: Tensor, scales: tuple[int, ...]
) -> Tensor:
    embedded = (_conv(state, f"{name}{part}_embedding", x) for part in ("query", "key", "value"))
    parts = (part.chunk(len(scales), 1) for part in embedded)
    heads = []
    for scale, *head in zip(scales, *parts, strict=True):
        t, c, h, w = head[0].shape
        cut = (t, c, scale, h // scale, scale, w // scale)
        query, key, value = (
            part.reshape(cut).permute(0, 2, 4, 1, 3, 5).reshape(t * scale * scale, -1)
            for part in head
        )
        mixed = (query @ key.T / query.shape[1] ** 0.5).softmax(-1) @ value
        mixed = mixed.view(t, scale, scale, c, h // scale, w // scale)
        heads.append(mixed.permute(0, 3, 1, 4, 2, 5).reshape(t, c, h, w))
    return _act(state, name + "output_linear.0", torch.cat(heads, 1), padding=1)


def _decode(state: Mapping[str, Tensor], x: Tensor) -> Tensor:
    x = _act(state, "decoder.0.conv", _double(x), padding=1)
    x = _act(state, "decoder.2", x, padding=1)
    x = _act(state, "decoder.4.conv", _double(x), padding=1)
    return _conv(state, "decoder.6", x, padding=1)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


Frames = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Plain:
    """Result of the plain version with the released windows, in float32 on the CPU.

    Attributes:
        windows: numbers of the windows that were run.
        count: number of windows of the clip.
        seconds: time of all windows; scaled by the number of frames for those not run.
        measured_seconds: time of the windows that were run and of encoding all frames.
        processor_seconds: as `seconds`, over all cores; other programs disturb it less.
        made: the result `(t, h, w, 3)`.
        masks: `(t, h, w)`, True = hole filled by all windows that contain the frame.
    """

    windows: range
    count: int
    seconds: float
    measured_seconds: float
    processor_seconds: float
    made: Frames
    masks: Masks

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "windows": self.count,
            "measured": len(self.windows),
            "plain_seconds": round(self.seconds, 3),
            "plain_measured_seconds": round(self.measured_seconds, 3),
            "plain_processor_seconds": round(self.processor_seconds, 3),
        }


@dataclass(frozen=True)
class Ours:
    """Result of the product on the same windows.

    Attributes:
        network_seconds: time of all windows, scaled like the plain version's.
        network_ratio: time of the plain version divided by it.
        processor_ratio: the same in processor time; None on a GPU.
        decibels: PSNR in the hole against the plain version.
        within_one_level: fraction of values in the hole that differ by at most one level.
    """

    network_seconds: float
    network_ratio: float
    processor_ratio: float | None
    decibels: float
    within_one_level: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def choose_windows(length: int, count: int | None) -> range:
    """Choose the middle `count` windows of a clip, or all for None."""
    windows = sum(1 for _ in schedule_windows(length))
    count = windows if count is None else min(count, windows)
    first = (windows - count) // 2
    return range(first, first + count)


def time_plain(network: SttnNetwork, frames: Frames, masks: Masks, windows: range) -> Plain:
    """Run the plain version; raise InputError if it does not support this size."""
    unit = 4 * math.lcm(*network.config.scales)
    height, width = frames.shape[1:3]
    if height % unit or width % unit:
        raise InputError(
            f"the plain version works at sizes that divide by {unit}, not {width}x{height};"
            " name another `size`"
        )
    cpu = torch.device("cpu")
    began = time.process_time()
    encoding = clock(lambda: run_plain(network, frames, masks, range(0)), cpu)
    encoded = time.process_time()
    made: list[Frames] = []
    seconds = clock(lambda: made.append(run_plain(network, frames, masks, windows)), cpu)
    share, first = _share(len(frames), windows), encoded - began
    total = encoding + max(0.0, seconds - encoding) / share
    processor = first + max(0.0, time.process_time() - encoded - first) / share
    scheduled = list(schedule_windows(len(frames)))
    near = {at for number in windows for at in scheduled[number].neighbours}
    marked = masks & np.isin(np.arange(len(masks)), list(near))[:, None, None]
    return Plain(windows, len(scheduled), total, seconds, processor, made[0], marked)


def time_ours(plain: Plain, filler: WindowFiller, frames: Frames, masks: Masks) -> Ours:
    """Run the same windows with `filler`, which has the same network and the released blend."""
    shown, marked = list(frames), list(masks)
    made: list[npt.NDArray[np.float32]] = []
    filler.fill(shown[:2], marked[:2])  # packs the weights
    began = time.process_time()
    seconds = clock(
        lambda: made.append(filler.fill(shown, marked, windows=plain.windows)), filler.device
    )
    share = _share(len(frames), plain.windows)
    total, processor = seconds / share, (time.process_time() - began) / share
    apart = made[0][plain.masks].astype(np.float64) - plain.made[plain.masks]
    error = max(float(np.square(apart).mean()), 1e-10)
    return Ours(
        round(total, 3),
        round(plain.seconds / total, 2),
        round(plain.processor_seconds / processor, 2) if filler.device.type == "cpu" else None,
        round(to_decibels(error, math.inf), 2),
        round(float((np.abs(apart) <= 1).mean()), 5),
    )


def _share(length: int, windows: range) -> float:
    """Compute the fraction of all work in these windows, by number of frames."""
    sizes = [len(window.frames) for window in schedule_windows(length)]
    return sum(sizes[number] for number in windows) / sum(sizes)


def read_clip(source: Path, mask: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Read all frames `(t, h, w, 3)` and masks `(t, h, w)`."""
    info, marked = probe(source), open_mask(mask)
    marked.prepare(info)
    with open_reader(source, info) as reader:
        pairs = [(picture.rgb, marked.mask(picture.index, picture.time)) for picture in reader]
    marked.close()
    frames, masks = zip(*pairs, strict=True)
    return np.stack(frames), np.stack(masks)


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
    click.echo(json.dumps(measure_precisions(device, precisions, frames, windows, tiny), indent=2))


def measure_precisions(
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

    exported = ExportedNetwork(network, folder)
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


def _time_fastest(work: Any, repeats: int) -> float:
    return min(clock(work, _CPU) for _ in range(repeats))
