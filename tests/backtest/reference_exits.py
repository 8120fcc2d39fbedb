"""The rules that end a trade at a close, in the order of docs/replay_rules.md."""

from collections.abc import Callable

from tests.backtest.reference_evaluator import CLOSE, verdict
from tests.backtest.reference_position import (
    Numbers,
    Parameters,
    Position,
    rounded_window,
)

Holds = Callable[[Parameters, Numbers, Position], bool]


def on(flag: float) -> bool:
    return flag > 0.5


def taken(decision: float) -> bool:
    return decision > 0.7


def permitted(permission: float) -> bool:
    return permission >= 0.5


def daily_loss_reached(p: Parameters, account, settings) -> bool:
    limit = p["daily_loss_limit_exit_threshold_pct"] * settings.daily_loss_limit
    return account.daily_loss >= limit


def session_closes(p: Parameters, now, bar_minutes: float) -> bool:
    return (
        on(p["overnight_gap_protection_exit"])
        and now.minutes_to_session_close - bar_minutes < p["pre_market_close_exit_minutes"]
    )


def lost_lately(pos: Position, n: Numbers, times: float) -> bool:
    return n.account.losses >= times and n.account.last_loss_step > pos.entry_step


def signal_against(pos: Position, n: Numbers, confidence: float) -> bool:
    return n.signal == -pos.side and n.confidence >= confidence


def regime_changed(p: Parameters, n: Numbers, pos: Position) -> bool:
    if pos.regime_off >= 1 and permitted(p["regime_change_immediate_exit"]):
        return True
    return pos.regime_off >= 10 * p["regime_change_exit_sensitivity"] and n.r < 1


def lost_share(pos: Position, n: Numbers, bars: int = 1) -> float:
    """Share of the price that the closes lost over so many bars."""
    return -pos.side * (n.bar.close / n.close_before(bars) - 1)


def adverse_run(p: Parameters, n: Numbers, pos: Position) -> bool:
    bars = rounded_window(p["adverse_consecutive_bars"])
    return pos.against >= bars and lost_share(pos, n, bars) >= p["adverse_momentum_tolerance_pct"]


def volume_exhausted(p: Parameters, n: Numbers, pos: Position) -> bool:
    q = p["runner_volume_exhaustion_sensitivity"] if n.runner else 1.0
    at_signal = n.bars[pos.signal_bar].volume
    return (
        n.now.volume_ratio < q * p["volume_exhaustion_threshold_pct"]
        and n.bar.volume < q * p["volume_exhaustion_pct"] * at_signal
        and n.r >= p["profit_protection_min_r"]
    )


def sideways_timeout(p: Parameters, n: Numbers, pos: Position) -> bool:
    limit = p["sideways_timeout_minutes"] / n.haste * (1.7 - p["sideways_exit_aggressiveness"])
    return (
        on(p["sideways_market_exit_enabled"])
        and pos.sideways
        and pos.sideways_bars * n.minutes_per_bar >= limit
    )


def dead_trade(p: Parameters, n: Numbers, pos: Position) -> bool:
    early = (
        on(p["dead_trade_early_cut_enabled"])
        and n.r <= 0
        and -n.r <= p["dead_trade_acceptable_loss_pct"]
    )
    return n.dead and (
        taken(p["should_exit_dead_trade"])
        or early
        or -n.ticks >= p["dead_trade_max_loss_ticks"]
        or -n.r >= p["dead_trade_max_loss_r"]
    )


