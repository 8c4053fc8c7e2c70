"""Attention maps as pictures, a contact sheet, a video and numbers, in one folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.errors import EncodeError, OutputError
from cleanplate.research.evaluation.attention import AttentionMap, Observation, Surroundings
from cleanplate.types import Size
from cleanplate.video import Picture, VideoInfo, open_writer
from cleanplate.video.destination import Destination
from cleanplate.video.images import write_png

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_LARGE, _SMALL = 240, 120
"""Longer side of a frame, in pixels: in the picture of a map and the video, and on the sheet."""
_ROW = 7
_RATE = Fraction(4)
_GAP, _CAPTION = 4, 16
_HOLE, _OBSERVED = (0, 220, 255), (255, 80, 60)


@dataclass(frozen=True, eq=False)
class AttentionReport:
    """Report on observed attention.

    Attributes:
        info: properties of the video.
        model: name or file of the network.
        around: input of the network.
        seen: recorded attention.
    """

    info: VideoInfo
    model: str
    around: Surroundings
    seen: Observation

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON: the fraction of attention on each frame, for each map."""
        box = self.around.region
        return {
            "input": str(self.info.path),
            "model": self.model,
            "frame": self.around.numbers[self.around.at],
            "frames": list(self.around.numbers),
            "region": {"x": box.x, "y": box.y, "width": box.width, "height": box.height},
            "maps": [
                {
                    "layer": each.layer,
                    "head": each.head,
                    "rows": each.weights.shape[1],
                    "columns": each.weights.shape[2],
                    "shares": [round(float(share), 5) for share in each.shares],
                }
                for each in self.seen.maps
            ],
        }

    def summary(self) -> list[str]:
        """Format for the terminal: for each map the frames with most attention."""
        lines = []
        for each in self.seen.maps:
            best = np.argsort(-each.shares, kind="stable")[:3]
            text = ", ".join(f"{self.around.numbers[k]} ({each.shares[k]:.0%})" for k in best)
            lines.append(f"{each.layer:12} {each.head:8} frames {text}")
        return lines

    def write(self, folder: Path) -> None:
        """Write all files to a new folder, all or nothing.

        `sheet.png` (one row per map), `maps/*.png` (one per map), `attention.mp4` (all maps, frame
        by frame), `filled.png`, `attention.json` and `attention.npz` (the unscaled maps).

        Raises:
            OutputError: the folder is not empty or cannot be made.
            EncodeError: writing failed.
        """
        place = check_folder(folder, self.info.path)
        place.claim()
        try:
            (place.partial / "maps").mkdir(parents=True)
            self._write(place.partial)
        except OSError as error:
            place.discard()
            raise EncodeError(
                f"'{folder}' could not be written: {error.strerror}; free some space"
            ) from None
        except BaseException:
            place.discard()
            raise
        place.commit()

    def _write(self, folder: Path) -> None:
        maps, drawn = self.seen.maps, _Drawer(self.info.rotation, self.around)
        write_png(folder / "filled.png", drawn.turn(self.seen.filled))
        write_png(folder / "sheet.png", drawn.sheet(maps))
        for each in maps:
            write_png(folder / "maps" / f"{each.name}.png", drawn.frames_of(each))
        _film([drawn.moment(maps, k) for k in range(len(drawn.numbers))], folder, self.info)
        (folder / "attention.json").write_text(json.dumps(self.to_json(), indent=2) + "\n")
        arrays: dict[str, Any] = {each.name: each.weights for each in maps}
        np.savez_compressed(folder / "attention.npz", frames=self.around.numbers, **arrays)


def check_folder(folder: Path, source: Path) -> Destination:
    """Check `folder` and return where it is built; raise OutputError unless it is new or empty."""
    if folder.suffix:
        raise OutputError(f"output '{folder}' is a folder; name it without a dot")
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"folder '{folder}' is not empty; name another one")
    return Destination(folder, source, overwrite=False)


