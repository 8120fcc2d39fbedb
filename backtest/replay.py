"""Replay: signals and bars in, trades out.

docs/replay_rules.md says what happens at a bar. Axes: S symbols, T bars, P parameters.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from backtest.asking import Asking, ParameterSets
from backtest.costs import Account, Costs, ExitSettings
from backtest.frames import replayed_of
from backtest.logs import ROWS_PER_STEP, Logs, Steps, World
from backtest.markets import Market
from backtest.replayed import Replayed
from backtest.world import empty_logs, joined, wants, world_of
from exits.evaluator import ExitEvaluator
from exits.policy import ExitPolicy
from market.bars import TimeArray

OnProgress = Callable[[int, int], None]

_DAY_US: Final = 86_400_000_000
_STEPS_PER_REPORT: Final = 50_000
_MOST_ROOM_AT_FIRST: Final = 1_000_000


def replay(
    markets: Sequence[Market],
    policy: ExitPolicy,
    *,
    exits: ExitSettings,
    costs: Costs,
    account: Account,
    evaluator: ExitEvaluator | None = None,
    on_progress: OnProgress | None = None,
) -> Replayed:
    """Trade the signals of several symbols on one account.

    Nothing looks ahead: bars cut off at the end change no trade that was closed before.

    Parameters
    ----------
    markets : sequence of Market
        In the order in which symbols go within a step.
    policy : ExitPolicy
        Decides the exit parameters, at entries and where they are due again.
    exits, costs, account
        Settings.
    evaluator : ExitEvaluator or None
        Asked at every close of an open position that no rule has ended.
    on_progress : callable or None
        Called with steps done and steps in all, now and then.

    Raises
    ------
    ValueError
        If a symbol is given twice, or a policy's answer is not finite.
    """
    begun_s = time.perf_counter()
    symbols = [market.symbol for market in markets]
    if len(set(symbols)) < len(symbols):
        raise ValueError(f"each symbol must be given once, were {', '.join(symbols)}")
    closes = [market.bars.close_time_T for market in markets]
    steps, times_S = _steps(markets, closes)
    world = world_of(
        markets, closes, policy, exits=exits, costs=costs, account=account, evaluator=evaluator
    )
    n_wanted = int(np.count_nonzero(world.wants))
    # Memory that is never written to costs nothing, copying what has been does; but nobody is given
    # many times what there is.
    room = 2 * ROWS_PER_STEP * max(1, len(markets)) + min(4 * n_wanted, _MOST_ROOM_AT_FIRST)
    logs = empty_logs(len(steps.start) - 1, n_symbols=max(1, len(markets)), room=room)
    sets = ParameterSets(policy)
    logs = _run(world, steps, logs, markets, policy, sets, on_progress)
    return replayed_of(
        markets,
        logs,
        world.positions,
        closes=closes,
        step_times=times_S,
        parameters_MP=sets.values_MP,
        sources=sets.sources,
        risk_per_trade=account.risk_per_trade,
        seconds=time.perf_counter() - begun_s,
    )


def _run(
    world: World,
    steps: Steps,
    logs: Logs,
    markets: Sequence[Market],
    policy: ExitPolicy,
    sets: ParameterSets,
    on_progress: OnProgress | None,
) -> Logs:
    """Drive the compiled loop: give it room, answers and pauses until it is done."""
    from backtest.loop import ASK, DONE, ROOM, advance

    n_steps = len(steps.start) - 1
    constant = policy.fixed_P is not None
    asking = Asking(world, [] if constant else [one.bars for one in markets], policy)
    until = n_steps if on_progress is None else 0
    while (state := advance(world, steps, logs, constant, until)) != DONE:
        if state == ROOM:
            logs = _enlarged(logs, len(markets))
        elif state == ASK:
            _answer(world, logs, asking, sets)
        elif on_progress is not None:
            on_progress(int(logs.run[0]["step"]), n_steps)
            until = min(n_steps, until + _STEPS_PER_REPORT)
    if on_progress is not None:
        on_progress(n_steps, n_steps)
    return logs


def _answer(world: World, logs: Logs, asking: Asking, sets: ParameterSets) -> None:
    """Ask for all symbols that ask at this step, and keep what is answered."""
    n_decisions = int(logs.run[0]["n_decisions"])
    taken = int(logs.decisions[n_decisions - 1]["parameters"]) + 1 if n_decisions else 0
    sets.keep(taken)
    answered = asking.answered(logs)
    first = sets.add(answered.values_KP, answered.sources)
    world.answers[answered.symbol_K] = np.arange(first, first + len(answered.sources))


def _steps(markets: Sequence[Market], closes: Sequence[TimeArray]) -> tuple[Steps, TimeArray]:
    """Return all bars in the order of their closing times, and the times of the steps."""
    time_N = np.concatenate(closes) if closes else np.empty(0, "datetime64[us]")
    bar_N = (
        np.concatenate([np.arange(len(one)) for one in closes]) if closes else time_N.astype(int)
    )
    symbol_N = np.repeat(np.arange(len(closes)), [len(one) for one in closes])
    if len(closes) > 1:
        order_N = np.argsort(time_N, kind="stable")
        time_N, bar_N, symbol_N = time_N[order_N], bar_N[order_N], symbol_N[order_N]
    is_first_N = np.ones(len(time_N), bool)
    is_first_N[1:] = time_N[1:] != time_N[:-1]
    start = np.append(np.flatnonzero(is_first_N), len(time_N))
    times_S = time_N[start[:-1]]
    days_S = times_S.astype(np.int64) // _DAY_US
    wanted_N = joined([wants(market) for market in markets], np.zeros(0, bool))
    if len(closes) > 1:
        wanted_N = wanted_N[order_N]
    step_S = np.full(len(times_S), len(times_S))
    step_N = np.cumsum(is_first_N) - 1
    step_S[step_N[wanted_N]] = step_N[wanted_N]
    next_wanted_S = np.minimum.accumulate(step_S[::-1])[::-1]
    return Steps(symbol_N, bar_N, start, days_S, np.ascontiguousarray(next_wanted_S)), times_S


def _enlarged(logs: Logs, n_symbols: int) -> Logs:
    """Return logs with twice the room where less than a step's is left."""
    wanted = ROWS_PER_STEP * n_symbols
    run = logs.run[0]
    grown = {}
    for name in ("trades", "partials", "moves", "decisions"):
        rows = getattr(logs, name)
        if run[f"n_{name}"] + wanted > len(rows):
            grown[name] = np.concatenate([rows, np.zeros(len(rows) + wanted, rows.dtype)])
    return logs._replace(**grown)
