"""Trades that go wrong: adverse moves, losses that run, time under water."""

from tests.exits.liveness.scenario import Bar, Scenario, zigzag

# At this price R is a hundredth of it.
_PERCENT = 100.0

SCENARIOS = [
    Scenario(
        "adverse_momentum_tolerance_pct",
        "R is 1 % of the price. Two closes lose 0.6 % together, and the price recovers.",
        [-0.3, -0.6, 0.2],
        {"adverse_consecutive_bars": 2},
        price=_PERCENT,
    ),
    Scenario(
        "adverse_consecutive_bars",
        "R is 1 % of the price. Two closes lose 0.6 % together, and the price recovers.",
        [-0.3, -0.6, 0.2],
        {"adverse_momentum_tolerance_pct": 0.005},
        price=_PERCENT,
    ),
    Scenario(
        "adverse_momentum_threshold",
        "R is 1 % of the price. A close loses 0.6 %, and the price recovers.",
        [0.0, -0.6, 0.2],
        price=_PERCENT,
    ),
    Scenario(
        "adverse_range_expansion_mult",
        "An ATR of 1 R; a bar of 1.6 ATR closes at -0.3 R, and the price recovers.",
        [0.2, Bar(-0.3, high=0.9, low=-0.7), 0.2],
        atr=1.0,
    ),
    Scenario(
        "loss_acceleration_rate",
        "Closes at -0.1, -0.3 and -0.6 R, and the price recovers.",
        [-0.1, -0.3, -0.6, 0.2],
    ),
    Scenario(
        "consecutive_losing_bars_limit",
        "Five closes, each 0.1 R lower, and the price recovers.",
        [-0.1, -0.2, -0.3, -0.4, -0.5, 0.2],
    ),
    Scenario(
        "immediate_adverse_exit_threshold_ticks",
        "A close 5 ticks below the entry in bar 2, and the price recovers.",
        [0.0, -0.5, 0.2],
    ),
    Scenario(
        "max_r_loss_before_exit",
        "A close at -0.7 R, and the price recovers.",
        [-0.3, -0.7, 0.2],
    ),
    Scenario(
        "failed_breakout_exit_speed",
        "Up to 0.6 R, back to -0.3 R, and up again.",
        [0.3, 0.6, -0.3, 0.2],
    ),
    Scenario("underwater_max_bars", "Closes at -0.2 and 0.2 R in turn.", zigzag(-0.2, 0.2, 100)),
    Scenario("max_time_underwater_bars", "Flat at -0.2 R.", [-0.2]),
    Scenario("underwater_acceleration_mult", "Flat at -0.6 R.", [-0.3, -0.6]),
    Scenario(
        "volatility_spike_exit_mult",
        "An ATR of 1 R; a bar of 1.8 ATR closes at 0.2 R.",
        [0.2, Bar(0.2, high=0.9, low=-0.9)],
        atr=1.0,
    ),
    Scenario(
        "volatility_spike_exit_pct",
        "Down to -0.2 R, there six bars of 2.5 times the ATR of the signal bar, and the price "
        "recovers.",
        [-0.1, -0.2, *[Bar(-0.2, high=-0.075, low=-0.325)] * 6, 0.05, 0.3, 1.2],
        atr=0.1,
    ),
]
