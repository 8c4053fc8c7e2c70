"""Regress the opacity and colour of an overlay, pixel by pixel, on what was filled in behind it.

A pixel of a half-transparent overlay shows J = s I + b: of the background I the share s, its
transparency, and b, its colour times its opacity. I is known but for errors of the fill, J but for
coding, so I is regressed on J, which is unbiased: I = m + (J - p) / s around a pivot p. Where
background and overlay have the same luma, that is shown at any opacity: an overlay of few colours
gives a second point of each line, far from the others.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.overlays.colours import to_planes
from cleanplate.overlays.profile import UNKNOWN, Profile
from cleanplate.types import Box, Size

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Plane = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RegressionTuning:
    """Constants of the regression; colours in levels of 255."""

    rounds: int = 10
    """Rounds of reweighting."""
    outlier: float = 4.0
    """Residual, in standard deviations, from which a sample has no weight."""
    rounding: float = 0.7
    """Least standard deviation of residuals."""
    fewest: int = 12
    """Samples below which a pixel is unknown."""
    alike: float = 0.8
    """Squared correlation from which a pixel says what colour the overlay has."""
    steepest: float = 25.0
    """Largest 1 / s that is estimated."""
    opaque: float = 0.08
    """Variation shown, as a fraction of that behind, below which nothing shines through."""
    colours: int = 3
    """Largest number of colours of an overlay, apart from those of single pixels."""
    missed: float = 9.0
    """Increase of the squared residual, in variances, that a shared colour may cost a pixel."""
    tolerated: float = 3.0
    """Deviation of the background that a shared colour may cause, at most half of the usual
    residual: fills are off by as much for a whole clip."""
    spread: float = 1.5
    """Least standard deviation of the colour of one pixel from the shared one."""
    level: float = 0.95
    """Fraction of the most explained pixels that a luma as good as the best one explains."""
    separate: float = 24.0
    """Distance of the lumas of two colours."""
    preferred: float = 0.3
    """What a less frequent colour must gain, in units of what a shared colour may cost."""
    least: float = 0.05
    """Share of an overlay's pixels that make a colour."""
    clear: float = 0.02
    """Opacity below which a neighbourhood has no overlay."""
    unchanged: float = 2.5
    """Mean change by the overlay below which it has none: fills are off by as much."""


_TUNING = RegressionTuning()
_LUMAS = np.arange(0, 256, dtype=np.float32)


def estimate_overlay(shown: Pixels, filled: Pixels, known: Mask, box: Box, size: Size) -> Profile:
    """Estimate the overlay in a `box` of pictures of `size` from samples over time.

    Args:
        shown: uint8 RGB (t, h, w, 3), with the overlay.
        filled: the same without it, as far as that was found.
        known: (t, h, w), where `filled` was seen in other frames.
    """
    count, height, width = known.shape
    shape = (height, width)
    seen, behind = (to_planes(one).reshape(count, -1, 3) for one in (shown, filled))
    samples = _Samples(seen[..., 0], behind[..., 0], known.reshape(count, -1))
    lines = _Lines.fit(samples, samples.reweigh())
    lines = share_colours(lines, samples, shape)
    transparency = np.asarray(np.clip(1 / lines.slope, 0, 1).reshape(shape), np.float32)
    clear = _find_clear(lines, transparency)
    transparency[clear] = 1
    keep, colours = _fit_colours(seen, behind, lines.weight, transparency)
    colours[:, clear.ravel() & (keep[1] >= 1).ravel()] = 0
    luma = np.where(clear.ravel(), 0, lines.pivot - lines.mean / lines.slope)
    added = np.stack([luma, colours[0], colours[1]]).reshape(3, *shape)
    pivot, offset_error, slope_error = (
        np.asarray(plane.reshape(shape), np.float32)
        for plane in (lines.pivot, lines.offset_error, lines.slope_error)
    )
    return Profile(
        keep=keep,
        added=np.clip(added, -512, 512).astype(np.float32),
        pivot=pivot,
        offset_error=np.where(clear, np.float32(_TUNING.rounding**2), offset_error),
        slope_error=np.where(clear, np.float32(0), slope_error),
        box=box,
        size=size,
    )


