"""The compiled loop over bars: every step of a replay, in time order, over all symbols."""

from pathlib import Path
from typing import Any, Final

import exits
from backtest.fills import fill_at_open, fill_entry, fill_inside
from backtest.logs import ROWS_PER_STEP
from exits.rules.account import daily_loss_reached
from exits.rules.close import ask_evaluator, asks_again, exit_at_close, market_is_sideways
from exits.rules.compiled import kept_with, rule
from exits.rules.numbers import numbers_of_close
from exits.rules.partials import order_partials
from exits.rules.rule_names import (
    AT_BREAKEVEN,
    NONE,
    SKIP_DAILY_LOSS,
    SKIP_LOSING_STREAK,
    SKIP_OPEN_RISK,
    SKIP_SESSION_CLOSE,
    SKIP_SIDEWAYS,
    TAKEN,
)
from exits.rules.session import session_ends
from exits.rules.stops import activate_trailing, breakeven_level, initial_risk, may_move, moved_stop

DONE: Final = 0
ROOM: Final = 1
ASK: Final = 2
PAUSE: Final = 3

# For so long a position whose symbol has no more bars takes the room of another.
STALE_DAYS: Final = 7

_EXITS = Path(exits.__file__).parent


@kept_with(_EXITS, _EXITS / "rules", Path(__file__).parent)
def advance(world: Any, steps: Any, logs: Any, constant: bool, until: int) -> int:
    """Go on with a replay until it ends or something is needed.

    Parameters
    ----------
    world : World
    steps : Steps
    logs : Logs
    constant : bool
        The parameters in `World.parameters` hold throughout, but for the ATR: nobody is asked.
    until : int
        Step before which to pause, so that progress can be shown.

    Returns
    -------
    int
        `DONE`; `ROOM`: a log is full, enlarge it and call again; `ASK`: the symbols in
        ``logs.asked`` ask for parameters, put them into ``world.parameters`` and call again;
        `PAUSE`.
    """
    # Looked up once: to hand a tuple of arrays to a function counts references of each.
    run, account, asked = logs.run[0], world.account[0], logs.asked
    positions, symbols, wants = world.positions, world.symbols, world.wants
    settings = world.settings[0]
    symbol_N, bar_N, start, day = steps.symbol, steps.bar, steps.start, steps.day
    while run.step < len(day):
        if not run.asking:
            if run.n_busy == 0:
                _pass_flat_steps(account, run, min(steps.next_wanted[run.step], until), day, logs)
                if run.step == len(day):
                    return DONE
            if run.step >= until:
                return PAUSE
            if _is_full(logs, len(positions)):
                return ROOM
            run.n_asked = 0
            run.day = day[run.step]
            for i in range(start[run.step], start[run.step + 1]):
                symbol, t = symbol_N[i], bar_N[i]
                s = positions[symbol]
                s.at, s.day = symbols[symbol].first_row + t, run.day
                if s.open or s.waiting:
                    _trade_bar(world, symbol, t, s.at, logs)
                if wants[s.at] and not s.open:
                    asked[run.n_asked] = symbol
                    run.n_asked += 1
            _end_step(positions, account, run)
            _log_equity(account, logs, run.step, run.n_open)
            if run.n_asked > 0 and not constant:
                _drop_without_room(positions, account, settings, run, logs)
                if run.n_asked > 0:
                    run.asking = 1
                    return ASK
        for i in range(run.n_asked):
            _take_answer(world, asked[i], constant, logs)
        run.asking = 0
        run.step += 1
    return DONE


@rule
def _pass_flat_steps(account: Any, run: Any, until: int, day: Any, logs: Any) -> None:
    """Go to the next step at which anything can happen, where there is no position."""
    if run.step >= until:
        return
    for step in range(run.step, until):
        _log_equity(account, logs, step, 0)
    if account.day != day[until - 1]:
        account.day = day[until - 1]
        account.day_start_equity = account.equity
        account.daily_loss = 0.0
    run.step = until


@rule
def _is_full(logs: Any, n_symbols: int) -> bool:
    run = logs.run[0]
    wanted = ROWS_PER_STEP * n_symbols
    return (
        run.n_trades + wanted > len(logs.trades)
        or run.n_partials + wanted > len(logs.partials)
        or run.n_moves + wanted > len(logs.moves)
        or run.n_decisions + wanted > len(logs.decisions)
    )


@rule
def _trade_bar(world: Any, symbol: int, t: int, at: int, logs: Any) -> None:
    """Play one bar of a symbol with a position, or with an entry that waits."""
    s, p = world.positions[symbol], world.parameters[symbol]
    account, settings = world.account[0], world.settings[0]
    bar = world.rows[at]
    if s.waiting:
        fill_entry(s, bar, t, account, settings, logs)
    else:
        fill_at_open(p, s, bar, t, symbol, account, settings, logs)
    if s.open:
        fill_inside(p, s, bar, t, symbol, account, settings, logs)
    if s.open:
        s.last_close, s.step = bar.close, logs.run[0].step
        _decide_at_close(world, symbol, t, at, logs)


