"""Regress the opacity and colour of an overlay, pixel by pixel, on what was filled in behind it.

A pixel of a half-transparent overlay shows J = s I + b: of the background I the share s, its
transparency, and b, its colour times its opacity. J is regressed on the filled I: fills are means
of what they may be, so their errors hardly depend on them. Where background and overlay have the
same luma, that is shown at any opacity: an overlay of few colours gives a second point of each
line, far from the others.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
import numpy.typing as npt

from cleanplate.overlays.colours import to_planes
from cleanplate.overlays.profile import UNKNOWN, Profile
from cleanplate.overlays.subsampling import fit_colours
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
    rounding: float = 0.4
    """Least standard deviation of residuals."""
    fewest: int = 12
    """Samples below which a pixel is unknown."""
    alike: float = 0.8
    """Squared correlation from which a pixel says what colour the overlay has."""
    least_slope: float = 0.04
    """Least transparency that is estimated."""
    unsure: float = 0.15
    """Error of a transparency from which it is unknown."""
    still: float = 2.0
    """Standard deviation of a background below which it says nothing."""
    colours: int = 3
    """Largest number of colours of an overlay, apart from those of single pixels."""
    missed: float = 9.0
    """Increase of the squared residual, in variances, that a shared colour may cost a pixel."""
    tolerated: float = 3.0
    """Deviation of the background that a shared colour may cause, at most half of the usual
    residual: fills are off by as much for a whole clip."""
    spread: float = 1.5
    """Least standard deviation of the colour of one pixel from the shared one."""
    limit: float = 25.0
    """Largest squared residual, in variances, by which one pixel decides about a colour."""
    neighbours: float = 50.0
    """Pixels whose fills are off together."""
    alone: float = 12.0
    """Standard deviation of the colour of a pixel from the shared one."""
    between: float = 60.0
    """The same next to a pixel of another colour."""
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
    transparency = np.asarray(lines.slope.reshape(shape), np.float32).copy()
    clear = _find_clear(lines, transparency)
    transparency[clear] = 1
    keep, colours = fit_colours(seen, behind, lines.weight, transparency, box)
    colours[:, clear.ravel() & (keep[1] >= 1).ravel()] = 0
    luma = np.where(clear.ravel(), 0, lines.mean - lines.slope * lines.pivot)
    added = np.stack([luma, colours[0], colours[1]]).reshape(3, *shape)
    pivot, offset_error, slope_error = (
        np.asarray(plane.reshape(shape), np.float32)
        for plane in (lines.mean, lines.offset_error, lines.slope_error)
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
    """shown = mean + slope (background - pivot), for each pixel (p,).

    The other attributes are sums over the samples of a pixel, around their means, and errors.
    """

    weight: Plane
    total: Plane
    pivot: Plane
    mean: Plane
    slope: Plane
    square: Plane
    product: Plane
    seen_square: Plane
    variance: Plane
    offset_error: Plane
    slope_error: Plane
    is_firm: Mask
    colour: Plane

    @classmethod
    def fit(cls, samples: _Samples, weight: Plane) -> _Lines:
        """Least squares."""
        total = np.maximum(weight.sum(axis=0), 1e-3)
        pivot = (weight * samples.behind).sum(axis=0) / total
        mean = (weight * samples.seen).sum(axis=0) / total
        across, up = samples.behind - pivot, samples.seen - mean
        square = np.maximum((weight * across**2).sum(axis=0), 1e-3)
        product, seen_square = (weight * across * up).sum(axis=0), (weight * up**2).sum(axis=0)
        slope = np.clip(product / square, _TUNING.least_slope, 1)
        rest = seen_square - 2 * slope * product + slope**2 * square
        variance = np.maximum(rest / total, _TUNING.rounding**2)
        few = total < _TUNING.fewest
        alike = np.clip(product**2 / (square * np.maximum(seen_square, 1e-3)), 0, 1)
        firm = (alike > _TUNING.alike) & ~few
        lines = cls(
            weight, total, pivot, mean, slope, square, product, seen_square,
            variance, rest, rest, firm, pivot,
        )  # fmt: skip
        variance = variance * _measure_memory(lines.residual(samples), weight)
        slope_error = variance / square / slope**2
        # A slope that noise may have made says nothing.
        few = few | (slope_error * slope**2 > _TUNING.unsure**2)
        return replace(
            lines,
            variance=variance,
            offset_error=np.where(few, np.float32(UNKNOWN), variance / total / slope**2),
            slope_error=np.where(few, 1, np.minimum(slope_error, 1)),
        )

    def residual(self, samples: _Samples) -> Plane:
        """How far each sample (t, p) is from its line."""
        return np.asarray(
            samples.seen - self.mean - self.slope * (samples.behind - self.pivot), np.float32
        )

    def turn(self, luma: Plane | np.float32) -> tuple[Plane, Plane, Plane]:
        """Lines that show `luma` where the background has it.

        Their slope, what that costs in squared residuals, and the squares of the samples' distance.
        """
        behind, seen = self.pivot - luma, self.mean - luma
        square = self.square + self.total * behind**2
        product = self.product + self.total * seen * behind
        slope = np.clip(product / square, _TUNING.least_slope, 1)
        seen_square = self.seen_square + self.total * seen**2
        rest = seen_square - 2 * slope * product + slope**2 * square
        own = self.seen_square - 2 * self.slope * self.product + self.slope**2 * self.square
        return slope, np.maximum(rest - own, 0), square

    def miss(self, luma: Plane | np.float32) -> Plane:
        """Cost of a shared luma in units of what is allowed: up to 1 it explains the samples."""
        _, cost, _ = self.turn(luma)
        allowed = (_TUNING.tolerated * self.slope) ** 2 * self.total
        allowed = allowed + _TUNING.missed * self.variance
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
    costs = [one.cost(samples, scale) for one in turned]
    best, least, chosen = turned[0], smooth(costs[0]), np.zeros(shape, np.uint8)
    margin = _TUNING.preferred * scale**2
    for at, (other, cost) in enumerate(zip(turned[1:], costs[1:], strict=True), start=1):
        better = smooth(cost) < least - margin
        best, least = best.select(better, other), np.where(better, smooth(cost), least)
        chosen[better.reshape(shape)] = at
    own = lines.cost(samples, scale)
    noise = _TUNING.missed * np.minimum(lines.variance / lines.total, scale**2)
    bias = np.minimum(_TUNING.tolerated * lines.slope, scale / 2) ** 2
    explained = least < smooth(own) + noise + bias
    usable = explained & ~_find_unknown(lines, samples)
    return lines.select(usable, _unite_lines(lines, best, samples, _find_borders(chosen).ravel()))


def _unite_lines(own: _Lines, shared: _Lines, samples: _Samples, border: Mask) -> _Lines:
    """The mean of two kinds of lines by their expected errors.

    Next to the border of two colours a pixel has one between them.
    """
    known = np.maximum(samples.known.sum(axis=0), 1)
    error = own.slope_error * (own.slope * known / own.total) ** 2
    stray = np.where(border, np.float32(_TUNING.between), np.float32(_TUNING.alone))
    lever = np.maximum(np.abs(own.pivot - shared.colour), 1)
    other = shared.slope_error * shared.slope**2
    other += ((1 - shared.slope) * stray / lever) ** 2
    other += (_TUNING.tolerated * shared.slope / lever) ** 2
    share = np.asarray(other / np.maximum(error + other, 1e-9), np.float32)
    slope = share * own.slope + (1 - share) * shared.slope
    both = error * other / np.maximum(error + other, 1e-9)
    return replace(
        own,
        slope=np.asarray(slope, np.float32),
        mean=np.asarray(share * own.mean + (1 - share) * shared.mean, np.float32),
        weight=np.where(share > 0.5, own.weight, shared.weight),
        slope_error=np.asarray(np.minimum(both / slope**2, 1), np.float32),
    )


def _find_borders(chosen: npt.NDArray[np.uint8]) -> Mask:
    """Pixels (h, w) next to one of another colour."""
    square = np.ones((3, 3), np.uint8)
    return np.asarray(cv2.dilate(chosen, square) != cv2.erode(chosen, square))


def _turn_lines(lines: _Lines, samples: _Samples, colour: float, spread: float) -> _Lines:
    """Robust lines that show the luma `colour` where the background has it; see `find_colours`."""
    across, up = samples.behind - np.float32(colour), samples.seen - np.float32(colour)
    far = np.where(np.abs(across) < 1, np.float32(1), across)
    slope = _median(np.asarray(up / far, np.float32), samples.known)
    slope = np.clip(slope, _TUNING.least_slope, 1)
    middle = np.full_like(lines.pivot, colour)
    turned = replace(lines, pivot=middle, mean=middle, slope=slope)
    for _ in range(_TUNING.rounds // 2):
        weight = samples.judge(turned)
        square = np.maximum((weight * across**2).sum(axis=0), 1e-3)
        slope = (weight * across * up).sum(axis=0) / square
        slope = np.clip(slope, _TUNING.least_slope, 1)
        turned = replace(turned, slope=slope, weight=weight)
    rest = (turned.weight * turned.residual(samples) ** 2).sum(axis=0)
    variance = np.maximum(rest / lines.total, _TUNING.rounding**2)
    variance = variance * _measure_memory(turned.residual(samples), turned.weight)
    # An error of the colour turns the line around the middle of the samples.
    lever = np.maximum(np.abs(lines.pivot - colour), 1)
    strayed = (spread * (1 - slope) / slope / lever) ** 2
    return replace(
        turned,
        pivot=lines.pivot,
        colour=middle,
        mean=np.asarray(colour + slope * (lines.pivot - colour), np.float32),
        variance=variance,
        offset_error=variance / lines.total / slope**2,
        slope_error=np.minimum(variance / square / slope**2 + strayed, 1),
    )


def _find_unknown(lines: _Lines, samples: _Samples) -> Mask:
    """Pixels (p,) with too few samples, or of a background that does not vary."""
    few = np.asarray(samples.known.sum(axis=0) < _TUNING.fewest)
    still = lines.square < lines.total * _TUNING.still**2
    return few | still


def find_colours(lines: _Lines) -> list[tuple[float, float]]:
    """Find the lumas that explain most pixels of an overlay, and how sure each of them is.

    The most frequent comes first. The second number is the error of the first.
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
        luma, spread = _refine_colour(lines, left & (misses[at] < 1), at)
        found.append((luma, spread))
        middle = round(luma)
        left &= misses[middle] >= 1
        misses[np.abs(_LUMAS - _LUMAS[middle]) < _TUNING.separate] = 1
    return found


def _refine_colour(lines: _Lines, members: Mask, at: int) -> tuple[float, float]:
    """The luma near `at` with the least squared residuals of the `members`, and its error."""
    near = _LUMAS[max(0, at - 30) : at + 31]
    costs = np.stack([lines.turn(luma)[1] for luma in near])[:, members]
    costs = np.minimum(costs / lines.variance[members], _TUNING.limit).sum(axis=1)
    best = int(np.argmin(costs))
    good = near[costs < costs[best] + _TUNING.neighbours]
    return float(near[best]), max(_TUNING.spread, float(good[-1] - good[0]) / 2)


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
