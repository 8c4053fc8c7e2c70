"""Render the scene of the demo: a beach ball bounces through a gallery, every pixel known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import OutputError
from cleanplate.types import Size

Floats = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

# Metres: x to the right, y up from the floor, z from the wall towards the camera.
_WALL = (8.0, 3.0)
_FLOOR_DEPTH = 3.0
_CAMERA = (0.0, 0.95, 3.6)
_FOCAL = 0.9  # in picture widths
_BALL_RADIUS = 0.27
_BALL_DEPTH = 0.75
_PHOTOS = ("rocket.jpg", "coffee.png", "chelsea.png", "astronaut.png")
_PICTURES, _PHOTO_HEIGHT, _PHOTO_ABOVE_FLOOR, _GAP = 5, 0.82, 1.17, 0.34
_BALL_COLOURS = np.array(
    [
        [236, 238, 240],
        [214, 40, 48],
        [236, 238, 240],
        [250, 196, 30],
        [236, 238, 240],
        [20, 96, 190],
    ],
    np.float32,
)
_LIGHT = np.array([-0.45, 0.7, 0.55]) / np.linalg.norm([-0.45, 0.7, 0.55])


@dataclass(frozen=True)
class Shot:
    """Frame with the ball, without it, and the mask where they differ."""

    frame: Pixels
    truth: Pixels
    mask: npt.NDArray[np.bool_]


class Gallery:
    """Room, drawn once; `shoot` renders one frame of it."""

    def __init__(self, size: Size, seed: int = 0) -> None:
        # Rendered at twice the size and halved at the end, for smooth edges.
        self._size, self._big = size, Size(2 * size.width, 2 * size.height)
        self._scale = self._big.width * _FOCAL / (_CAMERA[2] - 0.6)
        random = np.random.default_rng(seed)
        self._wall = _draw_wall(self._scale, random)
        self._floor = _draw_floor(self._scale, random)

    def shoot(self, moment: float) -> Shot:
        """Render the frame at `moment`, 0 (first) to 1 (last)."""
        view = _Camera.held(self._big, moment)
        ball, turn = _ball_path(moment)
        to_wall = view.plane((-_WALL[0] / 2, _WALL[1], 0), (1, 0, 0), (0, -1, 0), self._scale)
        to_floor = view.plane((-_WALL[0] / 2, 0, 0), (1, 0, 0), (0, 0, 1), self._scale)
        horizon = self._above_floor(view)
        wall = _warp(self._wall, to_wall, self._big)
        empty = np.where(horizon[..., None], wall, _warp(self._floor, to_floor, self._big))
        shadow = _warp(self._shadow(ball), to_floor, self._big)
        shade = np.where(horizon, np.float32(0), shadow)
        full = empty * (1 - shade[..., None])
        _draw_ball(full, view, ball, turn)
        truth, frame = self._develop(empty), self._develop(full)
        return Shot(frame, truth, (frame != truth).any(axis=2))

    def _above_floor(self, view: _Camera) -> npt.NDArray[np.bool_]:
        """Mark the visible wall: above the line where wall and floor meet."""
        left, right = view.project((-4, 0, 0)), view.project((4, 0, 0))
        slope = (right[1] - left[1]) / (right[0] - left[0])
        line = left[1] + slope * (np.arange(self._big.width) - left[0])
        return np.asarray(np.arange(self._big.height)[:, None] < line)

    def _shadow(self, ball: Sequence[float]) -> Floats:
        """Draw the soft shadow below the ball, paler the higher it flies, in the floor's pixels."""
        shape = (int(_FLOOR_DEPTH * self._scale), int(_WALL[0] * self._scale))
        height = ball[1] - _BALL_RADIUS
        strength, width = 0.62 / (1 + 2.2 * height), _BALL_RADIUS * (0.75 + 0.35 * height)
        place = (ball[0] + _WALL[0] / 2 + 0.10 * height, ball[2] - 0.08 * height)
        return _spot(shape, self._scale, place, width, strength)

    def _develop(self, big: Floats) -> Pixels:
        """Halve the size, darken the corners slightly, and round."""
        small = cv2.resize(big, (self._size.width, self._size.height), interpolation=cv2.INTER_AREA)
        y, x = np.ogrid[-1 : 1 : self._size.height * 1j, -1 : 1 : self._size.width * 1j]
        return np.asarray(
            np.clip(small * (1 - 0.12 * (x * x + y * y))[..., None] + 0.5, 0, 255), np.uint8
        )


