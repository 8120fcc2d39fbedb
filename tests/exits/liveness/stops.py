"""Where the stop lies: the initial one, breakeven, trailing, and the moves of age."""

from tests.exits.liveness.scenario import Bar, Scenario, hold

_AND_ON = 0.3

_DIP = [0.0, Bar(0.1, low=-0.5), _AND_ON]

_INITIAL = [
    Scenario(
        "stop_mult",
        "An ATR of 4 ticks: the stop is 10 or 20 ticks away; the price dips by 12.",
        [-0.3, -0.6, Bar(-0.6, low=-1.2), _AND_ON],
        {"max_stop_ticks": 20, "acceptable_loss_for_good_entry": 1.0},
        atr=0.4,
    ),
    Scenario(
        "max_stop_ticks",
        "The price dips by 12 ticks.",
        [-0.3, -0.6, Bar(-0.6, low=-1.2), _AND_ON],
    ),
    Scenario(
        "emergency_stop_buffer_ticks",
        "The stop is watched at closes; a bar dips to -1.3 R and closes at -0.2 R.",
        [0.0, Bar(-0.2, low=-1.3), _AND_ON],
        {"false_breakout_recovery_enabled": 1},
    ),
    Scenario(
        "false_breakout_recovery_enabled",
        "A bar dips to -1.2 R and closes at -0.2 R.",
        [0.0, Bar(-0.2, low=-1.2), _AND_ON],
    ),
    Scenario(
        "acceptable_loss_for_bad_entry",
        "An entry of confidence 0.6, an ATR of 4 ticks: the stop is 3 or 15 ticks away; the price "
        "dips by 5.",
        _DIP,
        {"stop_mult": 2.5, "max_stop_ticks": 20, "entry_quality_threshold": 1.0},
        atr=0.4,
        confidence=0.6,
    ),
    Scenario(
        "acceptable_loss_for_good_entry",
        "An ATR of 4 ticks: the stop is 10 or 20 ticks away; the price dips by 12.",
        [-0.3, -0.6, Bar(-0.6, low=-1.2), _AND_ON],
        {"stop_mult": 2.5, "max_stop_ticks": 20},
        atr=0.4,
    ),
    Scenario(
        "entry_quality_threshold",
        "An entry of confidence 0.7, an ATR of 4 ticks: the stop is 20 ticks away for a good entry "
        "and 3 for a bad one; the price dips by 5.",
        _DIP,
        {"stop_mult": 2.5, "max_stop_ticks": 20, "acceptable_loss_for_bad_entry": 0.3},
        atr=0.4,
    ),
    Scenario(
        "current_atr",
        "A measured ATR of 4 ticks, the forecast is half or twice that: the stop is 5 or 20 ticks "
        "away; the price dips by 7.",
        [-0.2, -0.4, Bar(-0.2, low=-0.7), _AND_ON],
        {"stop_mult": 2.5, "max_stop_ticks": 20, "acceptable_loss_for_good_entry": 1.0},
        atr=0.4,
    ),
]

_BREAKEVEN = {
    "should_activate_breakeven": 1,
    "breakeven_threshold_ticks": 6,
    "breakeven_mult": 1.0,
    "breakeven_offset_ticks": 0,
    "breakeven_min_duration_bars": 1,
    "breakeven_activation_min_bars": 1,
    "breakeven_min_r": 0.8,
    "breakeven_activation_r_threshold": 0.5,
    "breakeven_activation_profit_threshold": 4,
    "breakeven_after_partial": 0,
}
_UP_AND_BACK = [0.5, 1.0, 0.5, -0.2, _AND_ON]
_BACK = "Up to 1 R (10 ticks), back through the entry, and up again."

