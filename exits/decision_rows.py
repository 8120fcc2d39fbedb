"""Rows to learn from: one per decision of each recorded trade, with how the trade ended.

Axes: N decisions, M trades, F the 208 features, P the 132 parameters.
"""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from exits.data_report import DataReport
from exits.decision_parts import Part, part_of
from exits.experience_reader import ExperienceReader, OnProgress
from exits.feature_table import N_PARAMETERS
from exits.features import parameter_features, session_codes
from exits.parameters import defaults
from exits.recorded_trade import END_UNKNOWN, RecordedTrade
from market.bars import FloatArray, TimeArray
from market.compiled import IndexArray

# So many trades are taken apart before their features are made side by side.
BATCH: Final = 512


@dataclass(frozen=True, slots=True)
class DecisionRows:
    """What was known, what was decided, and what came of it.

    Rows are in the order of their trades and then of their decisions; trades in the order of their
    entries, then symbols and ids.

    Attributes
    ----------
    x_NF : float64 array, shape (n_rows, 208)
        Raw features, finite.
    previous_NP, decided_NP : float64 array, shape (n_rows, 132)
        In force before a decision and from it on, real units. `current_atr` is 1 where neither it
        nor any ATR is known.
    trade_N : int64 array
        Place in the trades below.
    number_N : int64 array
        0 at the entry, then 1, 2, ...
    time_N : datetime64[us] array
        UTC.
    atr_N : float64 array
        Measured at the decision; NaN where unknown.
    next_atr_N : float64 array
        Measured at the trade's next decision, where there is but one the mean while the trade was
        open: what `current_atr` forecasts. NaN where unknown.
    r_N : float64 array
        How the open position stood, in R.
    worth_N : float64 array
        What the whole trade stood at, in R: its partial closes so far, and the rest at the close.
    entry_time_M, exit_time_M : datetime64[us] array
        UTC. Where nothing tells when a trade ended, it is taken to have lasted as long as any.
    policy_until_M : datetime64[us] array
        Until when the policy of the trade had learnt, UTC; 1970 where it had not.
    r_M : float64 array
        Final net R.
    regime_M : int64 array
        At the signal: 0 to 5, -1 where unknown.
    session_M : int64 array
        At the first decision: 0 to 2.
    symbol_M : tuple of str
        Empty where unknown.
    hindsight : bool
        Whether `x_NF` holds what nobody could know.
    """

    x_NF: FloatArray
    previous_NP: FloatArray
    decided_NP: FloatArray
    trade_N: IndexArray
    number_N: IndexArray
    time_N: TimeArray
    atr_N: FloatArray
    next_atr_N: FloatArray
    r_N: FloatArray
    worth_N: FloatArray
    entry_time_M: TimeArray
    exit_time_M: TimeArray
    policy_until_M: TimeArray
    r_M: FloatArray
    regime_M: IndexArray
    session_M: IndexArray
    symbol_M: tuple[str, ...]
    hindsight: bool

    @property
    def learnt_until(self) -> np.datetime64:
        """Until when whoever learns from these rows has seen prices: theirs, or their policy's."""
        latest: np.datetime64 = max(self.exit_time_M.max(), self.policy_until_M.max())
        return latest


def read_decision_rows(
    paths: Sequence[Path],
    *,
    allow_hindsight: bool = False,
    rejected: Path,
    on_progress: OnProgress | None = None,
) -> tuple[DecisionRows, DataReport]:
    """Read files of experiences, of any generation and container, as rows to learn from.

    The order of files and of records in them does not matter, but where a trade is recorded twice:
    then the first record counts.

    Parameters
    ----------
    paths : sequence of Path
        JSON arrays, objects with an `experiences` array, or JSON Lines.
    allow_hindsight : bool
        Let features hold what was known only later: to show how good the leak looks.
    rejected : Path
        JSON Lines: what was set aside, and why. Written in any case, empty if nothing was.
    on_progress : callable, optional
        Told bytes read and bytes in all, now and then.

    Raises
    ------
    ExperienceError
        If a file cannot be read or has no usable record, or there is none in all.
    OSError
        If ``rejected`` cannot be written.
    """
    reader = ExperienceReader(paths, rejected=rejected, on_progress=on_progress)
    with _without_collector():
        parts = [part_of(some, hindsight=allow_hindsight) for some in _batches(reader)]
    for part in parts:
        reader.report.missing.update(part.missing)
    return _joined(parts, hindsight=allow_hindsight), reader.report


