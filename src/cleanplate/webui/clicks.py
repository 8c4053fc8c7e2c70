"""What a click on a frame means, found on the frame's preview, which is quick to read."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from cleanplate.errors import InputError
from cleanplate.masks import Mask
from cleanplate.masks.click import segment_click
from cleanplate.types import Size
from cleanplate.webui.marks import ClickMark
from cleanplate.webui.previews import name_frame


def read_click(previews: Path, size: Size, click: ClickMark) -> Mask:
    """The thing under a click as bool `(h, w)` of the preview; `size` is the video's own.

    Raises InputError for a frame that is not there, MaskError for a point outside.
    """
    picture = cv2.imread(str(previews / name_frame(click.frame, "jpg")), cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError(f"there is no frame {click.frame + 1} to click on")
    height, width = picture.shape[:2]
    x, y = click.point[0] * width / size.width, click.point[1] * height / size.height
    return segment_click(np.ascontiguousarray(picture[..., ::-1], np.uint8), x, y)


def enlarge_mask(mask: Mask, size: Size) -> Mask:
    """`mask` at `size`."""
    large = cv2.resize(
        mask.astype(np.float32), (size.width, size.height), interpolation=cv2.INTER_LINEAR
    )
    return np.asarray(large > 0.5, np.bool_)
