"""A position of the slow reference: its state, and the numbers that its rules read at a close."""

import math
from dataclasses import dataclass, field

from tests.backtest.reference_bars import Bar, Conditions, window

Parameters = dict[str, float]


def rounded(value: float) -> int:
    return math.floor(value + 0.5)


def rounded_window(value: float) -> int:
    return max(1, rounded(value))


@dataclass(slots=True)
class Position:
    symbol: str
    side: int
    quantity: float
    confidence: float
    parameters: Parameters
    signal_bar: int
    entry_bar: int
    entry_step: int
    entry: float
    risk: float
    tick: float
    atr0: float
    regime0: int
    drawdown_at_entry: float
    equity_before: float
    stop: float
    peak: float
    worst: float
    kind: str = "initial"
    left: float = 1.0
    taken: list[bool] = field(default_factory=lambda: [False] * 3)
    waiting: list[int | None] = field(default_factory=lambda: [None] * 3)
    exit_order: tuple[str, str] | None = None
    partial_orders: list[tuple[str, float]] = field(default_factory=list)
    breakeven_bar: int = -1
    trailing_bar: int = -1
    trailing_peak_r: float = 0.0
    n_moves: int = 0
    last_move: int | None = None
    n_updates: int = 0
    last_asked: int = 0
    n_rejected: int = 0
    against: int = 0
    underwater: int = 0
    underwater_run: float = 0.0
    regime_off: int = 0
    pattern_failed: bool = False
    fall: float = 0.0
    fall_before: float = 0.0
    sideways: bool = False
    outside: int = 0
    sideways_bars: int = 0
    last_seen_confidence: float | None = None
    last_evaluated: int | None = None
    gross: float = 0.0
    commission: float = 0.0
    fill_costs: float = 0.0
    closed_value: float = 0.0
    partials: list[dict] = field(default_factory=list)
    stop_moves: list[dict] = field(default_factory=list)
    decisions: list[dict] = field(default_factory=list)

    def r_at(self, price: float) -> float:
        return self.side * (price - self.entry) / self.risk

    def ticks_at(self, price: float) -> float:
        return self.side * (price - self.entry) / self.tick

    def better(self, a: float, b: float) -> bool:
        """Whether price ``a`` lies beyond ``b`` in the direction of profit."""
        return self.side * (a - b) > 0

    def best(self, a: float, b: float) -> float:
        return max(a, b) if self.side > 0 else min(a, b)

    def worse(self, a: float, b: float) -> float:
        return min(a, b) if self.side > 0 else max(a, b)

    def take_in(self, *prices: float) -> None:
        for price in prices:
            self.peak = self.best(self.peak, price)
            self.worst = self.worse(self.worst, price)

    @property
    def peak_r(self) -> float:
        return max(0.0, self.r_at(self.peak))

    def best_of(self, bar: Bar) -> float:
        return bar.high if self.side > 0 else bar.low

    def worst_of(self, bar: Bar) -> float:
        return bar.low if self.side > 0 else bar.high

    def resting_stop(self) -> float:
        p = self.parameters
        if self.kind == "initial" and p["false_breakout_recovery_enabled"] > 0.5:
            return self.stop - self.side * p["emergency_stop_buffer_ticks"] * self.tick
        return self.stop

    def target(self, k: int) -> float:
        p = self.parameters
        far = max(p[f"partial_{k}_r"] * self.risk, p[f"partial_{k}_min_profit_ticks"] * self.tick)
        return self.entry + self.side * far

    def final_target(self, recovery: bool) -> float:
        p = self.parameters
        r = p["runner_target_r"]
        if recovery:
            r = min(r, p["recovery_mode_profit_target_r"])
        return self.entry + self.side * self.risk * r

    def partial_size(self, k: int, min_share: float) -> float:
        p = self.parameters
        size = min(p[f"partial_{k}_pct"], self.left - p["runner_percentage"])
        if size < min_share:
            return 0.0
        return self.left if self.left - size < min_share else size