@contextmanager
def _without_collector() -> Iterator[None]:
    """Keep Python from looking for cycles: records have none, and looking takes a tenth more."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _batches(reader: ExperienceReader) -> Iterator[list[tuple[str, RecordedTrade]]]:
    some = []
    for trade in reader.trades():
        some.append(trade)
        if len(some) == BATCH:
            yield some
            some = []
    if some:
        yield some


def _joined(parts: list[Part], *, hindsight: bool) -> DecisionRows:
    """Put all trades in their order."""
    order = _Order(parts)
    atr_N, time_N = order.of_rows("atr_K"), order.of_rows("time_K")
    x_NF, previous_NP, decided_NP = (
        order.table(name) for name in ("x_KF", "previous_KP", "decided_KP")
    )
    untold = np.flatnonzero(np.isnan(previous_NP[:, 0]))
    previous_NP[untold] = _before(untold, order, decided_NP, time_N, atr_N)
    if not hindsight:
        x_NF[untold, :N_PARAMETERS] = parameter_features(previous_NP[untold], atr_N[untold])
    return DecisionRows(
        x_NF=x_NF,
        previous_NP=previous_NP,
        decided_NP=decided_NP,
        trade_N=order.trade_N,
        number_N=order.of_rows("number_K"),
        time_N=time_N,
        atr_N=atr_N,
        next_atr_N=_next_atr(atr_N, order),
        r_N=order.of_rows("r_K"),
        worth_N=order.of_rows("worth_K"),
        entry_time_M=np.array([key[0] for key in order.keys], np.int64).astype("datetime64[us]"),
        exit_time_M=_exits(order),
        policy_until_M=order.of_trades("learnt_until_us_M").astype("datetime64[us]"),
        r_M=order.of_trades("r_M"),
        regime_M=order.of_trades("regime_M"),
        session_M=session_codes(time_N[order.first_M]),
        symbol_M=tuple(key[1] for key in order.keys),
        hindsight=hindsight,
    )


def _exits(order: "_Order") -> TimeArray:
    exit_us_M = order.of_trades("exit_us_M")
    entry_us_M = np.array([key[0] for key in order.keys], np.int64)
    lasted_M = np.where(exit_us_M == END_UNKNOWN, 0, exit_us_M - entry_us_M)
    guessed_M = entry_us_M + lasted_M.max()
    exit_time_M: TimeArray = np.where(exit_us_M == END_UNKNOWN, guessed_M, exit_us_M).astype(
        "datetime64[us]"
    )
    return exit_time_M


class _Order:
    """Where trades and rows of parts go.

    Attributes
    ----------
    keys : list of Key
        Of all trades, in order.
    trade_N : int64 array
    first_M : int64 array
        First row of each trade.
    """

    def __init__(self, parts: list[Part]) -> None:
        self._parts = parts
        keys = [key for part in parts for key in part.keys]
        self._order_M = np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)
        self.keys = [keys[m] for m in self._order_M.tolist()]
        rank_M = np.empty_like(self._order_M)
        rank_M[self._order_M] = np.arange(len(keys))
        starts = np.cumsum([0, *(len(part.keys) for part in parts)])
        shifted = [part.trade_K + start for part, start in zip(parts, starts, strict=False)]
        rank_N = rank_M[np.concatenate(shifted)]
        self._order_N = np.argsort(rank_N, kind="stable")
        self.trade_N: IndexArray = rank_N[self._order_N]
        self.first_M: IndexArray = np.searchsorted(self.trade_N, np.arange(len(keys)))

    def of_trades(self, name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in self._parts])[self._order_M]

    def of_rows(self, name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in self._parts])[self._order_N]

    def table(self, name: str) -> FloatArray:
        """Return a wide array; the parts lose theirs on the way: two of them would be much."""
        place_N = np.empty_like(self._order_N)
        place_N[self._order_N] = np.arange(len(place_N))
        table_N = np.empty((len(place_N), getattr(self._parts[0], name).shape[1]))
        start = 0
        for part in self._parts:
            table_K = getattr(part, name)
            table_N[place_N[start : start + len(table_K)]] = table_K
            start += len(table_K)
            setattr(part, name, table_K[:0])
        return table_N


def _before(
    untold: IndexArray,
    order: _Order,
    decided_NP: FloatArray,
    time_N: TimeArray,
    atr_N: FloatArray,
) -> FloatArray:
    """Return the parameters of each symbol's trade before, as they were known by then."""
    end_M = np.append(order.first_M[1:], len(time_N)).tolist()
    last_of: dict[str, tuple[int, int]] = {}
    asked, source = set(untold.tolist()), []
    for (_, symbol, _), first, end in zip(order.keys, order.first_M.tolist(), end_M, strict=True):
        if first in asked:
            begin, stop = last_of.get(symbol, (0, 0))
            known = int(np.searchsorted(time_N[begin:stop], time_N[first], side="right"))
            source.append(begin + known - 1 if known else -1)
        last_of[symbol] = (first, end)
    source_U = np.array(source, np.int64)
    values_UP = defaults(np.where(np.isnan(atr_N[untold]), 1.0, atr_N[untold]))
    values_UP[source_U >= 0] = decided_NP[source_U[source_U >= 0]]
    return values_UP


def _next_atr(atr_N: FloatArray, order: _Order) -> FloatArray:
    next_N = np.append(atr_N[1:], np.nan)
    mean_M = order.of_trades("mean_atr_M")
    last_N = np.append(order.trade_N[1:] != order.trade_N[:-1], True)
    mean_N = np.where(mean_M > 0.0, mean_M, np.nan)[order.trade_N]
    # Of a trade with several decisions the mean is mostly of what came before the last.
    next_N[last_N] = np.where(order.of_rows("number_K") == 0, mean_N, np.nan)[last_N]
    return next_N
