"""The compiled loop over entries that are traded each by itself."""

from pathlib import Path
from typing import Any, Final

import numpy as np

import exits
from backtest.answers import ask, take_answer
from backtest.bar import trade_bar
from backtest.loop import end_step, unrealised
from exits.rules.compiled import kept_with, rule

# One entry: its signal bar, the last bar that was played, and how far it has come.
LANE: Final = np.dtype([(name, "i8") for name in ("signal_bar", "bar", "stage")])
FRESH, ASKING, OVER = range(3)

_EXITS = Path(exits.__file__).parent


@kept_with(_EXITS, _EXITS / "rules", Path(__file__).parent)
def advance_alone(
    world: Any, lanes: Any, accounts: Any, day: Any, logs: Any, constant: bool
) -> int:
    """Go on with each entry until it is over or asks; return how many ask.

    Parameters
    ----------
    world : World
        Of one market, with a position for each entry.
    lanes : records of LANE, shape (n_entries,)
    accounts : records of ACCOUNT, shape (n_entries,)
        Each entry's own; ``world.account`` is that of whichever goes on.
    day : int64 array, shape (n_bars,)
        Number of the UTC day of each bar's closing time.
    logs : Logs
        Of trades there must be room for each entry's. What happened within them is forgotten.
    constant : bool
        As in `backtest.loop.advance`.
    """
    run, account = logs.run[0], world.account[0]
    run.n_asked = 0
    for lane in range(len(lanes)):
        one, s = lanes[lane], world.positions[lane]
        if one.stage == OVER:
            continue
        world.account[0] = accounts[lane]
        run.n_open = s.open
        run.n_busy = s.open + s.waiting
        run.n_partials = run.n_moves = run.n_decisions = 0
        run.step = one.bar
        logs.drawdown[one.bar] = account.drawdown
        _go_on(world, lane, one, account, day, logs, constant)
        accounts[lane] = world.account[0]
    return int(run.n_asked)


@rule
def _go_on(
    world: Any, lane: int, one: Any, account: Any, day: Any, logs: Any, constant: bool
) -> None:
    s, run = world.positions[lane], logs.run[0]
    run.day = day[one.bar]
    if one.stage == FRESH:
        s.at = world.symbols[lane].first_row + one.bar
        end_step(account, account.cash, run.day)
        one.stage = ASKING
        if not constant:
            _ask(world, lane, logs)
            return
    take_answer(world, lane, constant, logs)
    while s.open or s.waiting:
        one.bar += 1
        if one.bar == len(day):
            break
        n_asked = run.n_asked
        _play(world, lane, one.bar, account, day[one.bar], logs)
        if run.n_asked > n_asked:
            run.n_asked = n_asked
            if not constant:
                _ask(world, lane, logs)
                return
            take_answer(world, lane, constant, logs)
    one.stage = OVER


@rule
def _play(world: Any, lane: int, t: int, account: Any, day: int, logs: Any) -> None:
    s, run = world.positions[lane], logs.run[0]
    run.step, run.day = t, day
    run.n_partials = run.n_moves = run.n_decisions = 0
    s.at, s.day = world.symbols[lane].first_row + t, day
    trade_bar(world, lane, t, s.at, logs)
    equity = account.cash
    if s.open:
        equity += unrealised(s)
    end_step(account, equity, day)
    logs.drawdown[t] = account.drawdown


@rule
def _ask(world: Any, lane: int, logs: Any) -> None:
    run = logs.run[0]
    logs.asked[run.n_asked] = lane
    ask(world, lane, run.n_asked, logs)
    run.n_asked += 1
