"""How much better a decision turned out than decisions in such a state do.

Axes: N decisions, M trades, J state summaries.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from exits.conditions import REGIMES
from exits.decision_rows import DecisionRows
from exits.feature_table import INDEX
from market.bars import FloatArray
from market.compiled import BoolArray, IndexArray

# Beyond, one lucky trade would outweigh a hundred.
MOST_R: Final = 10.0
_RIDGE: Final = 1e-4
_FEWEST_ROWS: Final = 50


def of_trades(rows: DecisionRows, train_N: BoolArray) -> FloatArray:
    """Return each row's final R less the mean R of the trades in its regime, shape (n_rows,).

    Means are of training trades alone; a regime without any takes the mean of all.
    """
    trains_M = np.zeros(len(rows.r_M), bool)
    trains_M[rows.trade_N[train_N]] = True
    r_M = np.clip(rows.r_M, -MOST_R, MOST_R)
    mean_M = np.full(len(r_M), r_M[trains_M].mean())
    for regime in range(-1, len(REGIMES)):
        same_M = rows.regime_M == regime
        if (same_M & trains_M).any():
            mean_M[same_M] = r_M[same_M & trains_M].mean()
    advantage_N: FloatArray = (r_M - mean_M)[rows.trade_N]
    return advantage_N


@dataclass(frozen=True, slots=True)
class Baseline:
    """What usually comes after a decision in a state: quadratic in the summaries, for each kind.

    Attributes
    ----------
    entry_J, update_J : float64 arrays
        Coefficients at entries and at later decisions.
    """

    entry_J: FloatArray
    update_J: FloatArray

    @classmethod
    def fit(cls, value_N: FloatArray, phi_NJ: FloatArray, is_entry_N: BoolArray) -> Self:
        """Fit it by ridge regression to the values of training rows."""
        terms_NJ = _terms(phi_NJ)
        return cls(
            *(_ridge(terms_NJ[kind_N], value_N[kind_N]) for kind_N in (is_entry_N, ~is_entry_N))
        )

    def residual(
        self,
        value_N: FloatArray,
        phi_NJ: FloatArray,
        is_entry_N: BoolArray,
        moment_N: IndexArray,
    ) -> FloatArray:
        """Return the values less what their states promise, and less what others got there.

        Where a moment was traded several times, with other parameters, all had the same bars
        before them: the mean of the others' residuals, drawn to 0 where they are few, is taken
        off as well. A row's own value is no part of what it is compared with.

        Parameters
        ----------
        moment_N : int64 array
            Equal where symbol, time, side and kind of decision are.
        """
        terms_NJ = _terms(phi_NJ)
        expected_N = np.where(is_entry_N, terms_NJ @ self.entry_J, terms_NJ @ self.update_J)
        residual_N = value_N - expected_N
        n_M = np.bincount(moment_N)
        others_N = n_M[moment_N] - 1
        sum_N = np.bincount(moment_N, residual_N)[moment_N] - residual_N
        compared_N: FloatArray = residual_N - sum_N / (others_N + 1.0)
        return compared_N


def still_to_come(rows: DecisionRows) -> FloatArray:
    """Return final R less what the trade stood at: what the decision could still change."""
    value_N: FloatArray = np.clip(rows.r_M[rows.trade_N] - rows.worth_N, -MOST_R, MOST_R)
    return value_N


def moments(rows: DecisionRows) -> IndexArray:
    """Return one number for each symbol, time, side and kind of decision."""
    side_N = rows.x_NF[:, INDEX["side"]].astype(np.int64)
    return _numbered(_symbols(rows), rows.time_N.astype(np.int64), side_N, rows.number_N > 0)


def signals(rows: DecisionRows) -> IndexArray:
    """Return one number for each symbol and first decision: trades that share a path of prices."""
    first_N = rows.entry_time_M[rows.trade_N].astype(np.int64)
    return _numbered(_symbols(rows), first_N)


def _symbols(rows: DecisionRows) -> IndexArray:
    codes_M = np.unique(np.array(rows.symbol_M, dtype=str), return_inverse=True)[1]
    return np.asarray(codes_M[rows.trade_N], np.int64)


def _numbered(*keys_N: FloatArray | IndexArray | BoolArray) -> IndexArray:
    table_NK = np.stack([np.asarray(key_N, np.int64) for key_N in keys_N], axis=1)
    return np.asarray(np.unique(table_NK, axis=0, return_inverse=True)[1].ravel(), np.int64)


def _terms(phi_NJ: FloatArray) -> FloatArray:
    return np.concatenate([np.ones((len(phi_NJ), 1)), phi_NJ, phi_NJ**2], axis=1)


def _ridge(terms_NJ: FloatArray, value_N: FloatArray) -> FloatArray:
    n_rows, n_terms = terms_NJ.shape
    if n_rows < _FEWEST_ROWS:
        return np.zeros(n_terms)
    penalty = _RIDGE * n_rows * np.eye(n_terms)
    fitted_J: FloatArray = np.linalg.solve(terms_NJ.T @ terms_NJ + penalty, terms_NJ.T @ value_N)
    return fitted_J
