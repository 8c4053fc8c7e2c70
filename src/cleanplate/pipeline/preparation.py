"""All that comes before the first frame of a removal is read: what is asked, and what it needs."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cleanplate.arguments import (
    check_choice,
    check_flag,
    check_margin,
    check_model,
    check_path,
    check_threads,
    check_whole,
)
from cleanplate.errors import DecodeError, InputError, MaskError, memory_errors_told, tame
from cleanplate.machine import Device, check_device
from cleanplate.masks import (
    BoxLike,
    MaskLike,
    MaskSource,
    list_doubts,
    list_paths,
    open_masks,
    still_mask,
)
from cleanplate.pipeline.engine import Engine, Method, Span, Store
from cleanplate.pipeline.memory import check_memory, fit_span, to_bytes
from cleanplate.pipeline.models import (
    DEFAULT,
    Chosen,
    Precision,
    asks_network,
    check_availability,
    choose_filler,
    name_model,
)
from cleanplate.pipeline.provenance import Origin, describe_origin
from cleanplate.pipeline.schedule import Blend
from cleanplate.pipeline.stages import Stages
from cleanplate.pipeline.tally import NOTHING_LEFT
from cleanplate.video import Reader, VideoInfo, open_reader, probe

if TYPE_CHECKING:
    import torch
    from torch import nn

Fields = Literal["auto", "on", "off"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """Options that decide, with the input and the masks, what a removal makes; see `run.remove`.

    Construction checks types and ranges and converts NumPy integers, paths and torch devices to
    plain values; `check` also looks at the machine. Raises InputError.
    """

    model: str | os.PathLike[str] | nn.Module = DEFAULT
    method: Method = "auto"
    blend: Blend = "crossfade"
    dilate: int = 4
    feather: int = 4
    fields: Fields = "auto"
    precision: Precision = "auto"
    device: Device | torch.device = "auto"
    crf: int | None = None
    lossless: bool = False
    audio: bool = True
    threads: int | None = None
    max_memory: int | str | None = None
    keep_going: bool = False

    def __post_init__(self) -> None:
        check_choice("method", self.method, Method)
        check_choice("blend", self.blend, Blend)
        check_choice("fields", self.fields, Fields)
        check_choice("precision", self.precision, Precision)
        plain = {
            "model": check_model("model", self.model),
            "device": check_device(self.device),
            "dilate": check_margin("dilate", self.dilate),
            "feather": check_margin("feather", self.feather),
            "crf": check_whole("crf", self.crf, 0, 51, none=True),
            "lossless": check_flag("lossless", self.lossless),
            "audio": check_flag("audio", self.audio),
            "threads": check_threads(self.threads),
            "max_memory": check_memory(self.max_memory),
            "keep_going": check_flag("keep_going", self.keep_going),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        if self.lossless and self.crf is not None:
            raise InputError("give `crf` or `lossless`, not both")

    def check(self) -> None:
        """Check what the options need of this machine: the model's file and the device.

        Starts nothing, reads no input and loads no network. Raises InputError or WeightsError.
        """
        check_availability(self.model, self.method, self.device)


@dataclass(frozen=True)
class Prepared:
    """A removal that can begin: everything that can be checked beforehand is in order.

    Attributes:
        info: of the input.
        source: of the masks.
        settings: what was asked for.
        chosen: the network, if one is asked.
        span: frames that are filled together.
        notes: what looks wrong about the masks, known before the work.
    """

    info: VideoInfo
    source: MaskSource
    settings: Settings
    chosen: Chosen
    span: Span
    notes: tuple[str, ...]

    @property
    def fills_fields(self) -> bool:
        """Whether the two fields of each frame are filled as two clips."""
        if self.settings.fields == "auto":
            return self.info.is_interlaced
        return self.settings.fields == "on"

    def list_read(self) -> list[Path]:
        """The input, and the files and folders of masks and model."""
        model = self.settings.model
        named = [Path(model)] if isinstance(model, str) and model != DEFAULT else []
        return [self.info.path, *list_paths(self.source), *named]

    def describe_origin(self) -> Origin:
        """All that decides what comes out; reads all of the input once."""
        names = ("method", "blend", "dilate", "feather", "fields")
        options = {
            **{name: getattr(self.settings, name) for name in names},
            "precision": self.chosen.precision,
            "device": self.chosen.device,
            "crf": self.settings.crf,
            "lossless": self.settings.lossless,
            "audio": self.settings.audio,
            "span": f"{self.span.own}+{self.span.around}",
            "threads": self.settings.threads,
        }
        return describe_origin(self.info, self.chosen, options)

    def build_engine(self, store: Store, stages: Stages, share: range | None = None) -> Engine:
        """An engine at the start of the video; see `Engine` for its arguments."""
        return Engine(
            self.info.size,
            filler=self.chosen.filler,
            method=self.settings.method,
            dilate=self.settings.dilate,
            feather=self.settings.feather,
            fields=self.fills_fields,
            span=self.span,
            threads=self.settings.threads,
            store=store,
            share=share,
            stages=stages,
            copy=False,  # reader and writer change no frame
        )

    @contextmanager
    def open_reader(self) -> Iterator[Reader]:
        """The input; what breaks it off says what could be done."""
        settings = self.settings
        keep_going, threads = settings.keep_going, settings.threads or 0
        with open_reader(
            self.info.path, self.info, keep_going=keep_going, threads=threads
        ) as reader:
            try:
                yield reader
            except DecodeError as error:
                error.add_note("`keep_going=True` leaves out what cannot be read")
                raise


@contextmanager
def prepare(
    input: str | bytes | os.PathLike[str],
    mask: MaskLike | Sequence[MaskLike],
    box: BoxLike | Sequence[BoxLike],
    settings: Settings,
) -> Iterator[Prepared]:
    """Look at everything that a removal needs; the masks are closed at the end of the block.

    Raises InputError when what was asked for cannot be done, and inside the block MemoryLimitError
    for what libraries raise when they get no memory.
    """
    settings.check()
    info = probe(check_path("input", input), keep_going=settings.keep_going)
    with memory_errors_told(), closing(open_masks(mask, box)) as source:
        source.prepare(info)
        _refuse_everything(source, info)
        chosen = choose_filler(
            settings.model,
            method=settings.method,
            blend=settings.blend,
            device=settings.device,
            precision=settings.precision,
        )
        network = chosen.filler is not None
        span = fit_span(info.size, to_bytes(settings.max_memory), network=network)
        yield Prepared(info, source, settings, chosen, span, tuple(list_doubts(source)))


def say_early(info: VideoInfo, notes: Iterable[str]) -> None:
    """Log what a person may want to know before the work; it is in the report as well."""
    for note in notes:
        _log.warning("%s: %s", tame(str(info.path)), tame(note))


def check_removal(
    input: str | os.PathLike[str], masks: MaskSource, settings: Settings
) -> VideoInfo:
    """Check a removal as far as that goes without decoding, and describe its input.

    Loads no network and starts nothing. Raises InputError.
    """
    settings.check()
    info = probe(input, keep_going=settings.keep_going)
    masks.prepare(info)
    _refuse_everything(masks, info)
    network = asks_network(name_model(settings.model), settings.method)
    fit_span(info.size, to_bytes(settings.max_memory), network=network)
    return info


def _refuse_everything(source: MaskSource, info: VideoInfo) -> None:
    """Refuse a hole that is known, before a frame was read, to be the whole of every frame."""
    still = still_mask(source)
    if still is not None and still.all():
        raise MaskError(NOTHING_LEFT)
