"""Recorded trades side by side, as columns: what features are computed from.

Axes: M trades, K their decisions in order, R columns of a trade, I of a decision, P the 132
parameters, J items of the trades' lists, in order.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from exits.parameters import N_PARAMETERS
from exits.recorded_trade import ITEM_COLUMNS, TRADE_COLUMNS, Pairs, RecordedTrade
from market.bars import FloatArray, TimeArray
from market.compiled import IndexArray


@dataclass(frozen=True, slots=True)
class Listed:
    """One list of all trades.

    Attributes
    ----------
    start_M1 : int64 array, shape (n_trades + 1,)
        Items of trade m are those from ``start_M1[m]`` to the one before ``start_M1[m + 1]``.
    bar_J, value_J : float64 array
    """

    start_M1: IndexArray
    bar_J: FloatArray
    value_J: FloatArray


@dataclass(frozen=True, slots=True)
class TradeBatch:
    """Some trades.

    Attributes
    ----------
    values_MR : float64 array
        Columns `TRADE_COLUMNS`; NaN where unknown.
    codes_MC : int64 array, shape (n_trades, 4)
        Columns `CATEGORIES`.
    trade_K, number_K : int64 array
    time_K : datetime64[us] array
    items_KI : float64 array
        Columns `ITEM_COLUMNS`; NaN where unknown.
    previous_KP, decided_KP : float64 array, shape (n_decisions, 132)
        ``previous_KP`` is NaN where a record does not tell it.
    history, partials, updates, stops : Listed
    """

    values_MR: FloatArray
    codes_MC: IndexArray
    trade_K: IndexArray
    number_K: IndexArray
    time_K: TimeArray
    items_KI: FloatArray
    previous_KP: FloatArray
    decided_KP: FloatArray
    history: Listed
    partials: Listed
    updates: Listed
    stops: Listed


def trade_batch(trades: Sequence[RecordedTrade]) -> TradeBatch:
    """Return trades side by side, in their order."""
    counts_M = [len(one.steps.number_K) for one in trades]
    steps = [one.steps for one in trades]
    time_us_K = [time_us for one in steps for time_us in one.time_us_K]
    unknown = array("d", [np.nan]) * N_PARAMETERS
    return TradeBatch(
        values_MR=_finite(_joined([one.values for one in trades], len(TRADE_COLUMNS))),
        codes_MC=np.array([one.codes for one in trades], np.int64),
        trade_K=np.repeat(np.arange(len(trades)), counts_M),
        number_K=np.array([number for one in steps for number in one.number_K], np.int64),
        time_K=np.array(time_us_K, np.int64).astype("datetime64[us]"),
        items_KI=_finite(_joined([one.items for one in steps], len(ITEM_COLUMNS))),
        previous_KP=_joined([one.previous or unknown for one in steps], N_PARAMETERS),
        decided_KP=_joined([one.decided for one in steps], N_PARAMETERS),
        history=_listed([one.history for one in trades]),
        partials=_listed([one.partials for one in trades]),
        updates=_listed([one.updates for one in trades]),
        stops=_listed([one.stops for one in trades]),
    )


def _joined(rows: Sequence["array[float]"], width: int) -> FloatArray:
    return np.frombuffer(bytearray().join(rows), np.float64).reshape(-1, width)


def _finite(x: FloatArray) -> FloatArray:
    """Return numbers with NaN for infinities: neither is known."""
    x[np.isinf(x)] = np.nan
    return x


def _listed(pairs: Sequence[Pairs]) -> Listed:
    lengths = [len(bars) for bars, _ in pairs]
    values: npt.NDArray[np.float64] = _joined([value for _, value in pairs], 1)[:, 0]
    return Listed(
        start_M1=np.array([0, *accumulate(lengths)], np.int64),
        bar_J=_joined([bars for bars, _ in pairs], 1)[:, 0],
        value_J=np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0),
    )
