"""Every entry traded by itself: what exits are worth, trade by trade.

In a replay of one account a trade that lasts takes the room of the next, and what one policy wins
another may never have begun. Here each signal that is wanted is traded, by any policy the same
ones. Axes: T bars, N entries, L entries at a time.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from backtest.asking import Asking
from backtest.costs import Account, Costs, ExitSettings
from backtest.decision_state import DAY_US, forget
from backtest.frames import Times, trade_frame
from backtest.logs import ROWS_PER_STEP, Logs, World
from backtest.markets import Market
from backtest.replay import OnProgress
from backtest.replayed import TRADES
from backtest.world import empty_logs, wants, world_of
from exits.evaluator import ExitEvaluator
from exits.policy import ExitPolicy
from market.compiled import IndexArray

# So many are asked about at once, at most.
_LANES: Final = 512


def each_alone(
    markets: Sequence[Market],
    policy: ExitPolicy,
    *,
    exits: ExitSettings,
    costs: Costs,
    account: Account,
    evaluator: ExitEvaluator | None = None,
    since: np.datetime64 | None = None,
    on_progress: OnProgress | None = None,
) -> pl.DataFrame:
    """Trade every wanted entry as if it were the only one.

    Each has a fresh account and no other position beside it; the other signals of its market stay
    visible to the rules. A policy that reads the state is asked with it as in a replay, but for
    what hangs on trades before: the account is one without a past, and the parameters in force
    before the entry are the defaults.

    Parameters
    ----------
    markets : sequence of Market
    policy, exits, costs, account, evaluator
        As `backtest.replay.replay` is told.
    since : datetime64 or None
        Signals before (UTC) are not traded.
    on_progress : callable or None
        Called with entries done and entries in all, now and then.

    Returns
    -------
    polars frame
        With the schema `backtest.replayed.TRADES`, markets in their order and by signal within
        each. A trade that has not ended at the last bar is left out, and so is an entry that a
        rule of the parameters drops; `count_wanted` tells how many there were.

    Raises
    ------
    ValueError
        If a policy's answer is not finite.
    """
    total, done, frames = count_wanted(markets, since), 0, []
    for market in markets:
        bar_N = _wanted_bars(market, since)
        if not len(bar_N):
            continue
        alone = _Alone(market, policy, exits, costs, account, evaluator, min(_LANES, len(bar_N)))
        for first in range(0, len(bar_N), _LANES):
            frames.append(alone.traded(bar_N[first : first + _LANES]))
            done = min(done + _LANES, total)
            if on_progress is not None:
                on_progress(done, total)
    if not frames:
        return TRADES.to_frame()
    found = pl.concat(frames)
    return found.with_columns(pl.Series("trade_id", np.arange(len(found)), dtype=pl.Int64()))


def count_wanted(markets: Sequence[Market], since: np.datetime64 | None = None) -> int:
    """Return how many entries `each_alone` trades, those included that it leaves out."""
    return sum(len(_wanted_bars(market, since)) for market in markets)


def _wanted_bars(market: Market, since: np.datetime64 | None) -> IndexArray:
    wanted_T = wants(market)
    if since is not None:
        wanted_T = wanted_T & (market.bars.close_time_T >= since)
    return np.flatnonzero(wanted_T)


class _Alone:
    """The entries of one market, some at a time, over the same rows of bars."""

    def __init__(
        self,
        market: Market,
        policy: ExitPolicy,
        exits: ExitSettings,
        costs: Costs,
        account: Account,
        evaluator: ExitEvaluator | None,
        n_lanes: int,
    ) -> None:
        close_T = market.bars.close_time_T
        self._market, self._policy = market, policy
        self._times = Times([market], [close_T])
        self._day_T = close_T.astype("datetime64[us]").astype(np.int64) // DAY_US
        self._world: World = world_of(
            [market],
            [close_T],
            policy,
            exits=exits,
            costs=costs,
            account=account,
            evaluator=evaluator,
            n_lanes=n_lanes,
        )
        self._fresh = self._world.account.copy()
        self._asking = Asking(self._world, [market.bars] * n_lanes, policy)
        self._logs: Logs = empty_logs(
            len(close_T), n_symbols=n_lanes, room=n_lanes + 2 * ROWS_PER_STEP
        )

    def traded(self, bar_L: IndexArray) -> pl.DataFrame:
        """Return the trades of the signals at these bars."""
        from backtest.alone_loop import LANE, advance_alone

        world, logs = self._world, self._logs
        lanes = np.zeros(len(bar_L), LANE)
        lanes["signal_bar"] = lanes["bar"] = bar_L
        accounts = np.repeat(self._fresh, len(bar_L))
        world.positions[:] = world.blank[0]
        forget(world.state)
        logs.run["n_trades"] = 0
        sources = [self._policy.name] * len(bar_L)
        constant = self._policy.fixed_P is not None
        while advance_alone(world, lanes, accounts, self._day_T, logs, constant):
            answered = self._asking.answered(logs)
            for lane, number, source in zip(
                answered.symbol_K.tolist(),
                answered.number_K.tolist(),
                answered.sources,
                strict=True,
            ):
                if number == 0:
                    sources[lane] = source
        return self._frame(sources)

    def _frame(self, sources: Sequence[str]) -> pl.DataFrame:
        rows: Any = self._logs.trades[: int(self._logs.run[0]["n_trades"])]
        rows = rows[np.argsort(rows["signal_bar"])]
        source = pl.Series(sources, dtype=pl.String()).gather(rows["symbol"])
        rows["symbol"] = 0
        return trade_frame(rows, [self._market], self._times, source)
