"""The replay and the packages it is timed beside, each called as its users call it.

All get the same bars and signals, next-open fills, no costs, one position at a time, and a stop and
a target at the same distances. Each is timed from arrays (or pandas' frame) of bars and signals to
a table of trades and the equity of every bar.

Axes: T bars, K trades.
"""

import importlib
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from backtest.costs import Account, Costs, ExitSettings
from backtest.markets import Market
from backtest.replay import replay
from benchmarks.replay.cases import TARGET_R, Case
from benchmarks.replay.stop_and_target import STOP_AND_TARGET, STOP_TICKS
from benchmarks.replay.trades import Trades
from exits.policy import Defaults

INSTALL: Final = "python -m pip install --constraint constraints.txt --editable '.[bench]'"
PLAIN, ALL_RULES = "assay, stop and target", "assay, all rules"
BACKTESTING, VECTORBT = "backtesting.py", "vectorbt"

_CONFIDENCE: Final = 0.6
_CASH: Final = 1e6
_SMALL_RISK: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Inner:
    """A function that is the loop over bars, or with ``rest`` all that is not.

    It is looked up in its module at each call, so that a clock can be put around it there.
    """

    module: str
    function: str
    rest: bool = False

    @contextmanager
    def timed(self) -> Iterator[list[float]]:
        """Note in a list what the loop takes of what is done in this block, in CPU seconds."""
        module = importlib.import_module(self.module)
        function, spent_s = getattr(module, self.function), [0.0]

        def clocked(*arguments: Any, **named: Any) -> Any:
            start_s = time.process_time()
            found = function(*arguments, **named)
            spent_s.append(time.process_time() - start_s)
            return found

        setattr(module, self.function, clocked)
        loop_s: list[float] = []
        start_s = time.process_time()
        try:
            yield loop_s
        finally:
            setattr(module, self.function, function)
        whole_s = time.process_time() - start_s
        loop_s.append(whole_s - sum(spent_s) if self.rest else sum(spent_s))


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to trade a case.

    Attributes
    ----------
    call : callable
        Trades it; this is what is timed.
    trades : callable
        Takes what `call` returned.
    inner : Inner
        Where its time is spent but for preparing and reporting.
    """

    call: Callable[[], Any]
    trades: Callable[[Any], Trades]
    inner: Inner


def installed() -> dict[str, str]:
    """Return the versions of the packages that are there."""
    found = {}
    for name, module in ((BACKTESTING, "backtesting"), (VECTORBT, "vectorbt")):
        try:
            found[name] = str(_package(module).__version__)
        except ImportError:
            continue
    return found


def contenders(case: Case, packages: Mapping[str, str]) -> dict[str, Contender]:
    """Return the replay with few and with all rules, and the packages."""
    found = {PLAIN: assay_plain(case), ALL_RULES: assay_all_rules(case)}
    if BACKTESTING in packages:
        found[BACKTESTING] = backtesting_py(case)
    if VECTORBT in packages:
        found[VECTORBT] = vectorbt(case)
    return found


def assay_plain(case: Case) -> Contender:
    """Return the replay with a stop and a target, as far as parameters go."""
    settings: dict[str, Any] = {
        "exits": ExitSettings(minutes_per_bar=1e-3, friday_late_hour=24, sessions=()),
        "account": Account(
            risk_per_trade=_SMALL_RISK,
            max_open_risk=1.0,
            daily_loss_limit=1.0,
            recovery_drawdown=1.0,
        ),
    }
    return _assay(case, STOP_AND_TARGET, settings)


def assay_all_rules(case: Case) -> Contender:
    """Return the replay with all parameters and settings at their defaults."""
    return _assay(case, {}, {"exits": ExitSettings(), "account": Account()})


def _assay(case: Case, parameters: Mapping[str, float], settings: Mapping[str, Any]) -> Contender:
    policy = Defaults(parameters)
    confidence_T = np.where(case.signal_T != 0, _CONFIDENCE, np.nan)
    costs = Costs(spread_atr=0.0, commission_atr=0.0, slippage_atr=0.0)
    tick_size = case.risk / STOP_TICKS if parameters else None

    def call() -> Any:
        market = Market(
            symbol=case.bars.symbol,
            bars=case.bars,
            signal_T=case.signal_T,
            confidence_T=confidence_T,
            threshold=0.5,
            tick_size=tick_size,
        )
        return replay([market], policy, costs=costs, **settings)

    inner = Inner("backtest.loop", "advance")
    return Contender(call, lambda replayed: _replayed_trades(replayed, case.risk), inner)


def _replayed_trades(replayed: Any, risk: float) -> Trades:
    rows = replayed.trades
    rule = rows["exit_rule"].to_numpy()
    same_risk = np.isclose(rows["risk_price"].to_numpy(), risk, rtol=1e-9)
    open_bars = replayed.open_positions["signal_bar"].to_list()
    return Trades(
        rows["signal_bar"].to_numpy(),
        np.where(rows["side"].to_numpy() == "LONG", 1, -1),
        rows["entry_bar"].to_numpy(),
        rows["exit_bar"].to_numpy(),
        rows["entry_price"].to_numpy(),
        rows["exit_price"].to_numpy(),
        same_risk & ((rule == "stop_initial") | (rule == "final_target")),
        open_bars[0] if open_bars else None,
    )


def backtesting_py(case: Case) -> Contender:
    """Return a strategy of backtesting.py with the signals precomputed.

    Its statistics are part of every run.
    """
    package = _package("backtesting")
    frame = _frame(case)
    # Plain numbers: it asks for one at every bar.
    side_T, stop_T, target_T = (
        values_T.tolist() for values_T in (case.signal_T, case.stop_T, case.target_T)
    )

    class Signals(package.Strategy):  # type: ignore[misc, name-defined]
        def init(self) -> None:
            pass

        def next(self) -> None:
            t = len(self.data) - 1
            side = side_T[t]
            if side and not self.position:
                order = self.buy if side > 0 else self.sell
                order(size=1, sl=stop_T[t], tp=target_T[t])

    def call() -> Any:
        with warnings.catch_warnings():
            # What is open at the end is no trade here either; it says so each time.
            warnings.simplefilter("ignore")
            return package.Backtest(frame, Signals, cash=_CASH, commission=0.0).run()

    inner = Inner("backtesting.backtesting", "compute_stats", rest=True)
    return Contender(call, _backtesting_trades, inner)


def _backtesting_trades(stats: Any) -> Trades:
    rows = stats["_trades"]
    entry_bar = rows["EntryBar"].to_numpy(np.int64)
    order_K = np.argsort(entry_bar, kind="stable")
    columns = {name: rows[name].to_numpy()[order_K] for name in rows.columns}
    return Trades(
        columns["EntryBar"].astype(np.int64) - 1,
        np.sign(columns["Size"]).astype(np.int64),
        columns["EntryBar"].astype(np.int64),
        columns["ExitBar"].astype(np.int64),
        columns["EntryPrice"].astype(np.float64),
        columns["ExitPrice"].astype(np.float64),
        np.ones(len(rows), bool),
    )


def vectorbt(case: Case) -> Contender:
    """Return vectorbt's portfolio from signals.

    Its stops are looked at from the bar after the order on, and hold from the fill. So the order is
    that of the signal's bar, at the price of the next open: the entry's bar counts, as elsewhere.
    """
    package = _package("vectorbt")
    frame = _frame(case)
    close, signal_T = frame["Close"], case.signal_T
    share_T = case.risk / case.next_open_T
    given: dict[str, Any] = {
        "entries": signal_T > 0,
        "short_entries": signal_T < 0,
        "size": 1.0,
        "price": case.next_open_T,
        "open": frame["Open"],
        "high": frame["High"],
        "low": frame["Low"],
        "sl_stop": share_T,
        "tp_stop": TARGET_R * share_T,
        "stop_entry_price": "fillprice",
        "upon_opposite_entry": "ignore",
        "init_cash": _CASH,
        "fees": 0.0,
        "freq": case.bars.length,
    }

    def call() -> Any:
        portfolio = package.Portfolio.from_signals(close, **given)
        # Records as they are: `records_readable` takes several times the rest, for names and times.
        return portfolio.trades.records, portfolio.value()

    inner = Inner("vectorbt.portfolio.dispatch", "simulate_from_signals")
    return Contender(call, _vectorbt_trades, inner)


def _vectorbt_trades(found: Any) -> Trades:
    records = found[0]
    closed = records[records["status"] == 1]
    still_open = records[records["status"] == 0]["entry_idx"].tolist()
    signal_bar = closed["entry_idx"].to_numpy(np.int64)
    return Trades(
        signal_bar,
        np.where(closed["direction"] == 0, 1, -1),
        signal_bar + 1,
        closed["exit_idx"].to_numpy(np.int64),
        closed["entry_price"].to_numpy(np.float64),
        closed["exit_price"].to_numpy(np.float64),
        np.ones(len(closed), bool),
        still_open[0] if still_open else None,
    )


def _package(name: str) -> Any:
    os.environ.setdefault("TQDM_DISABLE", "1")  # bars of progress
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def _frame(case: Case) -> Any:
    """Return the bars as both packages want them."""
    bars = case.bars
    columns = {
        name: getattr(bars, f"{name.lower()}_T")
        for name in ("Open", "High", "Low", "Close", "Volume")
    }
    pandas = importlib.import_module("pandas")
    return pandas.DataFrame(columns, index=pandas.DatetimeIndex(bars.start_T))
