"""What lies around a trade: the account, the clock, signals, the regime, and its own policy."""

from tests.exits.liveness.scenario import FRIDAY, Bar, Scenario, hold

_OTHER = "Another symbol loses 1 R in"
_BOLD = {"risk_per_trade": 0.05}
_TIGHTENED = {
    "should_adjust_stop": 1,
    "drawdown_tightening_threshold": 0.05,
    "drawdown_exit_aggressiveness": 1.0,
}
_DIP = [0.1, 0.1, 0.1, 0.1, Bar(0.1, low=-0.5)]

_ACCOUNT = [
    Scenario(
        "daily_loss_limit_exit_threshold_pct",
        f"Flat at 0.1 R. {_OTHER} each of bars 2 to 4, 1.5 % of equity; the daily limit is 2 %.",
        [0.1],
        losing=(2, 3, 4),
        account={"daily_loss_limit": 0.02},
    ),
    Scenario(
        "consecutive_losses_exit_trigger",
        f"Flat at -0.2 R for 8 bars, then at 0.2 R. {_OTHER} each of bars 2 to 5.",
        [*hold(-0.2, 8), 0.2],
        losing=(2, 3, 4, 5),
    ),
    Scenario(
        "consecutive_loss_emergency_exit",
        f"Flat at 0.2 R. {_OTHER} each of bars 2 to 4.",
        [0.2],
        losing=(2, 3, 4),
    ),
    Scenario(
        "consecutive_losses_max",
        f"{_OTHER} each of the five bars before the signal.",
        [0.2],
        losing=(-4, -3, -2, -1, 0),
    ),
    Scenario(
        "drawdown_from_high_exit_pct",
        f"Flat at -0.2 R for 8 bars, then at 0.2 R. {_OTHER} bars 2 and 3, each 5 % of equity.",
        [*hold(-0.2, 8), 0.2],
        losing=(2, 3),
        account=_BOLD,
    ),
    Scenario(
        "drawdown_tightening_threshold",
        f"{_OTHER} bars 2 and 3, each 5 % of equity; a dip to -0.5 R in bar 5.",
        _DIP,
        _TIGHTENED,
        losing=(2, 3),
        account=_BOLD,
    ),
    Scenario(
        "drawdown_exit_aggressiveness",
        f"{_OTHER} bars 2 and 3, each 5 % of equity; a dip to -0.5 R in bar 5.",
        _DIP,
        _TIGHTENED,
        losing=(2, 3),
        account=_BOLD,
    ),
]

_CLOSE = "The session closes at the end of bar 67."

_CLOCK = [
    Scenario(
        "pre_market_close_exit_minutes",
        f"Flat at 0.2 R. {_CLOSE}",
        [0.2],
        {"overnight_gap_protection_exit": 1},
        sessions=("01:40",),
    ),
    Scenario(
        "overnight_gap_protection_exit",
        f"Flat at 0.2 R. {_CLOSE}",
        [0.2],
        {"pre_market_close_exit_minutes": 30},
        sessions=("01:40",),
    ),
    Scenario(
        "friday_close_early_threshold_r",
        "Flat at 1.2 R on a Friday; late begins with bar 27.",
        [0.6, 1.2],
        start=FRIDAY.replace("00:00", "15:00"),
    ),
    Scenario(
        "low_volume_period_exit_threshold",
        "Flat at 0.2 R; three bars of 40 % of the usual volume.",
        [0.2, 0.2, *[Bar(0.2, volume=40.0)] * 3],
    ),
]

_LEFT = "In bar 1 the market leaves the regime of the signal bar for good."

_MARKET = [
    Scenario(
        "signal_reversal_confidence_threshold",
        "Flat at 0.2 R; a signal against the trade in bar 5, with confidence 0.7.",
        [0.2],
        against=(5, 0.7),
    ),
    Scenario(
        "ml_exit_override_confidence_threshold",
        "Flat at 1.5 R; a signal against the trade in bar 5, with confidence 0.8.",
        [0.8, 1.5],
        against=(5, 0.8),
    ),
    Scenario("regime_change_exit_sensitivity", _LEFT, [0.3], calm=True),
    Scenario(
        "regime_change_immediate_exit",
        f"{_LEFT} The trade has more than 1 R from bar 2 on.",
        [0.6, 1.2],
        calm=True,
    ),
]

_UPDATES = {
    "should_update_exit_params": 1,
    "exit_param_update_frequency_bars": 5,
    "max_exit_param_updates_per_trade": 10,
    "dynamic_strategy_adaptation_rate": 1.0,
}
_LEAVE = {"should_exit_now": 1}
_SAYS = "At updates the policy says `should_exit_now`."

_POLICY = [
    Scenario("should_exit_now", "Flat at 0.2 R.", [0.2]),
    Scenario("should_update_exit_params", _SAYS, [0.2], _UPDATES, updates=_LEAVE),
    Scenario("exit_param_update_frequency_bars", _SAYS, [0.2], _UPDATES, updates=_LEAVE),
    Scenario(
        "max_exit_param_updates_per_trade",
        f"{_SAYS} An update goes 0.3 of the way, so that the fourth brings it above 0.7.",
        [0.2],
        {**_UPDATES, "dynamic_strategy_adaptation_rate": 0.3},
        updates=_LEAVE,
    ),
    Scenario("dynamic_strategy_adaptation_rate", _SAYS, [0.2], _UPDATES, updates=_LEAVE),
]

SCENARIOS = [*_ACCOUNT, *_CLOCK, *_MARKET, *_POLICY]
