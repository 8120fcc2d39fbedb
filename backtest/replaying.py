"""A replay that is driven step by step: what is between its markets and its compiled loop.

Axes: S steps, N bars of all symbols, T bars of one.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from backtest.asking import Asking, ParameterSets
from backtest.costs import Account, Costs, ExitSettings
from backtest.frames import replayed_of
from backtest.logs import ROWS_PER_STEP, Logs, Steps
from backtest.markets import Market
from backtest.replayed import Replayed
from backtest.world import empty_logs, joined, wants, world_of
from exits.evaluator import ExitEvaluator
from exits.policy import ExitPolicy
from market.bars import FloatArray, TimeArray
from market.compiled import IndexArray

GROWING: Final = ("trades", "partials", "moves", "decisions")

_DAY_US: Final = 86_400_000_000
_MOST_ROOM_AT_FIRST: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class PastSteps:
    """The steps that an account has behind it, as the loop has logged them.

    Attributes
    ----------
    times_S : datetime64[us] array, shape (n_steps,)
        When each ended, UTC.
    equity_S, drawdown_S : float64 arrays
    n_open_S : int64 array
    n_bars : mapping of str to int
        By symbol, how many of its bars were gone through. Of a symbol that joins, the bars up to
        the last step are left out.
    """

    times_S: TimeArray
    equity_S: FloatArray
    drawdown_S: FloatArray
    n_open_S: IndexArray
    n_bars: Mapping[str, int]

    @classmethod
    def none(cls) -> "PastSteps":
        """Return those of an account that has yet to begin."""
        empty = np.empty(0)
        return cls(empty.astype("datetime64[us]"), empty, empty, empty.astype(np.int64), {})

    def first_bars(self, markets: Sequence[Market], closes: Sequence[TimeArray]) -> list[int]:
        """Return the first bar of each market that is still to come."""
        if not len(self.times_S):
            return [0] * len(markets)
        return [
            self.n_bars.get(one.symbol, int((close_T <= self.times_S[-1]).sum()))
            for one, close_T in zip(markets, closes, strict=True)
        ]


class Replaying:
    """Trades the signals of several symbols on one account, as far as it is told at a time.

    Parameters
    ----------
    markets : sequence of Market
        In the order in which symbols go within a step.
    policy : ExitPolicy
    exits, costs, account
        Settings.
    evaluator : ExitEvaluator or None
    past : PastSteps or None
        Of an account that goes on: its steps keep their numbers, and of the markets' bars those
        alone are gone through that were not. Whoever gives them puts the account's positions into
        `world` and its rows into `logs`.

    Attributes
    ----------
    world : World
    logs : Logs
    sets : ParameterSets
    times_S : datetime64[us] array
        When each step ends, UTC. A bar that came after later ones of other symbols were gone
        through ends when they did.
    first_bars : list of int
        Of each market, that is still to come at the beginning.

    Raises
    ------
    ValueError
        If a symbol is given twice.
    """

    def __init__(
        self,
        markets: Sequence[Market],
        policy: ExitPolicy,
        *,
        exits: ExitSettings,
        costs: Costs,
        account: Account,
        evaluator: ExitEvaluator | None = None,
        past: PastSteps | None = None,
    ) -> None:
        self._begun_s = time.perf_counter()
        symbols = [market.symbol for market in markets]
        if len(set(symbols)) < len(symbols):
            raise ValueError(f"each symbol must be given once, were {', '.join(symbols)}")
        past = past or PastSteps.none()
        self.markets, self._policy = markets, policy
        self._risk_per_trade = account.risk_per_trade
        self.closes = [market.bars.close_time_T for market in markets]
        self.first_bars = past.first_bars(markets, self.closes)
        self._steps, self.times_S = _steps(markets, self.closes, past.times_S, self.first_bars)
        # Of each market, the places of its bars in the order in which all are gone through.
        self._places = [np.flatnonzero(self._steps.symbol == k) for k in range(len(self.closes))]
        self.world = world_of(
            markets,
            self.closes,
            policy,
            exits=exits,
            costs=costs,
            account=account,
            evaluator=evaluator,
        )
        n_wanted = int(np.count_nonzero(self.world.wants))
        # Memory that is never written to costs nothing, copying what has been does; but nobody is
        # given many times what there is.
        least = 2 * ROWS_PER_STEP * max(1, len(markets))
        self.logs = empty_logs(
            self.n_steps,
            n_symbols=max(1, len(markets)),
            room=least + min(4 * n_wanted, _MOST_ROOM_AT_FIRST),
        )
        self.logs.run["step"] = n_past = len(past.times_S)
        self.logs.equity[:n_past], self.logs.drawdown[:n_past] = past.equity_S, past.drawdown_S
        self.logs.n_open[:n_past] = past.n_open_S
        self.sets = ParameterSets(policy)
        self._constant = policy.fixed_P is not None
        bars = [] if self._constant else [one.bars for one in markets]
        self._asking = Asking(self.world, bars, policy)

    @property
    def n_steps(self) -> int:
        """How many steps there are, those of the past included."""
        return len(self.times_S)

    @property
    def step(self) -> int:
        """How many have been gone through."""
        return int(self.logs.run[0]["step"])

    @property
    def n_busy(self) -> int:
        """How many positions are open, or wait for their open."""
        return int(self.logs.run[0]["n_busy"])

    @property
    def next_wanted(self) -> int:
        """The first step from here on at which a model asks for an entry; `n_steps`: none."""
        step = self.step
        return int(self._steps.next_wanted[step]) if step < self.n_steps else step

    def bars_done(self) -> list[int]:
        """Return how many bars of each market have been gone through."""
        n_rows = self._steps.start[self.step]
        return [
            first + int(np.searchsorted(places, n_rows))
            for first, places in zip(self.first_bars, self._places, strict=True)
        ]

    def go_to(self, until: int) -> None:
        """Go on until so many steps have been gone through, or there are no more.

        Raises
        ------
        ValueError
            If a policy's answer is not finite.
        """
        from backtest.loop import ASK, ROOM, advance

        # A pause comes before the step at which it is asked for; the end comes by itself.
        until = min(until, self.n_steps)
        while self.step < until:
            state = advance(self.world, self._steps, self.logs, self._constant, until)
            if state == ROOM:
                self.logs = with_room(self.logs, ROWS_PER_STEP * len(self.markets))
            elif state == ASK:
                self._answer()

    def replayed(self) -> Replayed:
        """Return what has been traded so far."""
        done = self.step
        logs = self.logs._replace(
            equity=self.logs.equity[:done],
            drawdown=self.logs.drawdown[:done],
            n_open=self.logs.n_open[:done],
        )
        return replayed_of(
            self.markets,
            logs,
            self.world.positions,
            closes=self.closes,
            step_times=self.times_S[:done],
            parameters_MP=self.sets.values_MP,
            sources=self.sets.sources,
            risk_per_trade=self._risk_per_trade,
            seconds=time.perf_counter() - self._begun_s,
        )

    def _answer(self) -> None:
        """Ask for all symbols that ask at this step, and keep what is answered."""
        logs = self.logs
        n_decisions = int(logs.run[0]["n_decisions"])
        taken = int(logs.decisions[n_decisions - 1]["parameters"]) + 1 if n_decisions else 0
        self.sets.keep(taken)
        answered = self._asking.answered(logs)
        first = self.sets.add(answered.values_KP, answered.sources)
        self.world.answers[answered.symbol_K] = np.arange(first, first + len(answered.sources))


def with_room(logs: Logs, wanted: int) -> Logs:
    """Return logs with twice the room where less than so many rows are left."""
    run = logs.run[0]
    grown = {}
    for name in GROWING:
        rows = getattr(logs, name)
        if run[f"n_{name}"] + wanted > len(rows):
            grown[name] = np.concatenate([rows, np.zeros(len(rows) + wanted, rows.dtype)])
    return logs._replace(**grown)


def _steps(
    markets: Sequence[Market],
    closes: Sequence[TimeArray],
    past_S: TimeArray,
    first_bars: Sequence[int],
) -> tuple[Steps, TimeArray]:
    """Return the bars to come in the order of their closing times, and all steps' times."""
    none = np.empty(0, "datetime64[us]")
    parts = [close_T[first:] for close_T, first in zip(closes, first_bars, strict=True)]
    time_N = np.concatenate([none, *parts])
    bar_N = np.concatenate(
        [
            np.zeros(0, np.int64),
            *(np.arange(first, len(one)) for one, first in zip(closes, first_bars, strict=True)),
        ]
    )
    symbol_N = np.repeat(np.arange(len(closes)), [len(one) for one in parts])
    wanted = [wants(one)[first:] for one, first in zip(markets, first_bars, strict=True)]
    wanted_N = joined(wanted, np.zeros(0, bool))
    if len(closes) > 1:
        order_N = np.argsort(time_N, kind="stable")
        time_N, bar_N, symbol_N = time_N[order_N], bar_N[order_N], symbol_N[order_N]
        wanted_N = wanted_N[order_N]
    is_first_N = np.ones(len(time_N), bool)
    is_first_N[1:] = time_N[1:] != time_N[:-1]
    n_past = len(past_S)
    start = np.append(np.flatnonzero(is_first_N), len(time_N))
    times_S = np.maximum.accumulate(np.concatenate([past_S, time_N[start[:-1]]]))
    step_S = np.full(len(times_S), len(times_S))
    step_N = n_past + np.cumsum(is_first_N) - 1
    step_S[step_N[wanted_N]] = step_N[wanted_N]
    return (
        Steps(
            symbol_N,
            bar_N,
            np.concatenate([np.zeros(n_past, start.dtype), start]),
            times_S.astype(np.int64) // _DAY_US,
            np.ascontiguousarray(np.minimum.accumulate(step_S[::-1])[::-1]),
        ),
        times_S,
    )
