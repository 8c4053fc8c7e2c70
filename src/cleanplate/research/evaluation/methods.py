"""Methods to compare: cleanplate, checkpoints, baselines, results of other programs."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Protocol

import cv2
import numpy as np

from cleanplate import network as networks
from cleanplate.errors import CleanplateError, InputError
from cleanplate.machine import Device
from cleanplate.network.weights import EMBEDDED
from cleanplate.options import DEFAULT, RENAMED_METHODS, Precision, check_method
from cleanplate.options import Method as Way
from cleanplate.removal import Engine, choose_filler
from cleanplate.removal.shots import ArrayMemories
from cleanplate.research.evaluation.clips import Clip, Frame, Mask, Survey, Unsuitable
from cleanplate.types import Box, Size
from cleanplate.video import open_reader, probe, turn_upright
from cleanplate.video.images import SUFFIXES

RADIUS = 5
"""Radius of both OpenCV methods in pixels, as in the published table of the footage."""


class FrameByFrame:
    """Baseline: fill each frame on its own with OpenCV's `inpaint`.

    `telea` is Telea's fast marching (2004), `navier-stokes` Bertalmio et al. (2001).
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._algorithm = {"telea": cv2.INPAINT_TELEA, "navier-stokes": cv2.INPAINT_NS}[name]

    def describe(self) -> dict[str, str]:
        """Description for the report."""
        return {"kind": f"OpenCV {cv2.__version__}, radius {RADIUS}", "device": "cpu"}

    def fill(self, clip: Clip, found: Survey) -> Iterator[Frame]:
        """Yield the filled frames."""
        for frame, mask in clip.blanked():
            yield _inpaint(frame, mask, self._algorithm)


class TemporalMedian:
    """Baseline: one plate for the whole clip, the temporal median of each pixel outside holes.

    Telea's method fills the plate where all frames have a hole.
    """

    name = "median"

    def describe(self) -> dict[str, str]:
        """Description for the report."""
        return {"kind": "temporal median", "device": "cpu"}

    def fill(self, clip: Clip, found: Survey) -> Iterator[Frame]:
        """Yield the filled frames."""
        plate = make_plate(clip)
        for frame, mask in clip.blanked():
            frame[mask] = plate[mask]
            yield frame


def make_plate(clip: Clip) -> Frame:
    """Compute the median plate of `clip`, uint8 `(h, w, 3)`.

    The clip is stored in a file instead of memory, and read row by row.
    """
    height, width = clip.size.shape
    plate = np.zeros((height, width, 3), np.uint8)
    unseen = np.zeros((height, width), np.uint8)
    with TemporaryFile() as frames_file, TemporaryFile() as masks_file:
        for frame, mask in clip.blanked():
            frames_file.write(frame.tobytes())
            masks_file.write(mask.tobytes())
        for file in (frames_file, masks_file):
            file.flush()
            os.fsync(file.fileno())
        shape = (clip.count, height, width)
        frames = np.memmap(frames_file, np.uint8, "r", shape=(*shape, 3))
        masks = np.memmap(masks_file, np.bool_, "r", shape=shape)
        for row in range(height):
            unseen[row] = masks[:, row].all(0)
            seen = ~unseen[row].astype(np.bool_)
            if seen.any():
                shown = frames[:, row][:, seen].astype(np.float32)
                shown[masks[:, row][:, seen]] = np.nan
                plate[row, seen] = np.nanmedian(shown, axis=0)
    return _inpaint(plate, unseen, cv2.INPAINT_TELEA)


def _inpaint(frame: Frame, mask: Mask | Frame, algorithm: int) -> Frame:
    if not mask.any():
        return frame
    return np.asarray(cv2.inpaint(frame, mask.astype(np.uint8), RADIUS, algorithm), np.uint8)


class Delogo:
    """Baseline: interpolate between the pixels around a static rectangle with FFmpeg's delogo."""

    name = "delogo"

    def __init__(self) -> None:
        self._program = shutil.which("ffmpeg")

    def describe(self) -> dict[str, str]:
        """Description for the report."""
        if self._program is None:
            return {"kind": "FFmpeg's delogo; no ffmpeg on the PATH", "device": "cpu"}
        said = subprocess.run([self._program, "-version"], capture_output=True, check=False)
        version = said.stdout.decode(errors="replace").split("Copyright")[0].strip()
        return {"kind": f"delogo of {version}", "device": "cpu"}

    def fill(self, clip: Clip, found: Survey) -> Iterator[Frame]:
        """Yield the filled frames; raise Unsuitable if the filter does not support the hole."""
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
    """Yield the clip's frames from the process's output."""
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


OURS: tuple[Way, ...] = ("auto", "flow", "network")
NAMES = (*OURS, "telea", "navier-stokes", "median", "delogo")


class Method(Protocol):
    """Method that fills the holes of a clip."""

    name: str

    def describe(self) -> dict[str, str]:
        """Description for the report: `kind`, `device`, and weights with their checksum."""
        ...

    def fill(self, clip: Clip, found: Survey) -> Iterator[Frame]:
        """Yield a filled frame `(h, w, 3)` for each frame of the clip, in order.

        Only pixels inside holes are scored. Raises Unsuitable if the method does not support such
        holes, and any other error if it fails.
        """
        ...