@dataclass(frozen=True)
class _Camera:
    """Pinhole camera: `project` and `plane` map metres to pixels of the picture."""

    matrix: npt.NDArray[np.float64]
    turn: npt.NDArray[np.float64]
    place: npt.NDArray[np.float64]

    @classmethod
    def held(cls, size: Size, moment: float) -> _Camera:
        """Place the camera: a slow walk to the right, with hand shake of unrelated periods."""

        def sway(*waves: tuple[float, float, float]) -> float:
            return sum(a * math.sin(2 * math.pi * (f * moment + p)) for a, f, p in waves)

        ease = moment * moment * (3 - 2 * moment)
        drift = [
            -0.35 + 0.7 * ease + sway((0.02, 2.3, 0.1)),
            sway((0.018, 1.9, 0.4), (0.007, 4.7, 0.0)),
            -0.25 * ease + sway((0.02, 1.3, 0.7)),
        ]
        place = np.add(_CAMERA, drift)
        pan, tilt, roll = (
            math.radians(1.5 - 2 * ease + sway((0.35, 1.7, 0.2), (0.12, 5.3, 0.6))),
            math.radians(4.6 + sway((0.3, 2.1, 0.9), (0.10, 6.1, 0.3))),
            math.radians(sway((0.5, 1.2, 0.5), (0.1, 4.1, 0.1))),
        )
        focal = _FOCAL * size.width
        # The picture's y axis points down, and the camera looks along -z.
        lens = np.array([[focal, 0, size.width / 2], [0, focal, size.height / 2], [0, 0, 1.0]])
        return cls(lens, _rotation(pan, tilt, roll), place)

    def see(self, point: Sequence[float]) -> npt.NDArray[np.float64]:
        """Convert a point to camera coordinates: right, down, ahead."""
        return np.asarray(self.turn @ ((np.asarray(point) - self.place) * [1, -1, -1]))

    def project(self, point: Sequence[float]) -> npt.NDArray[np.float64]:
        """Project `point` to the picture; x and y in pixels."""
        x, y, w = self.matrix @ self.see(point)
        return np.array([x / w, y / w])

    def plane(
        self,
        origin: Sequence[float],
        along: Sequence[float],
        across: Sequence[float],
        scale: float,
    ) -> npt.NDArray[np.float64]:
        """Compute the homography from a drawing on a plane (`scale` pixels per metre)."""
        flip = np.array([1, -1, -1])
        columns = [flip * along / scale, flip * across / scale, flip * (origin - self.place)]
        return np.asarray(self.matrix @ self.turn @ np.stack(columns, axis=1))


def _rotation(pan: float, tilt: float, roll: float) -> npt.NDArray[np.float64]:
    """Make the rotation about the y, x and z axes, in radians."""
    turns = [
        cv2.Rodrigues(np.array(axis, float))[0]
        for axis in ((0, pan, 0), (tilt, 0, 0), (0, 0, roll))
    ]
    return np.asarray(turns[2] @ turns[1] @ turns[0])


