"""A process that closes trades and tells of them through an outbox, to be killed at any moment.

Trades and outbox stand in one SQLite file and are written in one transaction. Started again, it
goes on with the trade after the last one that is in the file. How many there may be by now stands
in another file: whoever kills sets the pace.
"""

import json
import sqlite3
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from live.bus import BusDownError
from live.events import TRADE_CLOSED, TradeClosed, fields_of
from live.outbox import Outbox
from pipelines.events_bus import events_bus

POSITIONS, ALLOWED = "positions.db", "allowed"
_MOST_AT_ONCE = 8
_FIRST_CLOSE = datetime(2026, 1, 5, tzinfo=UTC)


def trade(seed: int, number: int) -> TradeClosed:
    """Return a trade, the same each time."""
    rng = np.random.default_rng((seed, number))
    entry = float(rng.uniform(0.5, 2.0))
    move = float(rng.normal(0.0, 0.01))
    return TradeClosed.model_validate(
        {
            "timestamp": _FIRST_CLOSE + timedelta(seconds=number),
            "symbol": f"SYM{number % 7}",
            "side": "LONG" if number % 2 else "SHORT",
            "order_id": f"{seed}-{number}",
            "entry_price": entry,
            "exit_price": entry * (1.0 + move),
            "pnl_percent": 100.0 * move,
            "pnl_usd": 1000.0 * move,
            "R_net": move / 0.005,
            "confidence": float(rng.uniform()),
            "model_id": "Council",
            "reason": "stop",
            "source": "benchmark",
        }
    )


def publish(folder: Path, conf: dict[str, Any], *, seed: int, n_trades: int) -> None:
    """Close all trades and tell of each, as fast as is allowed; go on where it was killed."""
    rng = np.random.default_rng(time.monotonic_ns())
    with (
        closing(events_bus({"events_bus": conf})) as bus,
        closing(sqlite3.connect(folder / POSITIONS)) as store,
    ):
        store.execute("CREATE TABLE IF NOT EXISTS trades (number INTEGER PRIMARY KEY)")
        outbox = Outbox(store)
        while True:
            (n_closed,) = store.execute("SELECT COUNT(*) FROM trades").fetchone()
            if n_closed == n_trades and outbox.waiting() == 0:
                return
            allowed = min(n_trades, int((folder / ALLOWED).read_text(encoding="ascii")))
            end = min(allowed, n_closed + int(rng.integers(1, _MOST_AT_ONCE + 1)))
            with store:
                for number in range(n_closed, end):
                    store.execute("INSERT INTO trades VALUES (?)", (number,))
                    closed = trade(seed, number)
                    outbox.add(TRADE_CLOSED, closed.order_id, fields_of(closed))
            try:
                if outbox.deliver(bus) == 0:
                    time.sleep(0.005)
            except BusDownError:
                time.sleep(0.02)


if __name__ == "__main__":
    place, conf, seed, n_trades = sys.argv[1:]
    publish(Path(place), json.loads(conf), seed=int(seed), n_trades=int(n_trades))