class Pipeline:
    """cleanplate itself, without dilation and feather."""

    def __init__(
        self, name: str, way: Way, model: str | None, device: Device, precision: Precision
    ):
        self.name, self._way = name, way
        self._chosen = choose_filler(
            model, method=way, blend="crossfade", device=device, precision=precision
        )

    def describe(self) -> dict[str, str]:
        """Description for the report."""
        chosen = self._chosen
        about = {"kind": f"cleanplate, method {self._way}", "device": chosen.device}
        if chosen.notes:
            about["note"] = "; ".join(chosen.notes)
        if chosen.name is None:
            return about | {"model": "none"}
        file = EMBEDDED if chosen.name == DEFAULT else Path(chosen.name)
        return about | {
            "model": chosen.name,
            "weights": networks.checksum(file),
            "precision": chosen.precision,
        }

    def fill(self, clip: Clip, found: Survey) -> Iterator[Frame]:
        """Yield the filled frames."""
        frames, masks = (np.stack(column) for column in zip(*clip.blanked(), strict=True))
        engine = Engine(
            clip.size,
            filler=self._chosen.filler,
            method=self._way,
            memories=ArrayMemories(frames, masks, split_shots=True),
        )
        for frame, mask in zip(frames, masks, strict=True):
            yield from (finished.frame for finished in engine.push(frame, mask))
        yield from (finished.frame for finished in engine.finish())


class Results:
    """Results of another program: `FOLDER/SEQUENCE/MASK`, or `FOLDER/SEQUENCE` for all masks.

    Each is a folder of images, or a video with that name and a suffix.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self._folder = name, folder

    def describe(self) -> dict[str, str]:
        """Description for the report."""
        return {"kind": "results of another program", "files": str(self._folder.resolve())}

    def fill(self, clip: Clip, found: Survey) -> Iterator[Frame]:
        """Yield the stored frames unchanged."""
        path = self._find(clip)
        info = probe(path)
        if (info.frame_count, info.display_size) != (clip.count, clip.size):
            raise InputError(
                f"'{path}' has {info.frame_count} frames of {info.display_size}, but"
                f" {clip.count} of {clip.size} are scored; make them again in that number and size"
            )
        with open_reader(path, info) as pictures:
            for picture in pictures:
                yield turn_upright(picture.rgb, info)

    def _find(self, clip: Clip) -> Path:
        sequence = self._folder / clip.case.sequence
        for place in (sequence / clip.case.mask, sequence):
            beside = place.parent.glob(f"{place.name}.*") if place.parent.is_dir() else ()
            found = [path for path in sorted(beside) if path.is_file()]
            if place.is_dir() and any(path.suffix.lower() in SUFFIXES for path in place.iterdir()):
                return place
            if found:
                return found[0]
        raise InputError(f"'{sequence}' holds no images; put the result's frames there")


def choose_methods(
    texts: Sequence[str], *, model: str | None, device: Device, precision: Precision
) -> list[Method]:
    """Prepare the requested methods.

    Args:
        texts: names of NAMES, `NAME=FOLDER` for results of another program, `NAME=CHECKPOINT` for a
            network alone, or `NAME=auto:CHECKPOINT` for a network after propagation.
        model: network of `auto` and `network`; None: as in `cleanplate remove`.
        device: device of networks.
        precision: precision of networks.

    Raises:
        InputError: a name is unknown or repeated, or a file is missing.
        WeightsError: weights cannot be loaded.
    """
    texts = [check_method(text) if text in RENAMED_METHODS else text for text in texts]
    names = [text.partition("=")[0] for text in texts]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"method '{name}' is named twice; give each its own name")
    if not names:
        raise InputError(f"no method to evaluate; name some of {', '.join(NAMES)}")
    return [_choose_method(text, model, device, precision) for text in texts]


def _choose_method(text: str, model: str | None, device: Device, precision: Precision) -> Method:
    name, is_named, value = text.partition("=")
    if is_named:
        _check_name(name, value)
        if Path(value).is_dir():
            return Results(name, Path(value))
        way: Way = "auto" if value.startswith("auto:") else "network"
        return Pipeline(name, way, value.removeprefix("auto:"), device, precision)
    if name in OURS:
        return Pipeline(name, name, model, device, precision)
    if name in ("telea", "navier-stokes"):
        return FrameByFrame(name)
    if name in ("median", "delogo"):
        return TemporalMedian() if name == "median" else Delogo()
    raise InputError(
        f"no method '{name}'; use {', '.join(NAMES)}, or NAME=FOLDER or NAME=CHECKPOINT"
    )


def _check_name(name: str, value: str) -> None:
    if not name or name in NAMES or not name.replace("-", "").replace("_", "").isalnum():
        raise InputError(
            f"'{name}={value}': choose another name, of letters, digits, '-' and '_', that is no"
            " method's own"
        )
    file = value.removeprefix("auto:")
    if file != DEFAULT and not Path(file).exists():
        raise InputError(f"'{name}={value}': '{file}' does not exist; give a folder or checkpoint")
