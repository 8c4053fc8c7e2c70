"""What the tracker's network learns from: evidence on frames of figures pasted into clips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.pasting import Clip, Scene
from cleanplate.masks.tracking.appearance import Place
from cleanplate.masks.tracking.flowing import SIDE, FlowSegmenter, stack_evidence
from cleanplate.masks.tracking.follower import Follower, FrameView, Judge, weigh_plainly
from cleanplate.masks.tracking.plate import Camera

Field = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Example:
    evidence: npt.NDArray[np.float16]
    """(channels, SIDE, SIDE)."""
    truth: npt.NDArray[np.float16]
    """Share of the object, (SIDE, SIDE)."""


class Weights:
    """The first pupil: each kind of evidence has a weight."""

    def weigh(
        self, view: FrameView, found: Mapping[str, Field], belief: Field, place: Place
    ) -> Field:
        """See Judge.weigh."""
        return weigh_plainly(view, found, place)


class Teacher:
    """A judge that knows the truth and gives out what a tracker might have found instead.

    Each scene is followed with answers that are right, wrong in the way of a wrong outline, or
    those of `pupil`, in stretches of some frames; so the network sees its own kind of mistakes.
    """

    def __init__(
        self, masks: npt.NDArray[np.bool_], pupil: Judge, random: np.random.Generator
    ) -> None:
        self._masks, self._pupil, self._random = masks, pupil, random
        self._mode, self._left = "right", 0
        self.examples: list[Example] = []

    def weigh(
        self, view: FrameView, found: Mapping[str, Field], belief: Field, place: Place
    ) -> Field:
        """See Judge.weigh."""
        truth = self._masks[view.index][view.window].astype(np.float32)
        evidence = stack_evidence(view, found, belief, place)
        area = cv2.INTER_AREA if min(truth.shape) >= SIDE else cv2.INTER_LINEAR
        small = cv2.resize(truth, (SIDE, SIDE), interpolation=area)
        self.examples.append(Example(evidence.astype(np.float16), small.astype(np.float16)))
        self._left -= 1
        if self._left < 0:
            self._left = int(self._random.integers(2, 8))
            self._mode = str(self._random.choice(["right", "wrong", "pupil"], p=[0.1, 0.35, 0.55]))
        if self._mode == "right":
            return truth
        if self._mode == "wrong":
            return spoil(truth > 0.5, place.extent, self._random).astype(np.float32)
        return self._pupil.weigh(view, found, belief, place)


def spoil(mask: Mask, extent: float, random: np.random.Generator) -> Mask:
    """`mask` (h, w) left behind, its outline moved, parts lost and parts of the rest added."""
    shape = mask.shape
    if random.random() < 0.5:
        left = random.normal(0, 0.12, 2) * extent
        way = np.array([[1, 0, left[0]], [0, 1, left[1]]])
        mask = cv2.warpAffine(mask.astype(np.uint8), way, shape[::-1], flags=cv2.INTER_NEAREST) > 0
    noise = random.standard_normal((6, 6)).astype(np.float32)
    field = cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_CUBIC)
    field = field * random.uniform(0.02, 0.12) * extent + random.normal(0, 0.03) * extent
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)
    moved = (inside - np.minimum(outside, 0.3 * extent) + field > 0) if mask.any() else mask.copy()
    for value in (0, 1):
        if random.random() < 0.4:
            blot = np.zeros(shape, np.uint8)
            ys, xs = np.nonzero(mask) if mask.any() else np.nonzero(~mask)
            at = int(random.integers(len(xs)))
            centre = (
                int(xs[at] + random.normal(0, 0.3) * extent * value),
                int(ys[at] + random.normal(0, 0.3) * extent * value),
            )
            axes = tuple(int(v * extent) + 1 for v in random.uniform(0.08, 0.3, 2))
            cv2.ellipse(blot, centre, axes, random.uniform(0, 180), 0, 360, 1, -1)
            moved = moved | (blot > 0) if value else moved & (blot == 0)
    return np.asarray(moved)


def gather(scene: Scene, pupil: Judge, seed: int, keep: int = 2) -> Iterator[Example]:
    """Examples of one scene, each `keep`th frame's."""
    random = np.random.default_rng([seed, 2])
    teacher = Teacher(scene.masks, pupil, random)
    frames = Clip(scene.frames)
    camera = Camera(frames)
    count = len(frames)
    order = list(range(count))
    if random.random() < 0.4 and scene.masks[-1].any():
        order.reverse()
    first = scene.masks[order[0]]
    box = np.zeros(frames.shape, np.bool_)
    x, y, w, h = cv2.boundingRect(first.astype(np.uint8))
    box[y : y + h, x : x + w] = True
    mask = FlowSegmenter().segment(frames, order[0], box) if random.random() < 0.6 else first
    hidden = None
    if random.random() < 0.6:
        extent = Place.around(first).extent
        hidden = {k: spoil(scene.masks[k], extent, random) for k in range(count)}
    run = Follower(camera, mask, order[0], teacher, hidden=hidden)
    for index in order[1:]:
        run.step(index)
    yield from teacher.examples[int(random.integers(keep)) :: keep]
