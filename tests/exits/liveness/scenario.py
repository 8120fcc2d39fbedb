"""One small market by hand, in which one parameter alone makes a trade end otherwise.

Levels are in points from the entry: a point is 10 ticks, and R too where a story says no other. The
entry fills at the open of bar 1; bars before it are the same for all. A bar opens where the one
before closed, and the last level stays until bar 100.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backtest.costs import Account, Costs, ExitSettings
from backtest.markets import Market
from backtest.replay import replay
from backtest.replayed import Replayed
from exits.parameters import ATR, INDEX, PARAMETERS, defaults, override
from exits.policy import Decided, Defaults
from market.bars import Bars
from market.features.indicators import wilder_atr
from tests.exits.liveness.quiet import QUIET

TICK = 0.1
N_BEFORE = 33
N_BARS = 100
MINUTE = np.timedelta64(60_000_000, "us")
MONDAY = "2024-01-01T00:00"
FRIDAY = "2024-01-05T00:00"


@dataclasses.dataclass(frozen=True, slots=True)
class Bar:
    """A bar with wicks or a volume of its own."""

    close: float
    high: float | None = None
    low: float | None = None
    volume: float = 100.0


Path = Sequence[Bar | float]


def hold(level: float, bars: int) -> list[float]:
    """Return a price that stands still."""
    return [level] * bars


def zigzag(one: float, other: float, bars: int) -> list[float]:
    """Return closes to and fro."""
    return [one, other] * (bars // 2)


@dataclasses.dataclass(frozen=True, slots=True)
class Scenario:
    """What a parameter is shown in.

    `atr` is that of the signal bar, in points. The market is wild and then quiet before the entry,
    so that it stays in one regime; where `calm`, all bars before the entry are alike.
    `losing` are the bars in which another symbol loses R; `against` a bar with a signal against the
    trade, and its confidence. `updates` are the parameters that a policy gives at updates.
    """

    parameter: str
    story: str
    path: Path
    others: Mapping[str, float] = dataclasses.field(default_factory=dict)
    _: dataclasses.KW_ONLY
    price: float = 10_000.0
    atr: float = 8.0
    calm: bool = False
    confidence: float = 0.7
    partials: bool = False
    start: str = MONDAY
    sessions: tuple[str, ...] = ()
    losing: Sequence[int] = ()
    against: tuple[int, float] | None = None
    updates: Mapping[str, float] = dataclasses.field(default_factory=dict)
    account: Mapping[str, float] = dataclasses.field(default_factory=dict)


class Told:
    """A policy that gives these, others at updates, and a share of the measured ATR."""

    name = "told"
    fixed_P = None
    reads_state = False

    def __init__(
        self, parameters: Mapping[str, float], updates: Mapping[str, float], atr_share: float
    ) -> None:
        self.parameters, self.updates, self.atr_share = parameters, updates, atr_share

    def decide(self, asked: Sequence[Any]) -> Decided:
        values_KP = defaults(np.array([self.atr_share * one.atr for one in asked]))
        values_KP = override(values_KP, self.parameters)
        for k, one in enumerate(asked):
            if one.number > 0:
                values_KP[k] = override(values_KP[k], self.updates)
        return Decided(values_KP, (self.name,) * len(asked))


def replayed(scenario: Scenario, end: str, side: int = 1) -> Replayed:
    """Replay it with its parameter at its "low" or "high" end; ``side`` -1 turns it upside down.

    Of `current_atr` the ends are half and twice the measured ATR.
    """
    name = scenario.parameter
    parameters = {**QUIET, **scenario.others}
    share = 1.0
    if name == ATR:
        share = {"low": 0.5, "high": 2.0}[end]
    else:
        parameters[name] = getattr(PARAMETERS[INDEX[name]], end)
    told = Told(parameters, scenario.updates, share)
    account = {"max_open_risk": 1.0, "daily_loss_limit": 1.0, "recovery_drawdown": 1.0}
    return replay(
        _markets(scenario, side),
        told if scenario.updates or name == ATR else Defaults(parameters),
        exits=ExitSettings(
            # Where a story is about other things, no partial is worth an order.
            min_share=0.05 if scenario.partials else 0.49,
            sessions=scenario.sessions,
        ),
        costs=Costs(spread_atr=0, commission_atr=0, slippage_atr=0),
        account=Account(**{**account, **scenario.account}),
    )


def _markets(scenario: Scenario, side: int) -> list[Market]:
    signals = {0: (side, scenario.confidence)}
    if scenario.against:
        bar, confidence = scenario.against
        signals[bar] = (-side, confidence)
    before_TC = _before(scenario)
    ohlcv_TC = np.concatenate([before_TC, _after(scenario.path)])
    if side < 0:
        ohlcv_TC[:, :4] = -ohlcv_TC[:, [0, 2, 1, 3]]
    markets = [_market("TRADED", scenario, ohlcv_TC, signals)]
    if scenario.losing:
        ohlcv_TC = np.concatenate([before_TC, _after([0.0])])
        level_T = np.zeros(len(ohlcv_TC))
        for bar in scenario.losing:
            level_T[N_BEFORE - 1 + bar :] -= 1.5
        ohlcv_TC[:, [2, 3]] += level_T[:, None]
        ohlcv_TC[1:, [0, 1]] += level_T[:-1, None]
        orders = {bar - 1: (1, scenario.confidence) for bar in scenario.losing}
        markets.append(_market("LOSING", scenario, ohlcv_TC, orders))
    return markets


def _market(
    symbol: str, scenario: Scenario, ohlcv_TC: Any, signals: Mapping[int, tuple[int, float]]
) -> Market:
    ohlcv_TC[:, :4] += scenario.price
    start_T = np.datetime64(scenario.start, "us") + np.arange(len(ohlcv_TC)) * MINUTE
    signal_T = np.zeros(len(ohlcv_TC), np.int8)
    confidence_T = np.full(len(ohlcv_TC), np.nan)
    for bar, (direction, confidence) in signals.items():
        signal_T[N_BEFORE - 1 + bar] = direction
        confidence_T[N_BEFORE - 1 + bar] = confidence
    return Market(
        symbol=symbol,
        bars=Bars(symbol, start_T, *ohlcv_TC.T, MINUTE),
        signal_T=signal_T,
        confidence_T=confidence_T,
        threshold=0.5,
        tick_size=TICK,
    )


def _before(scenario: Scenario) -> Any:
    """Return the bars up to the signal's, all closing at the level of the entry."""
    wild = 1.0 if scenario.calm else 4.0
    reach_T = np.where(np.arange(N_BEFORE) < N_BEFORE - 8, wild, 1.0)
    zero_T = np.zeros(N_BEFORE)
    reach_T *= scenario.atr / wilder_atr(10.0 + reach_T, 10.0 - reach_T, zero_T + 10.0, 14)[-1]
    return np.stack([zero_T, reach_T, -reach_T, zero_T, zero_T + 100.0], axis=1)


def _after(path: Path) -> Any:
    """Return the bars from that of the entry on."""
    rows = []
    opened = 0.0
    for step in range(N_BARS):
        level = path[step] if step < len(path) else opened
        one = level if isinstance(level, Bar) else Bar(level)
        high = max(opened, one.close) if one.high is None else one.high
        low = min(opened, one.close) if one.low is None else one.low
        rows.append((opened, high, low, one.close, one.volume))
        opened = one.close
    return np.array(rows)
