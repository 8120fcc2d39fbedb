"""Bars, and the signals on them that every contender gets: a stop and a target, nothing else.

Axes: T bars.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.replay.trades import Trades
from market.bar_files import BarFiles
from market.bars import Bars, FloatArray
from market.compiled import SignArray
from market.features.indicators import wilder_atr

CONF = Path(__file__).parents[2] / "conf"
SEED = 7
BARS_PER_SIGNAL = 15
# The target lies at twice the distance of the stop: no nearer one is within the range of
# `runner_target_r`.
TARGET_R = 2.0
# What the first bars say of volatility is too little.
FIRST_SIGNAL = 100
HOUR = np.timedelta64(3_600_000_000, "us")
_PARTS_OF_A_BAR = 8
_POINT = 1e-5


@dataclass(frozen=True)
class Case:
    """One history with the same signals, stop and target for all.

    Attributes
    ----------
    name : str
    bars : Bars
    signal_T : int8 array, shape (n_bars,)
        +1, -1 or 0; an entry fills at the next open.
    risk : float
        Distance of the stop from the entry, in price units; the target is at `TARGET_R` of it.
    """

    name: str
    bars: Bars
    signal_T: SignArray
    risk: float

    @cached_property
    def next_open_T(self) -> FloatArray:
        """Where an entry decided at each close fills; the last close where no bar follows."""
        return np.append(self.bars.open_T[1:], self.bars.close_T[-1])

    @cached_property
    def stop_T(self) -> FloatArray:
        """Price of the stop of an entry decided at each close."""
        stop_T: FloatArray = self.next_open_T - self.signal_T * self.risk
        return stop_T

    @cached_property
    def target_T(self) -> FloatArray:
        """Price of its target."""
        target_T: FloatArray = self.next_open_T + self.signal_T * self.risk * TARGET_R
        return target_T

    def without(self, dropped_T: Any) -> "Case":
        """Return the case without some of its signals."""
        return replace(self, signal_T=np.where(dropped_T, 0, self.signal_T).astype(np.int8))


def case(name: str, bars: Bars) -> Case:
    """Return seeded signals, one in fifteen bars, with a stop one median ATR away.

    Signals at whose next open the market has leapt over their stop or target are left out:
    backtesting.py takes no such order.
    """
    rng = np.random.default_rng(SEED)
    is_signal_T = rng.random(len(bars)) < 1 / BARS_PER_SIGNAL
    is_signal_T[:FIRST_SIGNAL] = False
    signal_T = np.where(is_signal_T, np.where(rng.random(len(bars)) < 0.5, 1, -1), 0)
    atr_T = wilder_atr(np.array(bars.high_T), np.array(bars.low_T), np.array(bars.close_T), 14)
    # Between two prices, and the target with it: whether a level is touched never hangs on how
    # somebody's sum is rounded.
    risk = (np.floor(np.median(atr_T) / _POINT) + 1 / 3) * _POINT
    drawn = Case(name, bars, signal_T.astype(np.int8), float(risk))
    low_T = np.minimum(drawn.stop_T, drawn.target_T)
    high_T = np.maximum(drawn.stop_T, drawn.target_T)
    return drawn.without(~((low_T < bars.close_T) & (bars.close_T < high_T)))


def walk(n_bars: int) -> Bars:
    """Return hourly bars of a random walk whose volatility comes in waves, on a grid of points."""
    rng = np.random.default_rng(SEED)
    wave_T = np.sin(np.arange(n_bars) / 700) + np.sin(np.arange(n_bars) / 90)
    sigma_T = 3e-4 * np.exp(0.35 * wave_T)
    step_TK = rng.standard_normal((n_bars, _PARTS_OF_A_BAR)) * sigma_T[:, None]
    path = np.cumsum(step_TK.ravel())
    # Drawn back to where it began: half a million bars would leave any range of prices.
    path -= np.linspace(0.0, path[-1], len(path))
    price = np.round(1.2 * np.exp(path) / _POINT) * _POINT
    price_TK = price.reshape(n_bars, _PARTS_OF_A_BAR)
    close_T = price_TK[:, -1].copy()
    open_T = np.append(1.2, close_T[:-1])
    return Bars(
        "WALK",
        np.datetime64("1970-01-05", "us") + np.arange(n_bars) * HOUR,
        open_T,
        np.maximum(open_T, price_TK.max(axis=1)),
        np.minimum(open_T, price_TK.min(axis=1)),
        close_T,
        np.round(rng.lognormal(6.0, 0.3, n_bars)),
        HOUR,
    )


def from_file(folder: Path, symbol: str) -> Bars:
    """Return the bars of a price file."""
    declared = yaml.safe_load((CONF / "data" / "bars.yaml").read_text(encoding="utf-8"))
    given = {key: value for key, value in declared.items() if key != "kind"}
    bars, _ = BarFiles(**given | {"dir": str(folder), "cache": None}).read(symbol)
    return bars


def settled(one: Case, replayed: Callable[[Case], Trades]) -> Case:
    """Return the case without the signals in which more than a stop and a target has a say.

    These are entries that another rule refuses, and trades that another rule ends, as the replay
    has them. Signals that come while a trade is open are nothing of the kind and stay.
    """
    while True:
        trades = replayed(one)
        dropped_T = _refused(one, trades)
        dropped_T[trades.signal_bar[~trades.by_stop_or_target]] = True
        if not (dropped_T & (one.signal_T != 0)).any():
            return one
        one = one.without(dropped_T)


def without_signals_at_exits(one: Case, replayed: Callable[[Case], Trades]) -> Case:
    """Return the case without signals at the close of a bar in which a trade has ended."""
    while True:
        dropped_T = np.zeros(len(one.bars), bool)
        dropped_T[replayed(one).exit_bar] = True
        if not (dropped_T & (one.signal_T != 0)).any():
            return one
        one = settled(one.without(dropped_T), replayed)


def _refused(one: Case, trades: Trades) -> Any:
    """Return where a signal was no entry although no position was open."""
    n_bars = len(one.bars)
    busy_T = np.zeros(n_bars + 1, np.int64)
    np.add.at(busy_T, trades.signal_bar, 1)
    np.add.at(busy_T, trades.exit_bar, -1)
    refused_T = (np.cumsum(busy_T)[:n_bars] == 0) & (one.signal_T != 0)
    if trades.open_since is not None:
        refused_T[trades.open_since :] = False
    # The last bar's own signal waits for an open that does not come.
    refused_T[-1] = False
    return refused_T
