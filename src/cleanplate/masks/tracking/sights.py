"""What a run sees of the object on each frame, and how two runs are joined."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cleanplate.masks.source import Mask, dilate
from cleanplate.masks.tracking.appearance import Field

_HIDES = 0.2
"""Share from which a frame is taken to show the object there, and not the background,"""
_JOIN_ROOM = 3
"""with a margin of this many pixels."""
_APART = 0.1
"""Overlap, of the smaller, under which two finds are different things."""
_CHANGED = 0.75
"""Confidence against that before, under which another thing is followed."""


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


class HiddenMasks(Mapping[int, Mask]):
    """Where frames show the object, and so hide the background; bool (h, w) for each."""

    def __init__(self, sights: Mapping[int, Sight]) -> None:
        self._sights = sights

    def __getitem__(self, index: int) -> Mask:
        return dilate(self._sights[index].share > _HIDES, _JOIN_ROOM)

    def __iter__(self) -> Iterator[int]:
        return iter(self._sights)

    def __len__(self) -> int:
        return len(self._sights)


def join_runs(ahead: Mapping[int, Sight], back: Mapping[int, Sight]) -> dict[int, Sight]:
    """The sights of a run and of one that came back, both in the order of the first.

    Where the two are on different things, one of them has left the object. If they meet again
    before that, on the way back, the surer one counts meanwhile. If they do not, the first run
    counts up to there; what it followed from there on is dropped if it looks less like the object.
    """
    order = list(ahead)
    pairs = [(ahead[i], back.get(i, ahead[i])) for i in order]
    joined = [_join(*pair) for pair in pairs]
    met = [k for k, pair in enumerate(pairs) if _meet(*pair) and order[k] in back]
    for start, end in _find_stretches([_differ(*pair) for pair in pairs]):
        ours, theirs = ([pair[side] for pair in pairs[start:end]] for side in (0, 1))
        if met and met[0] < start:
            joined[start:end] = max(ours, theirs, key=_trust)
        else:
            joined[:end] = [pair[0] for pair in pairs[:end]]
            if _trust([pair[0] for pair in pairs[end:]]) < _CHANGED * _trust(joined[:end]):
                joined[end:] = [Sight.lose(sight.shape) for sight in joined[end:]]
                break
    return dict(zip(order, joined, strict=True))


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


def _overlap(first: Sight, second: Sight) -> float | None:
    """Common part of what both saw, over the smaller; None unless both saw something."""
    if first.confidence <= 0 or second.confidence <= 0:
        return None
    one, other = first.share > 0.5, second.share > 0.5
    smaller = min(int(one.sum()), int(other.sum()))
    return int((one & other).sum()) / smaller if smaller else None


def _differ(first: Sight, second: Sight) -> bool:
    overlap = _overlap(first, second)
    return overlap is not None and overlap < _APART


def _meet(first: Sight, second: Sight) -> bool:
    overlap = _overlap(first, second)
    return overlap is not None and overlap > 0.5


def _trust(sights: Iterable[Sight]) -> float:
    """Mean confidence where something is seen; 0 where nothing is."""
    seen = [sight.confidence for sight in sights if sight.confidence > 0]
    return float(np.mean(seen)) if seen else 0.0
