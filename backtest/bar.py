"""One bar of a symbol with a position: fills, then what is decided at the close."""

from typing import Any

from backtest.decision_state import note_close
from backtest.fills import fill_at_open, fill_entry, fill_inside
from exits.rules.close import ask_evaluator, asks_again, exit_at_close
from exits.rules.compiled import rule
from exits.rules.numbers import numbers_of_close
from exits.rules.partials import order_partials
from exits.rules.rule_names import AT_BREAKEVEN, BARRIER_TIME, NONE
from exits.rules.stops import activate_trailing, breakeven_level, may_move, moved_stop


@rule
def trade_bar(world: Any, symbol: int, t: int, at: int, logs: Any) -> None:
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
        if settings.watched:
            note_close(world.state.standing[symbol], s, bar.close)
        if not settings.barrier:
            _decide_at_close(world, symbol, t, at, logs)
        elif t - s.entry_bar + 1 >= settings.barrier_bars:
            s.exit_ordered = BARRIER_TIME


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
    s.moved += abs(level - s.stop)
    s.stop, s.stop_kind = level, kind
    s.n_stop_moves += 1
