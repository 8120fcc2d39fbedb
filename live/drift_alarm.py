"""Alarms that may be looked at after every outcome, for ever, and still are rarely false.

Axes: N outcomes in time order, K alternatives.
"""

from dataclasses import dataclass

import numpy as np

from market.bars import FloatArray, TimeArray
from market.compiled import IndexArray

# Beyond that a statistic says nothing more, and its exponential would overflow.
_MOST = 1e12


@dataclass(frozen=True, slots=True)
class Detected:
    """The path of a detector up to its alarm.

    Attributes
    ----------
    statistic_N : float64 array, shape (n_read,)
        After each outcome that was read: all of them, or those up to the alarm.
    alarm : int or None
        Position of the outcome after which it first reached the threshold.
    likely_from : int or None
        Where there is an alarm, from which outcome on it most likely is another world.
    """

    statistic_N: FloatArray
    alarm: int | None
    likely_from: int | None = None


def detect(log_e_NK: FloatArray, threshold: float) -> Detected:
    """Follow an e-detector until it alarms.

    Each column bets against the same null hypothesis: ``exp(log_e_NK[n, k])`` has an expectation of
    at most 1 given what came before, as long as nothing has changed. The statistic is the mean over
    columns of ``M_n = (M_{n-1} + 1) e_n``, and the expected number of outcomes up to a false alarm
    is at least the threshold, however often one looks: the e-Shiryaev-Roberts detector (Shin,
    Ramdas and Rinaldo, E-detectors: a nonparametric framework for sequential change detection,
    2023, section 2).

    Parameters
    ----------
    log_e_NK : float64 array, shape (n_outcomes, n_alternatives)
        At least one alternative.
    threshold : float
    """
    factor_NK = np.exp(log_e_NK)
    statistic_N = np.empty(len(log_e_NK))
    m_K = np.zeros(log_e_NK.shape[1])
    for n, factor_K in enumerate(factor_NK):
        m_K = np.minimum((m_K + 1.0) * factor_K, _MOST)
        statistic_N[n] = m_K.mean()
        if statistic_N[n] >= threshold:
            return Detected(statistic_N[: n + 1], n, _likely_from(log_e_NK[: n + 1]))
    return Detected(statistic_N, None)


def _likely_from(log_e_NK: FloatArray) -> int:
    """Return the beginning from which on the best bet has gained most."""
    won_NK = np.cumsum(log_e_NK[::-1], axis=0)[::-1]
    return int(np.unravel_index(np.argmax(won_NK), won_NK.shape)[0])


def median_delay(log_e_PNK: FloatArray, change: int, threshold: float) -> float | None:
    """Return the median number of outcomes from a change to the alarm, over paths that are made up.

    A path that alarms before the change begins anew.

    Parameters
    ----------
    log_e_PNK : float64 array, shape (n_paths, n_outcomes, n_alternatives)
        Bets as `detect` takes them.
    change : int
        Outcomes before it.
    threshold : float

    Returns
    -------
    float or None
        None where half of the paths or more have not alarmed at their end.
    """
    n_paths, n_outcomes, n_alternatives = log_e_PNK.shape
    m_PK = np.zeros((n_paths, n_alternatives))
    open_P = np.ones(n_paths, dtype=bool)
    for n in range(n_outcomes):
        m_PK = np.minimum((m_PK + 1.0) * np.exp(log_e_PNK[:, n]), _MOST)
        alarmed_P = m_PK.mean(axis=1) >= threshold
        if n < change:
            m_PK[alarmed_P] = 0.0
            continue
        open_P &= ~alarmed_P
        if 2 * open_P.sum() < n_paths:
            return float(n - change + 1)
    return None


def unshared(t0_N: TimeArray, t1_N: TimeArray) -> IndexArray:
    """Return positions of a chain of outcomes none of which was open while another was.

    Each is the first to be decided on after the one before it was known: at that moment all earlier
    ones of the chain were, and more outcomes change none of them.

    Parameters
    ----------
    t0_N, t1_N : datetime64 arrays, shape (n_outcomes,)
        Decision times, ascending, and when each outcome was known.
    """
    kept: list[int] = []
    for n in range(len(t0_N)):
        if not kept or t0_N[n] >= t1_N[kept[-1]]:
            kept.append(n)
    return np.array(kept, dtype=np.int64)
