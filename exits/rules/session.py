"""Exits of the clock on the wall: the session's close, Friday, quiet hours."""

from typing import Any

from exits.rules.compiled import rule
from exits.rules.rule_names import FRIDAY_CLOSE, LOW_VOLUME, NONE, SESSION_CLOSE


@rule
def session_ends(p: Any, bar: Any, symbol: Any) -> bool:
    """Tell whether this close is the last one early enough before the session's."""
    if p.overnight_gap_protection_exit <= 0.5:
        return False
    return bar.minutes_to_close - symbol.bar_minutes < p.pre_market_close_exit_minutes


@rule
def session_exit(p: Any, now: Any, bar: Any, symbol: Any) -> int:
    """Return the rule that holds, or `NONE`."""
    if session_ends(p, bar, symbol):
        return SESSION_CLOSE
    if bar.friday_late and now.r >= p.friday_close_early_threshold_r:
        return FRIDAY_CLOSE
    quiet = bar.quiet_volume < p.low_volume_period_exit_threshold
    if now.age >= 3 and quiet and abs(now.r) < 0.5:
        return LOW_VOLUME
    return NONE
