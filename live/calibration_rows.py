"""Outcomes to calibrate by: of one symbol or of several together, in folds that share no time.

Axes: N rows in the order of their decisions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from live.resolved import Resolved
from market.bars import FloatArray, TimeArray
from market.compiled import BoolArray, IndexArray
from selection.evidence import paired_gain
from selection.metrics import log_losses, log_odds
from selection.overlap import Overlaps

N_FOLDS = 10
_TICK = np.timedelta64(1, "us")


@dataclass(frozen=True, slots=True)
class Rows:
    """What models said of events and what came of them.

    Attributes
    ----------
    symbols : tuple of str
    symbol_N : int64 array, shape (n_rows,)
        Position in ``symbols``.
    t0_N, t1_N : datetime64[us] arrays, shape (n_rows,)
        Decision times, never decreasing, and when each outcome was known, UTC.
    y_N : int64 array, shape (n_rows,)
    weight_N : float64 array, shape (n_rows,)
        In a fit.
    log_odds_N : float64 array, shape (n_rows,)
        Of the models' own probabilities.
    p_live_N : float64 array, shape (n_rows,)
        What is acted on today.
    threshold_N : float64 array, shape (n_rows,)
        What it must reach for a trade.
    fresh_N : bool array, shape (n_rows,)
        Decided on when the calibration in the manifest had been fitted, or one that was rolled
        back, so that it speaks of them as of anything to come: only these are judged. All where
        there was none.
    """

    symbols: tuple[str, ...]
    symbol_N: IndexArray
    t0_N: TimeArray
    t1_N: TimeArray
    y_N: IndexArray
    weight_N: FloatArray
    log_odds_N: FloatArray
    p_live_N: FloatArray
    threshold_N: FloatArray
    fresh_N: BoolArray

    def __len__(self) -> int:
        return len(self.t0_N)

    def effective_rows(self, rows: IndexArray) -> float:
        """Return how many outcomes that share no time would say as much.

        Outcomes of several symbols at the same time count as if they were of one: currencies move
        together, and a week of ten symbols is a week.
        """
        # No two at once: the n-th is a microsecond later than the one before it at least.
        later_N = np.arange(len(rows)) * _TICK
        level_N: TimeArray = np.maximum.accumulate(self.t0_N[rows] - later_N)
        apart_N: TimeArray = level_N + later_N
        return Overlaps(apart_N, np.maximum(self.t1_N[rows], apart_N)).effective_rows

    def gain(self, rows: IndexArray, p_N: FloatArray, other_N: FloatArray) -> tuple[float, float]:
        """Return how much less log-loss ``p_N`` has than ``other_N``, and its standard error.

        Within a symbol the error is that of `selection.evidence.paired_gain`. What symbols have in
        common is added as it is met: sums over all symbols by time, whose variance allows for
        neighbours (Driscoll and Kraay, Review of Economics and Statistics 80, 1998). The larger
        counts.

        Parameters
        ----------
        rows : int64 array
            Which rows are compared.
        p_N, other_N : float64 arrays, shape (n_rows,)

        Returns
        -------
        (float, float)
            Nats per row.
        """
        total, variance = 0.0, 0.0
        for own in self._by_symbol(rows):
            gain, error = paired_gain(self.y_N[own], p_N[own], other_N[own], self._overlaps(own))
            total += len(own) * gain
            variance += (len(own) * error) ** 2
        if len(self.symbols) > 1:
            variance = max(variance, self._met(rows, p_N, other_N))
        return total / len(rows), float(np.sqrt(variance)) / len(rows)

    def folds(self) -> Iterator[tuple[IndexArray, IndexArray]]:
        """Yield the rows of each fold, and those to judge them by.

        Folds are stretches of time with about as many fresh rows each. Nothing is fitted on an
        outcome, of any symbol, that was open while one of the fold was.
        """
        fresh = np.flatnonzero(self.fresh_N)
        for fold in np.array_split(fresh, min(N_FOLDS, len(fresh))):
            first, last = self.t0_N[fold].min(), self.t1_N[fold].max()
            apart_N = (self.t1_N <= first) | (self.t0_N >= last)
            yield fold, np.flatnonzero(apart_N)

    def _by_symbol(self, rows: IndexArray) -> Iterator[IndexArray]:
        for k in np.unique(self.symbol_N[rows]):
            yield rows[self.symbol_N[rows] == k]

    def _overlaps(self, rows: IndexArray) -> Overlaps:
        return Overlaps(self.t0_N[rows], self.t1_N[rows])

    def _met(self, rows: IndexArray, p_N: FloatArray, other_N: FloatArray) -> float:
        """Return the variance of the summed gain, by sums over stretches as long as a label."""
        gain_N = row_gains(self.y_N[rows], p_N[rows], other_N[rows])
        centred_N = gain_N - gain_N.mean()
        longest = (self.t1_N[rows] - self.t0_N[rows]).max()
        stretch_N = (self.t0_N[rows] - self.t0_N[rows].min()) // longest
        sum_C = np.bincount(stretch_N.astype(np.int64), weights=centred_N)
        return float(sum_C @ sum_C + sum_C[1:] @ sum_C[:-1])


def row_gains(y_N: IndexArray, p_N: FloatArray, other_N: FloatArray) -> FloatArray:
    """Return how much less log-loss ``p_N`` has than ``other_N`` in each row, nats."""
    return log_losses(y_N, other_N) - log_losses(y_N, p_N)


def rows_of(outcomes: Sequence[Resolved], read_until: Mapping[str, np.datetime64 | None]) -> Rows:
    """Put the outcomes of one or more symbols together, those alone that are no choice by speed.

    Parameters
    ----------
    outcomes : sequence of Resolved
    read_until : mapping
        By symbol, up to when a calibration has read its outcomes, UTC; None where none has.
    """
    kept = [one.t0_N <= one.complete_until for one in outcomes]

    def joined(name: str) -> Any:
        parts = [getattr(one, name)[at] for one, at in zip(outcomes, kept, strict=True)]
        return np.concatenate(parts)

    fresh = [
        _fresh(one.t0_N, read_until[one.symbol])[at] for one, at in zip(outcomes, kept, strict=True)
    ]
    n_each = [int(at.sum()) for at in kept]
    t0_N = joined("t0_N")
    order = np.argsort(t0_N, kind="stable")
    return Rows(
        symbols=tuple(one.symbol for one in outcomes),
        symbol_N=np.repeat(np.arange(len(outcomes)), n_each)[order],
        t0_N=t0_N[order],
        t1_N=joined("t1_N")[order],
        y_N=joined("y_N")[order],
        weight_N=joined("weight_N")[order],
        log_odds_N=log_odds(joined("p_N"))[order],
        p_live_N=joined("p_live_N")[order],
        threshold_N=np.repeat([one.threshold for one in outcomes], n_each)[order],
        fresh_N=np.concatenate(fresh)[order],
    )


def _fresh(t0_N: TimeArray, read_until: np.datetime64 | None) -> BoolArray:
    if read_until is None:
        return np.ones(len(t0_N), dtype=np.bool_)
    return t0_N >= read_until
