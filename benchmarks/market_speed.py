"""Our features beside those of smartmoneyconcepts, on the same bars, and what keeping them saves.

``python -m benchmarks.market_speed`` takes a simulated market; ``--data FOLDER`` a price file of
yours as well. CPU seconds are the least of a few runs that take turns. What both call by one name
is not always one thing: fair value gaps are, the others are compared as far as they go.

Axes: T bars.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from benchmarks.smart_money import INSTALL, PACKAGE, Side, ours, smart_money_concepts, theirs
from market.bar_files import BarFiles
from market.bars import Bars
from market.build import build_event_table
from market.events import SmcEvents
from market.features.smc import SmcFeatures
from market.labels import TripleBarrier
from market.simulate import SimulatedMarket
from market.source import read_symbol

CONF = Path(__file__).parents[1] / "conf"
OUTPUT = Path("runs/bench/market_speed.json")
SEED, N_BARS, REPEATS = 7, 80_000, 2
# Enough to call every kernel, too few to take time.
FIRST_CALL_BARS = 1_000
FIRST_CALL = "first-call"

Seconds = dict[str, float]


@dataclass(frozen=True, slots=True)
class Row:
    """What both do under one name.

    Attributes
    ----------
    name : str
    ours_s : float
        CPU seconds.
    theirs_s : float or None
        None without the package.
    ours, theirs, both : int or None
        Findings of each, and those that are the same bar in the same direction.
    """

    name: str
    ours_s: float
    theirs_s: float | None = None
    ours: int | None = None
    theirs: int | None = None
    both: int | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """One history of bars.

    Attributes
    ----------
    data : str
    n_bars : int
    rows : list of Row
        The last is everything together: our 57 features, events and labels beside their four.
    reading_s : dict of str to float
        CPU seconds of reading one symbol with features, labels and report: ``plain`` without a
        cache, ``first`` with an empty one, ``again`` with what the first has kept.
    """

    data: str
    n_bars: int
    rows: list[Row] = field(default_factory=list)
    reading_s: Seconds = field(default_factory=dict)


def definitions() -> dict[str, Any]:
    """Return features, events and labels as they are declared."""
    return {
        "features": SmcFeatures(**_declared("features/smc")),
        "events": SmcEvents(**_declared("events/smc")),
        "labels": TripleBarrier(**_declared("labels/triple_barrier")),
    }


def measure(bars: Bars, data: str, *, repeats: int) -> Measured:
    """Time each function of ours, and theirs where the package is there."""
    package = smart_money_concepts()
    others = {} if package is None else theirs(package, bars)
    rows = [_row(name, one, others.get(name), repeats) for name, one in ours(bars).items()]
    (everything_s,), _ = _timed([partial(build_event_table, bars, **definitions())], repeats)
    times = [row.theirs_s for row in rows if row.theirs_s is not None]
    rows.append(Row("everything", everything_s, sum(times) if times else None))
    return Measured(data, len(bars), rows)


def reading_seconds(open_source: Callable[[str | None], Any], symbol: str, repeats: int) -> Seconds:
    """Time reading a symbol plainly, for the first time with a cache, and again.

    Parameters
    ----------
    open_source : callable
        Takes the folder of the cache, or None.
    symbol : str
    repeats : int
    """
    taken = dict.fromkeys(("plain", "first", "again"), math.inf)
    made = definitions()
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            for name, cache in (("plain", None), ("first", folder), ("again", folder)):
                source = open_source(cache)
                read = partial(read_symbol, source, symbol, seed=SEED, **made)
                taken[name] = min(taken[name], *_timed([read], 1)[0])
    return taken


def kernel_seconds() -> Seconds:
    """Time the first table of a new process: kernels compiled (once), then loaded (each time)."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.market_speed", FIRST_CALL]
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        said = [
            subprocess.run(command, env=environment, capture_output=True, check=True)  # noqa: S603
            for _ in range(2)
        ]
    compiled, loaded = (float(one.stdout) for one in said)
    return {"compiled": compiled, "loaded": loaded}


