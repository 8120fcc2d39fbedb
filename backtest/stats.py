"""What a replay's trades and equity come to, with intervals where there is enough to have them.

Axes: N trades, J groups of trades.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from backtest.estimates import (
    Blocks,
    Draws,
    Estimate,
    FloatArray,
    IntArray,
    blocks_of_entries,
    in_bounds,
    weighted_counts,
)
from backtest.replayed import Replayed
from backtest.sharpe import EquityStatistics, equity_statistics
from selection.json_safe import to_json_safe

GROUPINGS: Final = (
    "segment",
    "symbol",
    "side",
    "exit_reason",
    "exit_rule",
    "hour",
    "prediction_source",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeStatistics:
    """Trades in numbers; means are None where there is no trade.

    Attributes
    ----------
    n_trades, n_wins
        A win is a trade with a net profit above 0.
    win_share
        `n_wins` / `n_trades`.
    expectancy_r
        Mean of R multiples, net of costs.
    profit_factor
        Net profits of winners / net losses of losers, in the account's currency.
    total_r, pnl
        Sums, net of costs.
    mean_mae_r, mean_mfe_r
        Deepest loss and highest profit while open, in R.
    mean_cost_r
        Costs, in R.
    mean_bars_held, mean_hours_held
        From entry to exit.
    """

    n_trades: int
    n_wins: int
    win_share: Estimate
    expectancy_r: Estimate
    profit_factor: Estimate
    total_r: float
    pnl: float
    mean_mae_r: float | None
    mean_mfe_r: float | None
    mean_cost_r: float | None
    mean_bars_held: float | None
    mean_hours_held: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How intervals were made: what was drawn, how many of them there are, and how often."""

    block: str
    n_blocks: int
    n_resamples: int
    confidence: float
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """A replay in numbers.

    Attributes
    ----------
    trades
        All closed trades.
    groups
        The same by `GROUPINGS`, then by value; hours are of the entry, UTC, as two digits.
    equity
        The account.
    decisions
        How many decisions on exit parameters came from each source.
    n_open
        Positions still open at the end, which are no trades.
    skipped
        Entries that were dropped, by reason.
    """

    trades: TradeStatistics
    groups: Mapping[str, Mapping[str, TradeStatistics]]
    equity: EquityStatistics
    decisions: Mapping[str, int]
    n_open: int
    skipped: Mapping[str, int]
    method: Method

    def to_json(self) -> dict[str, Any]:
        """Return the same as dicts, lists, numbers and None, fit for ``json.dumps``."""
        safe: dict[str, Any] = to_json_safe(self)
        return safe

    def metrics(self) -> dict[str, float]:
        """Return headline numbers by name, intervals as `_low` and `_high`; None is left out."""
        return {
            **_metrics(self.trades),
            **_metrics(self.equity),
            "n_open": float(self.n_open),
            "n_skipped": float(sum(self.skipped.values())),
        }


def statistics(
    replayed: Replayed,
    *,
    n_trials: int = 1,
    n_resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 7,
) -> Statistics:
    """Judge a replay.

    Parameters
    ----------
    n_trials
        Configurations that were tried before this one was looked at, itself included: what the
        deflated Sharpe ratio takes into account.
    n_resamples, confidence, seed
        Of the bootstrap.

    Raises
    ------
    ValueError
        If a setting is out of its range.
    """
    _check(n_trials, n_resamples, confidence)
    trades = replayed.trades.with_columns(
        hour=pl.col("entry_time").dt.strftime("%H"),
        hours_held=(pl.col("exit_time") - pl.col("entry_time")).dt.total_seconds() / 3600,
    )
    blocks = blocks_of_entries(trades)
    draws = Draws.of(blocks, n_resamples=n_resamples, confidence=confidence, seed=seed)
    (all_trades,) = _judge(trades, draws, np.zeros(trades.height, dtype=np.int64), 1)
    return Statistics(
        trades=all_trades,
        groups={name: _by(trades, draws, name) for name in GROUPINGS},
        equity=equity_statistics(
            replayed.equity,
            n_trials=n_trials,
            n_resamples=n_resamples,
            confidence=confidence,
            seed=seed,
        ),
        decisions=_counts(replayed.decisions["source"]),
        n_open=replayed.open_positions.height,
        skipped=dict(replayed.skipped),
        method=_method(blocks, n_resamples, confidence, seed),
    )


