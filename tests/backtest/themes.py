"""What random scenarios lean on, so that every rule of the replay has its turn.

Each theme favours one family of rules: without it, the rules that stand first in the table would
end nearly every trade before the later ones are asked.
"""

from dataclasses import dataclass

from tests.backtest.reference_position import Parameters

# Where each of them seldom ends a trade.
LENIENT: Parameters = {
    "adverse_consecutive_bars": 4,
    "adverse_momentum_threshold": 0.012,
    "adverse_momentum_tolerance_pct": 0.008,
    "adverse_range_expansion_mult": 2.0,
    "breakeven_after_partial": 0,
    "consecutive_losing_bars_limit": 7,
    "dead_trade_detection_range_pct": 0.002,
    "exit_strategy_aggressiveness": 0.0,
    "failed_breakout_exit_speed": 0.0,
    "friday_exit_aggressiveness_mult": 1.2,
    "immediate_adverse_exit_threshold_ticks": 8,
    "loss_acceleration_rate": 0.5,
    "low_volume_period_exit_threshold": 0.3,
    "max_drawdown_from_peak_pct": 0.35,
    "max_hold_duration_minutes": 90,
    "max_r_loss_before_exit": -2.0,
    "max_time_underwater_bars": 15,
    "max_trade_duration_bars": 120,
    "overnight_gap_protection_exit": 0,
    "pattern_failure_exit_speed_mult": 1.5,
    "profit_drawdown_pct": 0.35,
    "profit_protection_aggressiveness": 0.0,
    "profit_protection_min_r": 3.0,
    "regime_change_exit_sensitivity": 0.9,
    "regime_change_immediate_exit": 0.0,
    "runner_target_r": 10.0,
    "sideways_avoid_new_entry": 0,
    "sideways_market_exit_enabled": 0,
    "time_stop_max_bars": 200,
    "timeout_if_no_profit_bars": 60,
    "underwater_acceleration_mult": 1.5,
    "underwater_max_bars": 25,
    "volatility_spike_exit_mult": 3.0,
    "volatility_spike_exit_pct": 1.5,
    "volume_exhaustion_pct": 0.25,
    "volume_exhaustion_threshold_pct": 0.3,
}
CALM: Parameters = {"max_stop_ticks": 20, "stop_mult": 5.0, "acceptable_loss_for_bad_entry": 1.5}
DEAD: Parameters = {
    **CALM,
    "dead_trade_detection_bars": 3,
    "dead_trade_detection_range_pct": 0.005,
    "dead_trade_threshold_bars": 10,
    "dead_trade_early_cut_enabled": 0,
}
RUNNERS: Parameters = {
    "acceptable_loss_for_bad_entry": 0.3,
    "entry_quality_threshold": 1.0,
    "runner_hold_min_r": 4.0,
    "runner_hold_min_duration_minutes": 15,
    "profit_drawdown_pct": 0.35,
    "max_drawdown_from_peak_pct": 0.35,
    "partial_1_r": 2.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Theme:
    """What a scenario leans on; shares are probabilities."""

    base: Parameters | None = None
    lenient: bool = True
    vary: float = 0.15
    foresight: float = 0.5
    styles: tuple[str, ...] = ("walk", "trend", "flat", "burst", "quiet")
    volumes: tuple[str, ...] = ("steady", "drying", "zero")
    reversals: bool = False
    account: str = "easy"
    evaluator: bool = False
    actions: float = 0.0
    permissions: float = 1.0
    n_symbols: tuple[int, int] = (1, 2)
    minutes_per_bar: tuple[float | None, ...] = (1.0, 0.5)
    min_shares: tuple[float, ...] = (0.05, 0.1)
    sessions: bool = False
    # Prices, ticks and parameters on round numbers, so that limits are met exactly.
    grid: bool = False


THEMES: dict[str, Theme] = {
    "defaults": Theme(lenient=False, vary=0.0, sessions=True),
    "anything": Theme(
        lenient=False,
        vary=0.6,
        reversals=True,
        sessions=True,
        n_symbols=(1, 4),
        minutes_per_bar=(1.0, None),
    ),
    "lenient": Theme(vary=0.1, base=CALM, minutes_per_bar=(0.2, 0.5)),
    "calm": Theme(base=CALM, styles=("quiet", "flat", "walk"), minutes_per_bar=(0.1, 1.0)),
    "runners": Theme(
        base=RUNNERS,
        vary=0.05,
        foresight=0.95,
        styles=("trend",),
        volumes=("steady", "drying"),
        permissions=0.3,
        minutes_per_bar=(1.0, 3.0),
    ),
    "trends": Theme(foresight=0.9, styles=("trend", "walk"), base={"runner_target_r": 8.0}),
    "losers": Theme(foresight=0.05, base=CALM, styles=("trend", "walk", "burst"), vary=0.1),
    "hostile account": Theme(
        base={**CALM, "consecutive_loss_emergency_exit": 10, "consecutive_losses_exit_trigger": 3},
        foresight=0.1,
        account="tight",
        n_symbols=(3, 4),
    ),
    "tight account": Theme(foresight=0.4, account="tight", n_symbols=(2, 4), vary=0.3),
    "actions": Theme(actions=0.3, vary=0.3, lenient=False, reversals=True),
    "partials": Theme(
        foresight=0.8,
        actions=0.05,
        base={
            "partial_timing_bars": 2,
            "runner_percentage": 0.0,
            "partial_1_r": 0.8,
            "partial_1_pct": 0.6,
        },
        min_shares=(0.05, 0.25, 0.45),
        styles=("trend", "walk", "burst"),
    ),
    "evaluator": Theme(evaluator=True, foresight=0.7, vary=0.2, base=CALM, reversals=True),
    "evaluator after partials": Theme(
        base={
            **CALM,
            **{f"should_take_partial_{k}": 0.8 for k in (1, 2, 3)},
            "runner_percentage": 0.1,
            "regime_change_exit_sensitivity": 0.9,
        },
        evaluator=True,
        foresight=0.7,
        min_shares=(0.1, 0.2),
    ),
    "ruin": Theme(base=CALM, foresight=0.3, account="ruin", n_symbols=(2, 3)),
    "plunge": Theme(
        base={
            "max_stop_ticks": 8,
            "stop_mult": 5.0,
            "acceptable_loss_for_bad_entry": 1.5,
            "loss_acceleration_rate": 0.1,
        },
        foresight=0.1,
        styles=("trend",),
        volumes=("steady",),
    ),
    "sideways and out": Theme(
        base={
            **CALM,
            "sideways_market_exit_enabled": 1,
            "sideways_detection_range_pct": 0.004,
            "sideways_detection_bars": 5,
            "sideways_max_loss_r": 0.3,
            "sideways_exit_aggressiveness": 0.0,
        },
        styles=("quiet", "walk", "drift"),
        volumes=("steady",),
        minutes_per_bar=(0.5, 1.0),
    ),
    "sideways": Theme(
        base={
            **CALM,
            "sideways_market_exit_enabled": 1,
            "sideways_detection_range_pct": 0.02,
            "sideways_detection_bars": 6,
            "sideways_max_loss_r": 0.3,
            "sideways_timeout_minutes": 10,
            "dead_trade_early_cut_enabled": 0,
        },
        styles=("quiet", "walk"),
        volumes=("steady",),
        minutes_per_bar=(0.2, 1.0),
    ),
    "dead": Theme(
        base={**DEAD, "dead_trade_max_loss_ticks": 4, "dead_trade_max_loss_r": 0.4},
        vary=0.2,
        styles=("quiet", "drift"),
        volumes=("steady",),
        foresight=0.3,
        minutes_per_bar=(0.2,),
    ),
    "dead at once": Theme(
        base={**DEAD, "should_exit_dead_trade": 0.8, "dead_trade_max_loss_ticks": 20},
        styles=("quiet", "drift"),
        volumes=("steady",),
        minutes_per_bar=(0.2,),
    ),
    "long runners": Theme(
        base={
            **RUNNERS,
            "acceptable_loss_for_bad_entry": 0.5,
            "runner_max_drawdown_pct": 0.35,
            "max_drawdown_from_peak_pct": 0.15,
            "profit_drawdown_pct": 0.1,
            "max_trade_duration_bars": 30,
            "partial_1_r": 2.0,
            "partial_2_r": 3.5,
            "partial_3_r": 6.0,
        },
        vary=0.03,
        foresight=0.95,
        styles=("drift",),
        volumes=("steady", "drying"),
        permissions=0.1,
    ),
    "patience": Theme(
        base={**CALM, "max_trade_duration_bars": 30, "max_hold_duration_minutes": 45},
        vary=0.05,
        styles=("quiet", "walk"),
        volumes=("steady",),
        permissions=0.3,
        minutes_per_bar=(1.0, 2.0),
    ),
    "swell": Theme(
        base={
            **CALM,
            "volatility_spike_exit_pct": 0.5,
            "adverse_range_expansion_mult": 2.0,
            "false_breakout_recovery_enabled": 1,
        },
        vary=0.03,
        foresight=0.3,
        styles=("swell",),
        volumes=("steady",),
    ),
    "grid": Theme(
        base={"max_stop_ticks": 8, "stop_mult": 5.0, "acceptable_loss_for_bad_entry": 1.5},
        grid=True,
        vary=0.2,
        actions=0.02,
    ),
    "grid losers": Theme(
        base={**CALM, "false_breakout_recovery_enabled": 1}, grid=True, foresight=0.2
    ),
    "sessions": Theme(
        sessions=True,
        base={"overnight_gap_protection_exit": 1},
        vary=0.3,
        minutes_per_bar=(0.5, None),
    ),
}
