"""What was done, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from cleanplate import __version__
from cleanplate.arguments import check_number, check_whole
from cleanplate.errors import name_count, tame
from cleanplate.video.changes import name_codec


@dataclass(frozen=True)
class Report:
    """The outcome of one removal.

    Attributes:
        input: path of the source.
        output: path of the result.
        frames: number of frames written.
        frames_with_hole: number of frames in which the mask marks something.
        hole_share: mean share of the picture that the mask marks, before it grows, 0 to 1.
        size: "WIDTHxHEIGHT" as coded.
        display_size: "WIDTHxHEIGHT" after rotation, the one people see (pixel aspect not applied).
        rate: frames a second, as an exact fraction.
        field_order: "progressive", "top field first" or "bottom field first".
        method: "auto", "sttn" or "flow".
        model: name of the network that was used, or None.
        device: where it ran.
        precision: of the network.
        seconds: of wall time.
        video: "source" and "written", each with "codec" and "pixel_format" by FFmpeg's names and
            the "depth" in bits of a sample; "exact" when untouched samples are the source's.
        stages: seconds in each stage; filling and encoding overlap, so they may add up to more.
        origin: what is needed to make it again: code, libraries, processor, threads, checksums
            (SHA-256) of input, weights and masks, options. No step draws random numbers.
        notes: what a person should know, a line each.
    """

    input: str
    output: str
    frames: int
    frames_with_hole: int
    hole_share: float
    size: str
    display_size: str
    rate: str
    field_order: str
    method: str
    model: str | None
    device: str
    precision: str
    seconds: float
    video: dict[str, Any] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_whole("Report.frames", self.frames, 0)
        check_whole("Report.frames_with_hole", self.frames_with_hole, 0)
        check_number("Report.hole_share", self.hole_share, 0)
        check_number("Report.seconds", self.seconds, 0)

    def to_json(self) -> dict[str, Any]:
        """Plain values, with this program's version."""
        return {"cleanplate": __version__, **asdict(self)}

    def summary(self) -> list[str]:
        """Lines for people, without what a file's name could do to a terminal."""
        rate = self.frames / max(self.seconds, 1e-6)
        lines = [
            f"{self.output}: {name_count(self.frames, 'frame')} of"
            f" {self.display_size}{self._name_coding()}"
            f" in {self.seconds:.1f} s ({rate:.1f} a second), a hole in {self.frames_with_hole},"
            f" {100 * self.hole_share:.1f} % of the picture",
            *(f"note: {note}" for note in self.notes),
        ]
        return [tame(line) for line in lines]

    def _name_coding(self) -> str:
        """What was written, such as " as H.264 (yuv420p)"."""
        written = self.video.get("written")
        return f" as {name_codec(written['codec'])} ({written['pixel_format']})" if written else ""
