"""Burn subtitles into frames with Pillow, and know which pixels that changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

CJK_FONTS = (
    Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc"),
    Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"),
    Path("/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf"),
)


@dataclass(frozen=True)
class Style:
    """How a subtitle looks; sizes are shares of the picture's height."""

    text: str = "We should have left by now"
    height: float = 0.08
    fill: tuple[int, int, int] = (255, 255, 255)
    outline: float = 0.008
    shadow: float = 0.0
    bar: float = 0.0
    """Opacity of the bar behind the text."""
    bottom: float = 0.05
    font: Path | None = field(default=None)


def draw_subtitle(size: tuple[int, int], style: Style) -> tuple[np.ndarray, np.ndarray]:
    """Colour and opacity of the subtitle, uint8 RGB `(h, w, 3)` and float `(h, w, 1)` in [0, 1]."""
    width, height = size
    points = round(style.height * height)
    font = (
        ImageFont.truetype(str(style.font), points)
        if style.font
        else ImageFont.load_default(points)
    )
    stroke = round(style.outline * height) if style.outline else 0
    layer = Image.new("RGBA", size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    options = {"font": font, "align": "center", "stroke_width": stroke}
    left, top, right, bottom = pen.multiline_textbbox((0, 0), style.text, **options)
    x = (width - (right - left)) / 2 - left
    y = height * (1 - style.bottom) - bottom
    if style.bar:
        pad = points / 3
        rectangle = (x + left - pad, y + top - pad, x + right + pad, y + bottom + pad)
        pen.rectangle(rectangle, fill=(0, 0, 0, round(255 * style.bar)))
    if style.shadow:
        away = style.shadow * height
        shade = Image.new("RGBA", size, (0, 0, 0, 0))
        place = (x + away, y + away)
        ImageDraw.Draw(shade).multiline_text(place, style.text, fill=(0, 0, 0, 200), **options)
        layer = Image.alpha_composite(layer, shade.filter(ImageFilter.GaussianBlur(away / 2)))
    letters = Image.new("RGBA", size, (0, 0, 0, 0))
    ImageDraw.Draw(letters).multiline_text(
        (x, y), style.text, fill=style.fill, stroke_fill=(0, 0, 0), **options
    )
    pixels = np.asarray(Image.alpha_composite(layer, letters))
    return pixels[..., :3], pixels[..., 3:] / 255


def burn(
    frames: np.ndarray, style: Style, start: int = 0, end: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Frames `(t, h, w, 3)` with the subtitle from `start` to before `end`, and what it changed.

    The second, bool `(t, h, w)`, marks every pixel that differs from the clean frame by more
    than two levels.
    """
    colour, alpha = draw_subtitle((frames.shape[2], frames.shape[1]), style)
    burned = frames.copy()
    span = slice(start, end)
    mixed = frames[span] * (1 - alpha) + colour * alpha
    burned[span] = np.rint(mixed).astype(np.uint8)
    changed = np.abs(burned.astype(np.int16) - frames).max(axis=3) > 2
    return burned, changed
