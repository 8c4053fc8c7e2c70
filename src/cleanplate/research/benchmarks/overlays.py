"""Draw captions and logos on real clips, so that the pixels of each frame are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Frames = npt.NDArray[np.uint8]
Layer = npt.NDArray[np.float32]
"""Colour and opacity `(h, w, 4)` of an overlay, colour 0 to 255, opacity 0 to 1."""
Masks = npt.NDArray[np.bool_]
Random = np.random.Generator

_FONTS = ("DejaVuSans-Bold.ttf", "DejaVuSans.ttf", "DejaVuSerif-Bold.ttf")
_WORDS = (
    *("I", "so", "a", "we", "go", "never", "look", "at", "this"),
    *("old", "house", "again", "it", "was", "not", "me", "you", "see"),
)
_LINES = ("We should have left by now", "Where is he?", "I never saw it", "Look at that, a fox!")
_SEEN = 0.5
"""Opacity from which a pixel belongs to the letters."""


@dataclass(frozen=True)
class Overlaid:
    """Frames uint8 RGB `(t, h, w, 3)` with an overlay, and its pixels, bool `(t, h, w)`."""

    frames: Frames
    covers: Masks


def overlay(clip: Frames, layers: Iterator[Layer | None]) -> Overlaid:
    """Blend one layer into each frame; None leaves it as it is."""
    frames, covers = clip.copy(), np.zeros(clip.shape[:3], np.bool_)
    for index, layer in zip(range(len(clip)), layers, strict=False):
        if layer is not None:
            share = layer[..., 3:]
            frames[index] = np.rint(clip[index] * (1 - share) + layer[..., :3] * share)
            covers[index] = share[..., 0] >= _SEEN
    return Overlaid(frames, covers)


@dataclass(frozen=True)
class Lettering:
    """How captions of one clip look; lengths are fractions of the picture's height."""

    shape: tuple[int, int]
    font: str
    height: float
    fill: tuple[int, int, int]
    outline: float
    centre: tuple[float, float]

    @classmethod
    def choose(cls, shape: tuple[int, int], random: Random, *, is_tall: bool) -> Lettering:
        """Choose the looks at random; in a tall picture letters are larger and further up."""
        fill = ((255, 255, 255), (255, 225, 40), (120, 255, 120))[random.integers(3)]
        height = random.uniform(0.055, 0.08) if is_tall else random.uniform(0.075, 0.1)
        y = random.uniform(0.6, 0.75) if is_tall else random.uniform(0.82, 0.9)
        font = str(random.choice(_FONTS))
        return cls(shape, font, height, fill, random.uniform(0.006, 0.01), (0.5, y))

    def draw(self, text: str, *, shown: int | None = None, scale: float = 1.0) -> Layer:
        """Draw a line; of its letters the first `shown`, at `scale` about the line's centre."""
        height, width = self.shape
        points = max(6, round(self.height * height * scale))
        font = ImageFont.truetype(self.font, points)
        stroke = max(1, round(self.outline * height * scale))
        pen = ImageDraw.Draw(Image.new("L", (1, 1)))
        left, _, right, _ = pen.textbbox((0, 0), text, font=font, stroke_width=stroke)
        if right - left > 0.94 * width:
            smaller = scale * 0.94 * width / (right - left) - 0.01
            return self.draw(text, shown=shown, scale=smaller)
        image = Image.new("RGBA", (width, height))
        x = self.centre[0] * width - (left + right) / 2
        y = self.centre[1] * height + points / 3
        ImageDraw.Draw(image).text(
            (x, y),
            text[:shown],
            font=font,
            fill=self.fill,
            stroke_width=stroke,
            stroke_fill=(0, 0, 0),
            anchor="ls",
        )
        layer = np.asarray(image, np.float32).copy()
        layer[..., 3] /= 255
        return layer


def shift(layer: Layer, x: float, y: float) -> Layer:
    """Translate a layer by fractions of a pixel."""
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
    return _warp(layer, matrix)


def _warp(layer: Layer, matrix: npt.NDArray[np.float32]) -> Layer:
    """Transform a layer; colours are weighted by opacity, so that no black edge comes in."""
    height, width = layer.shape[:2]
    solid = layer.copy()
    solid[..., :3] *= layer[..., 3:]
    moved = cv2.warpAffine(solid, matrix, (width, height))
    moved[..., :3] /= np.maximum(moved[..., 3:], 1e-3)
    return np.asarray(moved, np.float32)