@dataclass(frozen=True)
class _Samples:
    """Luma shown and behind, (t, p), and where the latter is known."""

    seen: Plane
    behind: Plane
    known: Mask

    def reweigh(self) -> Plane:
        """Weights (t, p) of robust lines."""
        weight = self.known.astype(np.float32)
        for _ in range(_TUNING.rounds):
            weight = self.judge(_Lines.fit(self, weight))
        return weight

    def judge(self, lines: _Lines) -> Plane:
        """Weights by the distance from `lines`."""
        residual = np.abs(lines.residual(self))
        scale = np.maximum(1.48 * _median(residual, self.known), _TUNING.rounding)
        share = 1 - (residual / (_TUNING.outlier * scale)) ** 2
        return np.asarray(self.known * np.clip(share, 0, 1) ** 2, np.float32)


@dataclass(frozen=True)
class _Lines:
    """background = mean + slope (shown - pivot), for each pixel (p,).

    The other attributes are sums over the samples of a pixel, around their means.
    """

    weight: Plane
    total: Plane
    pivot: Plane
    mean: Plane
    slope: Plane
    seen_square: Plane
    product: Plane
    square: Plane
    variance: Plane
    offset_error: Plane
    slope_error: Plane
    is_firm: Mask

    @classmethod
    def fit(cls, samples: _Samples, weight: Plane) -> _Lines:
        """Least squares."""
        total = np.maximum(weight.sum(axis=0), 1e-3)
        pivot = (weight * samples.seen).sum(axis=0) / total
        mean = (weight * samples.behind).sum(axis=0) / total
        across, up = samples.seen - pivot, samples.behind - mean
        seen_square = np.maximum((weight * across**2).sum(axis=0), 1e-3)
        product, square = (weight * across * up).sum(axis=0), (weight * up**2).sum(axis=0)
        slope = np.clip(product / seen_square, 1, _TUNING.steepest)
        opaque = seen_square < _TUNING.opaque**2 * square
        slope = np.where(opaque, np.float32(_TUNING.steepest), slope)
        rest = square - 2 * slope * product + slope**2 * seen_square
        variance = np.maximum(rest / total, _TUNING.rounding**2)
        # The other regression, of what is shown on the background, has this fraction of the slope.
        alike = np.clip(product**2 / (seen_square * np.maximum(square, 1e-3)), 0, 1)
        few = total < _TUNING.fewest
        firm = (alike > _TUNING.alike) & ~few
        lines = cls(
            weight, total, pivot, mean, slope, seen_square, product, square,
            variance, rest, rest, firm,
        )  # fmt: skip
        variance = variance * _measure_memory(lines.residual(samples), weight)
        slope_error = variance / seen_square / slope**2 + ((1 - alike) / 2) ** 2
        return replace(
            lines,
            variance=variance,
            offset_error=np.where(few, np.float32(UNKNOWN), variance / total),
            slope_error=np.where(few, 1, np.minimum(slope_error, 1)),
        )

    def residual(self, samples: _Samples) -> Plane:
        """How far each sample (t, p) is from its line."""
        return np.asarray(
            samples.behind - self.mean - self.slope * (samples.seen - self.pivot), np.float32
        )

    def turn(self, luma: Plane | np.float32) -> tuple[Plane, Plane, Plane]:
        """Lines that show `luma` where the background has it.

        Their slope, what that costs in squared residuals, and the squares of the samples' distance.
        """
        seen, behind = self.pivot - luma, self.mean - luma
        seen_square = self.seen_square + self.total * seen**2
        product = self.product + self.total * seen * behind
        slope = np.clip(product / seen_square, 1, _TUNING.steepest)
        square = self.square + self.total * behind**2
        rest = square - 2 * slope * product + slope**2 * seen_square
        own = self.square - 2 * self.slope * self.product + self.slope**2 * self.seen_square
        return slope, np.maximum(rest - own, 0), seen_square

    def miss(self, luma: Plane | np.float32) -> Plane:
        """Cost of a shared luma in units of what is allowed: up to 1 it explains the samples."""
        _, cost, _ = self.turn(luma)
        allowed = _TUNING.missed * self.variance + self.total * _TUNING.tolerated**2
        return np.asarray(cost / allowed, np.float32)

    def select(self, better: Mask, other: _Lines) -> _Lines:
        """Take the lines of `other` where it is `better` (p,)."""
        chosen = {
            one.name: np.where(better, getattr(other, one.name), getattr(self, one.name))
            for one in fields(self)
        }
        return _Lines(**chosen)

    def cost(self, samples: _Samples, scale: float) -> Plane:
        """Mean squared residual (p,) over the known samples; outliers count as at their limit."""
        square = np.minimum(self.residual(samples) ** 2, (_TUNING.outlier * scale) ** 2)
        total = np.maximum(samples.known.sum(axis=0), 1)
        return np.asarray((samples.known * square).sum(axis=0) / total, np.float32)


