"""Options that several commands share, so that they read and behave the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

method_option = click.option(
    "--method",
    type=click.Choice(["auto", "sttn", "flow"]),
    default="auto",
    show_default=True,
    help="auto: what other frames saw, then the network that --model FILE names, if any;"
    " sttn: the network only; flow: what other frames saw only.",
)
model_option = click.option(
    "--model",
    default="default",
    show_default=True,
    metavar="NAME|FILE",
    help="The network: 'default' or a checkpoint file.",
)
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="Where to compute.",
)
precision_option = click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    default="auto",
    show_default=True,
    help="Numbers that the network computes with.",
)
blend_option = click.option(
    "--blend",
    type=click.Choice(["crossfade", "released"]),
    default="crossfade",
    show_default=True,
    help="How overlapping windows meet; 'released' is as STTN's released code does it.",
)
dilate_option = click.option(
    "--dilate",
    type=click.IntRange(0, 1000),
    default=4,
    show_default=True,
    metavar="N",
    help="Grow the mask by N pixels.",
)
feather_option = click.option(
    "--feather",
    type=click.IntRange(0, 1000),
    default=4,
    show_default=True,
    metavar="N",
    help="Blend into the picture over N pixels around the mask.",
)

fields_option = click.option(
    "--fields",
    type=click.Choice(["auto", "on", "off"]),
    default="auto",
    show_default=True,
    help="Fill the two fields of interlaced video as two clips: as the video's flags say, always,"
    " or never.",
)
invert_option = click.option("--invert", is_flag=True, help="Remove what --mask leaves black.")
mask_threshold_option = click.option(
    "--mask-threshold",
    type=click.IntRange(0, 254),
    default=127,
    show_default=True,
    metavar="N",
    help="A mask's values above N (0..255) are marked.",
)
crf_option = click.option(
    "--crf",
    type=click.IntRange(0, 51),
    metavar="N",
    help="Quality of the written video; smaller is better and bigger.",
)
lossless_option = click.option("--lossless", is_flag=True, help="Write the video without loss.")
audio_option = click.option(
    "--audio/--no-audio",
    default=True,
    show_default=True,
    help="Copy the sound; --no-audio where no kind of file can hold it.",
)
threads_option = click.option(
    "--threads",
    type=click.IntRange(1),
    metavar="N",
    help="Processors to use. Default: all.",
)
max_memory_option = click.option(
    "--max-memory",
    metavar="SIZE",
    help="Take no more, such as 3GB; with little, what is seen far away in time is not found.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the report as JSON on stdout."
)


def overwrite_option(what: str) -> Callable[[Command], Command]:
    """`--overwrite`, which replaces `what`, such as OUTPUT."""
    return click.option("--overwrite", is_flag=True, help=f"Replace {what} if it is there.")
