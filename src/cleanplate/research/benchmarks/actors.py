"""Jointed figures made of textured parts: walkers, cyclists, animals, carts.

Lengths are in hundredths of the figure's height; y goes down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

_SCALE = 3
"""Pixels per unit in a part's picture."""


@dataclass(frozen=True)
class Part:
    """A rigid part that rotates about a joint."""

    picture: Field
    """Premultiplied RGB and alpha (h, w, 4), 0 to 255 and 0 to 1."""
    origin: tuple[float, float]
    """The joint, in pixels of the picture."""
    parent: int | None
    joint: tuple[float, float]
    """Position of the joint in units, relative to the parent's joint."""
    base: float = 0.0
    swing: float = 0.0
    """Angles in radians: at rest, and the amplitude of the swing."""
    turns: float = 0.0
    """Rotations per cycle, for wheels."""
    phase: float = 0.0

    def place(self, cycle: float) -> Matrix:
        """Transform from own to the parent's coordinates, (3, 3), at `cycle` of the gait."""
        wave = self.swing * np.sin(2 * np.pi * (cycle + self.phase))
        angle = self.base + wave + 2 * np.pi * self.turns * cycle
        c, s = np.cos(angle), np.sin(angle)
        return np.array([[c, -s, self.joint[0]], [s, c, self.joint[1]], [0, 0, 1]])


Cut = tuple[Field, tuple[float, float]]
"""A picture and its joint, as in Part."""

Actor = Sequence[Part]
"""Parts from back to front; a parent may come after its children."""


def draw(actor: Actor, cycle: float, pose: Matrix, shape: tuple[int, int]) -> Field:
    """Draw the figure on an empty frame, premultiplied RGB and alpha (h, w, 4).

    `pose` (3, 3) maps units to pixels of the frame.
    """
    canvas = np.zeros((*shape, 4), np.float32)
    for part in actor:
        way = pose @ _chain(actor, part, cycle)
        shrink = np.diag([1 / _SCALE, 1 / _SCALE, 1.0])
        shift = np.array([[1, 0, -part.origin[0]], [0, 1, -part.origin[1]], [0, 0, 1]])
        laid = _lay(part.picture, way @ shrink @ shift, shape)
        canvas = laid + canvas * (1 - laid[..., 3:])
    return canvas


def _chain(actor: Actor, part: Part, cycle: float) -> Matrix:
    own = part.place(cycle)
    return own if part.parent is None else _chain(actor, actor[part.parent], cycle) @ own


def _lay(picture: Field, way: Matrix, shape: tuple[int, int]) -> Field:
    """Warp; blur first when shrinking, so that thin parts fade instead of flickering."""
    zoom = float(np.sqrt(abs(np.linalg.det(way[:2, :2]))))
    if zoom < 1:
        picture = cv2.GaussianBlur(picture, (0, 0), 0.45 / max(zoom, 0.1))
    return np.asarray(cv2.warpAffine(picture, way[:2], shape[::-1]), np.float32)


