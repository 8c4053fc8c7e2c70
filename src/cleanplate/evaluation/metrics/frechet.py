"""Fréchet distance between two sets of features, each taken for a Gaussian (Heusel et al. 2017)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64]


def measure_frechet_distance(first: Samples, second: Samples) -> float:
    """|m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½), with sample covariances.

    Args:
        first: (n, d), a row for each sample.
        second: (m, d); n and m at least 2.

    With centred samples A and B, scaled so that C1 = AᵀA and C2 = BᵀB, the trace of the root is the
    sum of the singular values of A Bᵀ: n x m numbers in place of d x d, and no matrix root, which
    fails where there are fewer samples than features.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError("a covariance needs at least two samples on each side")
    a, b = _centre(first), _centre(second)
    root = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    between = float(((first.mean(0) - second.mean(0)) ** 2).sum())
    return max(between + float((a**2).sum() + (b**2).sum() - 2 * root), 0.0)


def _centre(samples: Samples) -> Samples:
    centred = samples - samples.mean(0)
    return np.asarray(centred / np.sqrt(len(samples) - 1), np.float64)
