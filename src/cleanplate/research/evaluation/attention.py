"""Attention of a network while it fills one frame (Zeng et al. 2020, Figures 3 and 6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from cleanplate.errors import InputError, MaskError
from cleanplate.masks import Mask, MaskSource
from cleanplate.masks import dilate as grow
from cleanplate.motion import shrink, shrink_mask
from cleanplate.network import SttnNetwork
from cleanplate.network.light import LightNetwork
from cleanplate.network.matching import Features, Match, Matches
from cleanplate.removal import networks as models
from cleanplate.removal.networks import RADIUS, REFERENCE_STEP
from cleanplate.removal.shots import ShotDetector
from cleanplate.removal.windows import WindowFiller
from cleanplate.types import Box
from cleanplate.video import VideoInfo, open_reader, read_timeline

Frames = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]

_CELL, _FINE = 16, 8
"""Side in pixels of a cell of the light network, and of one of its copies."""


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """Attention of the hole in one frame to each patch of each frame.

    Attributes:
        layer: name of the layer.
        head: name of the head.
        weights: float32 `(t, rows, columns)`, not negative. They sum to 1, or for `copies` to the
            copied fraction of the hole.
        extent: height and width of the padded picture in pixels, covered by rows and columns.
    """

    layer: str
    head: str
    weights: npt.NDArray[np.float32]
    extent: tuple[int, int]

    @property
    def shares(self) -> npt.NDArray[np.float32]:
        """Sum of attention per frame, `(t,)`."""
        return np.asarray(self.weights.sum((1, 2)))

    @property
    def name(self) -> str:
        """Layer and head, as a valid file name."""
        return f"{self.layer}-{self.head}".replace(" ", "-")

    def enlarge(self, frame: int, size: tuple[int, int]) -> npt.NDArray[np.float32]:
        """Upsample one frame's map to `(height, width)`: each pixel has the value of its patch."""
        rows, columns = self.weights.shape[1:]
        y = np.arange(size[0]) * rows // self.extent[0]
        x = np.arange(size[1]) * columns // self.extent[1]
        return np.asarray(self.weights[frame][y[:, None], x])


@dataclass(frozen=True, eq=False)
class Observation:
    """Attention maps recorded by `observe`.

    Attributes:
        filled: uint8 `(h, w, 3)`, the observed frame, filled by the network.
        maps: of all layers and heads, in the order of the network.
    """

    filled: Frames
    maps: tuple[AttentionMap, ...]


