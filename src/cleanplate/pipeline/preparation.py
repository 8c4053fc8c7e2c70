"""All that comes before the first frame of a removal is read: what is asked, and what it needs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cleanplate.errors import DecodeError, MaskError, memory_errors_told
from cleanplate.masks import BoxMask, MaskSource, TimedBox, Union, open_mask, still_mask
from cleanplate.pipeline.engine import Engine, Method, Span, Store
from cleanplate.pipeline.memory import fit_span, parse_memory
from cleanplate.pipeline.models import (
    DEFAULT,
    Chosen,
    Device,
    Precision,
    check_choice,
    choose_filler,
)
from cleanplate.pipeline.provenance import Origin, describe_origin
from cleanplate.pipeline.schedule import Blend
from cleanplate.pipeline.stages import Stages
from cleanplate.pipeline.tally import ALL_COVERED
from cleanplate.video import Reader, VideoInfo, open_reader, probe

if TYPE_CHECKING:
    from torch import nn

Fields = Literal["auto", "on", "off"]
MaskLike = str | os.PathLike[str] | MaskSource


@dataclass(frozen=True)
class Settings:
    """What decides, beside input and masks, what a removal makes; `run.remove` says how."""

    model: str | Path | nn.Module = DEFAULT
    method: Method = "auto"
    blend: Blend = "crossfade"
    dilate: int = 4
    feather: int = 4
    fields: Fields = "auto"
    precision: Precision = "auto"
    device: Device = "auto"
    crf: int | None = None
    lossless: bool = False
    audio: bool = True
    threads: int | None = None
    max_memory: int | str | None = None
    keep_going: bool = False


@dataclass(frozen=True)
class Prepared:
    """A removal that can begin: everything that can be checked beforehand is in order.

    Attributes:
        info: of the input.
        source: of the masks.
        settings: what was asked for.
        chosen: the network, if one is asked.
        span: frames that are filled together.
    """

    info: VideoInfo
    source: MaskSource
    settings: Settings
    chosen: Chosen
    span: Span

    @property
    def fills_fields(self) -> bool:
        """Whether the two fields of each frame are filled as two clips."""
        if self.settings.fields == "auto":
            return self.info.is_interlaced
        return self.settings.fields == "on"

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
                error.add_note("--keep-going leaves out what cannot be read")
                raise


@contextmanager
def prepare(
    input: str | os.PathLike[str],
    mask: MaskLike | Sequence[MaskLike],
    box: str | Sequence[str],
    settings: Settings,
) -> Iterator[Prepared]:
    """Look at everything that a removal needs; the masks are closed at the end of the block.

    Raises InputError when what was asked for cannot be done, and inside the block MemoryLimitError
    for what libraries raise when they get no memory.
    """
    check_choice("fields", settings.fields, Fields)
    info = probe(input, keep_going=settings.keep_going)
    with memory_errors_told(), closing(_gather_masks(mask, box)) as source:
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
        yield Prepared(info, source, settings, chosen, span)


def to_bytes(memory: int | str | None) -> int | None:
    """Bytes of a size that may be given as text, such as "3GB"."""
    return parse_memory(memory) if isinstance(memory, str) else memory


def _refuse_everything(source: MaskSource, info: VideoInfo) -> None:
    """Refuse a hole that is known, before a frame was read, to be the whole of every frame."""
    still = still_mask(source)
    if still is not None and still.all():
        raise MaskError(ALL_COVERED)


def _gather_masks(mask: MaskLike | Sequence[MaskLike], box: str | Sequence[str]) -> MaskSource:
    many = mask if isinstance(mask, Sequence) and not isinstance(mask, str) else [mask]
    boxes = [box] if isinstance(box, str) else list(box)
    sources = [open_mask(Path(one)) if isinstance(one, str | os.PathLike) else one for one in many]
    if boxes:
        sources.append(BoxMask([TimedBox.parse(text) for text in boxes]))
    return sources[0] if len(sources) == 1 else Union(sources)