@dataclass(frozen=True, slots=True)
class AccountState:
    """The account as it stood at the end of a step."""

    equity: float
    high: float
    drawdown: float = 0.0
    daily_loss: float = 0.0
    losses: int = 0
    last_loss_step: int = -1
    last_loss_day: object = None

    def in_recovery(self, p: Parameters, recovery_drawdown: float) -> bool:
        level = (1 - p["recovery_mode_sensitivity"]) * recovery_drawdown
        return self.drawdown > 0 and self.drawdown >= level


@dataclass(slots=True)
class Numbers:
    """Everything that the rules of a close read, besides the parameters and the position."""

    t: int
    bar: Bar
    now: Conditions
    account: AccountState
    settings: object
    bars: list[Bar]
    minutes_per_bar: float
    bar_minutes: float
    signal: int
    confidence: float
    age: int = 0
    r: float = 0.0
    ticks: float = 0.0
    peak_r: float = 0.0
    given_back: float = 0.0
    recovery: bool = False
    haste: float = 1.0
    runner: bool = False
    dead: bool = False

    @property
    def minutes(self) -> float:
        return self.age * self.minutes_per_bar

    def close_before(self, n: int = 1) -> float:
        return self.bars[self.t - n].close


def bring_up_to_date(pos: Position, n: Numbers) -> None:
    """Number after number, in the order of the page."""
    p, d, close = pos.parameters, pos.side, n.bar.close
    n.age = n.t - pos.entry_bar + 1
    n.r, n.ticks = pos.r_at(close), pos.ticks_at(close)
    n.peak_r = pos.peak_r
    n.given_back = (n.peak_r - n.r) / n.peak_r if n.peak_r > 0 else 0.0
    change = close - n.close_before()
    pos.against = pos.against + 1 if d * change < 0 else 0
    count_underwater(pos, n.r)
    pos.regime_off = pos.regime_off + 1 if n.now.regime != pos.regime0 else 0
    far_end = pos.worst_of(n.bars[pos.signal_bar])
    pos.pattern_failed = pos.pattern_failed or d * (close - far_end) < 0
    pos.fall_before = pos.fall if n.age > 1 else 0.0
    pos.fall = -d * change / pos.risk
    n.recovery = n.account.in_recovery(p, n.settings.recovery_drawdown)
    n.haste = haste(pos, n)
    n.runner = (
        n.peak_r >= p["runner_hold_min_r"] and n.minutes >= p["runner_hold_min_duration_minutes"]
    )
    watch_sideways(pos, n)
    n.dead = is_dead(p, n)
    if n.signal:
        same = n.signal == d
        pos.last_seen_confidence = n.confidence if same else 1 - n.confidence


def count_underwater(pos: Position, r: float) -> None:
    if r >= 0:
        pos.underwater_run = 0.0
        return
    pos.underwater += 1
    pos.underwater_run += pos.parameters["underwater_acceleration_mult"] if r < -0.5 else 1.0


def haste(pos: Position, n: Numbers) -> float:
    p = pos.parameters
    found = 0.75 + 0.5 * p["exit_strategy_aggressiveness"]
    if n.recovery:
        found *= p["recovery_mode_exit_aggressiveness"]
    if n.now.friday:
        found *= p["friday_exit_aggressiveness_mult"]
    if pos.pattern_failed:
        found *= p["pattern_failure_exit_speed_mult"]
    return found


def watch_sideways(pos: Position, n: Numbers) -> None:
    p = pos.parameters
    size = rounded_window(p["sideways_detection_bars"])
    if n.age < size:
        pos.sideways, pos.outside, pos.sideways_bars = False, 0, 0
        return
    if window(n.bars, n.t, size) <= p["sideways_detection_range_pct"] * n.bar.close:
        pos.sideways, pos.outside = True, 0
    else:
        pos.outside += 1
        if pos.outside >= p["sideways_breakout_confirmation"]:
            pos.sideways = False
    pos.sideways_bars = pos.sideways_bars + 1 if pos.sideways else 0


def is_dead(p: Parameters, n: Numbers) -> bool:
    size = rounded_window(p["dead_trade_detection_bars"])
    if n.age < p["dead_trade_threshold_bars"] / n.haste or n.age < size or n.r >= 0.5:
        return False
    return window(n.bars, n.t, size) <= p["dead_trade_detection_range_pct"] * n.bar.close
