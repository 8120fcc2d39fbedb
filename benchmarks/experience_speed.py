"""How fast experiences become rows of 208 features, beside a plain walk through dictionaries.

``python -m benchmarks.experience_speed`` takes a replay's experiences as they are, and the same as
older records have them: without histories, with all 132 parameters or with 12. Both readers take
turns in one process of one thread; the times are CPU seconds of a few rounds. The plain one parses
with `json` and looks up field by field, as many as the features have; it checks nothing, computes
nothing and keeps no trade once only.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backtest.costs import Account, Costs, ExitSettings
from backtest.markets import Market
from backtest.replay import replay
from benchmarks.honesty.runner import one_core_pool
from benchmarks.replay.cases import walk
from exits.decision_rows import read_decision_rows
from exits.experience import experiences
from exits.exploring import Exploring
from exits.feature_table import FEATURES
from exits.parameters import NAMES
from exits.policy import Defaults
from selection.atomic import write_json_atomically

OUTPUT = Path("runs/bench/experience_speed.json")
RECORDS, ROUNDS, SEED = 20_000, 3, 7
# Hours; their trades are written again and again, under other ids.
BARS = 3_000
HISTORIES = ("decision_history", "unrealized_pnl_history")
TWELVE = (
    *("stop_mult", "breakeven_threshold_ticks", "trailing_distance_ticks"),
    *("partial_1_r", "partial_1_pct", "partial_2_r", "partial_2_pct", "partial_3_r"),
    *("partial_3_pct", "breakeven_mult", "trailing_mult", "current_atr"),
)

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Speed:
    """One kind of record.

    Attributes
    ----------
    n_records, n_rows, n_bytes : int
    reader_s, plain_s : list of float
        CPU seconds of each round.
    """

    n_records: int
    n_rows: int
    n_bytes: int
    reader_s: list[float]
    plain_s: list[float]

    @property
    def ratios(self) -> list[float]:
        """How many times the reader's time the plain walk takes, round by round."""
        return [b / a for a, b in zip(self.reader_s, self.plain_s, strict=True)]


def some_experiences() -> list[Record]:
    """Return the experiences of a replay of a random walk."""
    bars = walk(BARS)
    rng = np.random.default_rng(SEED)
    draw_T = rng.random(len(bars))
    signal_T = np.where(draw_T < 0.1, 1, np.where(draw_T > 0.9, -1, 0)).astype(np.int8)
    confidence_T = np.where(signal_T == 0, np.nan, 0.7)
    market = Market(
        symbol="WALK",
        bars=bars,
        signal_T=signal_T,
        confidence_T=confidence_T,
        threshold=0.5,
        model="random",
    )
    base = Defaults({"exit_param_update_frequency_bars": 5})
    policy = Exploring(explore=0.1, seed=SEED, base=base)
    costs = Costs(spread_atr=0.08, commission_atr=0.03, slippage_atr=0.02)
    account, exits = Account(), ExitSettings()
    done = replay([market], policy, exits=exits, costs=costs, account=account)
    limit, sessions = account.daily_loss_limit, exits.sessions
    made = experiences(done, {"WALK": bars}, costs=costs, daily_loss_limit=limit, sessions=sessions)
    return list(made)


def older(record: Record, names: Sequence[str]) -> Record:
    """Return a record without histories and with some of the parameters."""
    dropped = {*HISTORIES, "exit_params_used"}
    kept = {name: value for name, value in record.items() if name not in dropped}
    return {**kept, "exit_params": {name: record["exit_params_used"][name] for name in names}}


KINDS: dict[str, Callable[[Record], Record]] = {
    "12 parameters": lambda record: older(record, TWELVE),
    "132 parameters": lambda record: older(record, NAMES),
    "132 and histories": lambda record: record,
}


def write(path: Path, some: Sequence[Record], n_records: int) -> None:
    """Write records again and again, each time under another id."""
    with path.open("w", encoding="utf-8") as file:
        for number in range(n_records):
            record = {**some[number % len(some)], "trade_id": f"trade-{number}"}
            file.write(json.dumps(record, separators=(",", ":")) + "\n")


