"""Exits because the market is no longer that of the entry: signals, regime, volatility."""

from typing import Any

from exits.rules.compiled import rule
from exits.rules.rule_names import (
    ML_OVERRIDE,
    NONE,
    REGIME_CHANGE,
    SIGNAL_REVERSAL,
    VOLATILITY_RISE,
    VOLATILITY_SPIKE,
)


@rule
def market_exit(p: Any, s: Any, now: Any, bar: Any) -> int:
    """Return the rule that holds, or `NONE`."""
    if bar.signal == -s.side:
        if bar.confidence >= p.ml_exit_override_confidence_threshold:
            return ML_OVERRIDE
        if bar.confidence >= p.signal_reversal_confidence_threshold and now.r < 1.0:
            return SIGNAL_REVERSAL
    if s.regime_off >= 1 and p.regime_change_immediate_exit >= 0.5:
        return REGIME_CHANGE
    if s.regime_off >= 10.0 * p.regime_change_exit_sensitivity and now.r < 1.0:
        return REGIME_CHANGE
    if bar.true_range >= p.volatility_spike_exit_mult * p.current_atr and now.r < 0.5:
        return VOLATILITY_SPIKE
    if bar.atr / s.atr - 1.0 >= p.volatility_spike_exit_pct and now.r < 0.0:
        return VOLATILITY_RISE
    return NONE
