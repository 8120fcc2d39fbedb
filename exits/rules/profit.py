"""Exits that keep a profit: what is given back of the peak, volume that dries up."""

from typing import Any

from exits.rules.compiled import rule
from exits.rules.rule_names import (
    NONE,
    PEAK_DRAWDOWN,
    PROFIT_DRAWDOWN_RULE,
    RUNNER_DRAWDOWN,
    VOLUME_EXHAUSTION,
)


@rule
def profit_exit(p: Any, s: Any, now: Any, bar: Any) -> int:
    """Return the rule that holds, or `NONE`."""
    if now.runner:
        if now.given_back >= p.runner_max_drawdown_pct:
            return RUNNER_DRAWDOWN
    else:
        allowed = p.profit_drawdown_pct * (2.0 - p.profit_protection_aggressiveness)
        if now.peak_r >= p.profit_lock_activation_r and now.given_back >= allowed:
            return PROFIT_DRAWDOWN_RULE
        way_back = (now.peak_r - now.r) / (1.0 + now.peak_r)
        if now.peak_r >= p.profit_protection_min_r and way_back >= p.max_drawdown_from_peak_pct:
            return PEAK_DRAWDOWN
    if now.r >= p.profit_protection_min_r and _exhausted(p, s, now, bar):
        return VOLUME_EXHAUSTION
    return NONE


@rule
def _exhausted(p: Any, s: Any, now: Any, bar: Any) -> bool:
    scale = p.runner_volume_exhaustion_sensitivity if now.runner else 1.0
    below_mean = bar.volume_ratio < scale * p.volume_exhaustion_threshold_pct
    return below_mean and bar.volume < scale * p.volume_exhaustion_pct * s.signal_volume