def share_colours(lines: _Lines, samples: _Samples, shape: tuple[int, int]) -> _Lines:
    """Take lines through a shared colour where one explains a neighbourhood about as well.

    Pixels make a picture of `shape`.
    """

    def smooth(cost: Plane) -> Plane:
        return np.asarray(cv2.GaussianBlur(cost.reshape(shape), (0, 0), 0.8), np.float32).ravel()

    spread = np.abs(lines.residual(samples))[samples.known]
    scale = max(1.48 * float(np.median(spread)), _TUNING.rounding) if spread.size else 1.0
    colours = find_colours(lines)
    if not colours:
        return lines
    turned = [_turn_lines(lines, samples, *colour) for colour in colours]
    costs = [smooth(one.cost(samples, scale)) for one in turned]
    best, least = turned[0], costs[0]
    margin = _TUNING.preferred * scale**2
    for other, cost in zip(turned[1:], costs[1:], strict=True):
        better = cost < least - margin
        best, least = best.select(better, other), np.where(better, cost, least)
    allowed = _TUNING.missed * np.minimum(lines.variance / lines.total, scale**2)
    allowed += min(_TUNING.tolerated, scale / 2) ** 2
    explained = least < smooth(lines.cost(samples, scale)) + allowed
    open_to = (lines.offset_error < UNKNOWN) & (lines.slope < _TUNING.steepest)
    return lines.select(explained & open_to, best)