def _check(n_trials: int, n_resamples: int, confidence: float) -> None:
    if n_trials < 1:
        raise ValueError(f"n_trials must be at least 1, was {n_trials}")
    if n_resamples < 100:
        raise ValueError(f"n_resamples must be at least 100, was {n_resamples}")
    if not 0.5 <= confidence < 1:
        raise ValueError(f"confidence must be in [0.5, 1), was {confidence}")


def _method(blocks: Blocks, n_resamples: int, confidence: float, seed: int) -> Method:
    return Method(
        block=blocks.unit,
        n_blocks=blocks.n_blocks,
        n_resamples=n_resamples,
        confidence=confidence,
        seed=seed,
    )


def _counts(series: pl.Series) -> dict[str, int]:
    counts = series.value_counts().sort(["count", series.name], descending=[True, False])
    return dict(counts.iter_rows())


def _by(trades: pl.DataFrame, draws: Draws, name: str) -> dict[str, TradeStatistics]:
    value_N = trades[name].fill_null("")
    values = value_N.unique().sort()
    group_N = values.search_sorted(value_N).cast(pl.Int64).to_numpy()
    return dict(zip(values, _judge(trades, draws, group_N, len(values)), strict=True))


def _judge(
    trades: pl.DataFrame, draws: Draws, group_N: IntArray, n_groups: int
) -> list[TradeStatistics]:
    pnl_N, r_N = trades["pnl"].to_numpy(), trades["r_multiple"].to_numpy()
    one_N = np.ones(trades.height)
    won_N = (pnl_N > 0).astype(np.float64)
    win_shares = draws.ratios(won_N, one_N, group_N, n_groups)
    profits_N, losses_N = np.maximum(pnl_N, 0.0), np.maximum(-pnl_N, 0.0)
    ratios = zip(
        in_bounds(win_shares, 0.0, 1.0),
        draws.ratios(r_N, one_N, group_N, n_groups),
        draws.ratios(profits_N, losses_N, group_N, n_groups, logarithm=True),
        strict=True,
    )
    sums = _sums(trades, group_N, n_groups)
    n_J = np.bincount(group_N, minlength=n_groups)
    n_wins_J = np.bincount(group_N, won_N, n_groups)
    return [
        TradeStatistics(
            n_trades=int(n_J[j]),
            n_wins=int(n_wins_J[j]),
            win_share=win_share,
            expectancy_r=expectancy_r,
            profit_factor=profit_factor,
            total_r=float(sums["r_multiple"][j]),
            pnl=float(sums["pnl"][j]),
            mean_mae_r=_mean(sums["mae_r"][j], n_J[j]),
            mean_mfe_r=_mean(sums["mfe_r"][j], n_J[j]),
            mean_cost_r=_mean(sums["cost_r"][j], n_J[j]),
            mean_bars_held=_mean(sums["bars_held"][j], n_J[j]),
            mean_hours_held=_mean(sums["hours_held"][j], n_J[j]),
        )
        for j, (win_share, expectancy_r, profit_factor) in enumerate(ratios)
    ]


def _sums(trades: pl.DataFrame, group_N: IntArray, n_groups: int) -> dict[str, FloatArray]:
    names = ("r_multiple", "pnl", "mae_r", "mfe_r", "cost_r", "bars_held", "hours_held")
    return {name: weighted_counts(group_N, trades[name].to_numpy(), n_groups) for name in names}


def _mean(total: float, n: int) -> float | None:
    return float(total / n) if n else None


def _metrics(numbers: TradeStatistics | EquityStatistics) -> dict[str, float]:
    found: dict[str, float | None] = {}
    for name in numbers.__slots__:
        value = getattr(numbers, name)
        if isinstance(value, Estimate):
            found |= {name: value.value, f"{name}_low": value.low, f"{name}_high": value.high}
        else:
            found[name] = value
    return {name: float(value) for name, value in found.items() if value is not None}
