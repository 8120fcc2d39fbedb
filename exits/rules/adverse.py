"""Exits of trades that go wrong: adverse moves, losses that run, time under water."""

from typing import Any

from exits.rules.compiled import rule
from exits.rules.numbers import rounded
from exits.rules.rule_names import (
    ADVERSE_BAR,
    ADVERSE_RUN,
    FAILED_BREAKOUT,
    IMMEDIATE_ADVERSE,
    LOSING_BARS,
    LOSS_ACCELERATION,
    MAX_LOSS,
    NONE,
    RANGE_EXPANSION,
    UNDERWATER_RUN,
    UNDERWATER_TOTAL,
)


@rule
def adverse_exit(p: Any, s: Any, now: Any, rows: Any, at: int) -> int:
    """Return the rule that holds, or `NONE`."""
    found = _adverse_move(p, s, now, rows, at)
    return found if found != NONE else _bleeding(p, s, now)


@rule
def _adverse_move(p: Any, s: Any, now: Any, rows: Any, at: int) -> int:
    bar = rows[at]
    if now.age <= 3 and -now.ticks >= p.immediate_adverse_exit_threshold_ticks:
        return IMMEDIATE_ADVERSE
    if -now.move >= p.adverse_momentum_threshold and now.r < 0.0:
        return ADVERSE_BAR
    n_bars = max(1, rounded(p.adverse_consecutive_bars))
    if s.against >= n_bars:
        lost = -s.side * (bar.close / rows[at - n_bars].close - 1.0)
        if lost >= p.adverse_momentum_tolerance_pct:
            return ADVERSE_RUN
    if now.r >= 0.0:
        return NONE
    expanded = bar.true_range >= p.adverse_range_expansion_mult * p.current_atr
    if expanded and s.side * (bar.close - bar.open) < 0.0:
        return RANGE_EXPANSION
    faster = s.fall >= p.loss_acceleration_rate and s.fall > s.fall_before > 0.0
    if now.r < -0.5 and faster:
        return LOSS_ACCELERATION
    return NONE


@rule
def _bleeding(p: Any, s: Any, now: Any) -> int:
    losing = now.r < 0.0
    if losing and s.against >= p.consecutive_losing_bars_limit:
        return LOSING_BARS
    if now.r <= p.max_r_loss_before_exit:
        return MAX_LOSS
    if losing and s.under_total >= p.underwater_max_bars / now.haste:
        return UNDERWATER_TOTAL
    if s.under_run >= p.max_time_underwater_bars / now.haste:
        return UNDERWATER_RUN
    if now.peak_r >= 0.5 and now.r <= -(1.0 - p.failed_breakout_exit_speed):
        return FAILED_BREAKOUT
    return NONE
