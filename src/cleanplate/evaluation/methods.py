"""What is compared: methods by name, checkpoints, and results of other programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from cleanplate import model as networks
from cleanplate.errors import InputError
from cleanplate.evaluation.baselines import FrameByFrame, TemporalMedian
from cleanplate.evaluation.clips import Clip, Frame, Survey, turn_upright
from cleanplate.evaluation.delogo import Delogo
from cleanplate.machine import Device
from cleanplate.model.weights import EMBEDDED
from cleanplate.pipeline import Engine, choose_filler
from cleanplate.pipeline.engine import Method as Way
from cleanplate.pipeline.models import DEFAULT, Precision
from cleanplate.video import open_reader, probe
from cleanplate.video.images import SUFFIXES

OURS: tuple[Way, ...] = ("auto", "sttn", "flow")
NAMES = (*OURS, "telea", "navier-stokes", "median", "delogo")


class Method(Protocol):
    """Fills the holes of a clip."""

    name: str

    def describe(self) -> dict[str, str]:
        """What a report says about it: `kind`, `device`, and weights with their checksum."""
        ...

    def fill(self, clip: Clip, found: Survey) -> Iterator[Frame]:
        """A frame (h, w, 3) of the clip's size for each of its frames, in order.

        Only what is inside holes is looked at. Raises Unsuitable where the method is not made for
        such holes, and any other error where it fails.
        """
        ...


class Pipeline:
    """cleanplate itself: masks are taken as they are, neither grown nor feathered."""

    def __init__(self, name: str, way: Way, model: str, device: Device, precision: Precision):
        self.name, self._way = name, way
        self._chosen = choose_filler(
            model, method=way, blend="crossfade", device=device, precision=precision
        )

    def describe(self) -> dict[str, str]:
        """What a report says about it."""
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
        """The frames with their holes filled."""
        engine = Engine(clip.size, filler=self._chosen.filler, method=self._way)
        for frame, mask in clip.blanked():
            yield from (finished.frame for finished in engine.push(frame, mask))
        yield from (finished.frame for finished in engine.finish())


class Results:
    """What another program made: `FOLDER/SEQUENCE/MASK`, or `FOLDER/SEQUENCE` for all masks.

    Each is a folder of images, or a video with that name and a suffix.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self._folder = name, folder

    def describe(self) -> dict[str, str]:
        """What a report says about it."""
        return {"kind": "results of another program", "files": str(self._folder.resolve())}

    def fill(self, clip: Clip, found: Survey) -> Iterator[Frame]:
        """The frames as they lie there."""
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
    texts: Sequence[str], *, model: str, device: Device, precision: Precision
) -> list[Method]:
    """Make ready what was asked for.

    Args:
        texts: of NAMES, or `NAME=FOLDER` with results of another program, `NAME=CHECKPOINT` for a
            network alone, `NAME=auto:CHECKPOINT` for it behind the propagation.
        model: the network of `auto` and `sttn`.
        device: of networks.
        precision: of networks.

    Raises:
        InputError: an unknown or repeated name, a file that is not there.
        WeightsError: weights that cannot be loaded.
    """
    names = [text.partition("=")[0] for text in texts]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"method '{name}' is named twice; give each a name of its own")
    if not names:
        raise InputError(f"no method to evaluate; name some of {', '.join(NAMES)}")
    return [_choose_method(text, model, device, precision) for text in texts]


def _choose_method(text: str, model: str, device: Device, precision: Precision) -> Method:
    name, is_named, value = text.partition("=")
    if is_named:
        _check_name(name, value)
        if Path(value).is_dir():
            return Results(name, Path(value))
        way: Way = "auto" if value.startswith("auto:") else "sttn"
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