class Tailor:
    """Cuts parts out of photographs."""

    def __init__(self, photos: Sequence[npt.NDArray[np.uint8]], random: np.random.Generator):
        self._photos, self._random = photos, random

    def cloth(self, height: int, width: int) -> Field:
        """A random crop of a photograph as texture, RGB (h, w, 3) in 0 to 255."""
        photo = self._photos[int(self._random.integers(len(self._photos)))]
        side = int(self._random.integers(6, 60))
        y = int(self._random.integers(max(photo.shape[0] - side, 1)))
        x = int(self._random.integers(max(photo.shape[1] - side, 1)))
        piece = photo[y : y + side, x : x + side].astype(np.float32)
        return np.asarray(cv2.resize(piece, (width, height), interpolation=cv2.INTER_LINEAR))

    def cut(
        self,
        paint: Callable[[npt.NDArray[np.uint8], int], None],
        box: tuple[float, float, float, float],
        cloth: Field | None = None,
    ) -> Cut:
        """Cut out the shape that `paint(canvas, scale)` draws in white; returns its joint, too.

        `box` is its bounding box in units: x, y, width, height. The canvas begins at its corner.
        """
        x, y, width, height = box
        size = (int(np.ceil(height * _SCALE)) + 4, int(np.ceil(width * _SCALE)) + 4)
        canvas = np.zeros(size, np.uint8)
        paint(canvas, _SCALE)
        alpha = canvas.astype(np.float32)[..., None] / 255
        rgb = self.cloth(*size) if cloth is None else cv2.resize(cloth, size[::-1])
        return np.concatenate([rgb * alpha, alpha], -1), (-x * _SCALE, -y * _SCALE)

    def limb(self, length: float, top: float, end: float, cloth: Field | None = None) -> Cut:
        """A tapered limb that hangs down from its joint."""
        half = max(top, end) / 2 + 1

        def paint(canvas: npt.NDArray[np.uint8], scale: int) -> None:
            outline = [
                (half - top / 2, half),
                (half + top / 2, half),
                (half + end / 2, half + length),
                (half - end / 2, half + length),
            ]
            _fill(canvas, outline, scale)
            _disk(canvas, (half, half), top / 2, scale)
            _disk(canvas, (half, half + length), end / 2, scale)

        return self.cut(paint, (-half, -half, 2 * half, length + 2 * half), cloth)

    def disk(self, width: float, height: float, cloth: Field | None = None) -> Cut:
        """An ellipse about its joint."""

        def paint(canvas: npt.NDArray[np.uint8], scale: int) -> None:
            centre = (round(width * scale / 2), round(height * scale / 2))
            cv2.ellipse(canvas, centre, centre, 0, 0, 360, 255, -1, cv2.LINE_AA)

        return self.cut(paint, (-width / 2, -height / 2, width, height), cloth)

    def wheel(self, radius: float, rim: float, spokes: int) -> Cut:
        """A rim with thin spokes about its joint; the background shows between them."""

        def paint(canvas: npt.NDArray[np.uint8], scale: int) -> None:
            centre = (round(radius * scale), round(radius * scale))
            reach = round((radius - rim / 2) * scale)
            cv2.circle(canvas, centre, reach, 255, round(rim * scale), cv2.LINE_AA)
            for angle in np.arange(spokes) * 2 * np.pi / max(spokes, 1):
                end = (
                    round(centre[0] + reach * np.cos(angle)),
                    round(centre[1] + reach * np.sin(angle)),
                )
                cv2.line(canvas, centre, end, 160, 1, cv2.LINE_AA)
            cv2.circle(canvas, centre, round(1.5 * scale), 255, -1, cv2.LINE_AA)

        return self.cut(paint, (-radius, -radius, 2 * radius, 2 * radius))

    def shape(self, outline: Sequence[tuple[float, float]], cloth: Field | None = None) -> Cut:
        """A polygon, its points relative to the joint."""
        points = np.array(outline, np.float64)
        low, high = points.min(0) - 1, points.max(0) + 1

        def paint(canvas: npt.NDArray[np.uint8], scale: int) -> None:
            _fill(canvas, [tuple(point) for point in points - low], scale)

        return self.cut(paint, (low[0], low[1], *(high - low)), cloth)


def _fill(canvas: npt.NDArray[np.uint8], outline: Sequence[tuple[float, ...]], scale: int) -> None:
    points = np.round(np.array(outline) * scale * 16).astype(np.int32)
    cv2.fillPoly(canvas, [points], 255, cv2.LINE_AA, 4)


def _disk(
    canvas: npt.NDArray[np.uint8], centre: tuple[float, float], radius: float, scale: int
) -> None:
    place = (round(centre[0] * scale * 16), round(centre[1] * scale * 16))
    cv2.circle(canvas, place, round(radius * scale * 16), 255, -1, cv2.LINE_AA, 4)


def make_walker(tailor: Tailor) -> Actor:
    """A person on foot, about 100 units high, centred at the hip."""
    skin, shirt, trousers = (tailor.cloth(40, 40) for _ in range(3))
    arm = [tailor.limb(17, 6, 5, shirt), tailor.limb(16, 5, 4, skin)]
    leg = [tailor.limb(24, 10, 7, trousers), tailor.limb(24, 7, 5, trousers)]
    torso = [(-9, -34), (9, -34), (8, 2), (-8, 2)]
    return [
        Part(*arm[0], 4, (0, -31), 0.0, 0.6, phase=0.5),
        Part(*arm[1], 0, (0, 17), -0.3, 0.3, phase=0.5),
        Part(*leg[0], 4, (0, 0), 0.0, 0.45),
        Part(*leg[1], 2, (0, 24), 0.25, 0.3, phase=0.2),
        Part(*tailor.shape(torso, shirt), None, (0, 0), 0.05, 0.04),
        Part(*tailor.disk(13, 16, skin), 4, (0, -42), 0.0, 0.1),
        Part(*leg[0], 4, (0, 0), 0.0, 0.45, phase=0.5),
        Part(*leg[1], 6, (0, 24), 0.25, 0.3, phase=0.7),
        Part(*arm[0], 4, (0, -31), 0.0, 0.6),
        Part(*arm[1], 8, (0, 17), -0.3, 0.3),
    ]


