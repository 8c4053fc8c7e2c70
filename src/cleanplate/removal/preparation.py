"""Steps before the first frame: options, memory limit, masks, network."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from cleanplate.arguments import check_path, deprecate, to_bytes, wrong
from cleanplate.errors import DecodeError, InputError, MaskError, memory_errors_told, tame
from cleanplate.masks import (
    BoxLike,
    EmptyMask,
    MaskLike,
    MaskSource,
    list_doubts,
    list_paths,
    match_excerpt,
    open_masks,
    still_mask,
)
from cleanplate.options import DEFAULT, OPTION_TEXTS, RemoveOptions
from cleanplate.overlays import read_profile
from cleanplate.plates import GivenPlates
from cleanplate.removal.engine import Engine, Span, Store
from cleanplate.removal.filling import FLOW_PIXELS, Stages
from cleanplate.removal.networks import (
    Chosen,
    asks_network,
    check_availability,
    choose_filler,
)
from cleanplate.removal.plate_files import digest_given, list_given_paths, open_given
from cleanplate.removal.report import NOTHING_LEFT, Origin, describe_origin
from cleanplate.removal.shots import FileMemories
from cleanplate.removal.unveiling import SolvedOverlay, add_overlay, open_overlay
from cleanplate.types import Size
from cleanplate.video import Reader, VideoInfo, cut, open_reader, probe
from cleanplate.video.encoding import choose_lookahead
from cleanplate.video.images import describe_gaps

_LEAST = Span(2, 1)
_PROGRAM = 250_000_000
"""Python and its libraries."""
_NETWORK = 1_500_000_000
"""torch, weights and windows at the paper's size."""
_CODECS = 80
"""For each pixel: pictures that decoder and encoder hold."""
_AHEAD = 3
"""For each pixel of every picture that the encoder looks ahead at."""
_HELD = 6
"""For each pixel of a frame that is held: RGB, and the samples it came from (more above 8 bits)."""
_DONE = 10
"""The same for a finished one that waits for the encoder: also its RGB, and what was touched."""
_QUEUED = 4 * _DONE
"""For each pixel: the least number of pictures on their way in and out."""
_WORK = 40
"""For each pixel that flow is estimated on, and frame: guesses, drafts, motion."""
_MEMORY = 80
"""For each pixel: far plates, and what the reader holds that looks ahead."""
_SAMPLED = 300_000_000
"""What is known of the hole's pixels while they are filled (`motion.propagation`)."""


def estimate_memory(size: Size, span: Span, *, network: bool = False) -> int:
    """Estimate the peak memory of a run in bytes."""
    pixels = size.width * size.height
    total = span.own + 2 * span.around
    codecs = _CODECS + _MEMORY + choose_lookahead(size) * _AHEAD
    frames = pixels * (total * _HELD + span.own * _DONE + codecs + _QUEUED)
    work = min(pixels, FLOW_PIXELS) * total * _WORK + _SAMPLED
    return _PROGRAM + frames + work + (_NETWORK if network else 0)