def _turn_lines(lines: _Lines, samples: _Samples, colour: float, spread: float) -> _Lines:
    """Robust lines that show the luma `colour` where the background has it; see `find_colours`."""
    across, up = samples.seen - np.float32(colour), samples.behind - np.float32(colour)
    steep = np.where(np.abs(across) < 1, np.float32(1), across)
    slope = _median(np.asarray(up / steep, np.float32), samples.known)
    slope = np.clip(slope, 1, _TUNING.steepest)
    middle = np.full_like(lines.pivot, colour)
    turned = replace(lines, pivot=middle, mean=middle, slope=slope)
    for _ in range(_TUNING.rounds // 2):
        weight = samples.judge(turned)
        square = np.maximum((weight * across**2).sum(axis=0), 1e-3)
        slope = np.clip((weight * across * up).sum(axis=0) / square, 1, _TUNING.steepest)
        turned = replace(turned, slope=slope, weight=weight)
    rest = (turned.weight * turned.residual(samples) ** 2).sum(axis=0)
    variance = np.maximum(rest / lines.total, _TUNING.rounding**2)
    variance = variance * _measure_memory(turned.residual(samples), turned.weight)
    # An error of the colour turns the line around the middle of the samples.
    lever = np.maximum(np.abs(lines.pivot - colour), 1)
    strayed = (spread * (slope - 1) / slope / lever) ** 2
    return replace(
        turned,
        pivot=lines.pivot,
        mean=np.asarray(colour + slope * (lines.pivot - colour), np.float32),
        variance=variance,
        offset_error=variance / lines.total,
        slope_error=np.minimum(variance / square / slope**2 + strayed, 1),
    )


def find_colours(lines: _Lines) -> list[tuple[float, float]]:
    """Find the lumas that explain most pixels of an overlay, and how sure each of them is.

    The most frequent comes first. The second number is half the width of the range of lumas that
    explain nearly as many.
    """
    misses = np.stack([np.minimum(lines.miss(luma), 1) for luma in _LUMAS])
    # A line of slope 1 shows every luma as it is.
    _, clear, _ = lines.turn(np.float32(1e5))
    left = (clear > _TUNING.missed * lines.variance) & lines.is_firm
    least = max(8.0, _TUNING.least * float(left.sum()))
    found: list[tuple[float, float]] = []
    while len(found) < _TUNING.colours:
        explained = (1 - misses[:, left]).sum(axis=1)
        at = int(np.argmax(explained))
        if explained[at] < least:
            break
        first = last = at
        while first > 0 and explained[first - 1] > _TUNING.level * explained[at]:
            first -= 1
        while last + 1 < len(_LUMAS) and explained[last + 1] > _TUNING.level * explained[at]:
            last += 1
        middle = (first + last) // 2
        found.append((float(_LUMAS[middle]), max(_TUNING.spread, (last - first) / 2)))
        left &= misses[middle] >= 1
        misses[np.abs(_LUMAS - _LUMAS[middle]) < _TUNING.separate] = 1
    return found


def _measure_memory(residual: Plane, weight: Plane) -> float:
    """Number of consecutive samples whose errors are as good as one."""
    both = np.sqrt(weight[1:] * weight[:-1])
    square = float((both * (residual[1:] ** 2 + residual[:-1] ** 2)).sum()) / 2
    alike = float((both * residual[1:] * residual[:-1]).sum()) / max(square, 1e-6)
    alike = min(max(alike, 0.0), 0.97)
    return (1 + alike) / (1 - alike)


def _median(values: Plane, known: Mask) -> Plane:
    """Median over time of the known values (t, p); 0 where none is known."""
    hidden = np.where(known, values, np.float32(np.inf))
    hidden.sort(axis=0)
    middle = np.minimum(known.sum(axis=0) // 2, len(known) - 1)
    found = np.take_along_axis(hidden, middle[None], axis=0)[0]
    return np.where(np.isfinite(found), found, np.float32(0))


def _find_clear(lines: _Lines, transparency: Plane) -> Mask:
    """Where (h, w) a neighbourhood has no overlay."""
    shape = transparency.shape
    unknown = (lines.offset_error >= UNKNOWN).reshape(shape)
    opacity = np.where(unknown, np.float32(0), 1 - transparency)
    change = np.where(unknown, np.float32(0), np.abs(lines.pivot - lines.mean).reshape(shape))
    nearby, changed = (
        cv2.blur(plane.astype(np.float32), (3, 3), borderType=cv2.BORDER_REFLECT)
        for plane in (opacity, change)
    )
    return np.asarray((nearby < _TUNING.clear) & (changed < _TUNING.unchanged) & ~unknown)


def _fit_colours(
    seen: Plane, behind: Plane, weight: Plane, transparency: Plane
) -> tuple[Plane, Plane]:
    """Transparency (2, h, w) of luma and colour, and the added colour (2, p).

    Most videos hold colour at half the size: whichever explains the samples better is taken.
    """
    choices = []
    for keep in (transparency, halve_and_enlarge(transparency)):
        flat = keep.ravel()[:, None]
        rest = seen[..., 1:] - flat * behind[..., 1:]
        total = np.maximum(weight.sum(axis=0), 1e-3)[:, None]
        added = (weight[..., None] * rest).sum(axis=0) / total
        residual = (weight[..., None] * (rest - added) ** 2).sum()
        choices.append((float(residual), keep, added))
    _, keep, added = min(choices, key=lambda one: one[0])
    return np.stack([transparency, keep]), np.asarray(added.T, np.float32)


def halve_and_enlarge(plane: Plane) -> Plane:
    """Store `plane` (h, w) at half the size, and enlarge it again."""
    height, width = plane.shape
    half = cv2.resize(plane, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    whole = cv2.resize(half, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(whole, np.float32)
