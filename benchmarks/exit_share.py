"""How much of what a better exit could win the learnt one wins, on the simulated market.

``python -m benchmarks.exit_share FOLDER`` reads the results of ``python -m pipelines.backtest
exits=learned`` on a simulated market: every entry, traded alone by each policy. The same entries
are then left by the best exit that the market's truth allows (docs/best_exit.md), which no policy
can know. The share is (learned - defaults) / (best - defaults), over the entries that both trade;
its interval is that of a replay's statistics. Half a minute on one core.

Axes: N entries.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from backtest.comparison import CONFIDENCE, N_RESAMPLES
from backtest.estimates import Draws, Estimate, blocks_of_entries
from benchmarks.best_exit import costs_atr
from exits.ladder import DEFAULTS
from market.bars import FloatArray
from market.best_exit import DEFAULT_STOP_ATR, STOPS_ATR, best_exit_trades
from market.simulate import SimulatedMarket
from pipelines.backtest_compared import BARRIER, LEARNED
from pipelines.backtest_files import COMPARED
from selection.atomic import write_json_atomically

OUT = Path("runs/bench/exit_share.json")
BEST_DEFAULT_STOP, BEST = "best exit, the defaults' stop", "best exit, any stop"
SAME = ["symbol", "signal_time"]


def paired_trades(folder: Path) -> pl.DataFrame:
    """Return one row for each signal that learnt exits and defaults both traded, R by policy."""
    trades = pl.read_parquet(folder / COMPARED)
    by_policy = {name: trades.filter(pl.col("policy") == name) for name in (LEARNED, DEFAULTS)}
    r_of = {
        name: frame.select(*SAME, pl.col("r_multiple").alias(name))
        for name, frame in by_policy.items()
    }
    barrier = trades.filter(pl.col("policy") == BARRIER)
    about = by_policy[DEFAULTS].select(*SAME, "side", "entry_time", "exit_time")
    paired = about.join(r_of[LEARNED], on=SAME).join(r_of[DEFAULTS], on=SAME)
    r_barrier = barrier.select(*SAME, pl.col("r_multiple").alias(BARRIER))
    return paired.join(r_barrier, on=SAME).sort(SAME)


def with_best(paired: pl.DataFrame, market: SimulatedMarket, seed: int) -> pl.DataFrame:
    """Add what the best exit makes of the same entries."""
    entries = []
    for (symbol,), rows in paired.group_by("symbol", maintain_order=True):
        close_T = market.bars(str(symbol), seed).close_time_T
        signal_N = rows["signal_time"].to_numpy().astype("datetime64[us]")
        bar_N = np.searchsorted(close_T, signal_N)
        if not (close_T[np.minimum(bar_N, len(close_T) - 1)] == signal_N).all():
            raise SystemExit(
                f"{symbol}: its signals are not at bars of this market; give --n-bars, --seed "
                "and --edge as in the replay"
            )
        side_N = np.where(rows["side"] == "LONG", 1, -1)
        entries += [(str(symbol), int(b), int(d)) for b, d in zip(bar_N, side_N, strict=True)]
    for name, stops_atr in ((BEST_DEFAULT_STOP, (DEFAULT_STOP_ATR,)), (BEST, STOPS_ATR)):
        best = best_exit_trades(
            market, entries, costs_atr=costs_atr(), seed=seed, stops_atr=stops_atr
        )
        paired = paired.with_columns(pl.Series(name, best.net_r_N))
    return paired.drop_nans()


def told(paired: pl.DataFrame, seed: int) -> dict[str, Any]:
    """Return mean R of each policy, and each one's share of the gain, with intervals."""
    blocks = blocks_of_entries(paired)
    draws = Draws.of(blocks, n_resamples=N_RESAMPLES, confidence=CONFIDENCE, seed=seed)
    group_N = np.zeros(len(paired), np.int64)

    def ratio(over_N: FloatArray, under_N: FloatArray) -> Estimate:
        return draws.ratios(over_N, under_N, group_N, 1)[0]

    r = {
        name: paired[name].to_numpy()
        for name in (DEFAULTS, BARRIER, LEARNED, BEST_DEFAULT_STOP, BEST)
    }
    ones_N = np.ones(len(paired))
    return {
        "entries": len(paired),
        "r": {name: asdict(ratio(r_N, ones_N)) for name, r_N in r.items()},
        "less_defaults": {
            name: asdict(ratio(r_N - r[DEFAULTS], ones_N))
            for name, r_N in r.items()
            if name != DEFAULTS
        },
        "share": {
            best: {
                name: asdict(ratio(r[name] - r[DEFAULTS], r[best] - r[DEFAULTS]))
                for name in (LEARNED, BARRIER)
            }
            for best in (BEST_DEFAULT_STOP, BEST)
        },
    }


def shown(found: dict[str, Any]) -> str:
    """Return the same as a table."""

    def span(one: dict[str, Any], pattern: str) -> str:
        if one["low"] is None:
            return f"{one['value']:{pattern}}"
        return f"{one['value']:{pattern}} ({one['low']:{pattern}} to {one['high']:{pattern}})"

    lines = [f"{found['entries']:,} entries, each alone; R of the own stop, net, 95% intervals", ""]
    for name, one in found["r"].items():
        less = found["less_defaults"].get(name)
        gain = "" if less is None else f"   less defaults {span(less, '+.3f')}"
        lines.append(f"{name.replace('_', ' '):30} {span(one, '+.3f'):28}{gain}")
    lines.append("")
    for best, shares in found["share"].items():
        for name, one in shares.items():
            words = f"share of {name.replace('_', ' ')} in the gain of the {best}"
            lines.append(f"{words}: {span(one, '.0%')}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Compute, print and write the shares."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exit_share", description=__doc__)
    parser.add_argument("folder", type=Path, help="results of backtest exits=learned")
    parser.add_argument("--n-bars", type=int, default=20_000)
    parser.add_argument("--edge", type=float, default=0.15)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args(argv)
    if not (given.folder / COMPARED).exists():
        parser.error(f"{given.folder} has no {COMPARED}: give results of backtest exits=learned")
    market = SimulatedMarket(n_bars=given.n_bars, edge=given.edge)
    found = told(with_best(paired_trades(given.folder), market, given.seed), given.seed)
    sys.stdout.write(shown(found) + "\n")
    write_json_atomically(given.out, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
