"""What a run sees of the object on each frame, and how two runs are joined."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cleanplate.masks.source import Mask, dilate
from cleanplate.masks.tracking.appearance import Field
from cleanplate.masks.tracking.evidence import SURE


@dataclass(frozen=True)
class JoinTuning:
    """Constants of joining a run with the one that comes back."""

    hides: float = 0.2
    """Share from which a frame is taken to show the object there, and not the background."""
    room: int = 3
    """Pixels by which outlines may lie off: shares are soft there, and thin parts move."""
    apart: float = 0.1
    """Common part, over the smaller mask, under which two masks are of different things."""
    agree: float = 0.6
    """Part of each of two masks that lies within `room` pixels of the other if both are of the same
    thing. Of one that holds the object and a bystander, too, it is about a half."""
    changed: float = 0.75
    """Confidence over that before, under which another thing is followed."""
    parting: int = 5
    """Frames before the one where the runs part that are unsure, as are all behind."""
    doubt: float = 0.4
    """Largest confidence where the runs do not agree: under what counts as unsure."""


_TUNING = JoinTuning()


@dataclass(frozen=True, slots=True)
class Sight:
    """How a run saw the object on one frame: its share of each pixel, kept small."""

    shape: tuple[int, int]
    data: bytes = field(repr=False)
    confidence: float

    @classmethod
    def keep(cls, share: Field, confidence: float) -> Sight:
        """`share` (h, w) in [0, 1]; `confidence` 0 when the object was not seen."""
        levels = np.round(255 * share).astype(np.uint8)
        return cls((share.shape[0], share.shape[1]), zlib.compress(levels.tobytes(), 1), confidence)

    @classmethod
    def lose(cls, shape: tuple[int, int]) -> Sight:
        """Nothing is seen."""
        return cls.keep(np.zeros(shape, np.float32), 0.0)

    @property
    def share(self) -> Field:
        """(h, w) in [0, 1]."""
        levels = np.frombuffer(zlib.decompress(self.data), np.uint8).reshape(self.shape)
        return np.asarray(levels.astype(np.float32) / 255, np.float32)

    @property
    def area(self) -> float:
        """Pixels that are surely the object's."""
        return float((self.share > SURE).sum())


class HiddenMasks(Mapping[int, Mask]):
    """Where frames show the object, and so hide the background; bool (h, w) for each."""

    def __init__(self, sights: Mapping[int, Sight]) -> None:
        self._sights = sights

    def __getitem__(self, index: int) -> Mask:
        return dilate(self._sights[index].share > _TUNING.hides, _TUNING.room)

    def __iter__(self) -> Iterator[int]:
        return iter(self._sights)

    def __len__(self) -> int:
        return len(self._sights)


def join_runs(ahead: Mapping[int, Sight], back: Mapping[int, Sight]) -> dict[int, Sight]:
    """The sights of a run and of one that came back, both in the order of the first.

    `ahead` begins with the frame that was marked. Where both agree, what either saw counts. Where
    they do not, one of them has left the object or taken in another thing: if they agree again
    nearer to the marked frame, the surer one counts meanwhile. If they do not, the run that came
    back has strayed, and the first one counts; what both followed from where they part is dropped
    if it looks less like the object, and unsure otherwise.
    """
    order = list(ahead)
    pairs = [(ahead[i], back.get(i, ahead[i])) for i in order]
    joined = [_join(*pair) for pair in pairs]
    agreed = [order[k] in back and _agree(*pair) is True for k, pair in enumerate(pairs)]
    home = agreed.index(True) if True in agreed else len(order)
    for start, end in _find_stretches([_agree(*pair) is False for pair in pairs]):
        ours, theirs = ([pair[side] for pair in pairs[start:end]] for side in (0, 1))
        if home < start:
            joined[start:end] = _doubt(max(ours, theirs, key=_trust))
            continue
        joined[start:end] = ours
        rest = [pair[0] for pair in pairs[end:]]
        if any(_differ(*pair) for pair in pairs[start:end]):
            joined[:start] = [pair[0] for pair in pairs[:start]]
            if _trust(rest) < _TUNING.changed * _trust(joined[:end]):
                joined[end:] = [Sight.lose(sight.shape) for sight in rest]
                break
        parting = max(end - _TUNING.parting, start)
        joined[parting:] = _doubt(joined[parting:])
    return dict(zip(order, joined, strict=True))


def _doubt(sights: Iterable[Sight]) -> list[Sight]:
    """`sights`, unsure."""
    return [replace(sight, confidence=min(sight.confidence, _TUNING.doubt)) for sight in sights]


def _find_stretches(marked: Sequence[bool]) -> list[tuple[int, int]]:
    """Start and end of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def _join(first: Sight, second: Sight) -> Sight:
    """Both sights of one frame in one: what either saw, since to miss a part is worse."""
    if first.confidence <= 0 or second.confidence <= 0:
        return max(first, second, key=lambda sight: sight.confidence)
    share = np.maximum(first.share, second.share)
    return Sight.keep(share, max(first.confidence, second.confidence))


def _agree(first: Sight, second: Sight) -> bool | None:
    """Whether both saw the same thing; None unless both saw something."""
    if first.confidence <= 0 or second.confidence <= 0:
        return None
    one, other = first.share > SURE, second.share > SURE
    if not (one.any() and other.any()):
        return None
    pairs = ((one, other), (other, one))
    parts = [(a & dilate(b, _TUNING.room)).sum() / a.sum() for a, b in pairs]
    return bool(min(parts) >= _TUNING.agree)


def _differ(first: Sight, second: Sight) -> bool:
    """Whether they saw different things; of neither the one may be a part of the other."""
    one, other = first.share > SURE, second.share > SURE
    smaller = min(int(one.sum()), int(other.sum()))
    return int((one & other).sum()) < _TUNING.apart * smaller


def _trust(sights: Iterable[Sight]) -> float:
    """Mean confidence where something is seen; 0 where nothing is."""
    seen = [sight.confidence for sight in sights if sight.confidence > 0]
    return float(np.mean(seen)) if seen else 0.0
