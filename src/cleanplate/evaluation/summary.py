"""Means over sequences and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Row = dict[str, Any]
Means = dict[str, dict[str, Row]]
Pool = Callable[[str, Sequence[Row]], float | None]
"""The value of a metric (its name) that is defined over all rows together."""

_DRAWS = 2000
_SHARE = 0.95
_SEED = 0


def summarise(rows: Sequence[Row], metrics: Sequence[str], pool: Pool) -> Means:
    """Means by mask and method.

    Args:
        rows: of all sequences; those that failed or were left out have no values.
        metrics: names of columns.
        pool: gives those that are no means.

    Returns:
        `means[mask][method]`: `sequences` (measured), `of` (there are), each metric's mean over
        sequences, and `intervals` with each metric's 95 % bootstrap interval over sequences.
    """
    means: Means = {}
    for mask in dict.fromkeys(row["mask"] for row in rows):
        for method in dict.fromkeys(row["method"] for row in rows):
            chosen = [row for row in rows if (row["mask"], row["method"]) == (mask, method)]
            means.setdefault(mask, {})[method] = _summarise(chosen, metrics, pool)
    return means


def _summarise(rows: Sequence[Row], metrics: Sequence[str], pool: Pool) -> Row:
    measured = [row for row in rows if "error" not in row and "left_out" not in row]
    mean: Row = {"sequences": len(measured), "of": len(rows), "intervals": {}}
    for name in metrics:
        values = [row[name] for row in measured if row.get(name) is not None]
        mean[name] = float(np.mean(values)) if values else pool(name, measured)
        if len(values) > 1:
            mean["intervals"][name] = bootstrap(values)
    return mean


def bootstrap(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of `values` (Efron 1979).

    2000 draws of as many values with replacement, from a fixed seed. With few values it is
    narrower than the truth, and cannot reach beyond the smallest and largest of them.
    """
    rng = np.random.default_rng(_SEED)
    draws = rng.integers(0, len(values), (_DRAWS, len(values)))
    tails = [(1 - _SHARE) / 2, (1 + _SHARE) / 2]
    low, high = np.quantile(np.asarray(values)[draws].mean(axis=1), tails)
    return float(low), float(high)
