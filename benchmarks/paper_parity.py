"""Paper trading beside the backtest: the same manifest, bars and keys, trade by trade.

    python -m benchmarks.paper_parity --kills 10 -- manifest=FILE data=demo entries.model=events

The paper command is started, killed at random moments with SIGKILL and started again until so many
kills have hit it, then left to its end; the backtest runs once. Compared are all columns of trades,
positions, partials, moves of stops, decisions and equity, and the events on the bus.
"""

import argparse
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

from live.events import HARVEST_INTENT, TRADE_CLOSED, TradeClosed, decoded
from live.sqlite_bus import SqliteBus
from selection.atomic import write_json_atomically

OUT = Path("runs/bench/paper_parity.json")
TABLES = ("trades", "open_positions", "partials", "stop_moves", "decisions", "equity")
PREFIX = "quantum:stream:"
# A start takes about so long before it trades.
EARLIEST_S, LATEST_S = 2.0, 12.0


def main() -> None:
    """Run both, compare, print and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("keys", nargs="*", help="of both commands, after --")
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        found = compared(Path(folder), given.keys, n_kills=given.kills, seed=given.seed)
    write_json_atomically(OUT, found)
    for name, value in found.items():
        print(f"{name:28} {value}")  # noqa: T201
    if found["differences"] or found["events_lost"] or found["events_other"]:
        sys.exit(1)


def compared(folder: Path, keys: list[str], *, n_kills: int, seed: int) -> dict[str, Any]:
    """Return what both have traded, and in what they differ."""
    shared = [*keys, "evaluator=points", "tracking=none"]
    paper = [
        *("pipelines.paper", *shared),
        *(f"output_dir={folder}/paper", f"events_bus.path={folder}/events.db"),
    ]
    n_killed, n_starts = _killed(paper, n_kills, np.random.default_rng(seed))
    subprocess.run([sys.executable, "-m", *paper], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    backtest = ["pipelines.backtest", *shared, f"output_dir={folder}/backtest"]
    subprocess.run([sys.executable, "-m", *backtest], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    frames = {
        name: tuple(
            pl.read_parquet(folder / place / f"{name}.parquet") for place in ("paper", "backtest")
        )
        for name in TABLES
    }
    trades = frames["trades"][1]
    return {
        "keys": " ".join(keys),
        "seed": seed,
        "kills": n_killed,
        "starts": n_starts + 1,
        "trades_compared": len(trades),
        "partials_compared": len(frames["partials"][1]),
        "differences": sum(_differences(*pair) for pair in frames.values()),
        **_events(folder, trades),
    }


def _killed(command: list[str], n_kills: int, rng: np.random.Generator) -> tuple[int, int]:
    """Start a command and kill it, as often as is wanted or as it lasts."""
    n_killed = n_starts = 0
    while n_killed < n_kills and n_starts < 3 * n_kills:
        n_starts += 1
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until_s = time.monotonic() + rng.uniform(EARLIEST_S, LATEST_S)
        while process.poll() is None and time.monotonic() < until_s:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        n_killed += process.wait() == -signal.SIGKILL
    return n_killed, n_starts


def _differences(one: pl.DataFrame, other: pl.DataFrame) -> int:
    """Return how many rows are not the same in every column, to the last bit."""
    if one.schema != other.schema:
        return max(len(one), len(other))
    n_shared = min(len(one), len(other))
    differing = pl.Series([False] * n_shared, dtype=pl.Boolean)
    for name in one.columns:
        first, second = one[name][:n_shared], other[name][:n_shared]
        differing |= first.ne_missing(second).fill_null(value=False)
    return int(differing.sum()) + abs(len(one) - len(other))


def _events(folder: Path, trades: pl.DataFrame) -> dict[str, int]:
    """Return how many trades were told on the bus, more than once, not at all, or otherwise."""
    bus = SqliteBus(path=str(folder / "events.db"), prefix=PREFIX, timeout_s=30.0)
    by_order: dict[str, TradeClosed] = {}
    n_came = 0
    while came := bus.take(TRADE_CLOSED, "parity", "parity", most=1_000, wait_s=0.0):
        n_came += len(came)
        for one in came:
            event = decoded(TradeClosed, one.fields)
            by_order.setdefault(event.order_id, event)
    n_intents = bus.state(HARVEST_INTENT).length
    bus.close()
    told = [by_order.get(f"{_account(by_order)}-{trade}") for trade in trades["trade_id"]]
    right = [
        one is not None and (one.entry_price, one.exit_price, one.R_net) == row
        for one, row in zip(
            told, trades.select("entry_price", "exit_price", "r_multiple").iter_rows(), strict=True
        )
    ]
    return {
        "intents": n_intents,
        "events": n_came,
        "events_twice": n_came - len(by_order),
        "events_lost": sum(one is None for one in told),
        "events_other": len(by_order) - sum(right),
    }


def _account(by_order: dict[str, TradeClosed]) -> str:
    return next(iter(by_order), "").rpartition("-")[0]


if __name__ == "__main__":
    main()