def page(measured: Sequence[Measured], kernels: Mapping[str, float]) -> str:
    """Return the tables as text."""
    lines = []
    for one in measured:
        lines += [f"{one.data}, {one.n_bars:,} bars (CPU milliseconds)", _HEADING]
        lines += [_line(row) for row in one.rows]
        reading = one.reading_s
        lines += [
            f"one symbol read, with features, labels and report: {1e3 * reading['plain']:.1f} "
            f"plain, {1e3 * reading['first']:.1f} and kept, {1e3 * reading['again']:.1f} again",
            "",
        ]
    compiled, loaded = kernels["compiled"], kernels["loaded"]
    lines.append(f"kernels: {compiled:.1f} s to compile once, {loaded:.2f} s to load per process")
    if any(row.theirs_s is None for one in measured for row in one.rows):
        lines.append(f"{PACKAGE} is not installed, its column is left out: {INSTALL}")
    return "\n".join(lines) + "\n"


_HEADING = (
    f"{'':<16}{'ours':>9}{'theirs':>11}{'faster':>9}   "
    f"{'found by us':>11}{'by them':>9}{'by both':>9}"
)


def _line(row: Row) -> str:
    theirs = faster = "-"
    if row.theirs_s is not None:
        theirs, faster = f"{1e3 * row.theirs_s:,.1f}", f"{row.theirs_s / row.ours_s:,.0f}x"
    counts = ["" if n is None else f"{n:,}" for n in (row.ours, row.theirs, row.both)]
    return (
        f"{row.name.replace('_', ' '):<16}{1e3 * row.ours_s:>9.2f}{theirs:>11}{faster:>9}   "
        f"{counts[0]:>11}{counts[1]:>9}{counts[2]:>9}"
    ).rstrip()


def _row(name: str, one: Side, other: Side | None, repeats: int) -> Row:
    one.call()  # loads the kernels
    if other is None:
        (ours_s,), (mine,) = _timed([one.call], repeats)
        return Row(name, ours_s, ours=len(one.found(mine)))
    (ours_s, theirs_s), (mine, yours) = _timed([one.call, other.call], repeats)
    found, others = one.found(mine), other.found(yours)
    return Row(name, ours_s, theirs_s, len(found), len(others), len(found & others))


def _timed(calls: Sequence[Callable[[], Any]], repeats: int) -> tuple[list[float], list[Any]]:
    """Return the least CPU seconds of each call, and its last result; they take turns."""
    seconds, results = [math.inf] * len(calls), [None] * len(calls)
    for _ in range(repeats):
        for place, call in enumerate(calls):
            start_s = time.process_time()
            results[place] = call()
            seconds[place] = min(seconds[place], time.process_time() - start_s)
    return seconds, results


def _simulated(n_bars: int, symbol: str, repeats: int) -> Measured:
    def opened(cache: str | None) -> SimulatedMarket:
        return SimulatedMarket(n_bars=n_bars, edge=0.15, cache=cache)

    measured = measure(opened(None).bars(symbol, SEED), f"simulated {symbol}", repeats=repeats)
    return replace(measured, reading_s=reading_seconds(opened, symbol, repeats + 1))


def _file(folder: Path, symbol: str, repeats: int) -> Measured:
    def opened(cache: str | None) -> BarFiles:
        return BarFiles(**_declared("data/bars") | {"dir": str(folder), "cache": cache})

    bars, _ = opened(None).read(symbol)
    measured = measure(bars, f"{symbol} from {folder}", repeats=repeats)
    return replace(measured, reading_s=reading_seconds(opened, symbol, repeats + 1))


def _declared(name: str) -> dict[str, Any]:
    keys = yaml.safe_load((CONF / f"{name}.yaml").read_text(encoding="utf-8"))
    return {key: value for key, value in keys.items() if key != "kind"}


def _first_call() -> int:
    start_s = time.process_time()
    bars = SimulatedMarket(n_bars=FIRST_CALL_BARS, edge=0.15).bars("EURUSD", SEED)
    build_event_table(bars, **definitions())
    sys.stdout.write(f"{time.process_time() - start_s}\n")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.market_speed")
    parser.add_argument("command", nargs="?", choices=("run", FIRST_CALL), default="run")
    parser.add_argument("--data", type=Path, help="a folder of price files of yours")
    parser.add_argument("--symbol", default="EURUSD", help="the one to take")
    parser.add_argument("--bars", type=int, default=N_BARS, help="of the simulated market")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    given = parser.parse_args(arguments)
    if given.command == FIRST_CALL:
        return _first_call()
    measured = [_simulated(given.bars, given.symbol, given.repeats)]
    if given.data is not None:
        measured.append(_file(given.data, given.symbol, given.repeats))
    kernels = kernel_seconds()
    sys.stdout.write(page(measured, kernels))
    record = {"measured": [asdict(one) for one in measured], "kernels_s": kernels}
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