def _pause(frames: int) -> Iterator[Layer | None]:
    yield from [None] * frames


def slide_lines(letters: Lettering, rate: float, random: Random) -> Iterator[Layer | None]:
    """Lines that slide in from below or beside, stand for a second, and slide out or vanish."""
    height, width = letters.shape
    for line in _LINES:
        layer = letters.draw(line)
        steps = int(random.integers(8, 15))
        ways = ((0.0, (1 - letters.centre[1] + 0.1) * height), (-1.0 * width, 0.0))
        away = ways[random.integers(2)]
        path = [(1 - t) ** 2 for t in np.linspace(0, 1, steps + 1)[:-1]]
        yield from _pause(round(0.3 * rate))
        yield from (shift(layer, away[0] * k, away[1] * k) for k in path)
        yield from [layer] * round(rate)
        if random.random() < 0.5:
            yield from (shift(layer, away[0] * k, away[1] * k) for k in path[::-1])


def type_lines(letters: Lettering, rate: float, random: Random) -> Iterator[Layer | None]:
    """Lines that appear letter by letter, stand for 0.6 s and vanish."""
    for line in _LINES:
        each = int(random.integers(1, 3))
        yield from _pause(round(0.3 * rate))
        for shown in range(1, len(line) + 1):
            yield from [letters.draw(line, shown=shown)] * each
        yield from [letters.draw(line)] * round(0.6 * rate)


def pop_lines(letters: Lettering, rate: float, random: Random) -> Iterator[Layer | None]:
    """Lines that grow to their size in 3 to 6 frames, stand for 0.7 s and vanish."""
    for line in _LINES:
        yield from _pause(round(0.3 * rate))
        for scale in np.linspace(0.35, 1.05, int(random.integers(3, 7))):
            yield letters.draw(line, scale=float(scale))
        yield from [letters.draw(line)] * round(0.7 * rate)


def flash_words(letters: Lettering, rate: float, random: Random) -> Iterator[Layer | None]:
    """One word after another in a band, some growing for 3 frames, each for 0.2 to 0.5 s."""
    while True:
        yield from _pause(round(0.4 * rate))
        for _ in range(int(random.integers(4, 8))):
            word = str(random.choice(_WORDS)).upper()
            if random.random() < 0.5:
                yield from (letters.draw(word, scale=scale) for scale in (0.5, 0.75, 1.1))
            yield from [letters.draw(word)] * round(random.uniform(0.2, 0.5) * rate)


def flash_letters(letters: Lettering, rate: float, random: Random) -> Iterator[Layer | None]:
    """One letter after another in a band, each for 0.15 to 0.3 s."""
    while True:
        yield from _pause(round(0.4 * rate))
        for letter in str(random.choice(_LINES)).upper().replace(" ", ""):
            yield from [letters.draw(letter)] * round(random.uniform(0.15, 0.3) * rate)


def flash_lines(letters: Lettering, rate: float, random: Random) -> Iterator[Layer | None]:
    """Lines of 0.15 s, far apart."""
    while True:
        yield from _pause(round(random.uniform(0.4, 0.9) * rate))
        yield from [letters.draw(str(random.choice(_LINES)))] * round(0.15 * rate)


def draw_nothing(letters: Lettering, rate: float, random: Random) -> Iterator[Layer | None]:
    """No caption at all."""
    while True:
        yield None


CAPTIONS: dict[str, Callable[[Lettering, float, Random], Iterator[Layer | None]]] = {
    "slides": slide_lines,
    "typed": type_lines,
    "pops": pop_lines,
    "words": flash_words,
    "letters": flash_letters,
    "0.15 s": flash_lines,
    "none": draw_nothing,
}
TALL = ("words", "letters")
"""Kinds that belong to tall videos: the clip is cropped to 9:16."""


def burn_captions(clip: Frames, kind: str, rate: float, random: Random) -> Overlaid:
    """Draw captions of one kind on a clip at `rate` frames a second."""
    is_tall = kind in TALL
    if is_tall:
        clip = _crop_tall(clip)
    letters = Lettering.choose((clip.shape[1], clip.shape[2]), random, is_tall=is_tall)
    return overlay(clip, CAPTIONS[kind](letters, rate, random))


def _crop_tall(clip: Frames) -> Frames:
    height, width = clip.shape[1:3]
    wide = min(width, round(height * 9 / 16)) // 2 * 2
    left = (width - wide) // 2
    # A crop of a small clip is upsampled, as such videos are never this small.
    return np.stack([cv2.resize(f[:, left : left + wide], (270, 480)) for f in clip])


