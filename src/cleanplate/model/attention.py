"""Attention between patches of several sizes, across all frames at once (STTN, Section 3.2)."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

# Equation 4 fills the scores of hole patches with this value.
_EXCLUDED = -1e9


def exclude_holes(holes: Tensor, real: Tensor, scale: int) -> Tensor:
    """Bias that keeps patches which are mostly hole from being keys (Equation 4).

    Args:
        holes: `(b, t, 1, h, w)` float, 1 = hole, 0 in known and in padded places.
        real: `(h, w)` float, 1 = part of the picture, 0 = padding.
        scale: the map is cut into `scale` rows and columns of patches.

    Returns:
        `(b, 1, t * scale * scale)` float: 0, or a large negative number for a patch of which more
        than half of the real area is hole, or that is padding only.
    """
    cut = {"nh": scale, "nw": scale}
    hole_area = rearrange(holes, "b t 1 (nh ph) (nw pw) -> b t (nh nw) (ph pw)", **cut).sum(-1)
    real_area = rearrange(real, "(nh ph) (nw pw) -> (nh nw) (ph pw)", **cut).sum(-1)
    excluded = (hole_area > 0.5 * real_area) | (real_area == 0)
    # Half the range of float16 leaves room to add a score; all keys excluded stays finite.
    value = max(_EXCLUDED, torch.finfo(holes.dtype).min / 2)
    return rearrange(excluded, "b t n -> b 1 (t n)").to(holes.dtype) * value


def weigh(query: Tensor, key: Tensor, bias: Tensor | None) -> Tensor:
    """How much each query `(b, m, d)` looks at each key `(b, n, d)`; `(b, m, n)`, rows sum to 1.

    `bias` `(b, 1, n)` is added to the scores of the keys, None adds nothing (Equations 3 and 4).
    """
    # Plain products: patches are far wider (up to 414720) than fused kernels are made for.
    query = query / query.shape[-1] ** 0.5  # a power can be exported at free size, math.sqrt not
    keys = key.transpose(1, 2)
    scores = query @ keys if bias is None else torch.baddbmm(bias, query, keys)
    return scores.softmax(-1)


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
    """Softmax attention (Equations 3 to 5) between tokens `(b, n, d)`; `(b, n, d)`, see `weigh`."""
    return weigh(query, key, bias) @ value


class MultiHeadAttention(nn.Module):
    """One head a scale: each matches patches of its own size between all frames of a clip."""

    def __init__(self, channels: int, scales: tuple[int, ...]) -> None:
        super().__init__()
        self.scales = scales
        self.query_embedding = nn.Conv2d(channels, channels, 1)
        self.value_embedding = nn.Conv2d(channels, channels, 1)
        self.key_embedding = nn.Conv2d(channels, channels, 1)
        self.output_linear = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(0.2, inplace=True)
        )

    def forward(self, features: Tensor, batch: int, biases: list[Tensor] | None) -> Tensor:
        """Attend over `features` `(b * t, c, h, w)`; h and w are multiples of every scale.

        `biases` has one tensor of `exclude_holes` for each scale, or is None.
        """
        embeddings = (self.query_embedding, self.key_embedding, self.value_embedding)
        parts = [embed(features).chunk(len(self.scales), 1) for embed in embeddings]
        height, width = features.shape[-2:]
        attended = []
        for index, scale in enumerate(self.scales):
            cut = {"nh": scale, "nw": scale, "ph": height // scale, "pw": width // scale}
            query, key, value = (_to_tokens(part[index], scale, batch) for part in parts)
            tokens = attend(query, key, value, biases[index] if biases else None)
            attended.append(
                rearrange(tokens, "b (t nh nw) (c ph pw) -> (b t) c (nh ph) (nw pw)", **cut)
            )
        result: Tensor = self.output_linear(torch.cat(attended, 1))
        return result

    def look(
        self, features: Tensor, batch: int, biases: list[Tensor] | None, *, frame: int
    ) -> list[Tensor]:
        """What the patches of one frame look at when `forward` gets one clip `(t, c, h, w)`.

        Returns, for each scale, `(scale * scale, t, scale, scale)`: from each patch of `frame` to
        all patches of all frames; each adds up to 1.
        """
        embedded = [embed(features) for embed in (self.query_embedding, self.key_embedding)]
        queries, keys = (part.chunk(len(self.scales), 1) for part in embedded)
        found = []
        for index, scale in enumerate(self.scales):
            query = _to_tokens(queries[index][frame : frame + 1], scale, batch)
            key = _to_tokens(keys[index], scale, batch)
            weights = weigh(query, key, biases[index] if biases else None)
            found.append(rearrange(weights, "1 m (t nh nw) -> m t nh nw", nh=scale, nw=scale))
        return found


def _to_tokens(features: Tensor, scale: int, batch: int) -> Tensor:
    """Cut a map `(b * t, c, h, w)` into `scale` rows and columns of patches, `(b, n, d)`."""
    return rearrange(
        features,
        "(b t) c (nh ph) (nw pw) -> b (t nh nw) (c ph pw)",
        b=batch,
        nh=scale,
        nw=scale,
    )
