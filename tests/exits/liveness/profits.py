"""Targets and partials, and exits that keep a profit."""

from tests.exits.liveness.scenario import Bar, Scenario, hold

_FIRST = {"partial_1_r": 0.8, "partial_1_min_profit_ticks": 4}
_SECOND = {"partial_2_r": 1.5, "partial_2_min_profit_ticks": 8}
_THIRD = {"partial_3_r": 2.5, "partial_3_min_profit_ticks": 15}
_TO_12 = "Up to 1.2 R, back to 0.5 R."
_TO_18 = "Up to 1.8 R, back to 0.5 R."
_TO_28 = "Up to 2.8 R, back to 2 R."
_UP_TO_12 = [0.5, 1.2, 0.5]
_UP_TO_18 = [0.5, 1.8, 0.5]
_UP_TO_28 = [1.0, 2.8, 2.0]


def _partial(parameter: str, story: str, path: list[float], others: dict[str, float]) -> Scenario:
    return Scenario(parameter, story, path, others, partials=True)


_PARTIALS = [
    _partial("partial_1_r", _TO_12, _UP_TO_12, _FIRST),
    _partial("partial_1_pct", _TO_12, _UP_TO_12, _FIRST),
    _partial("partial_1_min_profit_ticks", _TO_12, _UP_TO_12, _FIRST),
    _partial("partial_2_r", _TO_18, _UP_TO_18, _SECOND),
    _partial("partial_2_pct", _TO_18, _UP_TO_18, _SECOND),
    _partial("partial_2_min_profit_ticks", _TO_18, _UP_TO_18, _SECOND),
    _partial("partial_3_r", _TO_28, _UP_TO_28, _THIRD),
    _partial("partial_3_pct", _TO_28, _UP_TO_28, _THIRD),
    _partial("partial_3_min_profit_ticks", _TO_28, _UP_TO_28, _THIRD),
    _partial(
        "partial_slippage_tolerance_ticks",
        "Up to the target at 0.8 R, which waits a bar; that bar closes 2 ticks below it.",
        [0.5, 0.85, 0.6],
        {**_FIRST, "partial_timing_bars": 1},
    ),
    _partial(
        "partial_timing_bars",
        "Up to the target at 0.8 R, and on to 1.4 R three bars later.",
        [0.5, 0.9, 1.1, 1.2, 1.4],
        _FIRST,
    ),
    _partial("should_take_partial_1", "Flat at 0.5 R.", [0.5], {}),
    _partial("should_take_partial_2", "Flat at 0.5 R.", [0.5], {}),
    _partial("should_take_partial_3", "Flat at 0.5 R.", [0.5], {}),
    _partial(
        "runner_percentage",
        f"{_TO_12} The first target takes 60 % if it may.",
        _UP_TO_12,
        {**_FIRST, "partial_1_pct": 0.6},
    ),
    Scenario("runner_target_r", "Up to 2.8 R.", [1.0, 2.0, 2.8]),
]

_RUNNER = {"runner_hold_min_r": 4.0, "runner_hold_min_duration_minutes": 15}
_UP_TO_6 = [1.0, 2.0, 4.0, 6.0]

_RUNNERS = [
    Scenario(
        "runner_hold_min_r",
        "Up to 6 R, flat for 50 bars, and on to the target at 10 R; 45 minutes are allowed to what "
        "is no runner.",
        [*_UP_TO_6, *hold(6.0, 50), 8.0, 10.0],
        {"runner_hold_min_duration_minutes": 15, "max_hold_duration_minutes": 45},
    ),
    Scenario(
        "runner_hold_min_duration_minutes",
        "Up to 6 R, flat for 50 bars, and on to the target at 10 R; 30 bars are allowed to what "
        "is no runner.",
        [*_UP_TO_6, *hold(6.0, 50), 8.0, 10.0],
        {"runner_hold_min_r": 4.0, "max_trade_duration_bars": 30},
    ),
    Scenario(
        "runner_max_drawdown_pct",
        "A runner: up to 6 R, from bar 17 on a quarter of it is given back, and on to the target.",
        [*_UP_TO_6, *hold(6.0, 12), 4.5, 7.0, 10.0],
        _RUNNER,
    ),
    Scenario(
        "runner_volume_exhaustion_sensitivity",
        "A runner: flat at 6 R, half the usual volume in bar 17, and on to the target.",
        [*_UP_TO_6, *hold(6.0, 12), Bar(6.0, volume=50.0), 8.0, 10.0],
        {**_RUNNER, "volume_exhaustion_threshold_pct": 0.6, "volume_exhaustion_pct": 0.65},
    ),
]

_DRY = [0.5, 0.8, Bar(0.8, volume=45.0), 0.8]
_DRY_STORY = "Flat at 0.8 R, and a bar of 45 % of the usual volume."

_KEPT = [
    Scenario(
        "max_drawdown_from_peak_pct",
        "Up to 1 R and back to 0.5 R: a quarter of the way from the stop is given back.",
        [0.5, 1.0, 0.5],
        {"profit_protection_min_r": 0.5},
    ),
    Scenario(
        "profit_protection_min_r",
        "Up to 1 R and back to 0.3 R.",
        [0.5, 1.0, 0.3],
        {"max_drawdown_from_peak_pct": 0.25},
    ),
    Scenario(
        "profit_drawdown_pct",
        "Up to 1.5 R and back to 1.2 R: a fifth of the peak.",
        [0.5, 1.5, 1.2],
        {"profit_lock_activation_r": 1.0, "profit_protection_aggressiveness": 1.0},
    ),
    Scenario(
        "profit_lock_activation_r",
        "Up to 1.5 R and back to 1.2 R: a fifth of the peak, a tenth is allowed.",
        [0.5, 1.5, 1.2],
        {"profit_drawdown_pct": 0.1, "profit_protection_aggressiveness": 1.0},
    ),
    Scenario(
        "profit_protection_aggressiveness",
        "Up to 1.5 R and back to 1.05 R: three tenths of the peak; two to four are allowed.",
        [0.5, 1.5, 1.05],
        {"profit_lock_activation_r": 1.0, "profit_drawdown_pct": 0.2},
    ),
    Scenario(
        "volume_exhaustion_threshold_pct",
        _DRY_STORY,
        _DRY,
        {"profit_protection_min_r": 0.5, "volume_exhaustion_pct": 0.65},
    ),
    Scenario(
        "volume_exhaustion_pct",
        _DRY_STORY,
        _DRY,
        {"profit_protection_min_r": 0.5, "volume_exhaustion_threshold_pct": 0.6},
    ),
]

SCENARIOS = [*_PARTIALS, *_RUNNERS, *_KEPT]
