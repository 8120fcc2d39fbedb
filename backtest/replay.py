"""Replay: signals and bars in, trades out.

docs/replay_rules.md says what happens at a bar. Axes: S symbols, T bars, P parameters.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from backtest.costs import Account, Costs, ExitSettings
from backtest.frames import replayed_of
from backtest.logs import (
    DECISION,
    PARTIAL,
    ROWS_PER_STEP,
    RUN,
    STOP_MOVE,
    TRADE,
    Logs,
    Steps,
    World,
)
from backtest.markets import Market
from backtest.replayed import Replayed
from exits.conditions import bar_rows
from exits.evaluator import ExitEvaluator
from exits.parameters import INDEX, N_PARAMETERS
from exits.policy import Asked, ExitPolicy
from exits.rules.evaluator_table import EVALUATOR
from exits.rules.records import ACCOUNT, BAR, CLOSE, PARAMETERS, POSITION, SETTINGS, SYMBOL
from exits.rules.rule_names import SKIPS
from market.bars import FloatArray, TimeArray
from market.compiled import BoolArray

OnProgress = Callable[[int, int], None]

_DAY_US: Final = 86_400_000_000
_STEPS_PER_REPORT: Final = 50_000
_MOST_ROOM_AT_FIRST: Final = 1_000_000
_RATE_P: Final = INDEX["dynamic_strategy_adaptation_rate"]
_ATR_P: Final = INDEX["current_atr"]
_LONG_AGO: Final = -1


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
    world = _world(markets, policy, exits, costs, account, evaluator)
    logs = _logs(len(steps.start) - 1, max(1, len(markets)), int(np.count_nonzero(world.wants)))
    sets = _ParameterSets(policy)
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


class _ParameterSets:
    """The different parameters that were decided on, and by whom."""

    def __init__(self, policy: ExitPolicy) -> None:
        self._rows: list[FloatArray] = [] if policy.fixed_P is None else [policy.fixed_P]
        self.sources: list[str] = [] if policy.fixed_P is None else [policy.name]

    @property
    def values_MP(self) -> FloatArray:
        return np.array(self._rows).reshape(-1, N_PARAMETERS)

    def keep(self, n_sets: int) -> None:
        """Forget what came after the first so many: the answers to entries that were dropped."""
        del self._rows[n_sets:], self.sources[n_sets:]

    def add(self, values_P: FloatArray, source: str) -> int:
        self._rows.append(values_P)
        self.sources.append(source)
        return len(self._rows) - 1


def _run(
    world: World,
    steps: Steps,
    logs: Logs,
    markets: Sequence[Market],
    policy: ExitPolicy,
    sets: _ParameterSets,
    on_progress: OnProgress | None,
) -> Logs:
    """Drive the compiled loop: give it room, answers and pauses until it is done."""
    from backtest.loop import ASK, DONE, ROOM, advance

    n_steps = len(steps.start) - 1
    constant = policy.fixed_P is not None
    until = n_steps if on_progress is None else 0
    while (state := advance(world, steps, logs, constant, until)) != DONE:
        if state == ROOM:
            logs = _enlarged(logs, len(markets))
        elif state == ASK:
            _answer(world, logs, markets, policy, sets)
        elif on_progress is not None:
            on_progress(int(logs.run[0]["step"]), n_steps)
            until = min(n_steps, until + _STEPS_PER_REPORT)
    if on_progress is not None:
        on_progress(n_steps, n_steps)
    return logs


def _answer(
    world: World,
    logs: Logs,
    markets: Sequence[Market],
    policy: ExitPolicy,
    sets: _ParameterSets,
) -> None:
    """Ask the policy for all symbols that ask at this step."""
    run = logs.run[0]
    taken = logs.decisions["parameters"][: run["n_decisions"]]
    sets.keep(int(taken[-1]) + 1 if len(taken) else 0)
    wanted = logs.asked[: run["n_asked"]]
    asked = [_asked(world, markets, int(symbol)) for symbol in wanted]
    decided = policy.decide(asked)
    if not np.isfinite(decided.values_KP).all():
        raise ValueError(f"exit policy {policy.name}: its answer is not finite")
    for k, symbol in enumerate(wanted):
        # A copy: it is kept for the record, whatever the policy does with its array.
        values_P, in_force_P = np.array(decided.values_KP[k]), asked[k].in_force_P
        if in_force_P is not None:
            atr = values_P[_ATR_P]
            values_P = in_force_P + in_force_P[_RATE_P] * (values_P - in_force_P)
            values_P[_ATR_P] = atr
        world.parameters[symbol] = tuple(values_P)
        world.answers[symbol] = sets.add(values_P, decided.sources[k])


def _asked(world: World, markets: Sequence[Market], symbol: int) -> Asked:
    position = world.positions[symbol]
    at = int(position["at"])
    bar = at - int(world.symbols[symbol]["first_row"])
    row = world.rows[at]
    is_open = bool(position["open"])
    side = int(position["side"]) if is_open else int(row["signal"])
    r = side * (row["close"] - position["entry"]) / position["risk"] if is_open else 0.0
    bars = markets[symbol].bars
    # Its own end where no next bar is known: the same time whether or not one follows.
    return Asked(
        symbol=markets[symbol].symbol,
        number=int(position["n_updates"]) + 1 if is_open else 0,
        bar=bar,
        time=np.datetime64(bars.start_T[bar] + bars.length, "us"),
        side=side,
        atr=float(row["atr"]),
        r=float(r),
        in_force_P=np.array(world.parameters[symbol].tolist()) if is_open else None,
    )


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
    wanted_N = _joined([_wants(market) for market in markets], np.zeros(0, bool))
    if len(closes) > 1:
        wanted_N = wanted_N[order_N]
    step_S = np.full(len(times_S), len(times_S))
    step_N = np.cumsum(is_first_N) - 1
    step_S[step_N[wanted_N]] = step_N[wanted_N]
    next_wanted_S = np.minimum.accumulate(step_S[::-1])[::-1]
    return Steps(symbol_N, bar_N, start, days_S, np.ascontiguousarray(next_wanted_S)), times_S


def _wants(market: Market) -> BoolArray:
    """Return the bars at which a symbol's model asks for an entry."""
    return np.asarray((market.signal_T != 0) & (market.confidence_T >= market.threshold))


