"""Twelve parameters learnt from closed trades by counting alone, one set per regime and session.

A bucket begins at the defaults. Each trade that ends better than the mean of its bucket so far
pulls the bucket's values towards those it was entered with, by the share ``w / (20 + W)`` of the
distance: ``w`` is tanh of how many R it was better, ``W`` the sum of ``w`` before it. So no trade
moves a value by more than 5% of the way, and what comes out is the mean of what worked, weighted by
how well, with the defaults as twenty trades of full weight.

A trade that ends worse moves nothing but the mean. A push away from its values would have no end
(the farther a bucket is from them, the farther they push), leads to where no trade has been, and is
mostly noise: one trade's result says little of its parameters.

Axes: N rows, M trades, B parameters of a bucket, P the 132 parameters.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from exits.decision_rows import DecisionRows
from exits.feature_table import FEATURES
from exits.feature_table import INDEX as COLUMN
from exits.ladder import SIMPLE
from exits.parameters import ATR, INDEX, N_PARAMETERS, PARAMETERS, defaults
from exits.policy import Asked
from market.bars import FloatArray
from market.compiled import IndexArray

LEARNT = (
    "stop_mult",
    "breakeven_threshold_ticks",
    "trailing_distance_ticks",
    "partial_1_r",
    "partial_1_pct",
    "partial_2_r",
    "partial_2_pct",
    "partial_3_r",
    "partial_3_pct",
    "breakeven_mult",
    "trailing_mult",
    ATR,
)
"""What the oldest records hold. `current_atr` is kept as a multiple of the measured ATR."""

REGIMES, SESSIONS = (
    tuple(name for name in FEATURES[COLUMN[feature]].codes if name != "other")
    for feature in ("regime", "session")
)
DEFAULTS_WEIGHT = 20.0
ATR_RATIO = (0.5, 2.0)
"""Lowest and highest multiple of the measured ATR."""

_PLACES = np.array([INDEX[name] for name in LEARNT])
_ATR_B, _ATR_P = LEARNT.index(ATR), INDEX[ATR]
_OF = [PARAMETERS[p] for p in _PLACES]
LOW_B = np.array([*(one.low for one in _OF[:-1]), ATR_RATIO[0]])
HIGH_B = np.array([*(one.high for one in _OF[:-1]), ATR_RATIO[1]])
_WHOLE_B = np.array([one.kind == "integer" for one in _OF])


@dataclass(frozen=True, slots=True)
class Bucket:
    """What the closed trades of one regime and session have taught so far.

    Attributes
    ----------
    trades : int
    mean_r : float
        Of all its trades, in R.
    weight : float
        Sum of the weights of those that were better than the mean before them.
    values_B : tuple of float
        In the order of `LEARNT`.
    """

    trades: int = 0
    mean_r: float = 0.0
    weight: float = 0.0
    values_B: tuple[float, ...] = field(
        default_factory=lambda: tuple(defaults(1.0)[_PLACES].tolist())
    )

    def after(self, used_B: FloatArray, r: float) -> "Bucket":
        """Return the bucket after one more trade.

        Parameters
        ----------
        used_B : float64 array, shape (12,)
            What it was entered with; `current_atr` as a multiple of the measured ATR. What lies
            outside its range is clipped, what is not finite leaves the bucket's value as it is.
        r : float
            What it ended with.
        """
        weight = math.tanh(max(0.0, r - self.mean_r)) if self.trades else 0.0
        values_B = np.array(self.values_B)
        towards_B = np.where(np.isfinite(used_B), np.clip(used_B, LOW_B, HIGH_B), values_B)
        share = weight / (DEFAULTS_WEIGHT + self.weight)
        moved_B = np.clip(values_B + share * (towards_B - values_B), LOW_B, HIGH_B)
        return Bucket(
            self.trades + 1,
            self.mean_r + (r - self.mean_r) / (self.trades + 1),
            self.weight + weight,
            tuple(moved_B.tolist()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SimpleLearning:
    """All buckets.

    Attributes
    ----------
    buckets : mapping of pairs of int to Bucket
        By regime and session, as the feature table codes them.
    learnt_until : datetime64[us]
        UTC: the last exit of any trade that is in them; NaT where there is none.
    left_out : int
        Trades without regime, session, result or a decision at their entry.
    """

    buckets: Mapping[tuple[int, int], Bucket]
    learnt_until: np.datetime64
    left_out: int = 0

    def values(self, regime: int, session: int) -> FloatArray | None:
        """Return a bucket's parameters, shape (132,), `current_atr` a multiple of the measured.

        The other 120 are the defaults, whole numbers are whole. None where no trade has closed in
        that bucket.
        """
        bucket = self.buckets.get((regime, session))
        if bucket is None:
            return None
        values_B = np.array(bucket.values_B)
        values_P = defaults(1.0)
        values_P[_PLACES] = np.where(_WHOLE_B, np.floor(values_B + 0.5), values_B)
        return values_P


def learn_simple(rows: DecisionRows) -> SimpleLearning:
    """Learn from closed trades, in the order in which they closed.

    Parameters
    ----------
    rows : DecisionRows
        Of each trade the decision at its entry is read.
    """
    entries_N = np.flatnonzero(rows.number_N == 0)
    entry_of_M = np.full(len(rows.r_M), -1)
    entry_of_M[rows.trade_N[entries_N]] = entries_N
    usable_M = (entry_of_M >= 0) & np.isfinite(rows.r_M) & ~np.isnat(rows.exit_time_M)
    for code_M, known in ((rows.regime_M, REGIMES), (rows.session_M, SESSIONS)):
        usable_M &= (code_M >= 0) & (code_M < len(known))
    used_MB = rows.decided_NP[entry_of_M[:, None], _PLACES]
    used_MB[:, _ATR_B] /= rows.atr_N[entry_of_M]
    buckets: dict[tuple[int, int], Bucket] = {}
    until = np.datetime64("NaT", "us")
    for m in _by_exit(rows, used_MB, np.flatnonzero(usable_M)):
        key = int(rows.regime_M[m]), int(rows.session_M[m])
        buckets[key] = buckets.get(key, Bucket()).after(used_MB[m], float(rows.r_M[m]))
        until = rows.exit_time_M[m]
    if buckets:
        until = max(until, rows.policy_until_M.max())
    left_out = int(np.count_nonzero(~usable_M))
    return SimpleLearning(buckets=buckets, learnt_until=until, left_out=left_out)


def _by_exit(rows: DecisionRows, used_MB: FloatArray, places: IndexArray) -> list[int]:
    """Return trades by their exit; those of one moment by what they are, not where they stood."""

    def key(m: int) -> tuple[Any, ...]:
        times = rows.exit_time_M[m].astype(np.int64), rows.entry_time_M[m].astype(np.int64)
        return *times, rows.symbol_M[m], float(rows.r_M[m]), used_MB[m].tobytes()

    return sorted(places.tolist(), key=key)


class SimpleRung:
    """The buckets as a rung of the ladder.

    Parameters
    ----------
    learning : SimpleLearning
    """

    name = SIMPLE
    gap = "no trade has closed yet in that regime and session"

    def __init__(self, learning: SimpleLearning) -> None:
        self.learning = learning
        # One row more: of a regime or session that is none of the known.
        shape = len(REGIMES) + 1, len(SESSIONS) + 1, N_PARAMETERS
        self._values_RSP = np.full(shape, np.nan)
        for regime, session in learning.buckets:
            self._values_RSP[regime, session] = learning.values(regime, session)

    def answer(self, asked: Sequence[Asked]) -> FloatArray:
        """Return what each decision's bucket holds, NaN where it has none."""
        x_KF = np.array([one.state_F for one in asked], np.float64)
        regime_K = _known(x_KF[:, COLUMN["regime"]], len(REGIMES))
        session_K = _known(x_KF[:, COLUMN["session"]], len(SESSIONS))
        values_KP: FloatArray = self._values_RSP[regime_K, session_K]
        values_KP[:, _ATR_P] *= [one.atr for one in asked]
        return values_KP


def _known(code_K: FloatArray, n_codes: int) -> IndexArray:
    """Return codes as places, ``n_codes`` for whatever is none of them."""
    known_K = (code_K >= 0) & (code_K < n_codes)
    return np.where(known_K, code_K, n_codes).astype(np.int64)
