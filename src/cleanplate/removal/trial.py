"""Before a long run: forecast what it will do and take, or try it on a few seconds."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cleanplate import __version__
from cleanplate.arguments import check_function, check_number, check_path
from cleanplate.errors import InputError, keep_errors, name_count, tame
from cleanplate.masks import ArrayMask, BoxLike, MaskLike, PartMask, open_masks
from cleanplate.masks.writing import check_outputs
from cleanplate.options import RemoveOptions
from cleanplate.removal.estimate import (
    TUNING,
    Estimate,
    Measured,
    describe_seconds,
    estimate_disk,
    estimate_seconds,
    has_plain,
)
from cleanplate.removal.preparation import Prepared, estimate_memory, merge_options, prepare
from cleanplate.removal.report import Report
from cleanplate.removal.run import DEFAULT_OPTIONS, remove
from cleanplate.removal.survey import Survey, look_through
from cleanplate.storage.atomic import build_file
from cleanplate.video import VideoInfo, cut, name_output, open_reader, probe, turn_upright
from cleanplate.video.changes import name_codec
from cleanplate.video.images import write_png

Progress = Callable[[int, int | None], None]
Frame = npt.NDArray[np.uint8]
Masks = MaskLike | Sequence[MaskLike]
Boxes = BoxLike | Sequence[BoxLike]


@dataclass(frozen=True)
class Forecast:
    """What a removal would do; nothing was written.

    Attributes:
        input: path of the source.
        output: path of the result.
        size: "WIDTHxHEIGHT" as displayed.
        rate: frames a second, as an exact fraction.
        codec: FFmpeg's name of the source's codec.
        duration: seconds to write.
        audio: number of audio tracks.
        subtitles: number of subtitle tracks.
        frames: number of frames to write.
        frames_with_hole: number of frames in which the mask marks something.
        hole_share: mean share of the picture that the mask marks, before it grows, 0 to 1.
        shots: number of shots.
        longest_shot: frames of the longest one.
        method: "auto", "flow" or "network".
        model: name of the network that is used, or None.
        device: where it runs.
        measured: frames that were filled to measure the speed; 0 where there is no hole.
        estimate: of time, memory and disk space.
        marks: what marks the holes, in words.
        notes: what a person should know, a line each.
    """

    input: str
    output: str
    size: str
    rate: str
    codec: str
    duration: float
    audio: int
    subtitles: int
    frames: int
    frames_with_hole: int
    hole_share: float
    shots: int
    longest_shot: int
    method: str
    model: str | None
    device: str
    measured: int
    estimate: Estimate
    marks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values, with this program's version."""
        return {"cleanplate": __version__, **asdict(self)}

    def summary(self) -> list[str]:
        """Format the forecast for the terminal."""
        tracks = [name_count(self.audio, "audio track")] if self.audio else []
        tracks += [name_count(self.subtitles, "subtitle track")] if self.subtitles else []
        network = f"with the network {self.model} on {self.device}" if self.model else "no network"
        length = [describe_seconds(self.duration)] if self.frames > 1 else []
        codec = name_codec(self.codec)
        codec = codec.upper() if codec.islower() else codec
        longest = f", the longest has {self.longest_shot} frames" if self.shots > 1 else ""
        lines = [
            f"{self.input}: {name_count(self.frames, 'frame')} of {self.size},"
            f" {', '.join([*length, codec, *tracks])}",
            *([f"masks: {', '.join(self.marks)}"] if self.marks else []),
            f"holes: in {name_count(self.frames_with_hole, 'frame')},"
            f" {100 * self.hole_share:.1f} % of the picture on average",
            f"shots: {self.shots}{longest}",
            f"method: {self.method}, {network}",
            f"output: {self.output}",
            f"estimate: {self.estimate}, measured on {name_count(self.measured, 'frame')}",
            *(f"note: {note}" for note in self.notes),
        ]
        return [tame(line) for line in lines]


@dataclass(frozen=True)
class Trial:
    """The result of a removal that was tried on a few seconds.

    Attributes:
        report: of those seconds; it names the output.
        picture: path of a picture of one frame before and after.
        start: of those seconds in the source.
        end: of them.
        forecast: of the whole removal.
    """

    report: Report
    picture: str
    start: float
    end: float
    forecast: Forecast

    def summary(self) -> list[str]:
        """Format the result for the terminal."""
        lines = [
            *self.report.summary(),
            f"before and after: {self.picture}",
            f"tried from {self.start:.2f} to {self.end:.2f} s, where the holes are largest; the"
            " whole run also takes pixels from the rest of each shot",
            f"estimate for the whole: {self.forecast.estimate}",
        ]
        return [tame(line) for line in lines]

    def to_json(self) -> dict[str, Any]:
        """Plain values, with this program's version."""
        return {
            **self.report.to_json(),
            "picture": self.picture,
            "start": self.start,
            "end": self.end,
            "forecast": self.forecast.to_json(),
        }


