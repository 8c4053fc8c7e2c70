"""The released inference done plainly: what the speed of the product is measured against.

Written from its description, with the network's own weights and nothing of the network's code:
separate convolutions, one product a scale, contiguous `(n, c, h, w)` everywhere, all frames of a
window through all of the transformer.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from cleanplate.model import SttnConfig, SttnNetwork

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
        windows: numbers of the windows that are run, by default all; a window is around every
            fifth frame. Frames that none of them makes come back as they are.

    Returns:
        `(t, h, w, 3)`; a frame that several windows make is half what was there and half what
        is new, in order.
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
