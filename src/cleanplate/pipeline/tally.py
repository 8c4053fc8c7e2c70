"""What passes through a run: counted, digested, kept where wanted, and put into the report."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cleanplate.errors import MaskError
from cleanplate.masks import MaskSource
from cleanplate.masks.writing import MaskWriter
from cleanplate.pipeline.engine import ALL_COVERED, Finished, Method
from cleanplate.pipeline.models import Chosen
from cleanplate.pipeline.provenance import Origin
from cleanplate.pipeline.report import Report
from cleanplate.pipeline.spans import Seen
from cleanplate.pipeline.stages import Stages
from cleanplate.video import Picture, Reader, VideoInfo, Writer
from cleanplate.video.fields import name_order

Frames = npt.NDArray[np.uint8]
Masks = npt.NDArray[np.bool_]

NOTHING_LEFT = f"{ALL_COVERED}; use a smaller mask (or `invert=True`, if it is the wrong way round)"


class Tally:
    """Counts what passes by, and keeps the masks where that is wanted."""

    def __init__(self, kept: MaskWriter | None, digests: Seen, stages: Stages) -> None:
        self._kept, self._digests, self._stages = kept, digests, stages
        self.seen = 0
        self.done = 0
        self.with_hole = 0
        self.hole_pixels = 0
        self.covered = 0

    def watch(
        self, reader: Reader, source: MaskSource, waiting: deque[Picture]
    ) -> Iterator[tuple[Frames, Masks]]:
        """Frames with their masks for the engine; each picture is put in `waiting` as well.

        Raises MaskError at the end when nothing was left open in any frame.
        """
        for picture in self._stages.watch("decode", reader):
            with self._stages.time("mask"):
                mask = source.mask(picture.index, picture.time)
                if self._kept is not None:
                    self._kept.write(picture, mask)
                self._digests.add(picture.rgb, mask)
            waiting.append(picture)
            self.seen += 1
            marked = int(np.count_nonzero(mask))
            self.with_hole += marked > 0
            self.hole_pixels += marked
            self.covered += marked == mask.size
            yield picture.rgb, mask
        if self.covered and self.covered == self.seen:
            raise MaskError(NOTHING_LEFT)

    def pass_on(self, writer: Writer, picture: Picture, finished: Finished) -> None:
        """Write what the engine made of a picture."""
        with self._stages.time("encode"):
            writer.write(picture, finished.frame, finished.touched)
        self.done += 1

    def report(
        self,
        info: VideoInfo,
        output: Path,
        chosen: Chosen,
        method: Method,
        seconds: float,
        origin: Origin,
    ) -> Report:
        """The run's report; `seconds` is how long it took."""
        notes = [*chosen.notes, *(chosen.filler.notes if chosen.filler else ())]
        if not self.with_hole:
            notes.append(
                "the mask marks nothing in any frame: the output is a plain copy of the input"
            )
        area = info.size.width * info.size.height * max(1, self.done)
        return Report(
            input=str(info.path),
            output=str(output),
            frames=self.done,
            frames_with_hole=self.with_hole,
            hole_share=self.hole_pixels / area,
            size=str(info.size),
            display_size=str(info.display_size),
            rate=str(info.rate),
            field_order=name_order(info.field_order),
            method=method,
            model=chosen.name,
            device=chosen.device,
            precision=chosen.precision,
            seconds=seconds,
            stages=self._stages.seconds(),
            origin=origin.to_json(self._digests.digests()["masks"]),
            notes=notes,
        )
