"""The best exit that the truth of the simulated market allows: the yardstick of learned exits.

It knows all that the simulator knows at a close, the drift of the next bar above all, but not the
noise to come. docs/best_exit.md tells the problem, the rule, and what it is worth.

Axes: T bars, N entries, S stops to choose from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from market.bars import FloatArray
from market.best_exit_kernels import NOT_ENDED
from market.best_exit_rule import (
    LEARNING_SEED,
    N_LEARNING_SEEDS,
    ExitRule,
    Path,
    Size,
    Way,
    entry_values,
    first_orders,
    learn_entry_values,
    learn_exit_rule,
    learning_paths,
    path_of,
    played,
)
from market.compiled import BoolArray, IndexArray
from market.simulate import SimulatedMarket

Entry = tuple[str, int, int]

# What the exit parameters allow: from 2.5 ATR x 0.3 to 20 ticks of a quarter of an ATR.
STOPS_ATR = (0.75, 1.0, 1.4, 1.8, 2.4, 3.3, 5.0)
# With the defaults, for an entry whose confidence is below 0.7: 3.6 ATR x 0.5.
DEFAULT_STOP_ATR = 1.8
# By which an entry fills worse than the open: half of spread and slippage of conf/costs/fx.yaml.
WORSE_FILL_ATR = 0.05

USUAL_SIZE = Size()

WAYS = {
    "kept": Way(),
    "free": Way(stops=(0.01, 0.05, 0.2)),
    "watched": Way(buffer_atr=1.25),
    "asked": Way(holds=(1, 5), max_orders=10),
}


@dataclass(frozen=True, slots=True)
class BestTrades:
    """What became of each entry, and what was to be expected of it.

    Attributes
    ----------
    exit_bar_N : int64 array
        Bar at whose open or inside which the trade ends; -1 where the bars end before: then all
        numbers but `stop_atr_N` and `expected_r_N` are NaN.
    stopped_N : bool array
        The stop was touched; else it was left at the open of its exit bar.
    exit_price_N : float64 array
        Before costs.
    stop_atr_N : float64 array
        Distance of the initial stop from the entry's fill, which is R, in ATR of the signal bar.
    net_r_N, net_atr_N : float64 arrays
        After costs.
    steady_r_N : float64 array
        `net_r_N` less what nobody could foresee of each bar's move: of the same mean, with less
        noise. For means.
    expected_r_N : float64 array
        Net R that the rule expects at the entry.
    """

    exit_bar_N: IndexArray
    stopped_N: BoolArray
    exit_price_N: FloatArray
    stop_atr_N: FloatArray
    net_r_N: FloatArray
    net_atr_N: FloatArray
    steady_r_N: FloatArray
    expected_r_N: FloatArray


@dataclass(frozen=True, slots=True)
class BestExit:
    """A rule, and what entries are worth with it.

    Attributes
    ----------
    rule : ExitRule
    stops_atr : tuple of float
        Initial stops to choose from: distances from the entry's fill.
    worse_fill_atr : float
        By which the entry fills worse than the open.
    entry_SZYK : float64 array
        Value with each stop, in ATR, before costs.
    """

    rule: ExitRule
    stops_atr: tuple[float, ...]
    worse_fill_atr: float
    entry_SZYK: FloatArray

    def trades(
        self, path: Path, bar_N: IndexArray, side_N: FloatArray, costs_atr: float
    ) -> BestTrades:
        """Play entries of one symbol, each alone and with the stop that promises most R."""
        stop_S, atr_N = np.array(self.stops_atr), path.atr_T[bar_N]
        value_NS = entry_values(self.entry_SZYK, self.rule, path, bar_N, side_N)
        expected_NS = (value_NS - costs_atr) / stop_S
        best_N = expected_NS.argmax(axis=1)
        stop_atr_N = stop_S[best_N]
        risk_N = (stop_atr_N - self.worse_fill_atr) * atr_N
        buffer_N = self.rule.way.buffer_atr * atr_N
        order_N = first_orders(self.rule, path, bar_N, side_N, risk_N)
        done = played(self.rule, path, bar_N, side_N, risk_N, buffer_N, order_N)
        # What is decided at a bar's close is done at the next open.
        exit_bar_N = np.where(done.stopped_N, done.end_bar_N, done.end_bar_N + 1)
        ended_N = (done.end_bar_N != NOT_ENDED) & (exit_bar_N < len(path.atr_T))
        gain_N, foreseen_N = (
            np.where(ended_N, each_N, np.nan) for each_N in (done.gain_N, done.foreseen_N)
        )
        net_atr_N = gain_N / atr_N - costs_atr
        return BestTrades(
            exit_bar_N=np.where(ended_N, exit_bar_N, NOT_ENDED),
            stopped_N=done.stopped_N & ended_N,
            exit_price_N=path.price_TC[bar_N, 2] + side_N * gain_N,
            stop_atr_N=stop_atr_N,
            net_r_N=net_atr_N / stop_atr_N,
            net_atr_N=net_atr_N,
            steady_r_N=(foreseen_N / atr_N - costs_atr) / stop_atr_N,
            expected_r_N=np.take_along_axis(expected_NS, best_N[:, None], axis=1)[:, 0],
        )


@lru_cache(maxsize=2)
def _paths(edge: float, size: Size) -> tuple[Path, ...]:
    return learning_paths(edge, size)


@lru_cache(maxsize=16)
def _rule(way: Way, edge: float, size: Size) -> ExitRule:
    return learn_exit_rule(way, _paths(edge, size), size)


@lru_cache(maxsize=32)
def best_exit(
    way: Way,
    edge: float,
    *,
    stops_atr: tuple[float, ...] = STOPS_ATR,
    worse_fill_atr: float = WORSE_FILL_ATR,
    size: Size = USUAL_SIZE,
) -> BestExit:
    """Learn the best exit of a market; once for each process, in about half a minute.

    Parameters
    ----------
    way : Way
        What may be done, as one of `WAYS`.
    edge : float
        Of the market.
    stops_atr : tuple of float
        Initial stops to choose from, in ATR of the signal bar, from the entry's fill.
    worse_fill_atr : float
        By which the entry fills worse than the open, in ATR.
    size : Size
        How much is learnt from.

    Raises
    ------
    ValueError
        If a stop does not lie behind the open.
    """
    if not stops_atr or min(stops_atr) <= worse_fill_atr:
        raise ValueError(f"stops_atr must be above {worse_fill_atr}, were {stops_atr}")
    rule = _rule(way, edge, size)
    risk_atr_S = np.array(stops_atr) - worse_fill_atr
    table_SZYK = learn_entry_values(rule, _paths(edge, size), risk_atr_S)
    return BestExit(rule, stops_atr, worse_fill_atr, table_SZYK)


def best_exit_trades(
    market: SimulatedMarket,
    entries: Sequence[Entry],
    *,
    costs_atr: float,
    seed: int,
    way: str = "kept",
    stops_atr: tuple[float, ...] = STOPS_ATR,
    worse_fill_atr: float = WORSE_FILL_ATR,
    size: Size = USUAL_SIZE,
) -> BestTrades:
    """Play the best exit on the bars of a market, each entry alone.

    The rule is learnt from markets of other seeds, once for each process.

    Parameters
    ----------
    market : SimulatedMarket
    entries : sequence of (symbol, bar, direction)
        Bar at whose close the entry is decided; it fills at the next open. 1 long, -1 short.
    costs_atr : float
        Of a round trip, in ATR of the signal bar.
    seed : int
        Of the market.
    way : str
        What may be done: "kept": leave at any close, the stop stays; "free": the stop may be
        tightened too; "watched": the stop is watched at closes; "asked": leave by an order every
        5 bars.
    stops_atr : tuple of float
        Initial stops to choose from; ``(1.8,)`` is that of the default parameters.
    worse_fill_atr : float
        By which the entry fills worse than the open: the stop lies that much nearer to the open.
    size : Size
        How much the rule is learnt from.

    Returns
    -------
    BestTrades
        In the order of the entries.

    Raises
    ------
    ValueError
        If an entry is out of range, the way or the symbol unknown, or the rule is learnt from this
        very seed.
    """
    if way not in WAYS:
        raise ValueError(f"no way {way!r}, choose from {', '.join(WAYS)}")
    if LEARNING_SEED <= seed < LEARNING_SEED + N_LEARNING_SEEDS:
        raise ValueError(f"seed {seed} is one of those that rules are learnt from, take another")
    _check_entries(entries, market.n_bars)
    best = best_exit(
        WAYS[way], market.edge, stops_atr=stops_atr, worse_fill_atr=worse_fill_atr, size=size
    )
    symbol_N = np.array([symbol for symbol, _, _ in entries], dtype=np.str_)
    bar_N = np.array([bar for _, bar, _ in entries], dtype=np.int64)
    side_N = np.array([direction for _, _, direction in entries], dtype=np.float64)
    parts, place_N = [], []
    for symbol in dict.fromkeys(symbol_N.tolist()):
        at_N = np.flatnonzero(symbol_N == symbol)
        path = path_of(market.simulate(symbol, seed))
        parts.append(best.trades(path, bar_N[at_N], side_N[at_N], costs_atr))
        place_N.append(at_N)
    return _in_order(parts, place_N)


def _check_entries(entries: Sequence[Entry], n_bars: int) -> None:
    if not entries:
        raise ValueError("there must be an entry")
    for symbol, bar, direction in entries:
        if not 0 <= bar < n_bars:
            raise ValueError(f"{symbol}: bar must be from 0 to {n_bars - 1}, was {bar}")
        if direction not in (-1, 1):
            raise ValueError(f"{symbol}: direction must be 1 or -1, was {direction} at bar {bar}")


def _in_order(parts: Sequence[BestTrades], place_N: Sequence[IndexArray]) -> BestTrades:
    back_N = np.argsort(np.concatenate(place_N))
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])[back_N]
        for name in BestTrades.__slots__
    }
    return BestTrades(**columns)