@rule
def _decide_at_close(world: Any, symbol: int, t: int, at: int, logs: Any) -> None:
    s, p, now = world.positions[symbol], world.parameters[symbol], world.now[0]
    account, settings = world.account[0], world.settings[0]
    traits, rows = world.symbols[symbol], world.rows
    numbers_of_close(p, s, now, rows, at, t, traits, account, settings)
    s.exit_ordered = exit_at_close(p, s, now, rows, at, traits, account, settings)
    if s.exit_ordered == NONE and settings.evaluator:
        s.exit_ordered = ask_evaluator(world.evaluator[0], s, now, rows, at, t, settings)
    if s.exit_ordered != NONE:
        return
    order_partials(p, s, now, rows[at].close, t)
    _move_stop(p, s, now, rows[at], t, symbol, account, logs)
    if asks_again(p, s, t):
        run = logs.run[0]
        logs.asked[run.n_asked] = symbol
        run.n_asked += 1


@rule
def _move_stop(
    p: Any, s: Any, now: Any, bar: Any, t: int, symbol: int, account: Any, logs: Any
) -> None:
    level = breakeven_level(p, s, now, t)
    if level != s.stop:
        _log_move(s, now, level, AT_BREAKEVEN, 0, t, symbol, logs)
    activate_trailing(p, s, now, t)
    if not may_move(p, s, t):
        return
    level, kind, moved_by = moved_stop(p, s, now, bar, account)
    if moved_by > 0:
        _log_move(s, now, level, kind, moved_by, t, symbol, logs)
        s.n_moves += 1
        s.last_move = t


@rule
def _log_move(
    s: Any, now: Any, level: float, kind: int, moved_by: int, t: int, symbol: int, logs: Any
) -> None:
    run = logs.run[0]
    row = logs.moves[run.n_moves]
    run.n_moves += 1
    row.trade, row.symbol, row.bar, row.kind, row.moved_by = s.trade, symbol, t, kind, moved_by
    row.old_stop, row.new_stop, row.r = s.stop, level, now.r
    s.stop, s.stop_kind = level, kind
    s.n_stop_moves += 1


@rule
def _end_step(positions: Any, account: Any, run: Any) -> None:
    """Value the account at the end of a step, for the rules of the next one."""
    if account.day != run.day:
        account.day = run.day
        account.day_start_equity = account.equity
    equity = account.cash
    for k in range(len(positions)):
        s = positions[k]
        if s.open:
            equity += s.quantity * s.share * s.side * (s.last_close - s.entry)
    account.equity = equity
    account.high = max(account.high, equity)
    account.drawdown = 1.0 - equity / account.high
    account.daily_loss = 0.0
    if account.day_start_equity > 0.0:
        account.daily_loss = max(0.0, 1.0 - equity / account.day_start_equity)
    account.losses = account.losses_now
    account.last_loss_step = account.last_loss_step_now
    account.last_loss_day = account.last_loss_day_now


@rule
def _log_equity(account: Any, logs: Any, step: int, n_open: int) -> None:
    logs.equity[step], logs.drawdown[step] = account.equity, account.drawdown
    logs.n_open[step] = n_open


@rule
def _take_answer(world: Any, symbol: int, constant: bool, logs: Any) -> None:
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
        _log_decision(s, p, s.n_updates, t, r, bar.atr, symbol, world.answers[symbol], logs)
        return
    skipped = _skip(p, world, symbol, t, logs)
    if skipped != TAKEN:
        logs.skipped[skipped] += 1
        return
    _wait_for_open(s, p, bar, t, symbol, world, logs)
    _log_decision(s, p, 0, t, 0.0, bar.atr, symbol, world.answers[symbol], logs)


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
    return (n_held + 1) * settings.risk_per_trade <= most


@rule
def _drop_without_room(positions: Any, account: Any, settings: Any, run: Any, logs: Any) -> None:
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
    at, size = s.at, world.symbols[symbol].tick_size
    world.positions[symbol] = world.blank[0]
    s.at, s.day, s.waiting, s.trade, s.signal_bar = at, run.day, 1, run.n_begun, t
    run.n_begun += 1
    run.n_busy += 1
    s.side, s.confidence, s.latest_confidence = float(bar.signal), bar.confidence, bar.confidence
    s.atr, s.regime, s.signal_volume = bar.atr, bar.regime, bar.volume
    s.far_end = bar.low if bar.signal > 0 else bar.high
    s.tick = size if size > 0.0 else settings.tick_atr * bar.atr
    s.risk = initial_risk(p, bar.confidence, s.tick)
    s.quantity = settings.risk_per_trade * account.equity / s.risk
    s.equity_before = account.equity
    s.last_update, s.step = t, run.step


@rule
def _log_decision(
    s: Any, p: Any, number: int, t: int, r: float, atr: float, symbol: int, answer: int, logs: Any
) -> None:
    run = logs.run[0]
    row = logs.decisions[run.n_decisions]
    run.n_decisions += 1
    row.trade, row.symbol, row.number, row.bar = s.trade, symbol, number, t
    row.parameters, row.r, row.atr, row.current_atr = answer, r, atr, p.current_atr
