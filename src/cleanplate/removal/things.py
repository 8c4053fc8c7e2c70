"""Tell apart the moving things in one mask, by following its connected parts over frames."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.removal.filling import Mask

Labels = npt.NDArray[np.int32]


def leave_out_still(holes: Sequence[Mask], still: float) -> list[Mask]:
    """The connected parts of `holes` that move; all parts where nothing else would be left.

    A pixel that is masked in more than the fraction `still` of the frames belongs to a thing at
    rest. A logo stays where it is: the middle of all that is masked would not follow the moving
    thing.
    """
    often = np.mean(holes, axis=0) > still
    moving = []
    for hole in holes:
        count, labels = cv2.connectedComponents(hole.view(np.uint8), connectivity=8)
        kept = np.ones(count, np.bool_)
        kept[labels[often & hole]] = kept[0] = False
        moving.append(np.asarray(kept[labels]))
    shown = sum(hole.any() for hole in holes)
    return moving if 2 * sum(mask.any() for mask in moving) > shown else list(holes)


def count_parts(mask: Mask, near: int) -> int:
    """How many parts `mask` (h, w) has; those less than about 2 `near` pixels apart are one."""
    return int(_label(mask, near).max())


def follow_parts(masks: Sequence[Mask], near: int) -> list[dict[int, Mask]]:
    """The things in the `masks` (h, w) of consecutive frames: each one's masks by frame.

    Parts of two frames are the same thing where they overlap each other and no other part. Where
    parts meet or separate, other things begin.
    """
    ended: list[dict[int, Mask]] = []
    # By their label in the frame before.
    going: dict[int, dict[int, Mask]] = {}
    before = np.zeros(masks[0].shape, np.int32)
    for t, mask in enumerate(masks):
        labels = _label(mask, near)
        pairs = np.unique(np.stack([before, labels])[:, (before > 0) & (labels > 0)], axis=1)
        came = {int(new): int(old) for old, new in pairs.T if _is_single(pairs, old, new)}
        still_going = {}
        for label in range(1, int(labels.max()) + 1):
            thing = going.pop(came[label]) if label in came else {}
            thing[t] = mask & (labels == label)
            still_going[label] = thing
        ended += going.values()
        before, going = labels, still_going
    return ended + list(going.values())


def _is_single(pairs: Labels, old: int, new: int) -> bool:
    """Whether the parts overlap no others; `pairs` (2, n) lists all that overlap."""
    return bool((pairs[0] == old).sum() == 1 and (pairs[1] == new).sum() == 1)


def _label(mask: Mask, near: int) -> Labels:
    side = 2 * near + 1
    wide = cv2.dilate(mask.view(np.uint8), np.ones((side, side), np.uint8))
    return np.asarray(cv2.connectedComponents(wide, connectivity=8)[1], np.int32)
