"""A second, plain rendition of the released inference loop, frame by frame and in NumPy."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


def run_released_loop(network: nn.Module, frames: np.ndarray, holes: np.ndarray) -> np.ndarray:
    """Frames uint8 (t, h, w, 3) with their holes (t, h, w) filled, as uint8.

    Windows around every fifth frame; each result is cut to whole levels and put into the source
    frame; a frame that was made before becomes the mean of what is there and what is new.
    """
    count = len(frames)
    result: list[np.ndarray | None] = [None] * count
    for centre in range(0, count, 5):
        near = [k for k in range(count) if abs(k - centre) <= 5]
        far = [k for k in range(0, count, 10) if k not in near]
        images = frames[near + far].astype(np.float32) / 255 * 2 - 1
        masks = holes[near + far].astype(np.float32)
        shown = torch.from_numpy((images * (1 - masks[..., None])).transpose(0, 3, 1, 2))[None]
        with torch.no_grad():
            made = network(shown, torch.from_numpy(masks)[None, :, None])[0].numpy()
        for place, k in enumerate(near):
            picture = ((made[place].transpose(1, 2, 0) + 1) / 2 * 255).astype(np.uint8)
            whole = np.where(holes[k][..., None], picture, frames[k])
            before = result[k]
            if before is None:
                result[k] = whole
            else:
                result[k] = before.astype(np.float32) * 0.5 + whole.astype(np.float32) * 0.5
    return np.stack([picture.astype(np.uint8) for picture in result if picture is not None])
