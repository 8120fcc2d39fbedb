"""The compiled loop over bars: every step of a replay, in time order, over all symbols."""

from pathlib import Path
from typing import Any, Final

import exits
from backtest.answers import ask_all, drop_without_room, take_answer
from backtest.bar import trade_bar
from backtest.logs import ROWS_PER_STEP
from exits.rules.compiled import kept_with, rule

DONE: Final = 0
ROOM: Final = 1
ASK: Final = 2
PAUSE: Final = 3

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
        ``logs.asking`` ask for parameters, put them into ``world.parameters`` and call again;
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
                    trade_bar(world, symbol, t, s.at, logs)
                if wants[s.at] and not s.open:
                    asked[run.n_asked] = symbol
                    run.n_asked += 1
            equity = account.cash
            for k in range(len(positions)):
                if positions[k].open:
                    equity += unrealised(positions[k])
            end_step(account, equity, run.day)
            _log_equity(account, logs, run.step, run.n_open)
            if run.n_asked > 0 and not constant:
                drop_without_room(positions, account, settings, run, logs)
                if run.n_asked > 0:
                    ask_all(world, logs)
                    run.asking = 1
                    return ASK
        for i in range(run.n_asked):
            take_answer(world, asked[i], constant, logs)
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
def unrealised(s: Any) -> float:
    """Return the profit of what is open, in money."""
    return s.quantity * s.share * s.side * (s.last_close - s.entry)


@rule
def end_step(account: Any, equity: float, day: int) -> None:
    """Value the account at the end of a step, for the rules of the next one."""
    if account.day != day:
        account.day = day
        account.day_start_equity = account.equity
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
