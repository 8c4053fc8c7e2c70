"""A second, plain rendition of STTN, to check the network against: loops, view and permute."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

State = Mapping[str, Tensor]


def generate(
    state: State,
    frames: Tensor,
    masks: Tensor,
    *,
    blocks: int,
    scales: tuple[int, ...],
    masked: bool,
) -> Tensor:
    """`frames` (t, 3, h, w) and `masks` (t, 1, h, w) of one clip, h and w multiples of 4 * lcm."""
    x = frames
    for layer, stride in ((0, 2), (2, 1), (4, 2), (6, 1)):
        x = conv(state, f"encoder.{layer}", x, stride=stride, padding=1)
    holes = masks[:, :, ::4, ::4]
    for block in range(blocks):
        x = x + attention(state, f"transformer.{block}.attention.", x, holes, scales, masked)
        name = f"transformer.{block}.feed_forward.conv."
        y = conv(state, name + "0", x, padding=2, dilation=2)
        x = x + conv(state, name + "2", y, padding=1)
    x = conv(state, "decoder.0.conv", double(x), padding=1)
    x = conv(state, "decoder.2", x, padding=1)
    x = conv(state, "decoder.4.conv", double(x), padding=1)
    last = F.conv2d(x, state["decoder.6.weight"], state["decoder.6.bias"], padding=1)
    return torch.tanh(last)


def conv(state: State, name: str, x: Tensor, **options: int) -> Tensor:
    x = F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **options)
    return torch.where(x > 0, x, 0.2 * x)


def double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


def attention(
    state: State, name: str, x: Tensor, holes: Tensor, scales: tuple[int, ...], masked: bool
) -> Tensor:
    query, key, value = (
        F.conv2d(x, state[f"{name}{part}_embedding.weight"], state[f"{name}{part}_embedding.bias"])
        for part in ("query", "key", "value")
    )
    share = x.shape[1] // len(scales)
    heads = []
    for head, scale in enumerate(scales):
        own = slice(head * share, (head + 1) * share)
        q, k, v = (cut(part[:, own], scale) for part in (query, key, value))
        scores = torch.stack([torch.stack([(a * b).sum() for b in k]) for a in q])
        scores = scores / q.shape[1] ** 0.5
        if masked:
            scores[:, cut(holes, scale).mean(1) > 0.5] = -1e9
        weights = torch.exp(scores - scores.max(1, keepdim=True).values)
        weights = weights / weights.sum(1, keepdim=True)
        heads.append(join(weights @ v, scale, query[:, own].shape))
    return conv(state, f"{name}output_linear.0", torch.cat(heads, 1), padding=1)


def cut(x: Tensor, scale: int) -> Tensor:
    """(t, c, h, w) to one row for each patch."""
    t, c, h, w = x.shape
    x = x.view(t, c, scale, h // scale, scale, w // scale).permute(0, 2, 4, 1, 3, 5)
    return x.reshape(t * scale * scale, -1)


def join(rows: Tensor, scale: int, shape: tuple[int, ...]) -> Tensor:
    """The inverse of `cut`."""
    t, c, h, w = shape
    x = rows.view(t, scale, scale, c, h // scale, w // scale).permute(0, 3, 1, 4, 2, 5)
    return x.reshape(t, c, h, w)