@dataclass(frozen=True)
class Mark:
    """A logo: its layer, drawn at one angle and place."""

    text: str
    angle: float
    centre: tuple[float, float]
    height: float
    opacity: float

    def draw(self, shape: tuple[int, int]) -> Layer:
        """Draw it for a picture of `shape`, `(h, w)`."""
        height, width = shape
        big = Lettering(shape, _FONTS[0], self.height, (255, 255, 255), 0.004, self.centre)
        turn = cv2.getRotationMatrix2D(
            (self.centre[0] * width, self.centre[1] * height), self.angle, 1.0
        )
        layer = _warp(big.draw(self.text), np.asarray(turn, np.float32))
        layer[..., 3] *= self.opacity
        return layer


def _corner(random: Random, text: str, opacity: float = 1.0) -> Mark:
    x, y = (0.2, 0.8)[random.integers(2)], (0.13, 0.87)[random.integers(2)]
    return Mark(text, 0, (x, y), float(random.uniform(0.06, 0.09)), opacity)


def _rest(mark: Mark, shape: tuple[int, int]) -> Iterator[Layer | None]:
    layer = mark.draw(shape)
    while True:
        yield layer


def _level(shape: tuple[int, int], rate: float, random: Random) -> Iterator[Layer | None]:
    yield from _rest(_corner(random, "NEWS 24", float(random.uniform(0.6, 1))), shape)


def _turned(angle: float) -> Callable[[tuple[int, int], float, Random], Iterator[Layer | None]]:
    def draw(shape: tuple[int, int], rate: float, random: Random) -> Iterator[Layer | None]:
        sign = float(random.choice([-1, 1]))
        mark = Mark("SAMPLE PREVIEW", sign * angle, (0.5, 0.5), 0.08, float(random.uniform(0.5, 1)))
        yield from _rest(mark, shape)

    return draw


def _pulsing(shape: tuple[int, int], rate: float, random: Random) -> Iterator[Layer | None]:
    layer = _corner(random, "NEWS 24").draw(shape)
    period, frame = random.uniform(1, 2) * rate, 0
    while True:
        pulse = layer.copy()
        pulse[..., 3] *= 0.65 + 0.35 * np.cos(2 * np.pi * frame / period)
        yield pulse
        frame += 1


def _alternating(shape: tuple[int, int], rate: float, random: Random) -> Iterator[Layer | None]:
    first = _corner(random, "NEWS 24")
    other = Mark("@a_channel", 0, first.centre, first.height, 1.0)
    layers = first.draw(shape), other.draw(shape)
    stands = round(random.uniform(0.6, 1.2) * rate)
    while True:
        for layer in layers:
            yield from [layer] * stands


def _coming(shape: tuple[int, int], rate: float, random: Random) -> Iterator[Layer | None]:
    layer = _corner(random, "NEWS 24").draw(shape)
    while True:
        yield from _pause(round(random.uniform(0.5, 1) * rate))
        yield from [layer] * round(random.uniform(0.8, 1.4) * rate)


LOGOS: dict[str, Callable[[tuple[int, int], float, Random], Iterator[Layer | None]]] = {
    "level": _level,
    "30°": _turned(30),
    "45°": _turned(45),
    "pulsing": _pulsing,
    "alternating": _alternating,
    "coming and going": _coming,
}


def burn_logo(clip: Frames, kind: str, rate: float, random: Random) -> Overlaid:
    """Draw a logo of one kind on a clip; its pixels are those that it ever changes visibly."""
    shape = clip.shape[1], clip.shape[2]
    layers = list(zip(range(len(clip)), LOGOS[kind](shape, rate, random), strict=False))
    made = overlay(clip, (layer for _, layer in layers))
    # A faint logo is one, too: half of its own full opacity counts.
    most = max(float(layer[..., 3].max()) for _, layer in layers if layer is not None)
    for index, layer in layers:
        if layer is not None:
            made.covers[index] = layer[..., 3] >= _SEEN * min(most, float(layer[..., 3].max()))
    return made


def list_clips(folder: Path, numbers: str) -> list[Path]:
    """Choose clips by their numbers in the sorted folder, separated by commas."""
    paths = sorted(folder.glob("*.mp4"))
    return [paths[int(number)] for number in numbers.split(",") if int(number) < len(paths)]