def _world(
    markets: Sequence[Market],
    policy: ExitPolicy,
    exits: ExitSettings,
    costs: Costs,
    account: Account,
    evaluator: ExitEvaluator | None,
) -> World:
    n_symbols = max(1, len(markets))
    blank = np.zeros(1, POSITION)
    blank["share"] = 1.0
    for name in ("breakeven_bar", "trailing_bar", "last_move", "last_evaluator_bar", "touched_bar"):
        blank[name] = _LONG_AGO
    rows = [
        bar_rows(
            market.bars,
            signal_T=market.signal_T,
            confidence_T=market.confidence_T,
            friday_late_hour=exits.friday_late_hour,
            sessions=exits.sessions,
        )
        for market in markets
    ]
    wants = [_wants(market) for market in markets]
    parameters = np.zeros(n_symbols, PARAMETERS)
    if policy.fixed_P is not None:
        parameters[:] = tuple(policy.fixed_P)
    return World(
        rows=_joined(rows, np.zeros(0, BAR)),
        wants=_joined(wants, np.zeros(0, bool)),
        symbols=_symbols(markets, exits),
        positions=np.repeat(blank, n_symbols),
        blank=blank,
        parameters=parameters,
        answers=np.zeros(n_symbols, np.int64),
        account=_account(account),
        settings=_settings(exits, costs, account, evaluator is not None),
        now=np.zeros(1, CLOSE),
        evaluator=np.zeros(1, EVALUATOR) if evaluator is None else evaluator.table.copy(),
    )


def _joined(arrays: Sequence[Any], none: Any) -> Any:
    """Return arrays as one; a single one is not copied."""
    if not arrays:
        return none
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _symbols(markets: Sequence[Market], exits: ExitSettings) -> Any:
    symbols = np.zeros(max(1, len(markets)), SYMBOL)
    first_row = 0
    for one, market in zip(symbols, markets, strict=False):
        minutes = market.bars.length / np.timedelta64(60_000_000, "us")
        one["first_row"] = first_row
        one["tick_size"] = np.nan if market.tick_size is None else market.tick_size
        one["bar_minutes"] = minutes
        one["minutes_per_bar"] = exits.minutes_per_bar or minutes
        first_row += len(market.bars)
    return symbols


def _account(account: Account) -> Any:
    record = np.zeros(1, ACCOUNT)
    for name in ("equity", "high", "cash", "day_start_equity"):
        record[name] = account.equity
    for name in ("last_loss_step", "last_loss_step_now"):
        record[name] = _LONG_AGO
    for name in ("day", "last_loss_day", "last_loss_day_now"):
        record[name] = np.iinfo(np.int64).min
    return record


def _settings(exits: ExitSettings, costs: Costs, account: Account, evaluated: bool) -> Any:
    record = np.zeros(1, SETTINGS)
    record["tick_atr"], record["min_share"] = exits.tick_atr, exits.min_share
    record["half_spread"] = costs.spread_atr / 2
    record["half_slippage"] = costs.slippage_atr / 2
    record["half_commission"] = costs.commission_atr / 2
    for name in ("risk_per_trade", "max_open_risk", "daily_loss_limit", "recovery_drawdown"):
        record[name] = getattr(account, name)
    record["evaluator"] = evaluated
    return record


def _logs(n_steps: int, n_symbols: int, n_wanted: int) -> Logs:
    # Memory that is never written to costs nothing, copying what has been does; but nobody is given
    # many times what there is.
    room = 2 * ROWS_PER_STEP * n_symbols + min(4 * n_wanted, _MOST_ROOM_AT_FIRST)
    return Logs(
        run=np.zeros(1, RUN),
        trades=np.zeros(room, TRADE),
        partials=np.zeros(room, PARTIAL),
        moves=np.zeros(room, STOP_MOVE),
        decisions=np.zeros(room, DECISION),
        equity=np.empty(n_steps),
        drawdown=np.empty(n_steps),
        n_open=np.empty(n_steps, np.int64),
        skipped=np.zeros(len(SKIPS), np.int64),
        asked=np.zeros(n_symbols, np.int64),
    )


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
