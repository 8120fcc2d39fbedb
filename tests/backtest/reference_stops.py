"""Partials, the stop and asking again, as docs/replay_rules.md lists them."""

from tests.backtest.reference_evaluator import PARTIAL_CLOSE, verdict
from tests.backtest.reference_exits import on, permitted, taken
from tests.backtest.reference_position import Numbers, Parameters, Position, rounded


def order_partials(pos: Position, n: Numbers) -> None:
    p = pos.parameters
    for k in (1, 2, 3):
        if pos.taken[k - 1]:
            continue
        if taken(p[f"should_take_partial_{k}"]) and n.r > 0:
            pos.partial_orders.append((f"partial_{k}", 0.0))
        elif pos.waiting[k - 1] is not None:
            order_delayed(pos, n, k)
    if n.settings.evaluator:
        action, fraction = verdict(pos, n)
        if action == PARTIAL_CLOSE:
            pos.partial_orders.append(("evaluator", fraction))
            pos.last_evaluated = n.t


def order_delayed(pos: Position, n: Numbers, k: int) -> None:
    p = pos.parameters
    if n.t - pos.waiting[k - 1] < rounded(p["partial_timing_bars"]):
        return
    beyond = pos.side * (n.bar.close - pos.target(k))
    if beyond >= -p["partial_slippage_tolerance_ticks"] * pos.tick:
        pos.partial_orders.append((f"partial_{k}", 0.0))
    else:
        pos.n_rejected += 1
        pos.waiting[k - 1] = None


def mind_the_stop(pos: Position, n: Numbers) -> None:
    p = pos.parameters
    if pos.breakeven_bar < 0 and permitted(p["should_activate_breakeven"]):
        start_breakeven(pos, n)
    if pos.trailing_bar < 0 and permitted(p["should_activate_trailing"]):
        start_trailing(pos, n)
    waited = pos.last_move is None or (n.t - pos.last_move >= p["stop_adjustment_frequency_bars"])
    if (
        permitted(p["should_adjust_stop"])
        and pos.n_moves < p["max_stop_adjustments_per_trade"]
        and waited
    ):
        adjust_stop(pos, n)


def start_breakeven(pos: Position, n: Numbers) -> None:
    p = pos.parameters
    early = on(p["breakeven_after_partial"]) and len(pos.partials) > 0
    due = (
        n.age >= max(p["breakeven_min_duration_bars"], p["breakeven_activation_min_bars"])
        and peak_ticks(pos)
        >= max(
            p["breakeven_threshold_ticks"] * p["breakeven_mult"],
            p["breakeven_activation_profit_threshold"],
        )
        and n.peak_r >= max(p["breakeven_min_r"], p["breakeven_activation_r_threshold"])
    )
    if early or due:
        pos.breakeven_bar = n.t
        stop = pos.entry + pos.side * p["breakeven_offset_ticks"] * pos.tick
        if pos.better(stop, pos.stop):
            move_stop(pos, n, stop, "breakeven", "breakeven")


def peak_ticks(pos: Position) -> float:
    return max(0.0, pos.ticks_at(pos.peak))


def start_trailing(pos: Position, n: Numbers) -> None:
    p = pos.parameters
    ticks = max(p["trailing_min_profit_ticks"], p["trailing_activation_profit_threshold"])
    r = max(p["trailing_activation_r"], p["trailing_activation_r_threshold"])
    waited = pos.breakeven_bar < 0 or (
        n.t - pos.breakeven_bar >= p["trailing_wait_after_breakeven_bars"]
    )
    if peak_ticks(pos) >= ticks and n.peak_r >= r and waited:
        pos.trailing_bar, pos.trailing_peak_r = n.t, n.peak_r


def adjust_stop(pos: Position, n: Numbers) -> None:
    found = candidates(pos, n)
    if not found:
        return
    chosen = found[0]
    for other in found[1:]:
        if pos.better(other[0], chosen[0]):
            chosen = other
    stop, kind, rule = chosen
    if pos.better(stop, pos.stop):
        pos.n_moves += 1
        pos.last_move = n.t
        move_stop(pos, n, stop, kind, rule)


def candidates(pos: Position, n: Numbers) -> list[tuple[float, str, str]]:
    p, d = pos.parameters, pos.side

    def short_of_entry(share: float) -> float:
        return pos.entry - d * pos.risk * share

    found = []
    paused = on(p["trailing_pause_on_consolidation"]) and n.now.consolidating
    if pos.trailing_bar >= 0 and not paused:
        stop = trailing_stop(pos, n)
        if d * (stop - pos.stop) >= p["trailing_step_size_ticks"] * pos.tick:
            found.append((stop, "trailing", "trailing"))
    if n.peak_r >= p["profit_lock_threshold_r"]:
        stop = pos.entry + d * p["profit_lock_min_acceptable_r"] * pos.risk
        found.append((stop, "trailing", "profit_lock"))
    share = decayed_share(p, n)
    if share is not None:
        found.append((short_of_entry(1 - share), "tightened", "time_decay"))
    late = n.age - p["time_decay_start_bar"]
    if late > 0:
        crept = late * p["time_decay_ticks_per_bar"] * 2 * p["time_decay_rate"] * pos.tick
        found.append((pos.entry - d * pos.risk + d * crept, "tightened", "creeping"))
    if on(p["sideways_market_exit_enabled"]) and pos.sideways:
        stop = short_of_entry(p["sideways_stop_tightening_mult"])
        found.append((stop, "tightened", "sideways"))
    if n.account.drawdown >= p["drawdown_tightening_threshold"]:
        stop = short_of_entry(1 - 0.8 * p["drawdown_exit_aggressiveness"])
        found.append((stop, "tightened", "account"))
    wide = n.now.true_range >= p["volatility_spike_adaptive_exit"] * p["current_atr"]
    if wide and n.r > 0:
        found.append((pos.worst_of(n.bar) - d * pos.tick, "trailing", "spike"))
    return found


def trailing_stop(pos: Position, n: Numbers) -> float:
    p, d = pos.parameters, pos.side
    distance = p["trailing_distance_ticks"] * p["trailing_mult"] * pos.tick
    gained = n.peak_r - pos.trailing_peak_r
    rate = p["trailing_acceleration_rate"] * p["trailing_acceleration_mult"]
    distance /= 1 + rate * gained
    if n.runner:
        distance /= p["runner_trailing_accel_rate"]
    lock = pos.entry + d * p["trailing_min_lock_ticks"] * pos.tick
    return pos.best(pos.peak - d * distance, lock)


def decayed_share(p: Parameters, n: Numbers) -> float | None:
    longest = p["max_trade_duration_bars"] / n.haste
    for percent in (90, 75, 50):
        if n.age >= percent / 100 * longest:
            return p[f"time_decay_{percent}_tightening"]
    return None


def move_stop(pos: Position, n: Numbers, stop: float, kind: str, rule: str) -> None:
    pos.stop_moves.append(
        {"bar": n.t, "old_stop": pos.stop, "new_stop": stop, "kind": kind, "rule": rule, "r": n.r}
    )
    pos.stop, pos.kind = stop, kind


def asks_again(pos: Position, n: Numbers) -> bool:
    p = pos.parameters
    return (
        permitted(p["should_update_exit_params"])
        and pos.n_updates < p["max_exit_param_updates_per_trade"]
        and n.t - pos.last_asked >= p["exit_param_update_frequency_bars"]
    )
