"""Work that never changes, for hot paths to stand beside.

Axes: T bars, K values.
"""

import math

import numba
import numpy as np

from market.bars import FloatArray


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def scanned(close_T: FloatArray, n_back: int) -> FloatArray:
    """Return a figure of each bar and those before it: loops, branches, square roots."""
    found_T = np.zeros(len(close_T))
    for t in range(n_back, len(close_T)):
        high, low, total = close_T[t], close_T[t], 0.0
        for k in range(1, n_back):
            value = close_T[t - k]
            total += math.sqrt(abs(value - close_T[t]))
            if value > high:
                high = value
            elif value < low:
                low = value
        found_T[t] = total / (high - low + 1e-9)
    return found_T


def standardised(value_T: FloatArray, back: int) -> FloatArray:
    """Return a column made from another by whole-array steps, some of them new in memory."""
    sums_T = np.cumsum(value_T)
    mean_T = (sums_T[back:] - sums_T[:-back]) / back
    spread_T = np.sqrt(np.abs(value_T[back:] - mean_T)) + 1.0
    return np.concatenate([value_T[:back], np.where(spread_T > 2, mean_T, mean_T / spread_T)])


def ranked(value_T: FloatArray) -> FloatArray:
    """Return a figure of each value by its place among all: sorting and searching."""
    edges = np.unique(np.concatenate([value_T, value_T + 0.5]))
    sums = np.cumsum(edges)
    first_T = np.searchsorted(edges, value_T)
    ranks_T = np.searchsorted(np.sort(value_T), edges, side="right")
    found_T: FloatArray = sums[first_T] / np.maximum(ranks_T[first_T], 1)
    return found_T


def lagged(value_K: FloatArray) -> float:
    """Return a figure that takes sorting, sums and many small products."""
    order_K = np.argsort(value_K)
    sums_K = np.cumsum(value_K[order_K])
    found = float(sums_K[np.searchsorted(sums_K, value_K)[:5] - 1].sum())
    for lag in range(1, 40):
        found += float(value_K[lag:] @ value_K[:-lag])
    return found + float(np.log(value_K).mean())