def plain_rows(path: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Read a file as one would write it down: one dictionary, one field after the other."""
    with path.open(encoding="utf-8") as file:
        rows = [row for line in file for row in _plain_rows(json.loads(line))]
    return np.array(rows)


def _plain_rows(record: Record) -> Iterator[list[float]]:
    used = record.get("exit_params_used") or record.get("exit_params") or {}
    items = json.loads(record.get("decision_history") or "[]")
    json.loads(record.get("unrealized_pnl_history") or "[]")
    for item in items or [{}]:
        previous = dict(zip(used, item["previous"], strict=True)) if item else used
        yield [_plain_value(one.name, one.group, record, item, previous) for one in FEATURES]


def _plain_value(name: str, group: str, record: Record, item: Record, used: Record) -> float:
    where, _, field = name.rpartition(".")
    if group == "exit_params":
        value = used.get(name)
    elif where == "market_state":
        value = (item or record)["market_state"].get(field)
    elif where == "outcome":
        value = record["outcome"].get(field)
    elif where:
        value = len(record.get(where) or ())
    else:
        value = item.get(name, record.get(name))
    return float(value) if isinstance(value, int | float) else 0.0


def measure(kind: str, some: Sequence[Record], n_records: int, rounds: int) -> Speed:
    """Time both readers on records of one kind."""
    with tempfile.TemporaryDirectory() as folder:
        path, rejected = Path(folder) / "experiences.jsonl", Path(folder) / "rejected.jsonl"
        write(path, [KINDS[kind](record) for record in some], n_records)
        speed = Speed(n_records, 0, path.stat().st_size, [], [])
        n_rows = 0
        for _ in range(rounds):
            start_s = time.process_time()
            rows, report = read_decision_rows([path], rejected=rejected)
            speed.reader_s.append(time.process_time() - start_s)
            n_rows = len(rows.x_NF)
            if report.used != n_records or n_rows != _timed_plain(path, speed):
                raise RuntimeError(f"{kind}: {report.used} of {n_records} records were used")
    return Speed(n_records, n_rows, speed.n_bytes, speed.reader_s, speed.plain_s)


def _timed_plain(path: Path, speed: Speed) -> int:
    start_s = time.process_time()
    n_rows = len(plain_rows(path))
    speed.plain_s.append(time.process_time() - start_s)
    return n_rows


def _run(n_records: int, rounds: int) -> dict[str, Speed]:
    some = some_experiences()
    # What compiling takes is not counted.
    measure("132 and histories", some, len(some), 1)
    return {kind: measure(kind, some, n_records, rounds) for kind in KINDS}


def page(speeds: dict[str, Speed]) -> str:
    """Return all of it as text."""
    lines = [
        f"{'records':<20}{'bytes each':>12}{'rows each':>11}{'us each':>9}{'MB/s':>7}"
        f"{'s for 100,000':>15}   the plain walk takes so many times as long"
    ]
    for kind, one in speeds.items():
        middle_s = statistics.median(one.reader_s)
        ratios = sorted(one.ratios)
        lines.append(
            f"{kind:<20}{one.n_bytes / one.n_records:>12,.0f}{one.n_rows / one.n_records:>11.2f}"
            f"{1e6 * middle_s / one.n_records:>9.1f}{one.n_bytes / middle_s / 1e6:>7.0f}"
            f"{1e5 * middle_s / one.n_records:>15.1f}   {statistics.median(ratios):.2f} "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experience_speed", description=__doc__
    )
    parser.add_argument("--records", type=int, default=RECORDS, help="of each kind")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    given = parser.parse_args(arguments)
    with one_core_pool(1) as pool:
        speeds = pool.submit(_run, given.records, given.rounds).result()
    sys.stdout.write(page(speeds))
    write_json_atomically(given.output, {kind: asdict(one) for kind, one in speeds.items()})
    sys.stdout.write(f"{given.output}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
