"""Whether out-of-fold predictions hold any signal, and whether one model's beat another's.

Labels overlap, so neighbouring rows repeat each other; every variance here allows for that in two
ways and takes the larger: by the time that labels share (R of `selection.overlap`), and by the
autocorrelation that is met (Newey and West, Econometrica 55, 1987, equation 5).

Axes: N rows out of fold, L lags.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from selection.metrics import PROBABILITY_FLOOR, log_losses, log_odds
from selection.out_of_fold import OutOfFold
from selection.overlap import Overlaps

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

CLIP = 0.02
# On fewer rows without overlap than this a standard error is itself too uncertain to judge by.
LEAST_EFFECTIVE_ROWS = 10
POWER = 0.8
# Scores are about normal: their mean distance from the middle is this share of their deviation.
MEAN_ABSOLUTE_OF_NORMAL = math.sqrt(2 / math.pi)
# Log-odds this close to each other are equal: rounding alone sets them apart.
EQUAL_LOG_ODDS = 1e-10


@dataclass(frozen=True, slots=True)
class Evidence:
    """How surely a model's predictions go with what happened.

    Attributes
    ----------
    rows : int
    effective_rows : float
        Rows without overlap that would say as much.
    statistic : float
        Standard normal where there is no signal, about.
    p_value : float
        One-sided; 1 where the predictions cost no less log-loss than the base rate, or where
        within every block outcomes or scores are all alike.
    gain : float
        Mean log-loss of the base rate less the model's, nats per row, both clipped.
    inflation : float
        Variance of the statistic's sum over what it would be without overlap; infinite where
        outcomes or scores are all alike.
    score_share : float
        Share of the scores' variance that the statistic reads: below 1 where only what differs
        within blocks counts.
    """

    rows: int
    effective_rows: float
    statistic: float
    p_value: float
    gain: float
    inflation: float
    score_share: float = 1.0


@dataclass(frozen=True, slots=True)
class Advantage:
    """How much less log-loss one model has than another on the same rows.

    Attributes
    ----------
    gain : float
        Nats per row; positive where the first is better.
    standard_error : float
    p_value : float
        One-sided, for a gain above zero.
    """

    gain: float
    standard_error: float
    p_value: float


def evidence(rows: OutOfFold) -> Evidence:
    """Test whether predictions go with outcomes beyond the base rate; without rows they do not.

    The covariance of outcome and score (log-odds less those of the base rate) is tested with both
    centred over all rows and within blocks, and the weaker of the two counts: neither a base rate
    that wanders with persistent features, nor one block alone, passes for signal.

    Parameters
    ----------
    rows : OutOfFold

    Returns
    -------
    Evidence
    """
    if len(rows) == 0:
        return Evidence(0, 0.0, -math.inf, 1.0, 0.0, math.inf)
    p_N, base_N = (np.clip(p, CLIP, 1 - CLIP) for p in (rows.p_N, rows.base_rate_N))
    score_N = log_odds(p_N) - log_odds(base_N)
    overlaps = Overlaps(rows.t0_N, rows.t1_N)
    effective = overlaps.effective_rows
    gain = float(np.mean(log_losses(rows.y_N, base_N) - log_losses(rows.y_N, p_N)))
    spread = float(np.var(score_N))
    tests = []
    for by_N in (np.zeros(len(rows), dtype=np.int64), rows.block_N):
        e_N, q_N = _centred(rows.y_N.astype(float), by_N), _centred(score_N, by_N)
        share = float(np.mean(q_N**2)) / spread if spread > 0 else 1.0
        tests.append((*_association(e_N, q_N, overlaps), share))
    statistic, inflation, share = min(tests)
    p_value = _tail(statistic, effective) if gain > 0 else 1.0
    return Evidence(len(rows), effective, statistic, p_value, gain, inflation, share)


def advantage(first: OutOfFold, second: OutOfFold) -> Advantage:
    """Compare two models' log-loss on the rows that both predicted; without any, there is none."""
    first, second = first.at(second.t0_N), second.at(first.t0_N)
    if len(first) == 0:
        return Advantage(0.0, 0.0, 1.0)
    overlaps = Overlaps(first.t0_N, first.t1_N)
    gain, error = paired_gain(first.y_N, first.p_N, second.p_N, overlaps)
    return Advantage(gain, error, chance_of_gain(gain, error, overlaps.effective_rows))


def chance_of_gain(gain: float, standard_error: float, effective_rows: float) -> float:
    """Return the one-sided p-value of a paired gain: of one as large where there is none.

    Parameters
    ----------
    gain, standard_error : float
        As `paired_gain` gives them.
    effective_rows : float
        Rows without overlap that would say as much; fewer than three tell nothing, and give 1.
    """
    certain = math.inf if gain > 0 else -math.inf
    statistic = gain / standard_error if standard_error > 0 else certain
    return _tail(statistic, effective_rows)