def make_cyclist(tailor: Tailor) -> Actor:
    """A person on a bicycle, centred at the saddle."""
    skin, shirt, trousers, metal = (tailor.cloth(40, 40) for _ in range(4))
    wheel = tailor.wheel(18, 2.0, 8)
    leg = [tailor.limb(20, 8, 6, trousers), tailor.limb(20, 6, 4, skin)]
    bar = tailor.limb(28, 2.2, 2.2, metal)
    return [
        Part(*leg[0], 6, (0, 0), -0.9, 0.45, phase=0.5),
        Part(*leg[1], 0, (0, 20), 0.9, 0.35, phase=0.6),
        Part(*wheel, None, (-24, 34), turns=1.3),
        Part(*wheel, None, (28, 34), turns=1.3),
        Part(*bar, None, (0, 6), 0.7),
        Part(*tailor.limb(36, 2.2, 2.2, metal), None, (1, 8), -1.2),
        Part(*tailor.shape([(-7, 3), (8, 2), (22, -26), (10, -33)], shirt), None, (0, 2)),
        Part(*tailor.limb(30, 2.2, 2.2, metal), None, (22, 6), -0.25),
        Part(*tailor.disk(13, 16, skin), 6, (20, -38), 0.0, 0.06),
        Part(*tailor.limb(20, 5, 4, skin), 6, (16, -28), -0.2, 0.05),
        Part(*tailor.limb(16, 4, 3, skin), 9, (0, 20), -0.6, 0.05),
        Part(*leg[0], 6, (0, 0), -0.9, 0.45),
        Part(*leg[1], 11, (0, 20), 0.9, 0.35, phase=0.1),
    ]


def make_animal(tailor: Tailor) -> Actor:
    """Four legs, a trunk, neck, head and tail; centred on the trunk."""
    coat = tailor.cloth(60, 60)
    upper, lower = tailor.limb(20, 11, 6, coat), tailor.limb(20, 6, 4, coat)
    legs = [(-26, 4, 0.0), (24, 4, 0.5), (-22, 6, 0.5), (28, 6, 0.0)]
    parts: list[Part] = []
    trunk = 4
    for number, (x, y, phase) in enumerate(legs):
        if number == 2:
            parts.append(Part(*tailor.disk(72, 32, coat), None, (0, 0), 0.0, 0.05))
        home = len(parts)
        parts.append(Part(*upper, trunk, (x, y), 0.0, 0.5, phase=phase))
        parts.append(Part(*lower, home, (0, 20), 0.1, 0.4, phase=phase + 0.2))
    parts.append(Part(*tailor.limb(26, 14, 9, coat), trunk, (30, -4), -2.3, 0.1))
    parts.append(Part(*tailor.disk(24, 13, coat), len(parts) - 1, (0, 26), 2.6, 0.1))
    parts.append(Part(*tailor.limb(30, 4, 2, coat), trunk, (-34, -6), 1.0, 0.5))
    return parts


def make_cart(tailor: Tailor) -> Actor:
    """A vehicle with windows of another colour; rigid except for its solid wheels."""
    roof = [(-62, -22), (-36, -26), (-20, -48), (26, -48), (44, -24)]
    body = [(-70, -5), *roof, (70, -18), (72, 6), (-70, 6)]
    window = [(-28, -26), (-16, -43), (22, -43), (34, -26)]
    rubber = tailor.cloth(20, 20)
    return [
        Part(*tailor.shape(body), None, (0, 0), 0.0, 0.01),
        Part(*tailor.shape(window), 0, (0, 0)),
        Part(*tailor.disk(30, 30, rubber), 0, (-42, 6), turns=1.0),
        Part(*tailor.disk(30, 30, rubber), 0, (44, 6), turns=1.0),
    ]


ACTORS: Mapping[str, Callable[[Tailor], Actor]] = {
    "walker": make_walker,
    "cyclist": make_cyclist,
    "animal": make_animal,
    "cart": make_cart,
}
