"""Arguments of the Python interface: reasonable values of any kind work, others are named.

Every refusal is an InputError in one short line that names the argument, what it must be, and what
it is; nothing was read or written before it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import cleanplate
from cleanplate.arguments import describe_bytes, parse_bytes
from cleanplate.errors import InputError
from cleanplate.masks import BoxMask, TimedBox, open_masks
from cleanplate.options import RemoveOptions
from cleanplate.removal import Engine, Report, Span, choose_filler, fill_part
from cleanplate.removal.shots import ArrayMemories
from cleanplate.types import Box, Size

from .conftest import Clip, paint, write_clip

NAN, HUGE = float("nan"), 10**5000
SIZE = (32, 24)
FRAMES = np.stack([paint(number, SIZE) for number in range(4)])
MASKS = np.zeros(FRAMES.shape[:3], np.bool_)
MASKS[:, 4:12, 6:14] = True
BOX = Box(6, 4, 8, 8)
NETWORK = torch.nn.Linear(2, 2)
MARGIN = "must be a whole number of pixels from 0 to 1000, not "
THREADS = "`threads` must be a whole number from 1 to 1024, or None, not "
CRF = "`crf` must be a whole number from 0 to 51, or None, not "
ARRAY = "must be an array, a tensor on the CPU or a list of them, all of one size, not "
BINARY = "must be bool (True = hole), or uint8 of 0 and 1 or of 0 and 255"
PIXELS = "must be a whole number of pixels from"
MASK = "`masks` must be a path, an array, a MaskSource or a list of them, not "
BOXES = '`box` must be a text "X,Y,W,H", a Box, four whole numbers or a list of them, not '
FLAG = "must be True or False, not "
MODEL = "`model` must be 'default', a checkpoint file or a loaded torch.nn.Module, or None, not "


class Broken:
    """Fails whatever NumPy asks of it."""

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        raise RuntimeError("no")


class Named(os.PathLike):  # type: ignore[type-arg]
    """A path that is none of the usual classes."""

    def __init__(self, name: Any) -> None:
        self._name = name

    def __fspath__(self) -> Any:
        return self._name


def _inpaint(path: Path, **given: Any) -> Any:
    return cleanplate.inpaint(**{"frames": FRAMES, "masks": MASKS, "method": "flow", **given})


def _remove(path: Path, **given: Any) -> Any:
    box = {} if "masks" in given else {"box": BOX}
    plain = {"input": path, "output": path.with_name("out.mkv"), "method": "flow", "threads": 1}
    return cleanplate.remove(**{**plain, **box, **given})


def _engine(path: Path, **given: Any) -> Any:
    return Engine(**{"size": Size(*SIZE), "method": "flow", **given})


def _push(path: Path, **given: Any) -> Any:
    return _engine(path).push(**{"frame": FRAMES[0], "mask": MASKS[0], **given})


def _load_model(path: Path, **given: Any) -> Any:
    return cleanplate.load_model(**{"name_or_file": path, **given})


def _fill_part(path: Path, **given: Any) -> Any:
    plain = {"input": path, "folder": path.with_name("part"), "share": range(2)}
    return fill_part(**{**plain, "options": RemoveOptions(method="flow"), "box": BOX, **given})


def _choose_filler(path: Path, **given: Any) -> Any:
    plain = {"model": "default", "method": "flow", "blend": "crossfade"}
    return choose_filler(**{**plain, "device": "cpu", "precision": "fp32", **given})


def _size(path: Path, **given: Any) -> Any:
    return Size(**{"width": 2, "height": 3, **given})


def _box(path: Path, **given: Any) -> Any:
    return Box(**{"x": 1, "y": 2, "width": 3, "height": 4, **given})


def _span(path: Path, **given: Any) -> Any:
    return Span(**{"own": 4, "around": 2, **given})


def _report(path: Path, **given: Any) -> Any:
    texts = ("input", "output", "size", "display_size", "rate", "field_order", "method", "model")
    plain = dict.fromkeys((*texts, "device", "precision"), "x")
    numbers = {"frames": 3, "frames_with_hole": 2, "hole_share": 0.5, "seconds": 1.5}
    return Report(**{**plain, **numbers, **given})


def _parse(path: Path, **given: Any) -> Any:
    return Box.parse(**given)


def _parse_timed(path: Path, **given: Any) -> Any:
    return TimedBox.parse(**given)


CALLS: dict[str, Callable[..., Any]] = {
    "inpaint": _inpaint, "remove": _remove, "Engine": _engine, "push": _push,
    "load_model": _load_model, "fill_part": _fill_part, "choose_filler": _choose_filler,
    "Size": _size, "Box": _box, "Span": _span, "Report": _report, "Box.parse": _parse,
    "TimedBox.parse": _parse_timed,
}  # fmt: skip

WRONG: list[tuple[str, str, Any, str]] = [
    ("inpaint", "frames", None, f"`frames` {ARRAY}None"),
    ("inpaint", "frames", 5, f"`frames` {ARRAY}5"),
    ("inpaint", "frames", "clip.mp4", f"`frames` {ARRAY}'clip.mp4'"),
    ("inpaint", "frames", [], f"`frames` {ARRAY}a list"),
    ("inpaint", "frames", [None], "`frames` must be uint8 RGB (t, h, w, 3) with"),
    ("inpaint", "frames", [FRAMES[0], FRAMES[0, :9]], f"`frames` {ARRAY}a list"),
    ("inpaint", "frames", iter(FRAMES), f"`frames` {ARRAY}an iterator"),
    ("inpaint", "frames", Broken(), f"`frames` {ARRAY}a Broken"),
    ("inpaint", "frames", np.ndarray, f"`frames` {ARRAY}the class ndarray"),
    ("inpaint", "frames", torch.zeros(2, 8, 8, 3, device="meta"), "not a Tensor of torch.float32"),
    ("inpaint", "frames", torch.zeros(2, 8, 8, 3), "not an array of float32 (2, 8, 8, 3)"),
    ("inpaint", "frames", FRAMES / 255, "not an array of float64 (4, 24, 32, 3)"),
    ("inpaint", "frames", FRAMES.astype(object), "not an array of object"),
    ("inpaint", "frames", FRAMES[0], "not an array of uint8 (24, 32, 3)"),
    ("inpaint", "frames", FRAMES[..., :1], "not an array of uint8 (4, 24, 32, 1)"),
    ("inpaint", "frames", FRAMES[:, :0], "with at least one pixel, not an array of uint8 (4, 0,"),
    ("inpaint", "frames", FRAMES[:0], "with at least one pixel, not an array of uint8 (0, 24,"),
    ("inpaint", "frames", FRAMES.tolist(), "not an array of int64 (4, 24, 32, 3)"),
    ("inpaint", "masks", None, f"`masks` {ARRAY}None"),
    ("inpaint", "masks", (mask for mask in MASKS), f"`masks` {ARRAY}a generator"),
    ("inpaint", "masks", MASKS.astype(np.float32), f"`masks` {BINARY}, not an array of float32"),
    ("inpaint", "masks", MASKS.astype(np.int64), f"`masks` {BINARY}, not an array of int64"),
    ("inpaint", "masks", MASKS * np.uint8(7), f"`masks` {BINARY}, but holds 7"),
    ("inpaint", "masks", MASKS[:3], "masks are (3, 24, 32), but frames are (4, 24, 32)"),
    ("inpaint", "masks", MASKS[..., None], "`masks` must be (t, h, w) or (h, w) with"),
    ("inpaint", "masks", MASKS[0, 0], "`masks` must be (t, h, w) or (h, w) with"),
    ("inpaint", "masks", MASKS | True, "the mask covers every pixel of every frame"),
    ("inpaint", "model", b"", "`model` is an empty path"),
    ("inpaint", "model", 3, f"{MODEL}3"),
    ("inpaint", "model", torch.nn.Linear, f"{MODEL}the class Linear"),
    ("inpaint", "model", "", "`model` is an empty path"),
    ("inpaint", "method", "best", "`method` 'best' is unknown; use auto, flow, network"),
    ("inpaint", "method", None, "`method` must be one of auto, flow, network, not None"),
    ("inpaint", "method", ["flow"], "`method` must be one of auto, flow, network, not a list"),
    ("inpaint", "blend", 1, "`blend` must be one of crossfade, released, not 1"),
    ("inpaint", "precision", torch.float16, "`precision` must be one of auto, fp32, bf16, fp16"),
    ("inpaint", "dilate", None, f"`dilate` {MARGIN}None"),
    ("inpaint", "dilate", 1.5, f"`dilate` {MARGIN}1.5"),
    ("inpaint", "dilate", 2.0, f"`dilate` {MARGIN}2.0"),
    ("inpaint", "dilate", NAN, f"`dilate` {MARGIN}nan"),
    ("inpaint", "dilate", True, f"`dilate` {MARGIN}True"),
    ("inpaint", "dilate", "4", f"`dilate` {MARGIN}'4'"),
    ("inpaint", "dilate", -1, f"`dilate` {MARGIN}-1"),
    ("inpaint", "dilate", 1001, f"`dilate` {MARGIN}1001"),
    ("inpaint", "dilate", HUGE, f"`dilate` {MARGIN}an int of thousands of digits"),
    ("inpaint", "dilate", np.float32(2), f"`dilate` {MARGIN}a float32"),
    ("inpaint", "dilate", np.bool_(True), f"`dilate` {MARGIN}a bool"),
    ("inpaint", "dilate", Decimal(2), f"`dilate` {MARGIN}a Decimal"),
    ("inpaint", "dilate", [4], f"`dilate` {MARGIN}a list"),
    ("inpaint", "feather", float("inf"), f"`feather` {MARGIN}inf"),
    ("inpaint", "feather", 1j, f"`feather` {MARGIN}a complex"),
    ("inpaint", "fields", "yes", "`fields` 'yes' is unknown; use auto, on, off"),
    ("inpaint", "fields", np.zeros(2), f"`fields` {FLAG}an array of float64 (2,)"),
    ("inpaint", "options", {"dilate": 1}, "`options` must be RemoveOptions, not a dict"),
    ("inpaint", "fields", 1, f"`fields` {FLAG}1"),
    ("inpaint", "device", "gpu", "`device` 'gpu' is unknown; use auto, cpu, cuda, mps"),
    ("inpaint", "device", None, "`device` must be a torch.device or one of auto, cpu, cuda, mps"),
    ("inpaint", "device", torch.device("meta"), "`device` 'meta' is unknown"),
    ("inpaint", "device", torch.device("cuda:99"), "device 'cuda:99' is not available here"),
    ("inpaint", "threads", -1, f"{THREADS}-1"),
    ("inpaint", "threads", 0, f"{THREADS}0"),
    ("inpaint", "threads", 2.0, f"{THREADS}2.0"),
    ("inpaint", "threads", 10**9, f"{THREADS}1000000000"),
    ("inpaint", "max_memory", -1, "`max_memory` must be a whole number of bytes from 1 to"),
    ("inpaint", "max_memory", 3e9, '`max_memory` must be a number of bytes or a size such as "3'),
    ("inpaint", "max_memory", "lots", "'lots' is no size; give one such as 3GB"),
    ("inpaint", "max_memory", "9" * 999, "999999… is too large; give one such as 3GB"),
    ("inpaint", "max_memory", HUGE, "bytes from 1 to 1152921504606846976, or None, not an int of"),
    ("inpaint", "max_memory", 1000, "`max_memory=0.00GB` is too little for 32x24; give at least"),
    ("inpaint", "progress", 5, "`progress` must be a function, or None, not 5"),
    ("inpaint", "progress", "print", "`progress` must be a function, or None, not 'print'"),
    ("remove", "input", None, "`input` must be a path, not None"),
    ("remove", "input", FRAMES, "`input` must be a path, not an array of uint8 (4, 24, 32, 3)"),
    ("remove", "input", "", "`input` is an empty path"),
    ("remove", "input", "a\0.mp4", "`input` 'a\\x00.mp4' is not the name of a file"),
    ("remove", "input", "\ud800.mp4", "`input` '\\ud800.mp4' is not the name of a file"),
    ("remove", "input", Named(3), "`input` must be a path, not a Named"),
    ("remove", "input", ["clip.mp4"], "`input` must be a path, not a list"),
    ("remove", "output", 3, "`output` must be a path, not 3"),
    ("remove", "output", b"", "`output` is an empty path"),
    ("remove", "mask_out", "", "`mask_out` is an empty path"),
    ("remove", "mask_out", False, "`mask_out` must be a path, not False"),
    ("remove", "plates_out", "", "`plates_out` is an empty path"),
    ("remove", "truth_out", "", "`truth_out` is an empty path"),
    ("remove", "plates", 3, "`plates` must be a path, not 3"),
    ("remove", "clean", 3, "`clean` must be a list of texts FRAME=IMAGE, or a dict of frames and"),
    ("remove", "clean", [3], "`clean` must be a list of texts FRAME=IMAGE, or a dict of frames"),
    ("remove", "clean", ["3"], "`clean` '3' is no FRAME=IMAGE"),
    ("remove", "clean", {3: 4}, "`clean` must be a path, not 4"),
    ("remove", "start", [3], "`start` must be a time in seconds, or a text such as \"1:02.5\", or"),
    ("remove", "start", "", "`start` '' is no time; write seconds, MM:SS or HH:MM:SS, such as"),
    ("remove", "start", 1e6, "`start` is 1e+06 s, but 'clip.mkv' ends at 0.16 s"),
    ("remove", "end", -1, "`end` must be a number from 0 to 1e+10, not -1"),
    ("remove", "end", NAN, "`end` must be a number from 0 to 1e+10, not nan"),
    ("remove", "end", 0, "`end` (0 s) must be later than `start` (0 s)"),
    ("remove", "masks", None, f"{MASK}None"),
    ("remove", "masks", 7, f"{MASK}7"),
    ("remove", "masks", BOX, f"{MASK}a Box"),
    ("remove", "masks", BoxMask, f"{MASK}the class BoxMask"),
    ("remove", "masks", (mask for mask in MASKS), f"{MASK}a generator"),
    ("remove", "masks", {"a": MASKS}, f"{MASK}a dict"),
    ("remove", "masks", "", "`masks` is an empty path"),
    ("remove", "masks", [], "no mask given"),
    ("remove", "masks", [[]], f"`masks` {ARRAY}a list"),
    ("remove", "masks", np.array(["a.png"]), f"`masks` {BINARY}, not an array of <U5 (1,)"),
    ("remove", "masks", MASKS[:3], "`masks` holds 3 masks but the video has 4 frames"),
    ("remove", "masks", MASKS[:, 1:], "mask array is 32x23 but the video is 32x24"),
    ("remove", "masks", MASKS.astype(float), f"`masks` {BINARY}, not an array of float64"),
    ("remove", "masks", MASKS | True, "the mask covers every pixel of every frame"),
    ("remove", "masks", MASKS[0] | True, "the mask covers every pixel of every frame"),
    ("remove", "box", None, f"{BOXES}None"),
    ("remove", "box", 5, f"{BOXES}5"),
    ("remove", "box", [1, 2, 3], f"{BOXES}1"),
    ("remove", "box", (1.0, 2.0, 3.0, 4.0), f"{BOXES}1.0"),
    ("remove", "box", [True] * 4, f"{BOXES}True"),
    ("remove", "box", [(1, 2, 3, 4), (1, 2)], f"{BOXES}a tuple"),
    ("remove", "box", (1, 1, 0, 5), "box 1,1,0,5 has no size"),
    ("remove", "box", (1, 1, -5, 5), f"`Box.width` {PIXELS} 0 to 4294967295, not -5"),
    ("remove", "box", (40, 1, 5, 5), "box 40,1,5,5 is outside the frame, which is 32x24"),
    ("remove", "box", b"1,1,5,5", f"{BOXES}b'1,1,5,5'"),
    ("remove", "box", "1,1,5", "box '1,1,5' is not X,Y,W,H in whole pixels"),
    ("remove", "crf", 52, f"{CRF}52"),
    ("remove", "crf", 18.0, f"{CRF}18.0"),
    ("remove", "crf", "18", f"{CRF}'18'"),
    ("remove", "crf", True, f"{CRF}True"),
    ("remove", "codec", "mpeg2", "`codec` 'mpeg2' is unknown; use auto, h264, hevc, av1, prores,"),
    ("remove", "codec", None, "`codec` must be one of auto, h264,"),
    ("remove", "preset", "quick", "`preset` must be one of ultrafast,"),
    ("remove", "preset", 14, "or 0 to 13, or None, not 14"),
    ("remove", "patch", 5, "`patch` must be a path, not 5"),
    ("remove", "lossless", 1, f"`lossless` {FLAG}1"),
    ("remove", "audio", None, f"`audio` {FLAG}None"),
    ("remove", "resume", "yes", f"`resume` {FLAG}'yes'"),
    ("remove", "journal", 0, f"`journal` {FLAG}0"),
    ("remove", "keep_going", [], f"`keep_going` {FLAG}a list"),
    ("remove", "overwrite", NAN, f"`overwrite` {FLAG}nan"),
    ("remove", "fields", True, "`fields` must be one of auto, on, off, not True"),
    ("remove", "parts", 4, "`parts` must be a path or a list of paths, not 4"),
    ("remove", "parts", [None], "`parts` must be a path, not None"),
    ("remove", "progress", object(), "`progress` must be a function, or None, not an object"),
    ("Engine", "size", None, "`size` must be a Size(width, height), not None"),
    ("Engine", "size", (32, 24), "`size` must be a Size(width, height), not a tuple"),
    ("Engine", "size", Size(0, 24), "`size` must have at least one pixel, not 0x24"),
    ("Engine", "filler", NETWORK, "`filler` must be an object with region and fill, or None"),
    ("Engine", "method", "network", "`method='network'` needs a network; give its `filler`"),
    ("Engine", "method", "all", "`method` 'all' is unknown"),
    ("Engine", "dilate", -3, f"`dilate` {MARGIN}-3"),
    ("Engine", "feather", 0.5, f"`feather` {MARGIN}0.5"),
    ("Engine", "fields", None, f"`fields` {FLAG}None"),
    ("Engine", "span", 8, "`span` must be a Span, or None, not 8"),
    ("Engine", "split_shots", 1, f"`split_shots` {FLAG}1"),
    ("Engine", "threads", "2", f"{THREADS}'2'"),
    ("Engine", "store", {}, "`store` must be an object with load and save, or None, not a dict"),
    ("Engine", "share", 5, "`share` must be a range of frame numbers, or None, not 5"),
    ("Engine", "stages", "x", "`stages` must be Stages, or None, not 'x'"),
    ("Engine", "copy", 2, f"`copy` {FLAG}2"),
    ("push", "frame", None, f"`frame` {ARRAY}None"),
    ("push", "frame", FRAMES, "`frame` must be uint8 RGB (24, 32, 3), not an array of uint8 (4,"),
    ("push", "frame", FRAMES[0] / 255, "not an array of float64 (24, 32, 3)"),
    ("push", "mask", "mask.png", f"`mask` {ARRAY}'mask.png'"),
    ("push", "mask", MASKS, "`mask` must be bool (24, 32), not an array of bool (4, 24, 32)"),
    ("push", "mask", MASKS[0] * np.uint8(128), f"`mask` {BINARY}, but holds 128"),
    ("load_model", "name_or_file", None, "`name_or_file` must be a path, not None"),
    ("load_model", "name_or_file", NETWORK, "`name_or_file` must be a path, not a Linear"),
    ("load_model", "name_or_file", "", "`name_or_file` is an empty path"),
    ("load_model", "name_or_file", "absent.pth", "no checkpoint 'absent.pth'"),
    ("load_model", "device", "gpu", "`device` 'gpu' is unknown"),
    ("load_model", "device", 0, "`device` must be a torch.device or one of"),
    ("load_model", "device", "cuda:99", "device 'cuda:99' is not available here"),
    ("load_model", "masked", "yes", f"`masked` {FLAG}'yes'"),
    ("fill_part", "input", 1, "`input` must be a path, not 1"),
    ("fill_part", "folder", None, "`folder` must be a path, not None"),
    ("fill_part", "share", 8, "`share` must be a range of frame numbers, not 8"),
    ("fill_part", "options", {}, "`options` must be RemoveOptions, not a dict"),
    ("fill_part", "box", [None], f"{BOXES}None"),
    ("fill_part", "progress", 1, "`progress` must be a function, or None, not 1"),
    ("choose_filler", "model", 1.5, f"{MODEL}1.5"),
    ("choose_filler", "device", "tpu", "`device` 'tpu' is unknown"),
    ("choose_filler", "precision", 32, "`precision` must be one of"),
    ("Size", "width", -1, f"`Size.width` {PIXELS} 0 to 4294967295, not -1"),
    ("Size", "height", 24.0, f"`Size.height` {PIXELS} 0 to 4294967295, not 24.0"),
    ("Size", "width", "32", f"`Size.width` {PIXELS} 0 to 4294967295, not '32'"),
    ("Size", "width", HUGE, f"`Size.width` {PIXELS} 0 to 4294967295, not an int of"),
    ("Box", "x", None, f"`Box.x` {PIXELS} -4294967295 to 4294967295, not None"),
    ("Box", "y", NAN, f"`Box.y` {PIXELS} -4294967295 to 4294967295, not nan"),
    ("Box", "width", -3, f"`Box.width` {PIXELS} 0 to 4294967295, not -3"),
    ("Box", "height", True, f"`Box.height` {PIXELS} 0 to 4294967295, not True"),
    ("Span", "own", 0, "`Span.own` must be a whole number of frames of at least 1, not 0"),
    ("Span", "around", -1, "`Span.around` must be a whole number of frames of at least 0, not -1"),
    ("Report", "frames", "3", "`Report.frames` must be a whole number of at least 0, not '3'"),
    ("Report", "frames", -1, "`Report.frames` must be a whole number of at least 0, not -1"),
    ("Report", "hole_share", NAN, "`Report.hole_share` must be a number of at least 0, not nan"),
    ("Report", "seconds", None, "`Report.seconds` must be a number of at least 0, not None"),
    ("Box.parse", "text", 5, "`box` must be a text such as 20,30,200,80, not 5"),
    ("Box.parse", "text", "1" * 5000, "box '111111"),
    ("Box.parse", "text", "1,2,0,4", "box '1,2,0,4' has no size"),
    ("TimedBox.parse", "text", None, "`box` must be a text such as 20,30,200,80@3-7.5, not None"),
    ("TimedBox.parse", "text", "1,2,3,4@" + "9" * 5000, "has no span START-END behind @"),
]  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("arguments") / "clip.mkv"
    return write_clip(path, Clip(codec="ffv1", pixel_format="yuv420p", size=SIZE, frames=4))


@pytest.mark.parametrize(
    ("call", "name", "value", "words"),
    WRONG,
    ids=[f"{number}-{row[0]}-{row[1]}" for number, row in enumerate(WRONG)],
)
def test_a_wrong_argument_is_named(call: str, name: str, value: Any, words: str, source) -> None:
    with pytest.raises(InputError) as caught:
        CALLS[call](source, **{name: value})
    said = str(caught.value)
    assert words in said
    assert said.isprintable()
    assert len(said) < 250
    assert "--" not in said
    assert os.listdir(source.parent) == [source.name]


LISTED = list(FRAMES)
MARKED = MASKS.astype(np.uint8)
ARRAYS: dict[str, tuple[Any, Any]] = {
    "lists of arrays": (LISTED, list(MASKS)),
    "lists of tensors": (tuple(map(torch.tensor, LISTED)), [torch.tensor(one) for one in MASKS]),
    "tensors": (torch.tensor(FRAMES), torch.tensor(MASKS)),
    "masks of 0 and 1": (FRAMES, MARKED),
    "masks of 0 and 255": (FRAMES, MARKED * 255),
    "one mask": (FRAMES, MASKS[0]),
    "one mask of 255 in a list of lists": (FRAMES, MASKS[0].tolist()),
    "column by column": (np.asfortranarray(FRAMES), np.asfortranarray(MASKS)),
    "backwards": (
        np.ascontiguousarray(FRAMES[::-1, ::-1, ::-1])[::-1, ::-1, ::-1],
        np.ascontiguousarray(MASKS[:, :, ::-1])[:, :, ::-1],
    ),
    "read-only": (np.frombuffer(FRAMES.tobytes(), np.uint8).reshape(FRAMES.shape), MASKS),
    "buffers": (memoryview(FRAMES), memoryview(MASKS)),
    "cut out of larger ones": (np.repeat(np.repeat(FRAMES, 2, 3), 2, 1)[:, ::2, :, ::2], MASKS),
}


@functools.cache
def fill() -> np.ndarray:
    return cleanplate.inpaint(FRAMES, MASKS, method="flow", dilate=2, feather=1, threads=2)


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_of_any_kind_are_the_same(kind: str) -> None:
    frames, masks = ARRAYS[kind]
    made = cleanplate.inpaint(frames, masks, method="flow", dilate=2, feather=1, threads=2)
    np.testing.assert_array_equal(made, fill())


def test_options_of_any_kind_are_the_same() -> None:
    made = cleanplate.inpaint(
        FRAMES,
        MASKS,
        model=Path("default"),
        method="flow",
        dilate=np.int64(2),
        feather=np.uint8(1),  # type: ignore[arg-type]
        fields=np.bool_(False),  # type: ignore[arg-type]
        device=torch.device("cpu"),
        threads=np.int32(2),  # type: ignore[arg-type]
        max_memory=np.int64(10**12),
    )
    np.testing.assert_array_equal(made, fill())


@pytest.mark.parametrize("kind", ["lists of arrays", "tensors", "masks of 0 and 255", "backwards"])
def test_the_engine_takes_arrays_of_any_kind(kind: str) -> None:
    frames, masks = ARRAYS[kind]
    memories = ArrayMemories(FRAMES, MASKS, split_shots=True, rim=3)
    engine = Engine(
        Size(*map(np.int64, SIZE)),
        method="flow",
        dilate=2,
        feather=1,
        threads=2,
        memories=memories,
    )
    done = []
    for frame, mask in zip(frames, masks, strict=True):
        done += engine.push(frame, mask)
    done += engine.finish()
    np.testing.assert_array_equal([one.frame for one in done], fill())


PLACES: dict[str, dict[str, Any]] = {
    "a Box": {"box": BOX},
    "a Box of NumPy numbers": {"box": Box(*np.array([6, 4, 8, 8]))},
    "a TimedBox": {"box": TimedBox(BOX)},
    "a tuple": {"box": (6, 4, 8, 8)},
    "a list": {"box": [6, 4, 8, 8]},
    "an array": {"box": np.array([6, 4, 8, 8])},
    "several": {"box": ["6,4,8,4", (6, 8, 8, 4)]},
    "rows of an array": {"box": np.array([[6, 4, 8, 4], [6, 8, 8, 4]])},
    "a mask": {"masks": MASKS[0]},
    "masks": {"masks": MASKS},
    "masks of 0 and 255": {"masks": MARKED * 255},
    "a tensor": {"masks": torch.tensor(MASKS)},
    "a list of masks": {"masks": list(MASKS)},
    "a source": {"masks": BoxMask([BOX])},
    "a source and an array": {"masks": [BoxMask([Box(6, 4, 8, 4)]), MASKS]},
}


@pytest.mark.parametrize("kind", PLACES)
def test_places_of_any_kind_are_the_same(kind: str, source: Path) -> None:
    from cleanplate.video import probe

    given = PLACES[kind]
    masks = open_masks(given.get("masks", ()), given.get("box", ()))
    masks.prepare(probe(source))
    found = [masks.mask(number, number) for number in range(len(MASKS))]
    np.testing.assert_array_equal(found, MASKS)


def test_paths_of_any_kind_are_the_same(source: Path, tmp_path: Path) -> None:
    contents = []
    for number, path in enumerate((source, str(source), bytes(source), Named(str(source)))):
        output = os.fsencode(tmp_path / f"{number}.mkv")
        masks = os.fsencode(tmp_path / f"masks-{number}.mkv")
        report = cleanplate.remove(path, output, box=BOX, method="flow", mask_out=masks, threads=1)
        assert report.input == str(source)
        assert report.output == os.fsdecode(output)
        contents.append((tmp_path / f"{number}.mkv").read_bytes())
        assert (tmp_path / f"masks-{number}.mkv").exists()
    assert len(set(contents)) == 1


def test_a_box_over_the_edge_is_in_the_report_once(source: Path, tmp_path: Path) -> None:
    boxes = [Box(28, -2, 9, 8), "28,-2,9,8@0-1"]
    report = cleanplate.remove(source, tmp_path / "r.mkv", box=boxes, method="flow", threads=1)
    cut = "cut at the edge of the frame (32x24): box 28,-2,9,8 to 28,0,4,6"
    assert [note for note in report.notes if "edge" in note] == [cut]


def test_a_mask_for_each_frame_is_removed_from_a_video(source: Path, tmp_path: Path) -> None:
    moving = np.stack([np.roll(MASKS[0], 3 * number, axis=1) for number in range(4)])
    report = cleanplate.remove(
        source, tmp_path / "r.mkv", masks=moving, mask_out=tmp_path / "m", method="flow", threads=1
    )
    assert report.hole_share == pytest.approx(moving.mean())
    again = cleanplate.remove(
        source, tmp_path / "again.mkv", masks=tmp_path / "m", method="flow", threads=1
    )
    assert again.origin["checksums"]["masks"] == report.origin["checksums"]["masks"]


def test_a_network_that_makes_something_else_is_named() -> None:
    class Wrong(torch.nn.Module):
        def forward(self, frames: torch.Tensor, masks: torch.Tensor) -> Any:
            return frames[:, :, :1]

    with pytest.raises(
        InputError, match=r"`model` must make a tensor \(1, 4, 3, .* not a Tensor of torch"
    ):
        cleanplate.inpaint(FRAMES, MASKS, model=Wrong())
    with pytest.raises(InputError, match="`model` must be a network whose forward takes"):
        cleanplate.inpaint(FRAMES, MASKS, model=NETWORK)


@pytest.mark.parametrize(
    ("text", "size"),
    [("3GB", 3 * 10**9), ("800mb", 8 * 10**8), ("1.5 GiB", 3 * 2**29), ("123", 123), ("2k", 2000)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1GB", "3 giga", "1,5GB", "0", "0.5B", "9" * 400])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="such as 3GB"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 bytes"), (5, "5 bytes"), (999, "999 bytes"), (1500, "1.5 KB"), (999_700, "1 MB"),
        (3e6, "3 MB"), (2e9, "2 GB"), (1.0995e12, "1.1 TB"),
    ],
)  # fmt: skip
def test_sizes_for_people_are_read_back(count: float, said: str) -> None:
    assert describe_bytes(count) == said
    if count >= 1000:
        assert parse_bytes(said) == pytest.approx(count, rel=0.01)


def test_there_are_enough_wrong_arguments() -> None:
    assert len(WRONG) >= 150
