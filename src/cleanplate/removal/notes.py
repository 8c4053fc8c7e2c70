"""Notes on a run: what a person should know about its result, a line each."""

from __future__ import annotations

from cleanplate.errors import name_count
from cleanplate.removal.engine import Engine
from cleanplate.removal.shots import FileMemories
from cleanplate.video import Reader, VideoInfo
from cleanplate.video.info import name_order

_NAMED = 4
"""Times that a note names."""


def describe_widened(engine: Engine, info: VideoInfo) -> list[str]:
    """Say in which frames more than the mask was filled."""
    notes = []
    if engine.widened:
        named = _name_times(engine.widened, info)
        what = name_count(len(engine.widened), "frame")
        notes.append(
            f"{what} just before, after or between masked ones still showed the object and came out"
            f" filled: {named}"
        )
    if engine.shaded:
        named = _name_times(engine.shaded, info)
        what = name_count(len(engine.shaded), "frame")
        notes.append(
            f"a soft shadow or glow outside the mask was removed with the object in {what}: {named}"
        )
    return notes


def describe_memories(memories: FileMemories | None) -> list[str]:
    """Note that the disk took fewer keyframes of a shot than wanted."""
    if memories is None or not memories.is_short:
        return []
    return [
        "the disk had no room for all keyframes of a shot, so parts that only distant frames show"
        " may have been filled from fewer of them"
    ]


def _name_times(numbers: set[int], info: VideoInfo) -> str:
    """The times of the first few of these frames, and how many more there are."""
    ordered = sorted(numbers)
    named = ", ".join(
        f"{info.since_start + float(number / info.rate):.2f} s" for number in ordered[:_NAMED]
    )
    return named + (f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else "")


def describe_shortage(engine: Engine) -> list[str]:
    """Note that memory did not suffice for all frames of a span at once."""
    if not engine.halved:
        return []
    return [
        f"memory did not suffice {name_count(engine.halved, 'time')}, so fewer frames were"
        " filled at a time;"
        " the result is the same, `max_memory=SIZE` saves the attempts"
    ]


def describe_flags(reader: Reader, fields: bool) -> list[str]:
    """Note on pictures whose interlacing flags differ from the video's."""
    flags, info = reader.flags, reader.info
    if info.codec == "hevc" or not (flags.interlaced and flags.progressive):
        return []
    how = "field by field" if fields else "frame by frame (`fields='on'`: field by field)"
    return [
        f"{flags.interlaced} frames are flagged as interlaced and {flags.progressive} as"
        f" progressive; all were coded as {name_order(info.field_order)} and filled {how}"
    ]


def describe_transparency(reader: Reader) -> list[str]:
    """Note on pictures that are transparent in part."""
    count = reader.flags.transparent
    if not count:
        return []
    return [f"{count} frame{'s are' if count > 1 else ' is'} transparent in part, shown on white"]


def describe_damage(reader: Reader, done: int) -> list[str]:
    """Note on pictures that were skipped."""
    words = [text.partition(";")[0] for text in (reader.info.damage, *map(str, reader.damage.met))]
    known = [text for text in words if text]
    if not known:
        return []
    more = f", and {len(known) - 1} more such places" if len(known) > 1 else ""
    lost = reader.info.frame_count - done
    count = f"; {lost} of {reader.info.frame_count} frames are left out" if lost > 0 else ""
    return [f"the input is damaged: {known[0]}{more}{count}"]
