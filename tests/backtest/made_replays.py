"""Replays put together by hand: only what a test is about, the rest plain."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from backtest.replayed import EQUITY, TRADES, Replayed

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
_PLAIN = {
    "symbol": "EURUSD",
    "side": "LONG",
    "model": "xgboost",
    "exit_reason": "stop_loss",
    "exit_rule": "stop",
    "prediction_source": "defaults",
    "segment": "unseen",
    "mae_r": -0.5,
    "mfe_r": 0.5,
    "cost_r": 0.05,
    "bars_held": 4,
}


def made_trades(r_multiples: Any, **columns: Any) -> pl.DataFrame:
    """Return trades with these results, one a day for an hour; a unit of R is 100 in money."""
    r_N = np.asarray(r_multiples, dtype=float)
    entered = columns.pop("entry_time", [MONDAY + timedelta(days=i) for i in range(len(r_N))])
    left = columns.pop("exit_time", [one + timedelta(hours=1) for one in entered])
    given = {"r_multiple": r_N, "pnl": 100 * r_N, "entry_time": entered, "exit_time": left}
    given |= {"trade_id": range(len(r_N)), **columns}
    return pl.DataFrame([_column(name, kind, given, len(r_N)) for name, kind in TRADES.items()])


def _column(name: str, kind: Any, given: Mapping[str, Any], n: int) -> pl.Series:
    if name in given and not isinstance(given[name], str | int | float):
        return pl.Series(name, list(given[name]), dtype=kind)
    empty = "" if kind == pl.String() else MONDAY if kind.is_temporal() else 0
    return pl.Series(name, [given.get(name, _PLAIN.get(name, empty))] * n, dtype=kind)


def made_equity(
    levels: Sequence[float], *, start: datetime = MONDAY, step: timedelta = timedelta(days=1)
) -> pl.DataFrame:
    """Return one step per level, in a position where the level moved."""
    level_T = np.asarray(levels, dtype=float)
    moved_T = np.diff(level_T, prepend=level_T[:1]) != 0
    columns = {
        "time": [start + i * step for i in range(len(levels))],
        "equity": level_T,
        "drawdown": 1 - level_T / np.maximum.accumulate(level_T),
        "open_positions": moved_T.astype(np.int64),
        "open_risk": 0.01 * moved_T,
    }
    return pl.DataFrame(columns, schema=EQUITY)


def made_replay(trades: pl.DataFrame, equity: pl.DataFrame | None = None) -> Replayed:
    """Return a replay of these trades."""
    levels = 100_000 + np.concatenate(([0.0], trades["pnl"].to_numpy().cumsum()))
    steps = made_equity(levels.tolist()) if equity is None else equity
    return replace(Replayed.empty(), n_bars=steps.height, trades=trades, equity=steps)


def drawn_r(rng: np.random.Generator, n: int, *, mean: float = 0.0) -> Any:
    """Return results as stops and targets make them: many small losses, some large profits."""
    won = rng.random(n) < 0.4
    return np.where(won, rng.gamma(2.0, 0.8, n), -rng.uniform(0.8, 1.1, n)) + mean


def spread_entries(rng: np.random.Generator, n: int, n_days: int) -> list[datetime]:
    """Return times of entry, in order, over so many days."""
    minutes = np.sort(rng.integers(0, n_days * 1440, n))
    return [MONDAY + timedelta(minutes=int(minute)) for minute in minutes]