def forecast(
    input: str | bytes | os.PathLike[str],
    output: str | bytes | os.PathLike[str] | None = None,
    *,
    masks: Masks = (),
    box: Boxes = (),
    options: RemoveOptions = DEFAULT_OPTIONS,
    progress: Progress | None = None,
    **overrides: Any,
) -> Forecast:
    """Look through a video and its masks, and estimate what their removal takes.

    All of the video is read once, and about a second of it is filled, in the folder for temporary
    files, to measure the speed of this machine. Arguments and errors are those of `remove`.
    """
    check_function("progress", progress)
    source, options = check_path("input", input), merge_options(options, overrides)
    default = name_output(source, codec=options.codec)
    target = Path(check_path("output", output)) if output is not None else default
    with prepare(source, masks, box, options) as prepared:
        reads = prepared.list_read()
        check_outputs(source, target, reads=reads, overwrite=options.overwrite or options.resume)
        survey = look_through(prepared, keep_errors(progress))
    startup = _measure_startup(source, masks, box, options)
    frames = survey.find_typical(TUNING.sample)
    measured = None
    if survey.frames_with_hole:
        with tempfile.TemporaryDirectory(prefix="cleanplate-") as folder:
            place = Path(folder) / f"sample{target.suffix}"
            report = _remove_frames(prepared, survey, frames, place, masks, box, options)
            measured = Measured(frames, report.seconds, _count_bytes(place))
    return _conclude(prepared, survey, measured, startup, target)


def try_removal(
    input: str | bytes | os.PathLike[str],
    output: str | bytes | os.PathLike[str] | None = None,
    *,
    seconds: float = 3,
    masks: Masks = (),
    box: Boxes = (),
    options: RemoveOptions = DEFAULT_OPTIONS,
    progress: Progress | None = None,
    **overrides: Any,
) -> Trial:
    """Remove only in the `seconds` with the largest holes, and draw one frame before and after.

    The result is next to `output`, such as `clip-try.mp4`, and the picture next to that. Only
    these seconds are sources of the fill, so a whole run may find more. Arguments and errors are
    those of `remove`; other outputs than these two are not written.
    """
    check_function("progress", progress)
    seconds = check_number("seconds", seconds, 0.1, 3600)
    source, options = check_path("input", input), merge_options(options, overrides)
    default = name_output(source, codec=options.codec)
    whole = Path(check_path("output", output)) if output is not None else default
    named = name_output(source if output is None else whole, "try", codec=options.codec)
    target = named if whole.suffix else named.with_suffix("")
    picture = target.with_suffix(".png") if target.suffix else Path(f"{target}.png")
    with prepare(source, masks, box, options) as prepared:
        if prepared.info.frame_count == 1:
            raise InputError(f"'{source}' is a single picture; remove from it without a trial")
        check_outputs(
            source, target, preview=picture, reads=prepared.list_read(), overwrite=options.overwrite
        )
        survey = look_through(prepared, keep_errors(progress))
    if not survey.frames_with_hole:
        raise InputError("the mask marks nothing in any frame, so there is nothing to try")
    frames = survey.find_hardest(max(2, round(seconds * prepared.info.rate)))
    report = _remove_frames(prepared, survey, frames, target, masks, box, options, progress)
    startup = _measure_startup(source, masks, box, options)
    shown = int(np.argmax(survey.areas[frames.start : frames.stop]))
    start, end = _find_times(prepared.info, survey, frames)
    tried = cut(_find_whole(prepared.info), start, end)
    _draw_comparison(tried, target, shown, picture, overwrite=options.overwrite)
    measured = Measured(frames, report.seconds, _count_bytes(target))
    foreseen = _conclude(prepared, survey, measured, startup, whole)
    last = _find_whole(prepared.info).end if end is None else end
    return Trial(report, str(picture), float(start), float(last or start), foreseen)


def _find_times(info: VideoInfo, survey: Survey, frames: range) -> tuple[Fraction, Fraction | None]:
    """Start and end of some frames in the source; None: its end, or the end of its part."""
    first = info.excerpt.time if info.excerpt is not None else Fraction(0)
    end = None
    if frames.stop < survey.frames:
        end = first + survey.times[frames.stop]
    elif info.excerpt is not None:
        end = first + (info.end or Fraction(0))
    return first + survey.times[frames.start], end


