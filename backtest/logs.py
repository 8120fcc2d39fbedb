"""What the compiled loop works on and writes: the world of a replay, its steps and its logs."""

from typing import Any, Final, NamedTuple

import numpy as np

TRADE: Final = np.dtype(
    [
        *((name, "i8") for name in ("trade", "symbol", "side", "signal_bar", "entry_bar")),
        *((name, "i8") for name in ("exit_bar", "exit_at_open", "closed_by", "regime")),
        *((name, "i8") for name in ("n_partials", "n_rejected", "n_stop_moves", "n_updates")),
        *((name, "i8") for name in ("breakeven_bar", "trailing_bar")),
        *((name, "f8") for name in ("entry", "exit", "quantity", "risk", "initial_stop", "atr")),
        *((name, "f8") for name in ("tick", "pnl", "costs", "mae_r", "mfe_r", "confidence")),
        ("equity_before", "f8"),
    ]
)
PARTIAL: Final = np.dtype(
    [
        *((name, "i8") for name in ("trade", "symbol", "bar", "at_open", "which")),
        *((name, "f8") for name in ("price", "share", "quantity", "pnl", "r")),
    ]
)
STOP_MOVE: Final = np.dtype(
    [
        *((name, "i8") for name in ("trade", "symbol", "bar", "kind", "moved_by")),
        *((name, "f8") for name in ("old_stop", "new_stop", "r")),
    ]
)
DECISION: Final = np.dtype(
    [
        *((name, "i8") for name in ("trade", "symbol", "number", "bar", "parameters")),
        *((name, "f8") for name in ("r", "atr", "current_atr")),
    ]
)
# A symbol that asks for parameters, in the order of `exits.policy.Asked`.
ASKING: Final = np.dtype(
    [
        *((name, "i8") for name in ("symbol", "number", "bar", "side")),
        *((name, "f8") for name in ("atr", "r", "confidence")),
    ]
)
# How far the loop has come; `asking` is set between a step's asking and its answers.
RUN: Final = np.dtype(
    [
        *((name, "i8") for name in ("step", "day", "asking", "n_asked", "n_begun")),
        *((name, "i8") for name in ("n_busy", "n_open")),  # open or waiting; open
        *((name, "i8") for name in ("n_trades", "n_partials", "n_moves", "n_decisions")),
    ]
)

# Most rows that one symbol adds to a log in one step.
ROWS_PER_STEP: Final = 8


class World(NamedTuple):
    """Bars, positions and account; arrays of one row hold what there is once.

    ``wants`` (n_rows, bool): the model asks for an entry at this bar. ``parameters`` (n_symbols,):
    those in force. ``answers`` (n_symbols, int64): which set of parameters those are, for the log.
    ``blank`` (1,): a position that is none. ``state``: `backtest.decision_state.State`.
    """

    rows: Any
    wants: Any
    symbols: Any
    positions: Any
    blank: Any
    parameters: Any
    answers: Any
    account: Any
    settings: Any
    now: Any
    evaluator: Any
    state: Any


class Steps(NamedTuple):
    """The bars in the order of their closing times, symbols in order within a step.

    ``symbol`` and ``bar`` (n_rows,); ``start`` (n_steps + 1,): where each step begins in them;
    ``day`` (n_steps,): number of the UTC day of its closing time; ``next_wanted`` (n_steps,): the
    first step from here on at which a model asks for an entry, n_steps where none does.
    """

    symbol: Any
    bar: Any
    start: Any
    day: Any
    next_wanted: Any


class Logs(NamedTuple):
    """Where the loop writes.

    ``equity``, ``drawdown`` and ``n_open`` (n_steps,) are the account at the end of each step;
    ``asked`` (n_symbols,) holds the symbols that ask, in order, and ``asking`` (n_symbols,) what
    they ask with.
    """

    run: Any
    trades: Any
    partials: Any
    moves: Any
    decisions: Any
    equity: Any
    drawdown: Any
    n_open: Any
    skipped: Any
    asked: Any
    asking: Any
