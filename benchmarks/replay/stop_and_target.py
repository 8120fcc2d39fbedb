"""Exit parameters that come as near to a stop and a target alone as their ranges allow.

What is left are rules that these values make rare: `cases.settled` takes out the signals in which
one of them has a say.
"""

from collections.abc import Mapping
from typing import Final

from benchmarks.replay.cases import TARGET_R

# So many ticks are the stop's distance: as many as `immediate_adverse_exit_threshold_ticks` allows,
# so that the stop is there first.
STOP_TICKS: Final = 8

STOP_AND_TARGET: Final[Mapping[str, float]] = {
    # The stop at so many ticks, whatever the ATR.
    "stop_mult": 5.0,
    "max_stop_ticks": STOP_TICKS,
    "acceptable_loss_for_good_entry": 3.0,
    "entry_quality_threshold": 0.0,
    # One target: that of the first partial is the same, and a partial that waits comes too late.
    "runner_target_r": TARGET_R,
    "recovery_mode_profit_target_r": TARGET_R,
    "partial_1_r": TARGET_R,
    "partial_2_r": 3.5,
    "partial_timing_bars": 3,
    # The stop stays where it is.
    "should_activate_breakeven": 0.0,
    "should_activate_trailing": 0.0,
    "should_adjust_stop": 0.0,
    "should_update_exit_params": 0.0,
    # Never, with a stop at 1 R, a target at 2 R and next to nothing at risk.
    "immediate_adverse_exit_threshold_ticks": 8,
    "max_r_loss_before_exit": -2.0,
    "failed_breakout_exit_speed": 0.0,
    "runner_hold_min_r": 8.0,
    "profit_lock_activation_r": 5.0,
    "profit_protection_min_r": 3.0,
    "ml_exit_override_confidence_threshold": 0.95,
    "signal_reversal_confidence_threshold": 0.85,
    "daily_loss_limit_exit_threshold_pct": 0.9,
    "drawdown_from_high_exit_pct": 0.15,
    "friday_close_early_threshold_r": 2.0,
    "overnight_gap_protection_exit": 0.0,
    "sideways_market_exit_enabled": 0.0,
    "sideways_avoid_new_entry": 0.0,
    "dead_trade_early_cut_enabled": 0.0,
    "dead_trade_max_loss_ticks": 20.0,
    "dead_trade_max_loss_r": 2.0,
    # As late, as far or as rarely as can be.
    "dead_trade_threshold_bars": 40,
    "exit_strategy_aggressiveness": 0.0,
    "friday_exit_aggressiveness_mult": 1.2,
    "pattern_failure_exit_speed_mult": 1.5,
    "max_trade_duration_bars": 120,
    "time_stop_max_bars": 200.0,
    "timeout_if_no_profit_bars": 60,
    "underwater_max_bars": 25,
    "max_time_underwater_bars": 15,
    "underwater_acceleration_mult": 1.5,
    "consecutive_losing_bars_limit": 7,
    "consecutive_losses_max": 8,
    "loss_acceleration_rate": 0.5,
    "regime_change_exit_sensitivity": 0.9,
    "volatility_spike_exit_mult": 3.0,
    "volatility_spike_exit_pct": 1.5,
    "adverse_range_expansion_mult": 2.0,
    "adverse_momentum_threshold": 0.012,
    "adverse_momentum_tolerance_pct": 0.008,
    "adverse_consecutive_bars": 4,
    "low_volume_period_exit_threshold": 0.3,
}