def paired_gain(
    y_N: IntArray, p_N: FloatArray, other_N: FloatArray, overlaps: Overlaps
) -> tuple[float, float]:
    """Return how much less log-loss ``p_N`` has than ``other_N``, and its standard error.

    Parameters
    ----------
    y_N : int64 array, shape (n_rows,)
    p_N, other_N : float64 arrays, shape (n_rows,)
        Probabilities of winning.
    overlaps : Overlaps
        Of the same rows.

    Returns
    -------
    (float, float)
        Nats per row.
    """
    bounds = PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR
    p_N, other_N = np.clip(p_N, *bounds), np.clip(other_N, *bounds)
    gain_N = log_losses(y_N, other_N) - log_losses(y_N, p_N)
    centred_N = gain_N - gain_N.mean()
    # Of the difference only what hangs on the outcome is random: outcome times distance of scores.
    distance_N = log_odds(p_N) - log_odds(other_N)
    shared = float(np.var(y_N) * overlaps.forms(distance_N[None])[0])
    plain = float(centred_N @ centred_N)
    weights_L, correlation_L = _lag_weights(len(y_N)), _autocorrelation(centred_N)
    met = plain * (1 + 2 * float(weights_L @ correlation_L))
    return float(gain_N.mean()), math.sqrt(max(plain, shared, met)) / len(y_N)


def holm(
    p_values: Mapping[str, float], shares: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Return p-values adjusted for their number (Holm, Scandinavian J. Statistics 6, 1979).

    One of them below alpha means: the chance that any hypothesis that is true was rejected is
    below alpha.

    Parameters
    ----------
    p_values : mapping
    shares : mapping, optional
        By name, in (0, 1], the weight of a hypothesis whose rest belongs to others in its place
        that might have been tested and were not: they stay in the family with a p-value of 1.
        1 where a name is not given.
    """
    adjusted: dict[str, float] = {}
    largest, left = 0.0, float(len(p_values))
    share = {name: (shares or {}).get(name, 1.0) for name in p_values}
    for name in sorted(p_values, key=lambda name: p_values[name] / share[name]):
        largest = max(largest, min(1.0, left * p_values[name] / share[name]))
        left -= share[name]
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


def detectable_edge(found: Evidence, alpha: float) -> float:
    """Return the accuracy above no skill that a test at ``alpha`` sees four times in five.

    It is the edge of the predictions as made, of about normal scores and balanced outcomes, not
    the edge that a perfect forecaster would have: part of that is lost in learning.

    Parameters
    ----------
    found : Evidence
        Its rows, the inflation of its variance, and the share of its scores that was read.
    alpha : float
        What the first of the family is tested at.

    Returns
    -------
    float
        A share: 0.04 is four points; infinity where there are too few rows for any edge to be
        seen so often.
    """
    from scipy.special import stdtrit

    freedom = found.effective_rows - 2
    if freedom <= 0 or not math.isfinite(found.inflation):
        return math.inf
    needed = stdtrit(freedom, 1 - alpha) + stdtrit(freedom, POWER)
    correlation = needed / math.sqrt(found.rows * found.score_share / found.inflation)
    return float(correlation * MEAN_ABSOLUTE_OF_NORMAL / 2) if correlation < 1 else math.inf


def mean_interval(value_N: FloatArray, overlaps: Overlaps, level: float) -> tuple[float, float]:
    """Return an interval for the mean of values that share as much as their labels overlap.

    Parameters
    ----------
    value_N : float64 array, shape (n_rows,)
    overlaps : Overlaps
    level : float
        In (0, 1): 0.95.

    Returns
    -------
    (float, float)
        Ends; infinite where the rows amount to one or fewer.
    """
    from scipy.special import stdtrit

    freedom = overlaps.effective_rows - 1
    if freedom <= 0:
        return -math.inf, math.inf
    mean = float(value_N.mean())
    half = stdtrit(freedom, (1 + level) / 2) * float(value_N.std()) / math.sqrt(freedom)
    return mean - float(half), mean + float(half)


def _association(e_N: FloatArray, q_N: FloatArray, overlaps: Overlaps) -> tuple[float, float]:
    """Return the standardised covariance of outcome and score, and its variance's inflation."""
    v = float(np.mean(e_N**2))
    plain = v * float(q_N @ q_N)
    if plain <= v * len(q_N) * EQUAL_LOG_ODDS**2:
        return -math.inf, math.inf
    shared = v * float(overlaps.forms(q_N[None])[0])
    correlation_L = _autocorrelation(e_N) * _autocorrelation(q_N)
    met = plain * (1 + 2 * float(_lag_weights(len(e_N)) @ correlation_L))
    variance = max(shared, met, plain)
    return float(e_N @ q_N) / math.sqrt(variance), variance / plain


def _tail(statistic: float, effective_rows: float) -> float:
    """Return the chance of a larger statistic, Student's t with the effective rows less two."""
    from scipy.special import stdtr

    freedom = effective_rows - 2
    return float(stdtr(freedom, -statistic)) if freedom > 0 and statistic > -math.inf else 1.0


def _n_lags(n_rows: int) -> int:
    return min(n_rows - 1, math.ceil(1.3 * math.sqrt(n_rows)))


def _lag_weights(n_rows: int) -> FloatArray:
    n_lags = _n_lags(n_rows)
    return 1 - np.arange(1, n_lags + 1) / (n_lags + 1)


def _autocorrelation(a_N: FloatArray) -> FloatArray:
    """Return the autocorrelation of a centred series at lags 1 to L; zeros for a constant one."""
    total = float(a_N @ a_N)
    lags = range(1, _n_lags(len(a_N)) + 1)
    return np.array([float(a_N[lag:] @ a_N[:-lag]) / total if total > 0 else 0.0 for lag in lags])


def _centred(a_N: FloatArray, by_N: IntArray) -> FloatArray:
    _, group_N = np.unique(by_N, return_inverse=True)
    means = np.bincount(group_N, weights=a_N) / np.bincount(group_N)
    return a_N - means[group_N]
