"""The numbers of a close: how the trade stands, and the counts that rules ask for.

Types of arguments, here and in the other rules: ``p`` a record of `PARAMETERS`, ``s`` of
`POSITION`, ``now`` of `CLOSE`, ``account`` of `ACCOUNT`, ``settings`` of `SETTINGS`, ``symbol`` of
`SYMBOL`; ``rows`` an array of `BAR`, ``at`` the place of this bar in it.
"""

import math
from typing import Any

from exits.rules.compiled import rule


@rule
def rounded(value: float) -> int:
    """Return the nearest whole number, halves up."""
    return math.floor(value + 0.5)


@rule
def price_range(rows: Any, at: int, n_bars: int) -> float:
    """Return highest high less lowest low of the last bars, this one included."""
    high, low = rows[at].high, rows[at].low
    for k in range(at - n_bars + 1, at):
        high = max(high, rows[k].high)
        low = min(low, rows[k].low)
    return high - low


@rule
def recovering(p: Any, drawdown: float, settings: Any) -> bool:
    """Tell whether an account with this drawdown is in recovery, as these parameters see it."""
    level = (1.0 - p.recovery_mode_sensitivity) * settings.recovery_drawdown
    return drawdown > 0.0 and drawdown >= level


@rule
def peak_in_r(s: Any) -> float:
    """Return the peak in R, at least 0."""
    return max(0.0, s.side * (s.peak - s.entry) / s.risk)


@rule
def numbers_of_close(
    p: Any, s: Any, now: Any, rows: Any, at: int, t: int, symbol: Any, account: Any, settings: Any
) -> None:
    """Bring position and close up to date at bar ``t``."""
    bar = rows[at]
    change = s.side * (bar.close - rows[at - 1].close)
    now.age = t - s.entry_bar + 1
    now.minutes = now.age * symbol.minutes_per_bar
    now.r = s.side * (bar.close - s.entry) / s.risk
    now.ticks = s.side * (bar.close - s.entry) / s.tick
    now.peak_r = peak_in_r(s)
    now.peak_ticks = max(0.0, s.side * (s.peak - s.entry) / s.tick)
    now.given_back = (now.peak_r - now.r) / now.peak_r if now.peak_r > 0.0 else 0.0
    now.move = s.side * (bar.close / rows[at - 1].close - 1.0)
    s.against = s.against + 1 if change < 0.0 else 0
    _count_under_water(p, s, now)
    s.regime_off = s.regime_off + 1 if bar.regime != s.regime else 0
    if s.side * (bar.close - s.far_end) < 0.0:
        s.pattern_failed = 1
    s.fall_before = s.fall if now.age > 1 else 0.0
    s.fall = -change / s.risk
    if bar.signal != 0:
        s.latest_confidence = bar.confidence if bar.signal == s.side else 1.0 - bar.confidence
    now.recovery = 1 if recovering(p, account.drawdown, settings) else 0
    now.haste = _haste(p, s, now, bar)
    now.runner = 0
    if now.peak_r >= p.runner_hold_min_r and now.minutes >= p.runner_hold_min_duration_minutes:
        now.runner = 1
    _look_sideways(p, s, now, rows, at)
    now.dead = 1 if _is_dead(p, now, rows, at) else 0


@rule
def _count_under_water(p: Any, s: Any, now: Any) -> None:
    if now.r < 0.0:
        s.under_total += 1
        s.under_run += p.underwater_acceleration_mult if now.r < -0.5 else 1.0
    else:
        s.under_run = 0.0


@rule
def _haste(p: Any, s: Any, now: Any, bar: Any) -> float:
    haste = 0.75 + 0.5 * p.exit_strategy_aggressiveness
    if now.recovery:
        haste *= p.recovery_mode_exit_aggressiveness
    if bar.friday:
        haste *= p.friday_exit_aggressiveness_mult
    if s.pattern_failed:
        haste *= p.pattern_failure_exit_speed_mult
    return haste


@rule
def _look_sideways(p: Any, s: Any, now: Any, rows: Any, at: int) -> None:
    n_bars = max(1, rounded(p.sideways_detection_bars))
    if now.age < n_bars:
        s.sideways, s.outside = 0, 0
    elif price_range(rows, at, n_bars) <= p.sideways_detection_range_pct * rows[at].close:
        s.sideways = 1
        s.outside = 0
    else:
        s.outside += 1
        if s.outside >= p.sideways_breakout_confirmation:
            s.sideways = 0
    s.sideways_bars = s.sideways_bars + 1 if s.sideways else 0


@rule
def _is_dead(p: Any, now: Any, rows: Any, at: int) -> bool:
    n_bars = max(1, rounded(p.dead_trade_detection_bars))
    if now.age < p.dead_trade_threshold_bars / now.haste or now.age < n_bars or now.r >= 0.5:
        return False
    return price_range(rows, at, n_bars) <= p.dead_trade_detection_range_pct * rows[at].close
