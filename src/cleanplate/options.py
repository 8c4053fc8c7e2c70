"""Options of a removal: values, help texts, ranges and units, defined once.

`remove` and `inpaint`, the command line, the jobs of a batch and the reference are derived from
`RemoveOptions`. Texts name other options in backticks; the command line shows them as `--name`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from cleanplate.arguments import (
    MOST_PIXELS,
    MOST_THREADS,
    check_choice,
    check_flag,
    check_memory,
    check_model,
    check_path,
    check_time,
    check_whole,
    deprecate,
    describe_renamed,
    show,
    wrong,
)
from cleanplate.errors import InputError
from cleanplate.machine import Device, check_device

if TYPE_CHECKING:
    import torch
    from torch import nn

Method = Literal["auto", "flow", "network"]
RENAMED_METHODS: Mapping[str, Method] = {"sttn": "network"}
"""Former names of methods, accepted until 0.3."""
Blend = Literal["crossfade", "released"]
Fields = Literal["auto", "on", "off"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Codec = Literal[
    "auto", "h264", "hevc", "av1", "prores", "prores-4444", "dnxhr", "ffv1", "png", "tiff"
]

DEFAULT = "default"
"""Name of the embedded network."""


@dataclass(frozen=True)
class OptionText:
    """Description of an option, for all places where it can be given.

    Attributes:
        text: help text of one or two sentences; other options in backticks.
        check: converts a value, given the option's name; raises InputError.
        unit: placeholder of the value on the command line, such as N for pixels.
        choices: allowed values, if these are words.
        least, most: inclusive bounds of an integer; None: not bounded.
    """

    text: str
    check: Callable[[str, Any], Any]
    unit: str | None = None
    choices: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None


def _say(default: Any, text: OptionText) -> Any:
    return field(default=default, metadata={"text": text})


def _choice(default: str, choices: Any, text: str) -> Any:
    def check(name: str, value: Any) -> str:
        check_choice(name, value, choices)
        return str(value)

    return _say(default, OptionText(text, check, choices=get_args(choices)))


def _flag(default: bool, text: str) -> Any:
    return _say(default, OptionText(text, check_flag))


def _whole(default: int | None, least: int, most: int, text: str, of: str = "") -> Any:
    def check(name: str, value: Any) -> Any:
        return check_whole(name, value, least, most, of, none=default is None)

    return _say(default, OptionText(text, check, "N", least=least, most=most))


def check_method(value: Any) -> Method:
    """Return the method of this name; raise InputError. A former name gives DeprecationWarning."""
    if isinstance(value, str) and value in RENAMED_METHODS:
        renamed = RENAMED_METHODS[value]
        deprecate(describe_renamed(f"method '{value}'", f"'{renamed}'"))
        return renamed
    check_choice("method", value, Method)
    method: Method = value
    return method


X26_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast",
    "medium", "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
"""Presets of x264 and x265, from the fastest to the slowest."""
AV1_PRESETS = tuple(str(number) for number in range(14))
"""Presets of SVT-AV1, from the slowest to the fastest."""


def check_preset(name: str, value: Any) -> str | None:
    """Return the preset of an encoder as text; raise InputError for unknown ones."""
    if value is None:
        return None
    preset = str(value) if type(value) is int else value
    if isinstance(preset, str) and preset in (*X26_PRESETS, *AV1_PRESETS):
        return preset
    raise wrong(name, f"one of {', '.join(X26_PRESETS)}, or 0 to 13", value, none=True)


def _optional_path(name: str, value: Any) -> str | None:
    return None if value is None else check_path(name, value)


_CLEAN = "a list of texts FRAME=IMAGE, or a dict of frames and paths of images"


def check_clean(name: str, value: Any) -> tuple[str, ...]:
    """Convert frames and images to texts "FRAME=IMAGE"; raise InputError."""
    if isinstance(value, str):
        value = (value,)
    if isinstance(value, Mapping):
        value = [f"{frame}={check_path(name, path)}" for frame, path in value.items()]
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise wrong(name, _CLEAN, value)
    for text in value:
        frame, equals, path = text.partition("=")
        if not (frame.strip() and equals and path):
            raise InputError(
                f"`{name}` {show(text)} is no FRAME=IMAGE; write the frame's number or time, an"
                " equals sign and the image, such as 120=wall.png"
            )
    return tuple(value)


def split_clean(clean: Sequence[str] | Mapping[int, str]) -> list[tuple[str, str]]:
    """Frame and path of each text of `clean`, as `check_clean` returns it."""
    parts = [str(text).partition("=") for text in clean]
    return [(frame.strip(), path) for frame, _, path in parts]


@dataclass(frozen=True)
class RemoveOptions:
    """Options of a removal. Construction checks types and ranges and raises InputError.

    NumPy integers, paths and torch devices become plain values. With the input and the masks, all
    but the last eight determine the result.
    """

    method: Method = _say(
        "auto",
        OptionText(
            "auto: fill from other frames, the rest with the network given by `model`, otherwise"
            " with patches of the surroundings. flow: the same without a network. network: only"
            " the network.",
            lambda _, value: check_method(value),
            choices=get_args(Method),
        ),
    )
    model: str | os.PathLike[str] | nn.Module | None = _say(
        None,
        OptionText(
            "Network to use: 'default' (the embedded one) or a checkpoint file. Without it,"
            " `method` auto uses no network, and network uses the embedded one.",
            check_model,
            "NAME|FILE",
        ),
    )
    blend: Blend = _choice(
        "crossfade",
        Blend,
        "How to blend overlapping windows of the network; 'released' matches STTN's released code.",
    )
    dilate: int = _whole(4, 0, MOST_PIXELS, "Grow the mask by N pixels.", "of pixels")
    feather: int = _whole(
        4,
        0,
        MOST_PIXELS,
        "Blend the fill into the frame over N pixels around the mask.",
        "of pixels",
    )
    exact_mask: bool = _flag(
        False,
        "Change no pixel outside the grown and feathered masks. Otherwise up to six frames before"
        " and after a mask that still show the object, short gaps in masks, and soft shadows that"
        " move with the object are filled as well.",
    )
    fields: Fields = _choice(
        "auto",
        Fields,
        "Fill the two fields of interlaced video separately: auto (if the video is flagged as"
        " interlaced), on or off.",
    )
    plates: str | os.PathLike[str] | None = _say(
        None,
        OptionText(
            "Folder that `plates_out` wrote, with plates that you edited: what you painted is"
            " aligned with every frame of the shot and used in the holes.",
            _optional_path,
            "DIR",
        ),
    )
    clean: Sequence[str] | Mapping[int, str] = _say(
        (),
        OptionText(
            "A frame that you painted clean, in full size: FRAME is its number from 0, or its time"
            " such as 4.8 or 1:02.5. It fills the hole of that frame, and is the first source for"
            " the others of the shot.",
            check_clean,
            "FRAME=IMAGE",
        ),
    )
    overlay: str | os.PathLike[str] | None = _say(
        None,
        OptionText(
            "Profile of a half-transparent overlay, as `cleanplate overlay learn` writes it. The"
            " overlay is found, added to the masks, and what shines through is recovered instead"
            " of filled.",
            _optional_path,
            "FILE",
        ),
    )
    start: str | float | None = _say(
        None,
        OptionText(
            "Start of the part to write, in seconds or as 1:02.5: the frame displayed at that time"
            " is the first of the output. Times and frame numbers in other options stay those of"
            " the whole input.",
            check_time,
            "TIME",
        ),
    )
    end: str | float | None = _say(
        None,
        OptionText(
            "End of the part to write: the last frame is the one displayed just before it.",
            check_time,
            "TIME",
        ),
    )
    device: Device | torch.device = _say(
        "auto",
        OptionText(
            "Device that runs the network.",
            lambda _, value: check_device(value),
            choices=("auto", "cpu", "cuda", "mps"),
        ),
    )
    precision: Precision = _choice("auto", Precision, "Floating-point precision of the network.")
    codec: Codec = _choice(
        "auto",
        Codec,
        "Codec of the output. auto: H.264 wherever it holds the input, and PNG in folders. prores:"
        " ProRes 422 HQ. png, tiff: for folders, with 16 bits if the input has more than 8.",
    )
    preset: str | None = _say(
        None,
        OptionText(
            "Preset of the encoder: ultrafast to placebo for H.264 and HEVC, 0 (slowest) to 13 for"
            " AV1.",
            check_preset,
            "NAME",
        ),
    )
    crf: int | None = _whole(
        None,
        0,
        51,
        "Constant rate factor (CRF), 0 to 51: lower means better quality and a larger file."
        " Default: 16.",
    )
    lossless: bool = _flag(False, "Encode the video losslessly.")
    audio: bool = _flag(True, "Copy the sound.")
    keep_going: bool = _flag(False, "Skip frames of a damaged input that cannot be decoded.")
    threads: int | None = _whole(
        None, 1, MOST_THREADS, "Number of threads. Default: one per processor."
    )
    max_memory: int | str | None = _say(
        None,
        OptionText(
            "Memory limit, such as 3GB (1 GB is 1000 MB, 1 GiB is 1024 MiB). A low limit shortens"
            " how far in time pixels are searched.",
            check_memory,
            "SIZE",
        ),
    )
    mask_out: str | os.PathLike[str] | None = _say(
        None,
        OptionText(
            "Also write the masks used, before dilation: to a video, or (no extension) a folder."
            " Passed as `masks` with the same options, they give the same result.",
            _optional_path,
            "PATH",
        ),
    )
    plates_out: str | os.PathLike[str] | None = _say(
        None,
        OptionText(
            "Also write clean plates: for each shot as few finished frames as show what is behind"
            " its holes, to a new folder. Edit them and pass the folder as `plates`.",
            _optional_path,
            "DIR",
        ),
    )
    patch: str | os.PathLike[str] | None = _say(
        None,
        OptionText(
            "Also write only what was made, with alpha, as a layer to lay over the input: to a .mov"
            " (ProRes 4444), or (no extension) a folder of PNGs, or of TIFFs with `codec` tiff.",
            _optional_path,
            "PATH",
        ),
    )
    truth_out: str | os.PathLike[str] | None = _say(
        None,
        OptionText(
            "Also write where each filled pixel is from: green near frames, yellow far ones of the"
            " shot, red made up, blue painted by you, cyan solved. To a lossless video, or (no"
            " extension) a"
            " folder.",
            _optional_path,
            "PATH",
        ),
    )
    resume: bool = _flag(False, "Continue an interrupted run of the same job.")
    journal: bool = _flag(
        True, "Keep finished frames next to the output until it is complete, for `resume`."
    )
    overwrite: bool = _flag(False, "Overwrite existing outputs.")

    def __post_init__(self) -> None:
        for one in fields(self):
            value = one.metadata["text"].check(one.name, getattr(self, one.name))
            object.__setattr__(self, one.name, value)
        if self.lossless and self.crf is not None:
            raise InputError("give `crf` or `lossless`, not both")
        start, end = (float(time or 0) for time in (self.start, self.end))
        if self.end is not None and end <= start:
            raise InputError(f"`end` ({end:g} s) must be later than `start` ({start:g} s)")

    def merge(self, overrides: Mapping[str, Any]) -> RemoveOptions:
        """Return a copy with some options replaced; raise TypeError for unknown names."""
        unknown = sorted(set(overrides) - OPTION_TEXTS.keys())
        if unknown:
            known = ", ".join(OPTION_TEXTS)
            raise TypeError(f"unexpected keyword argument '{unknown[0]}'; known options: {known}")
        return replace(self, **overrides) if overrides else self


OPTION_TEXTS: dict[str, OptionText] = {
    one.name: one.metadata["text"] for one in fields(RemoveOptions)
}
"""Description of each option, by name."""
