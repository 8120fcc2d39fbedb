"""What the slow reference is given and what it gives: plain values alone."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

from tests.backtest.reference_bars import Bar, Conditions
from tests.backtest.reference_evaluator import Table
from tests.backtest.reference_position import Parameters, Position


@dataclass(frozen=True, slots=True)
class Settings:
    tick_atr: float = 0.25
    minutes_per_bar: float | None = 1.0
    min_share: float = 0.05
    friday_late_hour: int = 16
    sessions: tuple[str, ...] = ()
    spread_atr: float = 0.0
    commission_atr: float = 0.0
    slippage_atr: float = 0.0
    equity: float = 100_000.0
    risk_per_trade: float = 0.005
    max_open_risk: float = 0.05
    daily_loss_limit: float = 0.02
    recovery_drawdown: float = 0.10
    evaluator: Table | None = None


@dataclass(frozen=True, slots=True)
class WaitingEntry:
    side: int
    bar: int
    parameters: Parameters
    quantity: float
    distance: float
    tick: float
    equity: float


@dataclass(slots=True)
class SlowMarket:
    """One symbol's bars and the signals at them; a signal of 0 is none."""

    symbol: str
    bars: list[Bar]
    bar_minutes: float
    signals: list[int]
    confidences: list[float]
    threshold: float
    tick_size: float | None = None
    known: list[Conditions] = field(default_factory=list)
    position: Position | None = None
    entry: WaitingEntry | None = None
    recovery: bool = False
    day: date | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What a policy is asked: at an entry ``in_force`` is None and ``number`` 0."""

    symbol: str
    number: int
    bar: int
    side: int
    atr: float
    in_force: Parameters | None
    r: float


Policy = Callable[[Question], Parameters]


@dataclass(slots=True)
class SlowReplay:
    """Everything that happened; ``seen`` counts what the comparison wants to have met."""

    trades: list[dict] = field(default_factory=list)
    open_positions: list[dict] = field(default_factory=list)
    equity: list[dict] = field(default_factory=list)
    skipped: Counter = field(default_factory=Counter)
    seen: Counter = field(default_factory=Counter)