def fit_span(size: Size, limit: int | None, *, network: bool = False) -> Span:
    """Longest span within `limit` bytes; raises InputError if none fits."""
    longest = Span.for_size(size)
    if limit is None:
        return longest
    for own in range(longest.own, _LEAST.own - 1, -1):
        around = max(_LEAST.around, longest.around * own // longest.own)
        if estimate_memory(size, Span(own, around), network=network) <= limit:
            return Span(own, around)
    least = estimate_memory(size, _LEAST, network=network)
    raise InputError(
        f"`max_memory={limit / 1e9:.2f}GB` is too little for {size}"
        f"{' with a network' if network else ''}; give at least {least / 1e9 + 0.005:.2f}GB"
    )


_log = logging.getLogger(__name__)


_APART = {
    "model", "max_memory", "keep_going", "plates", "clean", "overlay", "start", "end",
    "mask_out", "plates_out", "patch", "truth_out", "resume", "journal", "overwrite",
}  # fmt: skip
"""Options without part in what comes out, and those that are described by their effect: the weights
of the network, the frames that memory suffices for, the frames that were decoded, the pictures that
were given, the frames of the part that was asked for."""


@dataclass(frozen=True)
class Prepared:
    """A removal that passed all checks possible before the first frame.

    Attributes:
        info: of the input.
        source: of the masks.
        options: what was asked for.
        chosen: the network, if one is asked.
        span: frames that are filled together.
        notes: what looks wrong about the masks, known before the work.
        plates: pictures that `plates` and `clean` give.
        overlay: what shines through `overlay`.
    """

    info: VideoInfo
    source: MaskSource
    options: RemoveOptions
    chosen: Chosen
    span: Span
    notes: tuple[str, ...]
    plates: GivenPlates | None = None
    overlay: SolvedOverlay | None = None

    @property
    def fills_fields(self) -> bool:
        """Whether the two fields of each frame are filled as two clips."""
        if self.options.fields == "auto":
            return self.info.is_interlaced
        return self.options.fields == "on"

    def list_read(self) -> list[Path]:
        """The input, and the files and folders of masks and model."""
        model = self.options.model
        named = [Path(model)] if isinstance(model, str) and model != DEFAULT else []
        return [
            self.info.path,
            *list_paths(self.source),
            *named,
            *list_given_paths(self.options),
            *([Path(self.options.overlay)] if self.options.overlay is not None else []),
        ]

    def describe_origin(self) -> Origin:
        """All that decides what comes out; reads all of the input once."""
        values = {name: getattr(self.options, name) for name in OPTION_TEXTS if name not in _APART}
        values |= {
            "precision": self.chosen.precision,
            "device": self.chosen.device,
            "span": f"{self.span.own}+{self.span.around}",
            "given plates": digest_given(self.plates),
        }
        if self.overlay is not None:
            values["overlay"] = self.overlay.describe()
        if (excerpt := self.info.excerpt) is not None:
            values["frames"] = f"{excerpt.frames.start}-{excerpt.frames.stop - 1}"
        return describe_origin(self.info, self.chosen, values)

    def describe_coding(self) -> dict[str, Any]:
        """Arguments of `open_writer` that decide how the result is coded."""
        options = self.options
        return {
            "codec": options.codec,
            "crf": options.crf,
            "lossless": options.lossless,
            "preset": options.preset,
        }

    @contextmanager
    def look_ahead(self, folder: Path) -> Iterator[FileMemories | None]:
        """A memory of every shot, kept on the disk of `folder`; None where none is of use.

        Pictures that were given need it to know where their shot begins and ends.
        """
        rim = self.options.dilate + self.options.feather
        is_asked = self.plates is not None or self.options.method != "network"
        if self.info.frame_count == 1 or not is_asked:
            yield None
            return
        with (
            self.open_reader() as reader,
            closing(
                FileMemories(iter(reader), self.source, folder, self.info.size.shape, rim)
            ) as memories,
        ):
            yield memories

    def build_engine(
        self,
        store: Store,
        stages: Stages,
        share: range | None = None,
        memories: FileMemories | None = None,
    ) -> Engine:
        """An engine at the start of the video; see `Engine` for its arguments."""
        return Engine(
            self.info.size,
            filler=self.chosen.filler,
            method=self.options.method,
            dilate=self.options.dilate,
            feather=self.options.feather,
            exact_mask=self.options.exact_mask,
            fields=self.fills_fields,
            span=self.span,
            threads=self.options.threads,
            store=store,
            share=share,
            stages=stages,
            memories=memories,
            plates=self.plates,
            overlay=self.overlay,
            copy=False,  # reader and writer change no frame
        )

    @contextmanager
    def open_reader(self) -> Iterator[Reader]:
        """The input; what breaks it off says what could be done."""
        options = self.options
        keep_going, threads = options.keep_going, options.threads or 0
        with open_reader(
            self.info.path, self.info, keep_going=keep_going, threads=threads
        ) as reader:
            try:
                yield reader
            except DecodeError as error:
                remedy = "`keep_going=True` leaves out what cannot be read"
                if remedy not in getattr(error, "__notes__", ()):  # the look ahead met it before
                    error.add_note(remedy)
                raise


def merge_options(options: object, overrides: dict[str, Any]) -> RemoveOptions:
    """Replace single options; raises InputError for anything but RemoveOptions."""
    if not isinstance(options, RemoveOptions):
        raise wrong("options", "RemoveOptions", options)
    return options.merge(overrides)


def choose_masks(
    masks: MaskLike | Sequence[MaskLike], mask: MaskLike | Sequence[MaskLike] | None
) -> MaskLike | Sequence[MaskLike]:
    """The masks, given as `masks` or by its former name; raises InputError for both."""
    if mask is None:
        return masks
    deprecate("`mask` is now called `masks`; the old name works until 0.3")
    if not (isinstance(masks, tuple) and not masks):
        raise InputError("give `masks` or its former name `mask`, not both")
    return mask


def check_machine(options: RemoveOptions) -> None:
    """Check what the options need of this machine: the model's file and the device.

    Starts nothing, reads no input and loads no network. Raises InputError or WeightsError.
    """
    check_availability(options.model, options.method, options.device)


def probe_part(input: str | os.PathLike[str], options: RemoveOptions) -> VideoInfo:
    """Probe the part of an input from `start` to `end`; raises InputError."""
    info = probe(input, keep_going=options.keep_going)
    times = (None if time is None else Fraction(str(time)) for time in (options.start, options.end))
    return cut(info, *times)


@contextmanager
def prepare(
    input: str | bytes | os.PathLike[str],
    mask: MaskLike | Sequence[MaskLike],
    box: BoxLike | Sequence[BoxLike],
    options: RemoveOptions,
) -> Iterator[Prepared]:
    """Look at everything that a removal needs; the masks are closed at the end of the block.

    Raises InputError when what was asked for cannot be done, and inside the block MemoryLimitError
    for what libraries raise when they get no memory.
    """
    check_machine(options)
    info = probe_part(check_path("input", input), options)
    with (
        memory_errors_told(),
        closing(match_excerpt(_open_masks(mask, box, options), info.excerpt)) as source,
    ):
        source.prepare(info)
        overlay = open_overlay(options, info)
        source = add_overlay(source, overlay)
        _refuse_everything(source, info)
        chosen = choose_filler(
            options.model,
            method=options.method,
            blend=options.blend,
            device=options.device,
            precision=options.precision,
        )
        network = chosen.filler is not None
        span = fit_span(info.size, to_bytes(options.max_memory), network=network)
        found = overlay.notes() if overlay is not None else ()
        notes = (*list_doubts(source), *describe_gaps(info.path, info.files), *found)
        plates = open_given(options, info)
        yield Prepared(info, source, options, chosen, span, notes, plates, overlay)


def _open_masks(
    mask: MaskLike | Sequence[MaskLike],
    box: BoxLike | Sequence[BoxLike],
    options: RemoveOptions,
) -> MaskSource:
    """The masks; an overlay needs none."""
    is_none = all(isinstance(one, list | tuple) and not one for one in (mask, box))
    return EmptyMask() if is_none and options.overlay is not None else open_masks(mask, box)


def say_early(info: VideoInfo, notes: Iterable[str]) -> None:
    """Log notes before the run; the report repeats them."""
    for note in notes:
        _log.warning("%s: %s", tame(str(info.path)), tame(note))


def check_removal(
    input: str | os.PathLike[str], masks: MaskSource, options: RemoveOptions
) -> VideoInfo:
    """Check a removal as far as that goes without decoding, and describe its input.

    Loads no network and starts nothing. Raises InputError.
    """
    check_machine(options)
    info = probe_part(input, options)
    masks = match_excerpt(masks, info.excerpt)
    masks.prepare(info)
    _refuse_everything(masks, info)
    network = asks_network(options.model, options.method)
    fit_span(info.size, to_bytes(options.max_memory), network=network)
    open_given(options, info, decode=False)
    if options.overlay is not None:
        read_profile(str(options.overlay))
    return info


def _refuse_everything(source: MaskSource, info: VideoInfo) -> None:
    """Refuse a hole that is known, before a frame was read, to be the whole of every frame."""
    still = still_mask(source)
    if still is not None and still.all():
        raise MaskError(NOTHING_LEFT)
