"""FFmpeg's `delogo` filter as a baseline, by the `ffmpeg` program.

The FFmpeg inside PyAV's wheel is built without this filter, so the program is asked, if there is
one: raw frames go in and come out, without loss but for the filter's YUV (4:4:4).
"""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Iterator
from tempfile import TemporaryFile

import numpy as np

from cleanplate.errors import CleanplateError
from cleanplate.evaluation.clips import Clip, Frame, Survey, Unsuitable
from cleanplate.types import Box, Size


class Delogo:
    """Interpolates between the pixels around a rectangle at rest."""

    name = "delogo"

    def __init__(self) -> None:
        self._program = shutil.which("ffmpeg")

    def describe(self) -> dict[str, str]:
        """What a report says about it."""
        if self._program is None:
            return {"kind": "FFmpeg's delogo; no ffmpeg on the PATH", "device": "cpu"}
        said = subprocess.run([self._program, "-version"], capture_output=True, check=False)
        version = said.stdout.decode(errors="replace").split("Copyright")[0].strip()
        return {"kind": f"delogo of {version}", "device": "cpu"}

    def fill(self, clip: Clip, found: Survey) -> Iterator[Frame]:
        """The frames with their holes filled; raises Unsuitable where the filter cannot work."""
        program, box = self._program, found.box
        if program is None:
            raise Unsuitable("needs the program ffmpeg, which is not on the PATH")
        if box is None:
            raise Unsuitable("works only on one rectangle at rest, and this mask is none")
        if not _is_inside(box, clip.size):
            raise Unsuitable("needs at least one pixel around the rectangle, which ends at the rim")
        return _filter(_arguments(program, box, clip.size), clip)


def _is_inside(box: Box, size: Size) -> bool:
    right, bottom = box.x + box.width, box.y + box.height
    return box.x > 0 and box.y > 0 and right < size.width and bottom < size.height


def _arguments(program: str, box: Box, size: Size) -> list[str]:
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24"]
    place = f"x={box.x}:y={box.y}:w={box.width}:h={box.height}"
    return [
        *(program, "-nostdin", "-loglevel", "error"),
        *(*raw, "-video_size", str(size), "-i", "pipe:0"),
        *("-vf", f"format=yuv444p,delogo={place}", *raw, "pipe:1"),
    ]


def _filter(arguments: list[str], clip: Clip) -> Iterator[Frame]:
    """The clip's frames as the process gives them back."""
    shape = (*clip.size.shape, 3)
    with TemporaryFile() as given, TemporaryFile() as said:
        for frame, _ in clip.blanked():
            given.write(frame.tobytes())
        given.seek(0)
        process = subprocess.Popen(arguments, stdin=given, stdout=subprocess.PIPE, stderr=said)
        assert process.stdout is not None
        try:
            while data := process.stdout.read(math.prod(shape)):
                yield np.frombuffer(data, np.uint8).reshape(shape)
            process.wait()
        finally:
            process.kill()
            process.communicate()
        if process.returncode:
            said.seek(0)
            raise CleanplateError(f"ffmpeg failed: {said.read().decode(errors='replace').strip()}")
