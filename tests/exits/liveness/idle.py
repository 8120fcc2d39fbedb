"""Trades that go nowhere: age, dead trades, sideways markets, haste."""

from tests.exits.liveness.scenario import FRIDAY, Bar, Scenario, hold, zigzag

_PERCENT = 100.0
_FLAT = "Flat at 0.2 R."

_AGED = [
    Scenario("max_hold_duration_minutes", f"{_FLAT} A bar counts a minute.", [0.2]),
    Scenario("max_trade_duration_bars", _FLAT, [0.2]),
    Scenario("time_stop_max_bars", _FLAT, [0.2]),
    Scenario("timeout_if_no_profit_bars", "Flat at the entry.", [0.0]),
]

_AN_HOUR = {"max_trade_duration_bars": 60}
_HASTE = "The trade may last 60 bars, divided by haste."
_RECOVERY = {"recovery_drawdown": 0.1}

_HASTENED = [
    Scenario("exit_strategy_aggressiveness", f"{_FLAT} {_HASTE}", [0.2], _AN_HOUR),
    Scenario(
        "friday_exit_aggressiveness_mult",
        f"A Friday. {_FLAT} {_HASTE}",
        [0.2],
        _AN_HOUR,
        start=FRIDAY,
    ),
    Scenario(
        "pattern_failure_exit_speed_mult",
        f"A close below the signal bar's low, then flat at 0.2 R. {_HASTE}",
        [0.0, -0.2, 0.2],
        _AN_HOUR,
        atr=0.4,
    ),
    Scenario(
        "recovery_mode_exit_aggressiveness",
        "Up to 0.5 R, then flat at 0.2 R: the account is a little below its high, which counts as "
        f"recovery. {_HASTE}",
        [0.5, 0.2],
        {**_AN_HOUR, "recovery_mode_sensitivity": 1.0},
        account=_RECOVERY,
    ),
    Scenario(
        "recovery_mode_sensitivity",
        f"Up to 0.5 R, then flat at 0.2 R: the account is a little below its high. {_HASTE}",
        [0.5, 0.2],
        {**_AN_HOUR, "recovery_mode_exit_aggressiveness": 3.0},
        account=_RECOVERY,
    ),
    Scenario(
        "recovery_mode_profit_target_r",
        "Down to -0.2 R: the account is a little below its high, which counts as recovery. Then up "
        "to 1 R, and back to 0.3 R.",
        [-0.2, 1.0, 0.3],
        {"recovery_mode_sensitivity": 1.0},
        account=_RECOVERY,
    ),
]

_DEAD = {"dead_trade_threshold_bars": 10, "dead_trade_detection_bars": 5}
_AT_ONCE = {**_DEAD, "should_exit_dead_trade": 1}
_SMALL_LOSS = [*hold(-0.3, 12), 0.3]
_LOSS_STORY = "Flat at -0.3 R (3 ticks) for 12 bars, dead from bar 10 on; then at 0.3 R."

_DEAD_TRADES = [
    Scenario("should_exit_dead_trade", _FLAT, [0.2], _DEAD),
    Scenario("dead_trade_threshold_bars", _FLAT, [0.2], _AT_ONCE),
    Scenario(
        "dead_trade_detection_range_pct",
        "R is 1 % of the price. Closes at 0.05 and 0.4 R in turn: a range of 0.35 %.",
        zigzag(0.05, 0.4, 100),
        _AT_ONCE,
        price=_PERCENT,
    ),
    Scenario(
        "dead_trade_detection_bars",
        "R is 1 % of the price. Up to 0.9 R in bar 5, from bar 7 on flat at 0.2 R.",
        [*hold(0.2, 4), 0.9, 0.2],
        {"dead_trade_threshold_bars": 10, "should_exit_dead_trade": 1},
        price=_PERCENT,
    ),
    Scenario("dead_trade_max_loss_ticks", _LOSS_STORY, _SMALL_LOSS, _DEAD),
    Scenario(
        "dead_trade_max_loss_r",
        "Flat at -0.4 R for 12 bars, dead from bar 10 on; then at 0.3 R.",
        [*hold(-0.4, 12), 0.3],
        _DEAD,
    ),
    Scenario(
        "dead_trade_acceptable_loss_pct",
        _LOSS_STORY,
        _SMALL_LOSS,
        {**_DEAD, "dead_trade_early_cut_enabled": 1},
    ),
    Scenario(
        "dead_trade_early_cut_enabled",
        _LOSS_STORY,
        _SMALL_LOSS,
        {**_DEAD, "dead_trade_acceptable_loss_pct": 0.5},
    ),
]

_SIDEWAYS = {
    "sideways_market_exit_enabled": 1,
    "sideways_detection_bars": 5,
    "sideways_detection_range_pct": 0.005,
    "sideways_breakout_confirmation": 3,
    "sideways_timeout_minutes": 10,
    "sideways_exit_aggressiveness": 0.7,
}

_SIDEWAYS_MARKETS = [
    Scenario("sideways_market_exit_enabled", _FLAT, [0.2], _SIDEWAYS),
    Scenario(
        "sideways_avoid_new_entry",
        "The market is sideways at the signal.",
        [0.2],
        {"sideways_detection_bars": 5, "sideways_detection_range_pct": 0.005},
    ),
    Scenario("sideways_timeout_minutes", f"{_FLAT} Sideways from bar 5 on.", [0.2], _SIDEWAYS),
    Scenario("sideways_detection_bars", _FLAT, [0.2], _SIDEWAYS),
    Scenario(
        "sideways_detection_range_pct",
        "R is 1 % of the price. Closes at 0.1 and 0.6 R in turn: a range of 0.5 %.",
        zigzag(0.1, 0.6, 100),
        _SIDEWAYS,
        price=_PERCENT,
    ),
    Scenario(
        "sideways_max_loss_r",
        "Flat at -0.4 R for 7 bars, sideways from bar 5 on; then at 0.3 R.",
        [*hold(-0.4, 7), 0.3],
        {**_SIDEWAYS, "sideways_timeout_minutes": 25},
    ),
    Scenario(
        "sideways_stop_tightening_mult",
        "Flat at 0.2 R, sideways from bar 5 on; a dip to -0.5 R in bar 8.",
        [*hold(0.2, 7), Bar(0.2, low=-0.5), 0.2],
        {**_SIDEWAYS, "should_adjust_stop": 1, "sideways_timeout_minutes": 25},
    ),
    Scenario(
        "sideways_exit_aggressiveness",
        f"{_FLAT} Sideways from bar 5 on; the time-out is 10 minutes times 1.7 less this.",
        [0.2],
        _SIDEWAYS,
    ),
    Scenario(
        "sideways_breakout_confirmation",
        "R is 1 % of the price. Flat at 0.2 R, sideways from bar 5 on; from bar 8 on closes at "
        "0.8 and 0.2 R in turn, out of the range.",
        [*hold(0.2, 7), *zigzag(0.8, 0.2, 92)],
        _SIDEWAYS,
        price=_PERCENT,
    ),
]

SCENARIOS = [*_AGED, *_HASTENED, *_DEAD_TRADES, *_SIDEWAYS_MARKETS]
