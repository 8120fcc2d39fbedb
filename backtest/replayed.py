"""What a replay leaves behind: trades, what happened within them, and the equity of every step.

Axes: K decisions, M different sets of parameters, P the 132 parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from exits.parameters import ATR, INDEX, N_PARAMETERS, defaults

# What has been read of the months of a trade: to choose its model; as the opened holdout; nothing.
SEEN: Final = "seen"
HOLDOUT: Final = "holdout"
UNSEEN: Final = "unseen"

_TIME: Final = pl.Datetime("us", "UTC")

TRADES: Final = pl.Schema(
    {
        "trade_id": pl.Int64(),
        "symbol": pl.String(),
        "side": pl.String(),
        "model": pl.String(),
        "signal_time": _TIME,
        "entry_time": _TIME,
        "exit_time": _TIME,
        "signal_bar": pl.Int64(),
        "entry_bar": pl.Int64(),
        "exit_bar": pl.Int64(),
        "entry_price": pl.Float64(),
        "exit_price": pl.Float64(),
        "quantity": pl.Float64(),
        "risk_price": pl.Float64(),
        "initial_stop": pl.Float64(),
        "entry_atr": pl.Float64(),
        "tick": pl.Float64(),
        "pnl": pl.Float64(),
        "pnl_percent": pl.Float64(),
        "r_multiple": pl.Float64(),
        "cost_r": pl.Float64(),
        "mae_r": pl.Float64(),
        "mfe_r": pl.Float64(),
        "bars_held": pl.Int64(),
        "exit_reason": pl.String(),
        "exit_rule": pl.String(),
        "confidence": pl.Float64(),
        "regime": pl.Int64(),
        "prediction_source": pl.String(),
        "segment": pl.String(),
        "n_partials": pl.Int64(),
        "n_rejected_partials": pl.Int64(),
        "n_stop_moves": pl.Int64(),
        "n_updates": pl.Int64(),
        "breakeven_bar": pl.Int64(),
        "trailing_bar": pl.Int64(),
        "equity_before": pl.Float64(),
    }
)
PARTIALS: Final = pl.Schema(
    {
        "trade_id": pl.Int64(),
        "bar": pl.Int64(),
        "time": _TIME,
        "price": pl.Float64(),
        "share": pl.Float64(),
        "quantity": pl.Float64(),
        "pnl": pl.Float64(),
        "r": pl.Float64(),
        "rule": pl.String(),
    }
)
STOP_MOVES: Final = pl.Schema(
    {
        "trade_id": pl.Int64(),
        "bar": pl.Int64(),
        "time": _TIME,
        "old_stop": pl.Float64(),
        "new_stop": pl.Float64(),
        "kind": pl.String(),
        "rule": pl.String(),
        "r": pl.Float64(),
    }
)
DECISIONS: Final = pl.Schema(
    {
        "trade_id": pl.Int64(),
        "number": pl.Int64(),
        "bar": pl.Int64(),
        "time": _TIME,
        "r": pl.Float64(),
        "atr": pl.Float64(),
        "source": pl.String(),
        "parameters": pl.Int64(),
        "current_atr": pl.Float64(),
        "before": pl.Int64(),
    }
)
EQUITY: Final = pl.Schema(
    {
        "time": _TIME,
        "equity": pl.Float64(),
        "drawdown": pl.Float64(),
        "open_positions": pl.Int64(),
        "open_risk": pl.Float64(),
    }
)

_SCHEMAS: Final = {
    "trades": TRADES,
    "open_positions": TRADES,
    "partials": PARTIALS,
    "stop_moves": STOP_MOVES,
    "decisions": DECISIONS,
    "equity": EQUITY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """The outcome of one replay.

    Times are UTC. A bar is a position in its symbol's bars. R is the distance between entry and
    initial stop; what is counted in it (`r_multiple`, `mae_r`, ...) is a multiple of it.

    Attributes
    ----------
    n_bars
        Bars gone through, of all symbols.
    seconds
        Time that took, by the clock.
    trades
        Closed trades in the order of the steps in which they closed, then of symbols (`TRADES`).
        `pnl` is in the account's currency and net of costs, as is `r_multiple`; `cost_r` says how
        much costs took. `mae_r` is at most 0, `mfe_r` at least 0. `bars_held` counts the entry bar
        and the exit bar, and `n_stop_moves` the one to breakeven too. `breakeven_bar` and
        `trailing_bar` are -1 where it never came to that. `segment` is `SEEN` where the choice of
        the model has read what became of the signal, `HOLDOUT` where that lies in an opened
        holdout, else `UNSEEN`.
    open_positions
        What was still open at its symbol's last bar, valued at its close (`TRADES`; exits null).
    partials, stop_moves
        Partial closes and moves of stops, by `trade_id` (`PARTIALS`, `STOP_MOVES`).
    decisions
        One row per decision on exit parameters, number 0 at the entry (`DECISIONS`). `parameters`
        is the row of `parameters_MP`, `current_atr` goes in place of that row's; `before` is the
        row of the same symbol's decision before, -1 where there is none. Both are places in this
        replay alone.
    parameters_MP
        float64 array, shape (n_sets, 132): the different parameters, in real units.
    equity
        One row per step: equity, drawdown and open risk as shares (`EQUITY`).
    skipped
        How many entries were dropped, by reason.

    Raises
    ------
    ValueError
        If a frame has other columns than its schema, or parameters are not 132.
    """

    n_bars: int
    seconds: float
    trades: pl.DataFrame
    open_positions: pl.DataFrame
    partials: pl.DataFrame
    stop_moves: pl.DataFrame
    decisions: pl.DataFrame
    parameters_MP: NDArray[np.float64]
    equity: pl.DataFrame
    skipped: Mapping[str, int]

    def __post_init__(self) -> None:
        for name, schema in _SCHEMAS.items():
            _check_columns(name, getattr(self, name).schema, schema)
        if self.parameters_MP.shape[1:] != (N_PARAMETERS,):
            shape = self.parameters_MP.shape
            raise ValueError(f"parameters_MP has shape {shape}, expected (M, {N_PARAMETERS})")

    @property
    def decided_KP(self) -> NDArray[np.float64]:
        """Parameters in force from each decision on, shape (n_decisions, 132)."""
        decided_KP: NDArray[np.float64] = self.parameters_MP[
            self.decisions["parameters"].to_numpy()
        ]
        decided_KP[:, INDEX[ATR]] = self.decisions["current_atr"].to_numpy()
        return decided_KP

    @property
    def previous_KP(self) -> NDArray[np.float64]:
        """Parameters in force before each decision: the defaults before a symbol's first."""
        before_K = self.decisions["before"].to_numpy()
        previous_KP: NDArray[np.float64] = self.decided_KP[before_K]
        first_K = before_K < 0
        previous_KP[first_K] = defaults(self.decisions["atr"].to_numpy()[first_K])
        return previous_KP

    @classmethod
    def empty(cls) -> Self:
        """Return the outcome of a replay of no bars."""
        return cls(
            n_bars=0,
            seconds=0.0,
            **{name: schema.to_frame() for name, schema in _SCHEMAS.items()},
            parameters_MP=np.empty((0, N_PARAMETERS)),
            skipped={},
        )


def _check_columns(name: str, found: pl.Schema, expected: pl.Schema) -> None:
    if found != expected:
        wrong = [
            f"{column} {found.get(column, 'missing')} (expected {expected.get(column, 'none')})"
            for column in dict.fromkeys((*expected, *found))
            if found.get(column) != expected.get(column)
        ]
        raise ValueError(f"{name}: {', '.join(wrong) or 'columns in another order'}")
