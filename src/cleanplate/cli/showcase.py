"""Run the demo: remove a ball, and compare the result with the input and the ground truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate import removal
from cleanplate.cli.options import (
    name_options,
)
from cleanplate.errors import tame
from cleanplate.masks import open_mask, read_marked
from cleanplate.research.evaluation.metric import HIGHEST, HolePsnr
from cleanplate.scene import DemoClip, has_photographs, make_demo_clip
from cleanplate.types import Size
from cleanplate.video import Picture, open_reader, open_writer, probe

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Showcase:
    """Paths of the demo's files, and the error against the ground truth.

    Attributes:
        clip: the video with the ball.
        result: the video without it.
        comparison: a picture of input, Telea's result and ours at three moments.
        before_after: a picture of input and result at the middle one of them.
        side_by_side: a video of input and result.
        psnr: decibels in the hole, over the whole clip, against the known truth.
        telea_psnr: the same for Telea's method, frame by frame.
        coding_psnr: the same outside the hole: loss by encoding, and the feathered rim.
        notes: notes on the run, one line each.
    """

    clip: Path
    result: Path
    comparison: Path
    before_after: Path
    side_by_side: Path
    psnr: float
    telea_psnr: float
    coding_psnr: float
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON: paths as strings, numbers with two decimals."""
        return {
            "clip": str(self.clip),
            "result": str(self.result),
            "comparison": str(self.comparison),
            "before_after": str(self.before_after),
            "side_by_side": str(self.side_by_side),
            "psnr_in_hole": round(self.psnr, 2),
            "telea_psnr_in_hole": round(self.telea_psnr, 2),
            "psnr_outside": round(self.coding_psnr, 2),
            "notes": list(self.notes),
        }

    def summary(self) -> list[str]:
        """Format the result for the terminal."""
        lines = [
            f"clip           {self.clip}",
            f"result         {self.result}",
            f"comparison     {self.comparison}",
            f"before, after  {self.before_after}",
            f"side by side   {self.side_by_side}",
            f"PSNR in hole   {self.psnr:.2f} dB (Telea frame by frame: {self.telea_psnr:.2f} dB)",
            f"PSNR outside   {self.coding_psnr:.2f} dB: loss by encoding, and the rim of the fill",
            *(f"note: {note}" for note in self.notes),
        ]
        return [tame(line) for line in lines]


def run_demo(
    folder: Path, frames: int, *, progress: Callable[[int, int | None], None] | None, **options: Any
) -> Showcase:
    """Make everything in `folder`, replacing earlier files; `options` go to `removal.remove`."""
    clip = make_demo_clip(folder, frames)
    source, target = folder / "clip.mp4", folder / "result.mp4"
    _film(clip.frames, source)
    masks = open_mask(clip.masks)
    try:
        report = removal.remove(
            source, target, masks=masks, overwrite=True, progress=progress, **options
        )
    finally:
        masks.close()
    beside = folder / "side-by-side.mp4"
    _film_beside(source, target, beside)
    moments = [round((frames - 1) * share) for share in (0.25, 0.45, 0.65)]
    ours, telea, coding, rows = HolePsnr(), HolePsnr(), HolePsnr(), []
    for index, (frame, truth, hole, result) in enumerate(_walk(clip, target)):
        guess = cv2.inpaint(frame, hole.astype(np.uint8), 3, cv2.INPAINT_TELEA)
        ours.add(result, truth, hole)
        telea.add(guess, truth, hole)
        coding.add(result, truth, ~hole)
        if index in moments:
            rows.append((_outline(frame, hole), guess, result))
        if index == moments[1]:
            pair = frame, result
    picture, simple = folder / "comparison.jpg", folder / "before-after.jpg"
    _draw_comparison(picture, ("input and mask", "Telea, frame by frame", "cleanplate"), rows)
    _draw_comparison(simple, ("before", "after"), [pair])
    return Showcase(
        clip=source,
        result=target,
        comparison=picture,
        before_after=simple,
        side_by_side=beside,
        psnr=_read_psnr(ours),
        telea_psnr=_read_psnr(telea),
        coding_psnr=_read_psnr(coding),
        notes=(*_describe_wall(), *(name_options(note) for note in report.notes)),
    )


def _describe_wall() -> list[str]:
    if has_photographs():
        return []
    return ["the pictures on the wall are drawn; cleanplate[demo] provides photographs"]


def _read_psnr(metric: HolePsnr) -> float:
    """Decibels over the clip."""
    value = metric.result()
    return HIGHEST if value is None else value


def _walk(
    clip: DemoClip, result: Path
) -> Iterator[tuple[Pixels, Pixels, npt.NDArray[np.bool_], Pixels]]:
    """Iterate over frame, ground truth, hole and result."""
    masks = sorted(clip.masks.glob("*.png"))
    with (
        open_reader(clip.frames) as frames,
        open_reader(clip.truth) as truths,
        open_reader(result) as results,
    ):
        for frame, truth, mask, done in zip(frames, truths, masks, results, strict=True):
            yield frame.rgb, truth.rgb, read_marked(mask), done.rgb


def _film(folder: Path, target: Path) -> None:
    """Encode a folder of images as a video."""
    info = probe(folder)
    with (
        open_reader(folder, info) as reader,
        open_writer(target, info, crf=10, overwrite=True) as writer,
    ):
        for picture in reader:
            writer.write(picture, picture.rgb, np.zeros(info.size.shape, np.bool_))


def _film_beside(left: Path, right: Path, target: Path) -> None:
    """Write a side-by-side video, the first input at the left."""
    info = probe(left)
    size = Size(2 * info.size.width, info.size.height)
    wide = replace(info, kind="images", size=size, audio_streams=0)
    with (
        open_reader(left, info) as lefts,
        open_reader(right) as rights,
        open_writer(target, wide, overwrite=True) as writer,
    ):
        for one, other in zip(lefts, rights, strict=True):
            rgb = np.hstack([one.rgb, other.rgb])
            picture = Picture(one.index, one.pts, one.time, rgb)
            writer.write(picture, rgb, np.zeros(size.shape, np.bool_))


def _outline(frame: Pixels, hole: npt.NDArray[np.bool_]) -> Pixels:
    """Draw the rim of the hole into the frame."""
    drawn = frame.copy()
    rims, _ = cv2.findContours(hole.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(drawn, rims, -1, (0, 255, 160), 1, cv2.LINE_AA)
    return drawn


def _draw_comparison(target: Path, titles: Sequence[str], rows: Sequence[Sequence[Pixels]]) -> None:
    """Draw pictures in rows under titles, with white between them."""
    gap = 8
    height, width = rows[0][0].shape[:2]
    canvas = np.full(
        (32 + len(rows) * (height + gap), len(titles) * (width + gap) + gap, 3), 255, np.uint8
    )
    for column, title in enumerate(titles):
        x = gap + column * (width + gap)
        cv2.putText(
            canvas, title, (x, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (40, 40, 40), 1, cv2.LINE_AA
        )
        for row, pictures in enumerate(rows):
            y = 32 + row * (height + gap)
            canvas[y : y + height, x : x + width] = pictures[column]
    target.write_bytes(
        cv2.imencode(".jpg", canvas[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
    )
