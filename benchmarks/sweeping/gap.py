"""How much of the gap to the attainable log-loss is closed, and how surely.

Axes: K markets, B resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from market.bars import FloatArray

CONFIDENCE = 0.95
N_RESAMPLES = 10_000
SEED = 90_271


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure pooled over markets, with its 95% interval from resampling them (percentiles).

    Attributes
    ----------
    value : float
    low, high : float
        NaN with fewer than two markets; infinite where resamples have nothing to divide by.
    """

    value: float
    low: float
    high: float


def share_closed(
    default_K: Sequence[float], tuned_K: Sequence[float], attainable_K: Sequence[float]
) -> Estimate:
    """Return the share of the gap between default and attainable log-loss that tuning closes.

    Pooled: the sum of what was gained over the sum of what could be, so that a market with next to
    no gap does not blow the share up. Negative where tuning has made things worse.

    Parameters
    ----------
    default_K, tuned_K, attainable_K : sequence of float
        Log-loss on each market's fresh rows.
    """
    default, tuned, attainable = map(np.asarray, (default_K, tuned_K, attainable_K))
    return ratio(default - tuned, default - attainable)


def ratio(above_K: Sequence[float] | FloatArray, below_K: Sequence[float] | FloatArray) -> Estimate:
    """Return the ratio of two sums over the same markets, which are resampled together."""
    above, below = np.asarray(above_K, dtype=float), np.asarray(below_K, dtype=float)
    if len(above) != len(below) or len(above) == 0:
        raise ValueError(f"{len(above)} markets over {len(below)}: one each is needed, and any")
    drawn_BK = np.random.default_rng(SEED).integers(len(above), size=(N_RESAMPLES, len(above)))
    value = float(_divided(above.sum(), below.sum()))
    if len(above) == 1:
        return Estimate(value, float("nan"), float("nan"))
    ratio_B = _divided(above[drawn_BK].sum(axis=1), below[drawn_BK].sum(axis=1))
    # Nothing over nothing says nothing.
    ratio_B = ratio_B[~np.isnan(ratio_B)]
    if len(ratio_B) == 0:
        return Estimate(value, float("nan"), float("nan"))
    tail = (1 - CONFIDENCE) / 2
    # By rank, not between two of them: an infinite one has no middle.
    low, high = np.quantile(ratio_B, (tail, 1 - tail), method="nearest")
    return Estimate(value, float(low), float(high))


def mean(value_K: Sequence[float]) -> Estimate:
    """Return the mean over markets."""
    return ratio(value_K, np.ones(len(value_K)))


def _divided(above: FloatArray, below: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(above / below)
