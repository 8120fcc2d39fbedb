"""Where the stop lies: at first, at breakeven, and as it is moved."""

from typing import Any

from exits.rules.compiled import rule
from exits.rules.numbers import peak_in_r
from exits.rules.rule_names import INITIAL, TIGHTENED, TRAILING


@rule
def initial_risk(p: Any, confidence: float, tick: float) -> float:
    """Return the distance of the initial stop, in price units."""
    good = confidence >= p.entry_quality_threshold
    accepted = p.acceptable_loss_for_good_entry if good else p.acceptable_loss_for_bad_entry
    distance = min(p.stop_mult * p.current_atr * accepted, p.max_stop_ticks * tick)
    return max(distance, tick)


@rule
def resting_stop(p: Any, s: Any) -> float:
    """Return where the stop order rests; farther away while the initial stop is watched."""
    if s.stop_kind == INITIAL and p.false_breakout_recovery_enabled > 0.5:
        return s.stop - s.side * p.emergency_stop_buffer_ticks * s.tick
    return s.stop


@rule
def initial_stop_broken(p: Any, s: Any, close: float) -> bool:
    """Tell whether a close lies beyond an initial stop that is watched at closes."""
    watched = s.stop_kind == INITIAL and p.false_breakout_recovery_enabled > 0.5
    return watched and s.side * (close - s.stop) <= 0.0


@rule
def breakeven_level(p: Any, s: Any, now: Any, t: int) -> float:
    """Activate breakeven where it is due; return the stop it asks for, else the stop as it is."""
    if s.breakeven_bar >= 0 or p.should_activate_breakeven < 0.5:
        return s.stop
    due = p.breakeven_after_partial > 0.5 and s.n_partials > 0
    if not due:
        old = now.age >= max(p.breakeven_min_duration_bars, p.breakeven_activation_min_bars)
        ticks = p.breakeven_threshold_ticks * p.breakeven_mult
        ticks = max(ticks, p.breakeven_activation_profit_threshold)
        r = max(p.breakeven_min_r, p.breakeven_activation_r_threshold)
        due = old and now.peak_ticks >= ticks and now.peak_r >= r
    if not due:
        return s.stop
    s.breakeven_bar = t
    level = s.entry + s.side * p.breakeven_offset_ticks * s.tick
    return level if s.side * (level - s.stop) > 0.0 else s.stop


@rule
def activate_trailing(p: Any, s: Any, now: Any, t: int) -> None:
    """Begin to trail where it is due."""
    if s.trailing_bar >= 0 or p.should_activate_trailing < 0.5:
        return
    ticks = max(p.trailing_min_profit_ticks, p.trailing_activation_profit_threshold)
    r = max(p.trailing_activation_r, p.trailing_activation_r_threshold)
    waited = s.breakeven_bar < 0 or t - s.breakeven_bar >= p.trailing_wait_after_breakeven_bars
    if now.peak_ticks >= ticks and now.peak_r >= r and waited:
        s.trailing_bar = t
        s.trailing_from_r = now.peak_r


@rule
def may_move(p: Any, s: Any, t: int) -> bool:
    """Tell whether the stop may be moved at bar ``t``."""
    if p.should_adjust_stop < 0.5 or s.n_moves >= p.max_stop_adjustments_per_trade:
        return False
    return s.last_move < 0 or t - s.last_move >= p.stop_adjustment_frequency_bars


@rule
def moved_stop(p: Any, s: Any, now: Any, bar: Any, account: Any) -> tuple[float, int, int]:
    """Return the best stop that is asked for, its kind and its rule; the stop as it is and 0."""
    best, kind, moved_by = s.stop, s.stop_kind, 0
    if s.trailing_bar >= 0:
        level = _trailing_level(p, s, now)
        paused = p.trailing_pause_on_consolidation > 0.5 and bar.consolidating
        far_enough = s.side * (level - s.stop) >= p.trailing_step_size_ticks * s.tick
        if not paused and far_enough and s.side * (level - best) > 0.0:
            best, kind, moved_by = level, TRAILING, 1
    if now.peak_r >= p.profit_lock_threshold_r:
        level = s.entry + s.side * p.profit_lock_min_acceptable_r * s.risk
        if s.side * (level - best) > 0.0:
            best, kind, moved_by = level, TRAILING, 2
    level = s.entry - s.side * s.risk * (1.0 - _decay(p, now))
    if s.side * (level - best) > 0.0:
        best, kind, moved_by = level, TIGHTENED, 3
    if now.age > p.time_decay_start_bar:
        step = p.time_decay_ticks_per_bar * 2.0 * p.time_decay_rate * s.tick
        level = s.entry - s.side * s.risk + s.side * (now.age - p.time_decay_start_bar) * step
        if s.side * (level - best) > 0.0:
            best, kind, moved_by = level, TIGHTENED, 4
    if s.sideways and p.sideways_market_exit_enabled > 0.5:
        level = s.entry - s.side * s.risk * p.sideways_stop_tightening_mult
        if s.side * (level - best) > 0.0:
            best, kind, moved_by = level, TIGHTENED, 5
    if account.drawdown >= p.drawdown_tightening_threshold:
        level = s.entry - s.side * s.risk * (1.0 - 0.8 * p.drawdown_exit_aggressiveness)
        if s.side * (level - best) > 0.0:
            best, kind, moved_by = level, TIGHTENED, 6
    spiked = bar.true_range >= p.volatility_spike_adaptive_exit * p.current_atr
    if spiked and now.r > 0.0:
        level = bar.low - s.tick if s.side > 0.0 else bar.high + s.tick
        if s.side * (level - best) > 0.0:
            best, kind, moved_by = level, TRAILING, 7
    return best, kind, moved_by


@rule
def _trailing_level(p: Any, s: Any, now: Any) -> float:
    faster = p.trailing_acceleration_rate * p.trailing_acceleration_mult
    distance = p.trailing_distance_ticks * p.trailing_mult * s.tick
    distance /= 1.0 + faster * (peak_in_r(s) - s.trailing_from_r)
    if now.runner:
        distance /= p.runner_trailing_accel_rate
    level = s.peak - s.side * distance
    locked = s.entry + s.side * p.trailing_min_lock_ticks * s.tick
    return max(level, locked) if s.side > 0.0 else min(level, locked)


@rule
def _decay(p: Any, now: Any) -> float:
    """Return by what share of R the stop has come nearer with age; 0 before half the time."""
    full = p.max_trade_duration_bars / now.haste
    if now.age >= 0.9 * full:
        return p.time_decay_90_tightening
    if now.age >= 0.75 * full:
        return p.time_decay_75_tightening
    if now.age >= 0.5 * full:
        return p.time_decay_50_tightening
    return 0.0
