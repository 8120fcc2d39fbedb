"""The world of a replay before its first bar: rows of bars, positions, account, settings."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from backtest.costs import Account, Costs, ExitSettings
from backtest.decision_state import state_of
from backtest.logs import ASKING, DECISION, PARTIAL, RUN, STOP_MOVE, TRADE, Logs, World
from backtest.markets import Market
from exits.conditions import bar_rows
from exits.evaluator import ExitEvaluator
from exits.policy import ExitPolicy, HoldToBarrier
from exits.rules.evaluator_table import EVALUATOR
from exits.rules.records import ACCOUNT, BAR, CLOSE, PARAMETERS, POSITION, SETTINGS, SYMBOL
from exits.rules.rule_names import SKIPS
from market.bars import TimeArray
from market.compiled import BoolArray

_LONG_AGO: Final = -1


def wants(market: Market) -> BoolArray:
    """Return the bars at which a symbol's model asks for an entry."""
    return np.asarray((market.signal_T != 0) & (market.confidence_T >= market.threshold))


def world_of(
    markets: Sequence[Market],
    closes: Sequence[TimeArray],
    policy: ExitPolicy,
    *,
    exits: ExitSettings,
    costs: Costs,
    account: Account,
    evaluator: ExitEvaluator | None,
    n_lanes: int = 1,
) -> World:
    """Return a world in which nothing has happened yet.

    Parameters
    ----------
    markets : sequence of Market
    closes : sequence of datetime64[us] arrays
        When their bars are complete.
    policy : ExitPolicy
    exits, costs, account, evaluator
        As `backtest.replay.replay` is told.
    n_lanes : int
        Positions that a market may have at a time; they follow one another.
    """
    symbols = np.repeat(_symbols(markets, exits), n_lanes)
    n_symbols = len(symbols)
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
    wanted = [wants(market) for market in markets]
    parameters = np.zeros(n_symbols, PARAMETERS)
    if policy.fixed_P is not None:
        parameters[:] = tuple(policy.fixed_P)
    return World(
        rows=joined(rows, np.zeros(0, BAR)),
        wants=joined(wanted, np.zeros(0, bool)),
        symbols=symbols,
        positions=np.repeat(blank, n_symbols),
        blank=blank,
        parameters=parameters,
        answers=np.zeros(n_symbols, np.int64),
        account=_account(account),
        settings=_settings(exits, costs, account, evaluator, policy),
        now=np.zeros(1, CLOSE),
        evaluator=np.zeros(1, EVALUATOR) if evaluator is None else evaluator.table.copy(),
        state=state_of(
            markets, closes, exits.sessions, n_symbols=n_symbols, is_read=policy.reads_state
        ),
    )


def joined(arrays: Sequence[Any], none: Any) -> Any:
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


def _settings(
    exits: ExitSettings,
    costs: Costs,
    account: Account,
    evaluator: ExitEvaluator | None,
    policy: ExitPolicy,
) -> Any:
    record = np.zeros(1, SETTINGS)
    record["tick_atr"], record["min_share"] = exits.tick_atr, exits.min_share
    record["half_spread"] = costs.spread_atr / 2
    record["half_slippage"] = costs.slippage_atr / 2
    record["half_commission"] = costs.commission_atr / 2
    for name in ("risk_per_trade", "max_open_risk", "daily_loss_limit", "recovery_drawdown"):
        record[name] = getattr(account, name)
    record["evaluator"], record["watched"] = evaluator is not None, policy.reads_state
    if isinstance(policy, HoldToBarrier):
        record["barrier"], record["barrier_bars"] = 1, policy.max_bars
        record["barrier_profit_atr"] = policy.profit_atr
        record["barrier_stop_atr"] = policy.stop_atr
    return record


def empty_logs(n_steps: int, *, n_symbols: int, room: int) -> Logs:
    """Return logs for so many steps and symbols, with room for so many rows of each kind."""
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
        asking=np.zeros(n_symbols, ASKING),
    )