_AT_BREAKEVEN = [
    Scenario("should_activate_breakeven", _BACK, _UP_AND_BACK, _BREAKEVEN),
    Scenario("breakeven_threshold_ticks", _BACK, _UP_AND_BACK, _BREAKEVEN),
    Scenario(
        "breakeven_mult",
        f"{_BACK} The threshold is 12 ticks times this.",
        _UP_AND_BACK,
        {**_BREAKEVEN, "breakeven_threshold_ticks": 12},
    ),
    Scenario("breakeven_activation_profit_threshold", _BACK, _UP_AND_BACK, _BREAKEVEN),
    Scenario("breakeven_min_r", _BACK, _UP_AND_BACK, _BREAKEVEN),
    Scenario("breakeven_activation_r_threshold", _BACK, _UP_AND_BACK, _BREAKEVEN),
    Scenario("breakeven_min_duration_bars", _BACK, _UP_AND_BACK, _BREAKEVEN),
    Scenario("breakeven_activation_min_bars", _BACK, _UP_AND_BACK, _BREAKEVEN),
    Scenario(
        "breakeven_offset_ticks",
        "Up to 1 R, back to 0.1 R, and up again.",
        [0.5, 1.0, 0.5, 0.1, _AND_ON],
        _BREAKEVEN,
    ),
    Scenario(
        "breakeven_after_partial",
        f"{_BACK} A partial is taken at 0.8 R; breakeven would need 2 R otherwise.",
        _UP_AND_BACK,
        {**_BREAKEVEN, "breakeven_min_r": 2.0, "partial_1_r": 0.8, "partial_1_min_profit_ticks": 4},
        partials=True,
    ),
]

_TRAILING = {
    "should_activate_trailing": 1,
    "should_adjust_stop": 1,
    "stop_adjustment_frequency_bars": 1,
    "max_stop_adjustments_per_trade": 20,
    "trailing_min_profit_ticks": 8,
    "trailing_activation_profit_threshold": 8,
    "trailing_activation_r": 1.0,
    "trailing_activation_r_threshold": 1.0,
    "trailing_wait_after_breakeven_bars": 0,
    "trailing_distance_ticks": 6,
    "trailing_mult": 1.0,
    "trailing_acceleration_rate": 0.0,
    "trailing_acceleration_mult": 2.0,
    "trailing_min_lock_ticks": 2,
    "trailing_step_size_ticks": 0.5,
    "trailing_pause_on_consolidation": 0,
}
_FAR = {**_TRAILING, "trailing_distance_ticks": 10}
_UP_TO_2 = [0.5, 1.1, 1.6, 2.0, 1.0, 1.6]
_BACK_TO_1 = "Up to 2 R (20 ticks), back to 1 R, and up again."
_UP_TO_15 = [0.5, 1.5, 0.5, 1.3]
_BACK_FROM_15 = "Up to 1.5 R (15 ticks), back to 0.5 R, and up again."

_TRAILED = [
    Scenario("should_activate_trailing", _BACK_TO_1, _UP_TO_2, _TRAILING),
    Scenario("should_adjust_stop", _BACK_TO_1, _UP_TO_2, _TRAILING),
    Scenario("trailing_distance_ticks", _BACK_TO_1, _UP_TO_2, _TRAILING),
    Scenario(
        "trailing_mult",
        f"{_BACK_TO_1} The distance is 10 ticks times this.",
        _UP_TO_2,
        _FAR,
    ),
    Scenario(
        "trailing_acceleration_rate",
        "Up to 2 R, back to 1.3 R, and up again; the distance of 10 ticks shrinks.",
        [0.5, 1.1, 1.6, 2.0, 1.3, 1.6],
        _FAR,
    ),
    Scenario(
        "trailing_acceleration_mult",
        "Up to 2 R, back to 1.3 R, and up again; the distance of 10 ticks shrinks.",
        [0.5, 1.1, 1.6, 2.0, 1.3, 1.6],
        {**_FAR, "trailing_acceleration_rate": 1.0},
    ),
    Scenario("trailing_min_profit_ticks", _BACK_FROM_15, _UP_TO_15, _TRAILING),
    Scenario("trailing_activation_profit_threshold", _BACK_FROM_15, _UP_TO_15, _TRAILING),
    Scenario("trailing_activation_r", _BACK_FROM_15, _UP_TO_15, _TRAILING),
    Scenario("trailing_activation_r_threshold", _BACK_FROM_15, _UP_TO_15, _TRAILING),
    Scenario(
        "trailing_pause_on_consolidation",
        f"{_BACK_TO_1} The bars are small beside the ATR.",
        _UP_TO_2,
        _TRAILING,
    ),
    Scenario(
        "trailing_step_size_ticks",
        "Up to 1.1 R and then to 1.3 R, 2 ticks more; back to 0.6 R, and up again.",
        [0.5, 1.1, 1.3, 0.6, 1.2],
        _TRAILING,
    ),
    Scenario(
        "trailing_min_lock_ticks",
        f"{_BACK_FROM_15} The stop trails by 24 ticks.",
        _UP_TO_15,
        {**_TRAILING, "trailing_distance_ticks": 24},
    ),
    Scenario(
        "trailing_wait_after_breakeven_bars",
        "Up to 2 R, with breakeven in bar 2; back to 1 R, and up again.",
        _UP_TO_2,
        {**_TRAILING, **_BREAKEVEN},
    ),
    Scenario(
        "stop_adjustment_frequency_bars",
        f"{_BACK_TO_1} The stop is moved first at 1.1 R.",
        _UP_TO_2,
        _TRAILING,
    ),
    Scenario(
        "max_stop_adjustments_per_trade",
        "The stop moves at 1.1, 1.4, 1.7 and 2 R; back to 1.2 R, and up again.",
        [0.5, 1.1, 1.4, 1.7, 2.0, 1.2, 1.6],
        _TRAILING,
    ),
    Scenario(
        "runner_trailing_accel_rate",
        "A runner: up to 6 R, where the stop trails by 24 ticks divided by this; a dip to 4.5 R, "
        "and on to the target.",
        [1.0, 2.0, 4.0, 6.0, *hold(6.0, 12), Bar(5.5, low=4.5), 7.0, 8.0, 10.0],
        {
            **_TRAILING,
            "trailing_distance_ticks": 24,
            "runner_hold_min_r": 4.0,
            "runner_hold_min_duration_minutes": 15,
        },
    ),
]

