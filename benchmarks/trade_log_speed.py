"""How long a recorder takes to start over many trades, to read them and to add to them.

``python -m benchmarks.trade_log_speed``: a million trades in rotated files, the index that is built
at each start beside the plain way to build it (`json.loads` of each line into a dict), what
`read_trades` takes for all of them, and trades a second appended and fsynced, by batch size.
Seconds are CPU seconds but for appending, which waits for the disk.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from live.events import TradeClosed
from live.line_files import whole_lines
from live.trade_log import NAME, Entry, TradeLog, read_trades
from selection.atomic import write_json_atomically

OUTPUT = Path("runs/bench/trade_log_speed.json")
N_TRADES, ROTATE_BYTES = 1_000_000, 64_000_000
BATCHES = (1, 20, 500)
N_APPENDED = 4_000
BEGIN = datetime(2026, 1, 5, tzinfo=UTC)


def entry(number: int) -> Entry:
    """Return a trade as the paper broker reports it."""
    trade = TradeClosed(
        timestamp=BEGIN + timedelta(seconds=number),
        symbol="EURUSD",
        side="LONG",
        order_id=f"paper-EURUSD-{number:08d}",
        entry_price=1.10234 + number * 1e-9,
        exit_price=1.1043,
        pnl_percent=0.5123,
        pnl_usd=12.345,
        R_net=0.71,
        confidence=0.6123,
        model_id="xgboost-EURUSD",
        reason="target",
        source="paper",
        quantity=1234.5,
        manifest_sha256="a" * 64,
    )
    return Entry(trade, f"{1_700_000_000_000 + number}-0")


def seconds(work: Callable[[], object]) -> float:
    """Return CPU seconds of this process."""
    begun_s = time.process_time()
    work()
    return time.process_time() - begun_s


def started(folder: Path) -> int:
    """Open the files of a recorder; return how many trades it knows."""
    log = TradeLog(folder, rotate_bytes=ROTATE_BYTES)
    log.close()
    return len(log)


def plain_index(folder: Path) -> dict[str, int]:
    """Build the index of order ids as one would write it first."""
    found: dict[str, int] = {}
    for path in sorted(folder.glob(f"{NAME}*.jsonl")):
        with path.open("rb") as file:
            for place, line in enumerate(file):
                found[json.loads(line)["order_id"]] = place
    return found


def appended_per_s(folder: Path, batch: int) -> float:
    """Return trades a second that are appended and on disk."""
    log = TradeLog(folder, rotate_bytes=ROTATE_BYTES)
    entries = [entry(number) for number in range(N_APPENDED if batch > 1 else N_APPENDED // 10)]
    begun_s = time.perf_counter()
    for first in range(0, len(entries), batch):
        log.append(entries[first : first + batch])
    elapsed_s = time.perf_counter() - begun_s
    log.close()
    return len(entries) / elapsed_s


def measured(folder: Path, n_trades: int) -> dict[str, float]:
    """Return every figure of one run."""
    many = folder / "many"
    log = TradeLog(many, rotate_bytes=ROTATE_BYTES)
    for first in range(0, n_trades, 10_000):
        log.append([entry(number) for number in range(first, min(first + 10_000, n_trades))])
    log.close()
    start_s = seconds(lambda: started(many))
    plain_s = seconds(lambda: plain_index(many))
    read_s = seconds(lambda: read_trades(many))
    n_bytes = sum(path.stat().st_size for path, _ in whole_lines(many, NAME))
    rates = {
        f"appended_per_s_in_batches_of_{size}": appended_per_s(folder / f"by_{size}", size)
        for size in BATCHES
    }
    return {
        "trades": n_trades,
        "megabytes": n_bytes / 1e6,
        "start_s": start_s,
        "plain_start_s": plain_s,
        "start_ratio": start_s / plain_s,
        "read_trades_s": read_s,
        **rates,
    }


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trades", type=int, default=N_TRADES)
    parser.add_argument("--folder", help="on the disk to be measured; default: the temporary one")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="assay-trade-log-", dir=given.folder))
    try:
        found = measured(folder, given.trades)
    finally:
        shutil.rmtree(folder)
    table = Table("figure", "value")
    for name, value in found.items():
        table.add_row(name, f"{value:,.2f}" if isinstance(value, float) else f"{value:,}")
    Console().print(table)
    write_json_atomically(OUTPUT, {"cores": os.cpu_count(), **found})


if __name__ == "__main__":
    main()
