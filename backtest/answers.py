"""What the loop asks the policy, and what it does with the answers."""

from typing import Any, Final

from backtest.decision_state import note_decision, note_trades, write_state
from exits.rules.account import daily_loss_reached
from exits.rules.close import market_is_sideways
from exits.rules.compiled import rule
from exits.rules.rule_names import (
    SKIP_DAILY_LOSS,
    SKIP_LOSING_STREAK,
    SKIP_OPEN_RISK,
    SKIP_SESSION_CLOSE,
    SKIP_SIDEWAYS,
    TAKEN,
)
from exits.rules.session import session_ends
from exits.rules.stops import initial_risk

# For so long a position whose symbol has no more bars takes the room of another.
STALE_DAYS: Final = 7


@rule
def ask_all(world: Any, logs: Any) -> None:
    """Write down what each symbol that asks at this step asks with."""
    run, state = logs.run[0], world.state
    if world.settings[0].watched:
        note_trades(state.past[0], logs.trades, run.n_trades, world.symbols, state.seen)
    for i in range(run.n_asked):
        ask(world, logs.asked[i], i, logs)


@rule
def ask(world: Any, symbol: int, k: int, logs: Any) -> None:
    """Write down, as the ``k``-th, what a symbol asks with."""
    s, settings, traits = world.positions[symbol], world.settings[0], world.symbols[symbol]
    bar, row = world.rows[s.at], logs.asking[k]
    row.symbol, row.bar, row.atr = symbol, s.at - traits.first_row, bar.atr
    row.number, row.side, row.r = 0, bar.signal, 0.0
    row.confidence, tick = bar.confidence, tick_of(traits, bar.atr, settings)
    if s.open:
        row.number, row.side, tick = s.n_updates + 1, int(s.side), s.tick
        row.r = s.side * (bar.close - s.entry) / s.risk
        row.confidence = s.confidence
    if settings.watched:
        write_state(
            world.state, k, symbol, s, world.rows, traits.first_row, s.at, row.number,
            row.side, tick, world.account[0], settings,
        )  # fmt: skip


@rule
def tick_of(traits: Any, atr: float, settings: Any) -> float:
    """Return a tick of a trade whose signal bar has this ATR."""
    tick: float = traits.tick_size if traits.tick_size > 0.0 else settings.tick_atr * atr
    return tick


@rule
def take_answer(world: Any, symbol: int, constant: bool, logs: Any) -> None:
    """Enter, or go on with other parameters, now that they are known."""
    s, p = world.positions[symbol], world.parameters[symbol]
    bar = world.rows[s.at]
    t = s.at - world.symbols[symbol].first_row
    if constant:
        p.current_atr = bar.atr
    if s.open:
        s.n_updates += 1
        s.last_update = t
        r = s.side * (bar.close - s.entry) / s.risk
        _log_decision(world, s, p, s.n_updates, t, r, bar.atr, symbol, logs)
        return
    skipped = _skip(p, world, symbol, t, logs)
    if skipped != TAKEN:
        logs.skipped[skipped] += 1
        return
    _wait_for_open(s, p, bar, t, symbol, world, logs)
    _log_decision(world, s, p, 0, t, 0.0, bar.atr, symbol, logs)


@rule
def _has_room(positions: Any, account: Any, settings: Any, run: Any) -> bool:
    """Tell whether one more position may be open; those of symbols without bars count a week."""
    most = settings.max_open_risk * (1.0 + 1e-9)
    if account.equity <= 0.0:
        return False
    if (run.n_busy + 1) * settings.risk_per_trade <= most:
        return True
    n_held = 0
    for k in range(len(positions)):
        s = positions[k]
        if (s.open or s.waiting) and run.day - s.day <= STALE_DAYS:
            n_held += 1
    is_enough: bool = (n_held + 1) * settings.risk_per_trade <= most
    return is_enough


@rule
def drop_without_room(positions: Any, account: Any, settings: Any, run: Any, logs: Any) -> None:
    """Drop entries that no answer could save, before anybody is asked."""
    asked = logs.asked
    n_kept = 0
    for i in range(run.n_asked):
        if positions[asked[i]].open or _has_room(positions, account, settings, run):
            asked[n_kept] = asked[i]
            n_kept += 1
        else:
            logs.skipped[SKIP_OPEN_RISK] += 1
    run.n_asked = n_kept


@rule
def _skip(p: Any, world: Any, symbol: int, t: int, logs: Any) -> int:
    account, settings, run = world.account[0], world.settings[0], logs.run[0]
    at = world.positions[symbol].at
    if not _has_room(world.positions, account, settings, run):
        return SKIP_OPEN_RISK
    if settings.barrier:
        return TAKEN
    if market_is_sideways(p, world.rows, at, t):
        return SKIP_SIDEWAYS
    if account.losses >= p.consecutive_losses_max and account.last_loss_day == run.day:
        return SKIP_LOSING_STREAK
    if daily_loss_reached(p, account, settings):
        return SKIP_DAILY_LOSS
    if session_ends(p, world.rows[at], world.symbols[symbol]):
        return SKIP_SESSION_CLOSE
    return TAKEN


@rule
def _wait_for_open(s: Any, p: Any, bar: Any, t: int, symbol: int, world: Any, logs: Any) -> None:
    """Make the position that the next open will fill."""
    account, settings, run = world.account[0], world.settings[0], logs.run[0]
    at = s.at
    world.positions[symbol] = world.blank[0]
    s.at, s.day, s.waiting, s.trade, s.signal_bar = at, run.day, 1, run.n_begun, t
    run.n_begun += 1
    run.n_busy += 1
    s.side, s.confidence, s.latest_confidence = float(bar.signal), bar.confidence, bar.confidence
    s.atr, s.regime, s.signal_volume = bar.atr, bar.regime, bar.volume
    s.far_end = bar.low if bar.signal > 0 else bar.high
    s.tick = tick_of(world.symbols[symbol], bar.atr, settings)
    s.risk = settings.barrier_stop_atr * bar.atr
    if not settings.barrier:
        s.risk = initial_risk(p, bar.confidence, s.tick)
    s.quantity = settings.risk_per_trade * account.equity / s.risk
    s.equity_before = account.equity
    s.last_update, s.step = t, run.step


@rule
def _log_decision(
    world: Any, s: Any, p: Any, number: int, t: int, r: float, atr: float, symbol: int, logs: Any
) -> None:
    if world.settings[0].watched:
        note_decision(world.state, symbol, p, number)
    run = logs.run[0]
    row = logs.decisions[run.n_decisions]
    run.n_decisions += 1
    row.trade, row.symbol, row.number, row.bar = s.trade, symbol, number, t
    row.parameters, row.current_atr = world.answers[symbol], p.current_atr
    row.r, row.atr = r, atr