EXIT_RULES: tuple[tuple[str, str, Holds], ...] = (
    (
        "initial_stop",
        "stop_loss",
        lambda p, n, pos: (
            pos.kind == "initial"
            and on(p["false_breakout_recovery_enabled"])
            and not pos.better(n.bar.close, pos.stop)
        ),
    ),
    ("model_exit", "other", lambda p, n, pos: taken(p["should_exit_now"])),
    ("daily_loss", "other", lambda p, n, pos: daily_loss_reached(p, n.account, n.settings)),
    (
        "loss_emergency",
        "other",
        lambda p, n, pos: lost_lately(pos, n, p["consecutive_loss_emergency_exit"]),
    ),
    (
        "loss_streak",
        "other",
        lambda p, n, pos: lost_lately(pos, n, p["consecutive_losses_exit_trigger"]) and n.r < 0,
    ),
    (
        "account_drawdown",
        "other",
        lambda p, n, pos: (
            pos.drawdown_at_entry < p["drawdown_from_high_exit_pct"] <= n.account.drawdown
            and n.r < 0
        ),
    ),
    ("session_close", "time_limit", lambda p, n, pos: session_closes(p, n.now, n.bar_minutes)),
    (
        "friday_close",
        "time_limit",
        lambda p, n, pos: (
            n.now.friday
            and n.now.hour >= n.settings.friday_late_hour
            and n.r >= p["friday_close_early_threshold_r"]
        ),
    ),
    (
        "low_volume",
        "other",
        lambda p, n, pos: (
            n.age >= 3
            and n.now.quiet_volume < p["low_volume_period_exit_threshold"]
            and abs(n.r) < 0.5
        ),
    ),
    (
        "ml_override",
        "other",
        lambda p, n, pos: signal_against(pos, n, p["ml_exit_override_confidence_threshold"]),
    ),
    (
        "signal_reversal",
        "other",
        lambda p, n, pos: (
            signal_against(pos, n, p["signal_reversal_confidence_threshold"]) and n.r < 1
        ),
    ),
    ("regime_change", "other", regime_changed),
    (
        "volatility_spike",
        "other",
        lambda p, n, pos: (
            n.now.true_range >= p["volatility_spike_exit_mult"] * p["current_atr"] and n.r < 0.5
        ),
    ),
    (
        "volatility_rise",
        "other",
        lambda p, n, pos: n.now.atr / pos.atr0 - 1 >= p["volatility_spike_exit_pct"] and n.r < 0,
    ),
    (
        "immediate_adverse",
        "adverse_momentum",
        lambda p, n, pos: n.age <= 3 and -n.ticks >= p["immediate_adverse_exit_threshold_ticks"],
    ),
    (
        "adverse_bar",
        "adverse_momentum",
        lambda p, n, pos: lost_share(pos, n) >= p["adverse_momentum_threshold"] and n.r < 0,
    ),
    ("adverse_run", "adverse_momentum", adverse_run),
    (
        "range_expansion",
        "adverse_momentum",
        lambda p, n, pos: (
            n.now.true_range >= p["adverse_range_expansion_mult"] * p["current_atr"]
            and pos.side * (n.bar.close - n.bar.open) < 0
            and n.r < 0
        ),
    ),
    (
        "loss_acceleration",
        "adverse_momentum",
        lambda p, n, pos: (
            n.r < -0.5
            and pos.fall >= p["loss_acceleration_rate"]
            and pos.fall > pos.fall_before > 0
        ),
    ),
    (
        "losing_bars",
        "adverse_momentum",
        lambda p, n, pos: pos.against >= p["consecutive_losing_bars_limit"] and n.r < 0,
    ),
    ("max_loss", "stop_loss", lambda p, n, pos: n.r <= p["max_r_loss_before_exit"]),
    (
        "underwater_total",
        "time_limit",
        lambda p, n, pos: pos.underwater >= p["underwater_max_bars"] / n.haste and n.r < 0,
    ),
    (
        "underwater_run",
        "time_limit",
        lambda p, n, pos: pos.underwater_run >= p["max_time_underwater_bars"] / n.haste,
    ),
    (
        "failed_breakout",
        "other",
        lambda p, n, pos: n.peak_r >= 0.5 and n.r <= -(1 - p["failed_breakout_exit_speed"]),
    ),
    (
        "runner_drawdown",
        "profit_drawdown",
        lambda p, n, pos: n.runner and n.given_back >= p["runner_max_drawdown_pct"],
    ),
    (
        "profit_drawdown",
        "profit_drawdown",
        lambda p, n, pos: (
            not n.runner
            and n.peak_r >= p["profit_lock_activation_r"]
            and n.given_back
            >= p["profit_drawdown_pct"] * (2 - p["profit_protection_aggressiveness"])
        ),
    ),
    (
        "peak_drawdown",
        "profit_drawdown",
        lambda p, n, pos: (
            not n.runner
            and n.peak_r >= p["profit_protection_min_r"]
            and (n.peak_r - n.r) / (1 + n.peak_r) >= p["max_drawdown_from_peak_pct"]
        ),
    ),
    ("volume_exhaustion", "other", volume_exhausted),
    (
        "sideways_loss",
        "other",
        lambda p, n, pos: (
            on(p["sideways_market_exit_enabled"])
            and pos.sideways
            and n.r <= -p["sideways_max_loss_r"]
        ),
    ),
    ("sideways_timeout", "time_limit", sideways_timeout),
    ("dead_trade", "time_limit", dead_trade),
    (
        "no_profit",
        "time_limit",
        lambda p, n, pos: n.age >= p["timeout_if_no_profit_bars"] / n.haste and n.r <= 0,
    ),
    (
        "time_stop",
        "time_limit",
        lambda p, n, pos: not n.runner and n.age >= p["time_stop_max_bars"] / n.haste and n.r < 1,
    ),
    (
        "max_duration",
        "time_limit",
        lambda p, n, pos: not n.runner and n.age >= p["max_trade_duration_bars"] / n.haste,
    ),
    (
        "max_hold",
        "max_hold",
        lambda p, n, pos: not n.runner and n.minutes >= p["max_hold_duration_minutes"],
    ),
)
EXIT_RULE_NAMES = (*(name for name, _, _ in EXIT_RULES), "evaluator_close")


def exit_decision(pos: Position, n: Numbers) -> tuple[str, str] | None:
    """Return the name and the reason of the first exit rule that holds; the evaluator's is last."""
    for name, reason, holds in EXIT_RULES:
        if holds(pos.parameters, n, pos):
            return name, reason
    if n.settings.evaluator and verdict(pos, n)[0] == CLOSE:
        return EXIT_RULE_NAMES[-1], "other"
    return None