def _warp(drawing: Floats, homography: npt.NDArray[np.float64], size: Size) -> Floats:
    """Warp the drawing to the camera's view."""
    return np.asarray(
        cv2.warpPerspective(
            drawing,
            homography,
            (size.width, size.height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.float32,
    )


def _spot(
    shape: tuple[int, int], scale: float, place: tuple[float, float], radius: float, strength: float
) -> Floats:
    """Draw a soft round spot, 0 far away; `place` and `radius` in metres."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    square = ((x / scale - place[0]) ** 2 + (y / scale - place[1]) ** 2) / radius**2
    fall = np.clip(1 - square / 2.6, 0, 1)
    return np.asarray(strength * fall * fall, np.float32)


def _ball_path(moment: float) -> tuple[tuple[float, float, float], float]:
    """Compute the centre of the ball, bouncing from right to left, and its rotation in radians."""
    x = 1.5 - 3.05 * moment
    hop = (moment * 2.6 + 0.35) % 1.0
    height = (0.95 - 0.12 * moment) * 4 * hop * (1 - hop)
    return (x, _BALL_RADIUS + height, _BALL_DEPTH), x / _BALL_RADIUS


def _draw_ball(picture: Floats, view: _Camera, ball: Sequence[float], turn: float) -> None:
    """Paint a lit ball of coloured wedges into `picture`, in place."""
    x0, y0 = view.project(ball)
    radius = view.matrix[0, 0] * _BALL_RADIUS / view.see(ball)[2]
    y, x = np.ogrid[: picture.shape[0], : picture.shape[1]]
    across, up = (x - x0) / radius, (y0 - y) / radius
    inside = np.asarray(across**2 + up**2 < 1)
    across, up = (np.broadcast_to(part, inside.shape)[inside] for part in (across, up))
    normal = np.stack([across, up, np.sqrt(np.maximum(1 - across**2 - up**2, 0))], axis=1)
    # The seams meet in two poles, tilted towards the camera so that one is visible.
    own = normal @ (_rotation(0, 0, turn) @ _rotation(0.5, 1.0, 0.2))
    wedge = (np.arctan2(own[:, 1], own[:, 0]) / (2 * math.pi) * 6 % 6).astype(int)
    colour = np.where((own[:, 2:] ** 2 > 0.955), _rgb(245, 246, 248), _BALL_COLOURS[wedge])
    diffuse = np.clip(normal @ _LIGHT, 0, None)
    shine = np.clip(normal @ _half_way(), 0, None) ** 60
    picture[inside] = colour * (0.42 + 0.63 * diffuse)[:, None] + 120 * shine[:, None]


def _half_way() -> npt.NDArray[np.float64]:
    """Compute the halfway vector between light and camera, for the highlight (Blinn 1977)."""
    half = np.add(_LIGHT, (0, 0, 1))
    return np.asarray(half / np.linalg.norm(half))


def _draw_wall(scale: float, random: np.random.Generator) -> Floats:
    """Draw a painted brick wall with framed pictures and a skirting board."""
    height, width = int(_WALL[1] * scale), int(_WALL[0] * scale)
    wall = _rgb(198, 190, 174) * _draw_bricks((height, width), scale, random)[..., None]
    photos = [_photo(number, random) for number in range(_PICTURES)]
    widths = [_PHOTO_HEIGHT * photo.shape[1] / photo.shape[0] for photo in photos]
    x = (_WALL[0] - sum(widths) - _GAP * (_PICTURES - 1)) / 2
    for photo, breadth in zip(photos, widths, strict=True):
        middle = (x + breadth / 2, _WALL[1] - _PHOTO_ABOVE_FLOOR)
        wall *= 1 + _spot((height, width), scale, middle, 0.75, 0.20)[..., None]
        _hang(wall, photo, middle, scale)
        x += breadth + _GAP
    board = height - int(0.13 * scale)
    wall[board:] = _rgb(226, 222, 212)
    wall[board : board + max(int(0.012 * scale), 1)] = _rgb(150, 144, 132)
    wall[height - max(int(0.02 * scale), 1) :] = _rgb(120, 112, 100)
    return np.asarray(np.clip(wall, 0, 255), np.float32)


def _draw_bricks(shape: tuple[int, int], scale: float, random: np.random.Generator) -> Floats:
    """Draw the brightness of whitewashed bricks, about 1: rows offset by half a brick."""
    long, high = 0.25 * scale, 0.085 * scale
    y, x = np.indices(shape, np.float32)
    row = np.floor(y / high)
    along = x / long + 0.5 * (row % 2)
    tone = random.uniform(0.90, 1.04, (shape[0], 64)).astype(np.float32)
    bricks = tone[row.astype(int), np.floor(along).astype(int) % 64]
    edge = np.minimum((along % 1) * long, y - row * high) / (0.014 * scale)
    mortar = np.where(edge < 1, np.float32(0.80), np.float32(1))
    return np.asarray(0.93 * bricks * mortar * (1 + 0.03 * _noise(shape, random)), np.float32)


def _hang(wall: Floats, photo: Pixels, place: tuple[float, float], scale: float) -> None:
    """Draw `photo` in a frame centred at `place`, metres from the top left, in place."""
    height = _PHOTO_HEIGHT
    width = height * photo.shape[1] / photo.shape[0]
    middle = np.array(place)

    def area(margin: float, shift: float = 0.0) -> tuple[slice, slice]:
        half = np.array([width / 2 + margin, height / 2 + margin])
        x0, y0 = ((middle - half + shift) * scale).astype(int)
        x1, y1 = ((middle + half + shift) * scale).astype(int)
        return slice(y0, y1), slice(x0, x1)

    shadow = np.zeros(wall.shape[:2], np.float32)
    shadow[area(0.10, 0.03)] = 0.5
    wall *= 1 - cv2.GaussianBlur(shadow, (0, 0), 0.03 * scale)[..., None]
    wall[area(0.11)] = _rgb(52, 38, 30)
    wall[area(0.10)] = _rgb(84, 60, 44)
    wall[area(0.085)] = _rgb(60, 44, 34)
    wall[area(0.08)] = _rgb(240, 237, 228)
    rows, columns = area(0.0)
    shape = (columns.stop - columns.start, rows.stop - rows.start)
    wall[rows, columns] = cv2.resize(photo, shape, interpolation=cv2.INTER_AREA)


def _draw_floor(scale: float, random: np.random.Generator) -> Floats:
    """Draw wooden planks along the wall."""
    height, width = int(_FLOOR_DEPTH * scale), int(_WALL[0] * scale)
    grain = cv2.resize(_noise((height, width // 24 + 1), random), (width, height))
    floor = _rgb(150, 104, 66) * (1 + 0.10 * grain)[..., None]
    plank = 0.16 * scale
    for row in range(int(height / plank) + 1):
        top, bottom = int(row * plank), int((row + 1) * plank)
        start = random.uniform(0, 1.4 * scale)
        while start < width + 1.4 * scale:
            columns = slice(max(int(start - 1.4 * scale), 0), int(start))
            floor[top:bottom, columns] *= random.uniform(0.86, 1.10)
            seam = max(int(0.006 * scale), 1)
            floor[top:bottom, columns][:, :seam] *= 0.55
            floor[top : top + seam, columns] *= 0.55
            start += 1.4 * scale
    floor[: int(0.12 * scale)] *= np.linspace(0.6, 1, int(0.12 * scale), dtype=np.float32)[
        :, None, None
    ]
    return np.asarray(np.clip(floor, 0, 255), np.float32)


def _photo(number: int, random: np.random.Generator) -> Pixels:
    """Load a public-domain photograph of scikit-image, or draw a painting if it is missing."""
    photo = _read_photo(_PHOTOS[number % len(_PHOTOS)])
    return _paint(random) if photo is None else photo


def has_photographs() -> bool:
    """Whether the pictures in a `Gallery` are photographs; otherwise they are drawn."""
    return all(_read_photo(name) is not None for name in _PHOTOS)


def _read_photo(name: str) -> Pixels | None:
    """Read a picture of scikit-image's wheel, RGB, without importing the package."""
    package = find_spec("skimage")
    if package is None or package.origin is None:
        return None
    pixels = cv2.imread(str(Path(package.origin).parent / "data" / name))
    return None if pixels is None else np.asarray(pixels[..., ::-1], np.uint8)


def _paint(random: np.random.Generator) -> Pixels:
    """Draw an abstract painting: coloured discs and bars on a gradient."""
    shape = (400, 600, 3)
    first, last = random.uniform(60, 240, (2, 3))
    slope = np.linspace(0, 1, shape[0])[:, None, None]
    canvas = np.ascontiguousarray(np.broadcast_to(first + (last - first) * slope, shape), np.uint8)
    for _ in range(40):
        colour = random.integers(20, 250, 3).tolist()
        x, y = int(random.integers(0, shape[1])), int(random.integers(0, shape[0]))
        if random.random() < 0.5:
            cv2.circle(canvas, (x, y), int(random.integers(8, 70)), colour, -1, cv2.LINE_AA)
        else:
            end = (int(random.integers(0, shape[1])), int(random.integers(0, shape[0])))
            cv2.line(canvas, (x, y), end, colour, int(random.integers(2, 18)), cv2.LINE_AA)
    return canvas


def _noise(shape: tuple[int, int], random: np.random.Generator) -> Floats:
    """Draw smooth noise of several scales, mean about 0 and standard deviation about 1."""
    total = np.zeros(shape, np.float32)
    for size in (4, 16, 64):
        rough = random.standard_normal((shape[0] // size + 2, shape[1] // size + 2))
        total += cv2.resize(rough.astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
    return total / 1.3


def _rgb(red: float, green: float, blue: float) -> Floats:
    """Choose a colour."""
    return np.array([red, green, blue], np.float32)


@dataclass(frozen=True)
class DemoClip:
    """Clip of the demo: three folders of PNGs with the same names.

    Attributes:
        frames: the clip with the ball.
        masks: white where the ball or its shadow is visible; frames and truth are equal elsewhere.
        truth: the clip without the ball.
        count: number of frames.
        size: size of the frames.
    """

    frames: Path
    masks: Path
    truth: Path
    count: int
    size: Size


def make_demo_clip(
    folder: Path | str, frames: int = 60, size: Size | None = None, seed: int = 0
) -> DemoClip:
    """Render a ball bouncing through a gallery into `folder/{frames,masks,truth}`.

    The pictures on the wall are public-domain photographs of scikit-image if it is installed,
    otherwise drawn. Equal arguments give equal files. `size` defaults to 432x240. Raises
    OutputError if the folder cannot be written.
    """
    if frames < 1:
        raise ValueError("frames must be positive")
    folder, size = Path(folder), size or Size(432, 240)
    clip = DemoClip(folder / "frames", folder / "masks", folder / "truth", frames, size)
    gallery = Gallery(size, seed)
    for part in (clip.frames, clip.masks, clip.truth):
        _make_folder(part)
    for index in range(frames):
        shot = gallery.shoot(index / max(frames - 1, 1))
        name = f"{index:05d}.png"
        _write(clip.frames / name, shot.frame[..., ::-1])
        _write(clip.truth / name, shot.truth[..., ::-1])
        _write(clip.masks / name, shot.mask.astype(np.uint8) * 255)
    return clip


def _make_folder(folder: Path) -> None:
    """Make a folder, and remove the frames of an earlier clip; other files stay."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("[0-9]" * 5 + ".png"):
            old.unlink()
    except OSError as error:
        raise OutputError(f"cannot make {folder}: {error.strerror}; name another one") from error


def _write(path: Path, pixels: np.typing.NDArray[np.uint8]) -> None:
    """Write grey or BGR pixels as PNG."""
    try:
        path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; free some space") from error