def _find_whole(info: VideoInfo) -> VideoInfo:
    """The source of an excerpt, or the video itself."""
    return info if info.excerpt is None else info.excerpt.whole


def _remove_frames(
    prepared: Prepared,
    survey: Survey,
    frames: range,
    target: Path,
    masks: Masks,
    box: Boxes,
    options: RemoveOptions,
    progress: Progress | None = None,
) -> Report:
    """Remove from some frames only."""
    start, end = _find_times(prepared.info, survey, frames)
    alone = replace(
        options,
        start=float(start),
        end=None if end is None else float(end),
        mask_out=None,
        plates_out=None,
        truth_out=None,
        patch=None,
        resume=False,
        journal=False,
    )
    if prepared.info.excerpt is not None:
        masks, box = PartMask(open_masks(masks, box), prepared.info), ()
    report = remove(
        prepared.info.path, target, masks=masks, box=box, options=alone, progress=progress
    )
    names = ("mask_out", "plates_out", "truth_out", "patch")
    left_out = [f"`{name}`" for name in names if getattr(options, name) is not None]
    notes = [f"a trial does not write {', '.join(left_out)}"] if left_out else []
    return replace(report, notes=[*report.notes, *notes])


def _conclude(
    prepared: Prepared,
    survey: Survey,
    measured: Measured | None,
    startup: float,
    output: Path,
) -> Forecast:
    """Estimate the whole run from what was measured."""
    info, chosen = prepared.info, prepared.chosen
    plain = _measure_plain(prepared, survey, startup) if has_plain(survey) else 0.0
    pixels = info.size.width * info.size.height
    estimate = Estimate(
        startup + estimate_seconds(survey, measured, startup, plain),
        estimate_memory(info.size, prepared.span, network=chosen.filler is not None),
        estimate_disk(prepared, survey, measured),
    )
    return Forecast(
        input=str(info.path),
        output=str(output),
        size=str(info.display_size),
        rate=str(info.rate),
        codec=info.codec,
        duration=float(info.duration or info.frame_count / info.rate),
        audio=info.audio_streams,
        subtitles=info.subtitle_streams,
        frames=survey.frames,
        frames_with_hole=survey.frames_with_hole,
        hole_share=float(survey.areas.mean()) / pixels,
        shots=len(survey.cuts),
        longest_shot=survey.longest_shot,
        method=prepared.options.method,
        model=chosen.name,
        device=chosen.device,
        measured=0 if measured is None else len(measured.frames),
        estimate=estimate,
        notes=prepared.notes,
    )


def _measure_startup(source: str, masks: Masks, box: Boxes, options: RemoveOptions) -> float:
    """Measure the seconds before the first frame, when all libraries are loaded."""
    began = time.monotonic()
    with prepare(source, masks, box, options):
        return time.monotonic() - began


def _measure_plain(prepared: Prepared, survey: Survey, startup: float) -> float:
    """Measure the seconds of a frame without a hole: read, look ahead, encode."""
    nothing = ArrayMask(np.zeros(prepared.info.display_size.shape, np.bool_))
    frames = survey.find_typical(2 * TUNING.sample)
    with tempfile.TemporaryDirectory(prefix="cleanplate-") as folder:
        place = Path(folder) / "plain.mkv"
        report = _remove_frames(prepared, survey, frames, place, nothing, (), prepared.options)
    return max(report.seconds - startup, 0.0) / len(frames)


def _count_bytes(path: Path) -> int:
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def _draw_comparison(
    source: VideoInfo, result: Path, number: int, picture: Path, *, overwrite: bool
) -> None:
    """Draw a frame of `source` and of the `result`, which has the same frames, side by side."""
    before, after = (_read_frame(info, number) for info in (source, probe(result)))
    gap = np.full((before.shape[0], 8, 3), 255, np.uint8)
    with build_file(picture, overwrite=overwrite) as partial:
        write_png(partial, np.concatenate([before, gap, after], axis=1))


def _read_frame(info: VideoInfo, number: int) -> Frame:
    """Decode a frame by its number, upright."""
    with open_reader(info.path, info) as reader:
        for picture in reader:
            if picture.index == number:
                return turn_upright(picture.rgb, info)
    raise InputError(f"'{info.path}' has no frame {number} any more; do not change it meanwhile")