def observe(network: nn.Module, frames: Frames, masks: Masks, frame: int) -> Observation:
    """Fill `frames` at once and record the attention of the hole in `frame`.

    Each patch counts by the fraction of its pixels inside the hole.

    Args:
        network: a loaded `sttn` or `light` network.
        frames: uint8 RGB `(t, h, w, 3)`; pixels inside holes are ignored.
        masks: bool `(t, h, w)`, True = hole.
        frame: index into `frames`.

    Raises:
        MaskError: the frame has no hole.
        InputError: the attention of this network cannot be observed.
    """
    if not masks[frame].any():
        raise MaskError(f"frame {frame} has no hole; choose one that has")
    device = next(network.parameters()).device
    holes = torch.from_numpy(masks).to(device)
    pictures = torch.from_numpy(frames).to(device)
    images = rearrange(pictures, "t h w c -> 1 t c h w").float() / 127.5 - 1
    hidden = rearrange(holes, "t h w -> 1 t 1 h w").float()
    with torch.inference_mode(), _watching(network, hidden[0, frame, 0], frame) as maps:
        made = network(images * (1 - hidden), hidden)[0, frame]
    levels = ((made + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    pixels = rearrange(levels, "c h w -> h w c").cpu().numpy()
    return Observation(np.where(masks[frame][..., None], pixels, frames[frame]), tuple(maps))


@contextmanager
def _watching(network: nn.Module, hole: Tensor, frame: int) -> Iterator[list[AttentionMap]]:
    """Gather maps while the network runs."""
    maps: list[AttentionMap] = []
    with ExitStack() as stack:

        def watch(layer: nn.Module, name: str, look: Any) -> None:
            def hook(_: nn.Module, arguments: tuple[Any, ...], __: object) -> None:
                maps.extend(look(layer, name, arguments, hole, frame))

            stack.callback(layer.register_forward_hook(hook).remove)

        if isinstance(network, SttnNetwork):
            for number, block in enumerate(network.transformer, 1):
                watch(block.get_submodule("attention"), f"block {number}", _look_into_block)
        elif isinstance(network, LightNetwork):
            watch(network.match, "search", _look_into_search)
            watch(network.mix, "copies", _look_into_copies)
            for number, layer in enumerate(network.synthesis.attend, 1):
                watch(layer, f"synthesis {number}", _look_into_synthesis)
        else:
            raise InputError(f"a {type(network).__name__} has no attention that is known here")
        yield maps


def _look_into_block(
    layer: Any, name: str, arguments: tuple[Any, ...], hole: Tensor, frame: int
) -> Iterable[AttentionMap]:
    """Record one map per head of STTN, named by its patch size."""
    height, width = arguments[0].shape[-2:]
    for scale, weights in zip(layer.scales, layer.look(*arguments, frame=frame), strict=True):
        patch = f"{width // scale}x{height // scale}"
        yield _average(name, patch, weights, hole, (4 * height, 4 * width))


def _look_into_synthesis(
    layer: Any, name: str, arguments: tuple[Any, ...], hole: Tensor, frame: int
) -> Iterable[AttentionMap]:
    """Record one map per head of the light network's synthesis."""
    height, width = arguments[0].shape[-2:]
    for number, weights in enumerate(layer.look(*arguments, frame=frame), 1):
        yield _average(name, str(number), weights, hole, (_CELL * height, _CELL * width))


def _look_into_search(
    layer: Match, name: str, arguments: tuple[Features, int], hole: Tensor, frame: int
) -> Iterable[AttentionMap]:
    """Record one map per patch size of the light network, and one of their sum.

    The network takes the best match in each frame by that sum. Training and this map use a softmax
    of the scores over the known cells of all other frames.
    """
    features = arguments[0]
    level, visible = features.levels[1][0], features.visible[1][0]
    count, _, h, w = level.shape
    if count == 1:
        return
    others = torch.tensor([k for k in range(count) if k != frame], device=level.device)
    vectors = rearrange(level * visible, "t c h w -> t (h w) c")
    known = rearrange(visible, "t c h w -> t (h w) c")
    own = torch.full_like(others, frame)
    distance, *scores = layer.compare(vectors, known, own, others, (h, w))
    sizes = [f"{3**power}x{3**power}" for power in range(1, len(scores) + 1)]
    trust = (rearrange(visible[others], "n 1 h w -> n 1 1 h w") + 1e-4).log()
    for head, score in [*zip(sizes, scores, strict=True), ("sum", distance + sum(scores))]:
        logits = rearrange(score + trust, "n y x h w -> (y x) (n h w)")
        shares = rearrange(logits.softmax(-1), "q (n h w) -> q n h w", h=h, w=w)
        weights = shares.new_zeros(h * w, count, h, w).index_copy_(1, others, shares)
        yield _average(name, head, weights, hole, (_CELL * h, _CELL * w))


def _look_into_copies(
    layer: Any,
    name: str,
    arguments: tuple[Features, Features, Matches | None],
    hole: Tensor,
    frame: int,
) -> Iterable[AttentionMap]:
    """Record the source positions of the hole's pixels, with their blend weights."""
    features, sources, matches = arguments
    if matches is None:
        return
    shown = 1 - sources.masks[0]
    pixels = torch.cat([sources.frames[0] * shown, shown], 1)
    one = slice(frame, frame + 1)
    parts = layer.fetch(features.frames[0], features.masks[0], pixels, matches, one)[0, :, 3]
    each, height, width = parts.shape
    parts = parts / (1 + parts.sum(0)) * _pad(hole, (height, width)) / hole.sum()
    parts = F.avg_pool2d(parts, _FINE) * _FINE**2
    pairs = slice(frame * each, (frame + 1) * each)
    ys, xs = (torch.arange(n, device=parts.device) * _FINE + _FINE / 2 for n in parts.shape[1:])
    flow = matches.flows[2][pairs]
    rows, columns = height // _CELL, width // _CELL
    row = ((ys[:, None] + flow[:, 1]) / _CELL).long().clamp(0, rows - 1)
    column = ((xs + flow[:, 0]) / _CELL).long().clamp(0, columns - 1)
    place = (matches.sources[pairs][:, None, None] * rows + row) * columns + column
    weights = parts.new_zeros(len(shown) * rows * columns)
    weights.index_add_(0, place.flatten(), parts.flatten())
    grid = rearrange(weights, "(t h w) -> t h w", h=rows, w=columns)
    yield AttentionMap(name, "all", grid.cpu().numpy(), (height, width))


def _average(
    layer: str, head: str, weights: Tensor, hole: Tensor, extent: tuple[int, int]
) -> AttentionMap:
    """Average `weights` `(rows * columns, t, rows, columns)` over the patches of the hole."""
    grid = (weights.shape[-2], weights.shape[-1])
    touched = F.adaptive_avg_pool2d(_pad(hole, extent)[None], grid).flatten()
    mean = torch.einsum("q, q t h w -> t h w", touched / touched.sum(), weights)
    return AttentionMap(layer, head, mean.float().cpu().numpy(), extent)


def _pad(hole: Tensor, extent: tuple[int, int]) -> Tensor:
    """Pad `hole` `(h, w)` at the right and bottom to a larger picture."""
    return F.pad(hole, (0, extent[1] - hole.shape[1], 0, extent[0] - hole.shape[0]))


Progress = Callable[[int, int | None], None]

_PAPER = tuple(REFERENCE_STEP * k for k in range(1, 6))
"""Distances of reference frames: every tenth frame that a run holds at the paper's size."""


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Network input for one frame, in coded orientation.

    Attributes:
        numbers: of the frames in the video, increasing.
        frames: uint8 RGB `(t, h, w, 3)`: the region at the size of the network's input.
        masks: bool `(t, h, w)`, True = hole.
        at: index of the observed frame among them.
        region: the part of the picture, in pixels of the video.
    """

    numbers: tuple[int, ...]
    frames: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_]
    at: int
    region: Box


class _Kept(NamedTuple):
    number: int
    rgb: npt.NDArray[np.uint8]
    mask: Mask
    shot: int


def choose_spread(network: nn.Module) -> tuple[int, ...]:
    """Choose the distances of the reference frames with which a run uses `network`."""
    return models.choose_spread(network) or _PAPER


def find_frame(info: VideoInfo, time: Fraction) -> int:
    """Find the frame displayed at `time` seconds; raise InputError beyond the end."""
    if info.end is not None and time >= info.end:
        raise InputError(f"'{info.path}' ends before {float(time):g} s; name an earlier time")
    return read_timeline(info).find_shown(time)


def read_surroundings(
    info: VideoInfo,
    masks: MaskSource,
    frame: int,
    filler: WindowFiller,
    *,
    spread: tuple[int, ...] = _PAPER,
    dilate: int = 0,
    progress: Progress | None = None,
) -> Surroundings:
    """Read the input that a run would pass to a network for frame number `frame`.

    This is a window of the paper (all frames at most five away, and some reference frames) of the
    same shot, cropped to the surroundings of the holes and scaled as `filler` requires.

    Args:
        info: properties of the video.
        masks: prepared source of the holes.
        frame: number of a frame with a hole.
        filler: chooses the region.
        spread: distances of the reference frames, in both directions; see `choose_spread`.
        dilate: pixels by which the holes are dilated.
        progress: called with the number of frames read and in total.

    Raises:
        InputError: the frame does not exist.
        MaskError: the frame has no hole.
    """
    kept = _read(info, masks, frame, spread, dilate, progress)
    own = next((each for each in kept if each.number == frame), None)
    if own is None:
        raise InputError(
            f"'{info.path}' has no frame {frame}; the last one is {info.frame_count - 1}"
        )
    if not own.mask.any():
        raise MaskError(f"the mask marks nothing in frame {frame}; choose a frame that has a hole")
    kept = [each for each in kept if each.shot == own.shot]
    region = filler.region([each.mask for each in kept], info.size)
    assert region is not None
    part, work = region.box.slices, region.work.shape
    return Surroundings(
        tuple(each.number for each in kept),
        np.stack([shrink(each.rgb[part], work) for each in kept]),
        np.stack([shrink_mask(each.mask[part], work) for each in kept]),
        kept.index(own),
        region.box,
    )


def _read(
    info: VideoInfo,
    masks: MaskSource,
    frame: int,
    spread: tuple[int, ...],
    dilate: int,
    progress: Progress | None,
) -> Sequence[_Kept]:
    """Read the frames of the window, with the number of each frame's shot."""
    wanted = set(range(frame - RADIUS, frame + RADIUS + 1))
    wanted |= {frame + sign * way for way in spread for sign in (-1, 1)}
    last = min(max(wanted), info.frame_count - 1)
    detector, shot, kept = ShotDetector(), 0, []
    with open_reader(info.path, info) as reader:
        for picture in reader:
            mask = masks.mask(picture.index, picture.time)
            shot += detector.begins_shot(picture.rgb)
            if picture.index in wanted:
                kept.append(_Kept(picture.index, picture.rgb, grow(mask, dilate), shot))
            if progress is not None:
                progress(picture.index + 1, last + 1)
            if picture.index >= last:
                break
    return kept