_MOVES = {
    "should_adjust_stop": 1,
    "stop_adjustment_frequency_bars": 1,
    "max_stop_adjustments_per_trade": 20,
}
_CREEPING = {
    **_MOVES,
    "time_decay_start_bar": 20,
    "time_decay_ticks_per_bar": 0.5,
    "time_decay_rate": 1.0,
}


def _aged(parameter: str, bar: int, low: float) -> Scenario:
    return Scenario(
        parameter,
        f"Flat at 0.2 R, but for a dip to {low} R in bar {bar} of a trade that may last 30.",
        [*hold(0.2, bar - 1), Bar(0.2, low=low)],
        {**_MOVES, "max_trade_duration_bars": 30},
    )


_MOVED = [
    _aged("time_decay_50_tightening", 18, -0.9),
    _aged("time_decay_75_tightening", 25, -0.8),
    _aged("time_decay_90_tightening", 29, -0.7),
    Scenario(
        "time_decay_start_bar",
        "Flat at 0.5 R; the stop creeps up by a tick per bar.",
        [0.5],
        _CREEPING,
    ),
    Scenario(
        "time_decay_ticks_per_bar",
        "Flat at 0.5 R; from bar 21 on the stop creeps up by twice this per bar.",
        [0.5],
        _CREEPING,
    ),
    Scenario(
        "time_decay_rate",
        "Flat at 0.5 R; from bar 21 on the stop creeps up by a tick per bar times this.",
        [0.5],
        _CREEPING,
    ),
    Scenario(
        "profit_lock_threshold_r",
        "Up to 4 R, a dip to 1.2 R.",
        [1.0, 2.0, 3.0, 4.0, Bar(3.5, low=1.2)],
        _MOVES,
    ),
    Scenario(
        "profit_lock_min_acceptable_r",
        "Up to 4.5 R in one bar, a dip to 3.5 R.",
        [1.0, 2.0, 4.5, Bar(4.2, low=3.5)],
        {**_MOVES, "profit_lock_threshold_r": 3.0},
    ),
    Scenario(
        "volatility_spike_adaptive_exit",
        "An ATR of 1 R; a bar of 1.4 ATR up to 1.4 R, then back to the entry, and up again.",
        [0.2, Bar(1.4, high=1.6), 0.7, 0.0, _AND_ON],
        _MOVES,
        atr=1.0,
    ),
]

SCENARIOS = [*_INITIAL, *_AT_BREAKEVEN, *_TRAILED, *_MOVED]