class _Drawer:
    """Painter of frames with attention on them, in display orientation."""

    def __init__(self, rotation: int, around: Surroundings) -> None:
        self.numbers = around.numbers
        self._turns = -rotation // 90
        self._at = around.at
        self._shape = around.masks.shape[1:]
        self._frames = [self.turn(frame) for frame in around.frames]
        self._masks = [self.turn(mask.astype(np.uint8)) for mask in around.masks]

    def turn(self, picture: Pixels) -> Pixels:
        """Rotate from coded to display orientation."""
        return np.ascontiguousarray(np.rot90(picture, self._turns))

    def frames_of(self, each: AttentionMap) -> Pixels:
        """Draw all frames with one map on them, in rows."""
        tiles = [
            _caption(self._tile(each, k, _LARGE), f"frame {number}: {each.shares[k]:.1%}")
            for k, number in enumerate(self.numbers)
        ]
        return _stack([tiles[start : start + _ROW] for start in range(0, len(tiles), _ROW)])

    def sheet(self, maps: Sequence[AttentionMap]) -> Pixels:
        """Draw a row of all frames, then one row per map."""
        frames = range(len(self.numbers))
        head = [_caption(self._plain(k, _SMALL), f"frame {self.numbers[k]}") for k in frames]
        rows = [[_label("frames", head[0].shape), *head]]
        for each in maps:
            tiles = [_caption(self._tile(each, k, _SMALL), f"{each.shares[k]:.1%}") for k in frames]
            rows.append([_label(f"{each.layer}\n{each.head}", tiles[0].shape), *tiles])
        return _stack(rows)

    def moment(self, maps: Sequence[AttentionMap], frame: int) -> Pixels:
        """Draw one frame under all maps: one row per layer, one column per head."""
        title = f"frame {self.numbers[frame]}" + (" (observed)" if frame == self._at else "")
        rows = [[_caption(self._plain(frame, _LARGE), title)]]
        for layer, heads in groupby(maps, lambda each: each.layer):
            rows.append(
                [
                    _caption(self._tile(each, frame, _LARGE), f"{layer} {each.head}")
                    for each in heads
                ]
            )
        return _stack(rows)

    def _plain(self, frame: int, side: int) -> Pixels:
        picture = _fit(self._frames[frame], side)
        return self._outline(picture, frame)

    def _tile(self, each: AttentionMap, frame: int, side: int) -> Pixels:
        """Draw a frame under a map; equal colours mean equal weights in all frames."""
        heat = each.enlarge(frame, self._shape) / max(float(each.weights.max()), 1e-12)
        heat = np.ascontiguousarray(np.rot90(heat, self._turns))
        picture = _fit(self._frames[frame], side)
        heat = cv2.resize(heat, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_AREA)
        colours = cv2.applyColorMap((255 * heat).astype(np.uint8), cv2.COLORMAP_INFERNO)
        alpha = 0.25 + 0.65 * np.sqrt(heat)[..., None]
        mixed = picture * (1 - alpha) + colours[..., ::-1] * alpha
        return self._outline(mixed.astype(np.uint8), frame)

    def _outline(self, picture: Pixels, frame: int) -> Pixels:
        """Draw the outline of the frame's hole; that of the observed frame in another colour."""
        size = (picture.shape[1], picture.shape[0])
        mask = cv2.resize(self._masks[frame], size, interpolation=cv2.INTER_NEAREST)
        rims, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        drawn = np.ascontiguousarray(picture)
        colour = _OBSERVED if frame == self._at else _HOLE
        cv2.drawContours(drawn, rims, -1, colour, 1, cv2.LINE_AA)
        return drawn


def _fit(picture: Pixels, side: int) -> Pixels:
    """Scale to a longer side of `side` pixels."""
    scale = side / max(picture.shape[:2])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _caption(picture: Pixels, text: str) -> Pixels:
    """Add a line of text below a picture."""
    below = np.full((_CAPTION, picture.shape[1], 3), 255, np.uint8)
    return np.vstack([picture, _write(below, text, (2, 11))])


def _label(text: str, shape: Sequence[int]) -> Pixels:
    """Draw text of at most two lines in a field of a picture's size."""
    field = np.full((shape[0], shape[1], 3), 255, np.uint8)
    for line, part in enumerate(text.split("\n")):
        _write(field, part, (4, 20 + 18 * line))
    return field


def _write(field: Pixels, text: str, place: tuple[int, int]) -> Pixels:
    cv2.putText(field, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (40, 40, 40), 1, cv2.LINE_AA)
    return field


def _stack(rows: Sequence[Sequence[Pixels]]) -> Pixels:
    """Arrange pictures of one size in rows, on white."""
    height, width = rows[0][0].shape[:2]
    columns = max(len(row) for row in rows)
    canvas = np.full(
        (len(rows) * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3), 255, np.uint8
    )
    for line, row in enumerate(rows):
        for column, picture in enumerate(row):
            y, x = _GAP + line * (height + _GAP), _GAP + column * (width + _GAP)
            canvas[y : y + height, x : x + width] = picture
    return canvas


def _film(pictures: Sequence[Pixels], folder: Path, info: VideoInfo) -> None:
    """Write `folder/attention.mp4` with a quarter of a second per picture."""
    height, width = (side + side % 2 for side in pictures[0].shape[:2])
    film = VideoInfo(
        path=info.path,
        kind="images",
        size=Size(width, height),
        rate=_RATE,
        time_base=1 / _RATE,
        frame_count=len(pictures),
        duration=len(pictures) / _RATE,
        pixel_format="rgb24",
        codec="png",
    )
    with open_writer(folder / "attention.mp4", film) as writer:
        for index, picture in enumerate(pictures):
            even = np.full((height, width, 3), 255, np.uint8)
            even[: picture.shape[0], : picture.shape[1]] = picture
            shown = Picture(index, index, index / _RATE, even)
            writer.write(shown, even, np.zeros((height, width), np.bool_))
