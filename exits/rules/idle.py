"""Exits of trades that go nowhere: sideways markets, dead trades, age."""

from typing import Any

from exits.rules.compiled import rule
from exits.rules.rule_names import (
    DEAD_TRADE,
    MAX_DURATION,
    MAX_HOLD_RULE,
    NO_PROFIT,
    NONE,
    SIDEWAYS_LOSS,
    SIDEWAYS_TIMEOUT,
    TIME_STOP,
)


@rule
def idle_exit(p: Any, s: Any, now: Any, symbol: Any) -> int:
    """Return the rule of sideways markets and dead trades that holds, or `NONE`."""
    if s.sideways and p.sideways_market_exit_enabled > 0.5:
        if now.r <= -p.sideways_max_loss_r:
            return SIDEWAYS_LOSS
        minutes = p.sideways_timeout_minutes / now.haste * (1.7 - p.sideways_exit_aggressiveness)
        if s.sideways_bars * symbol.minutes_per_bar >= minutes:
            return SIDEWAYS_TIMEOUT
    if now.dead and _is_cut(p, now):
        return DEAD_TRADE
    return NONE


@rule
def _is_cut(p: Any, now: Any) -> bool:
    if p.should_exit_dead_trade > 0.7:
        return True
    early = p.dead_trade_early_cut_enabled > 0.5
    if early and now.r <= 0.0 and -now.r <= p.dead_trade_acceptable_loss_pct:
        return True
    return -now.ticks >= p.dead_trade_max_loss_ticks or -now.r >= p.dead_trade_max_loss_r


@rule
def time_exit(p: Any, now: Any) -> int:
    """Return the rule of age that holds, or `NONE`."""
    if now.age >= p.timeout_if_no_profit_bars / now.haste and now.r <= 0.0:
        return NO_PROFIT
    if now.runner:
        return NONE
    if now.age >= p.time_stop_max_bars / now.haste and now.r < 1.0:
        return TIME_STOP
    if now.age >= p.max_trade_duration_bars / now.haste:
        return MAX_DURATION
    if now.minutes >= p.max_hold_duration_minutes:
        return MAX_HOLD_RULE
    return NONE
