"""The replay beside backtesting.py and vectorbt: the same bars, signals, stop and target.

``python -m benchmarks.replay_speed`` takes a random walk of 50,000 and of 500,000 bars; ``--data
FOLDER`` a price file of yours first. Contenders take turns in one process of one thread; each of
the times is the median of a few. Trades are compared one by one, where fill rules allow: the same
signals are left to all, those in which another rule than stop and target has a say are left out.
What compiling takes is told apart.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.honesty.runner import one_core_pool
from benchmarks.replay.cases import (
    Case,
    case,
    from_file,
    settled,
    walk,
    without_signals_at_exits,
)
from benchmarks.replay.contenders import (
    ALL_RULES,
    BACKTESTING,
    INSTALL,
    PLAIN,
    VECTORBT,
    Contender,
    assay_plain,
    contenders,
    installed,
    vectorbt,
)
from benchmarks.replay.trades import Compared, Trades, compared
from market.bars import Bars
from selection.atomic import write_json_atomically

OUTPUT = Path("runs/bench/replay_speed.json")
SIZES, ROUNDS = (50_000, 500_000), 7
# A turn lasts at least about so long: a stray interrupt is small beside it.
TURN_S = 0.25
FIRST_CALL, FIRST_CALL_BARS = "first-call", 2_000

Seconds = dict[str, float]


@dataclass(frozen=True, slots=True)
class Speed:
    """What one contender takes for one case, in CPU seconds.

    Attributes
    ----------
    seconds, loop_seconds : list of float
        Of each round: a whole call, and its loop over bars alone.
    n_trades : int
        Closed ones.
    """

    seconds: list[float]
    loop_seconds: list[float]
    n_trades: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One case.

    Attributes
    ----------
    name : str
    n_bars, n_drawn, n_signals : int
        Signals that were drawn, and those left where stop and target alone decide.
    risk : float
        Distance of the stop, in price units.
    speeds : dict of str to Speed
    compared : dict of str to Compared
        Trades of the replay with stop and target, and those of each package.
    """

    name: str
    n_bars: int
    n_drawn: int
    n_signals: int
    risk: float
    speeds: dict[str, Speed]
    compared: dict[str, Compared]


def measure(name: str, bars: Bars, packages: Mapping[str, str], *, rounds: int) -> Measured:
    """Time all contenders on some bars and compare their trades."""
    drawn = case(name, bars)
    one = settled(drawn, _replayed)
    found = contenders(one, packages)
    speeds, trades = _timed(found, rounds)
    compares = {package: compared(trades[PLAIN], trades[package]) for package in packages}
    if VECTORBT in packages:
        spaced = without_signals_at_exits(one, _replayed)
        theirs = vectorbt(spaced)
        compares[SPACED] = compared(_replayed(spaced), theirs.trades(theirs.call()))
    n_drawn, n_signals = (int(np.count_nonzero(each.signal_T)) for each in (drawn, one))
    return Measured(name, len(bars), n_drawn, n_signals, one.risk, speeds, compares)


SPACED = f"{VECTORBT}, without signals at the close of a bar in which a trade has ended"


def _replayed(one: Case) -> Trades:
    contender = assay_plain(one)
    return contender.trades(contender.call())


def _timed(
    found: Mapping[str, Contender], rounds: int
) -> tuple[dict[str, Speed], dict[str, Trades]]:
    """Let contenders take turns; the first call of each, which compiles, does not count."""
    trades = {name: one.trades(one.call()) for name, one in found.items()}
    speeds = {name: Speed([], [], len(trades[name])) for name in found}
    repeats = {name: max(1, round(TURN_S / _turn(one, 1)[0])) for name, one in found.items()}
    for _ in range(rounds):
        for name, one in found.items():
            whole_s, loop_s = _turn(one, repeats[name])
            speeds[name].seconds.append(whole_s)
            speeds[name].loop_seconds.append(loop_s)
    return speeds, trades


def _turn(one: Contender, repeats: int) -> Sequence[float]:
    """Return the CPU seconds of a call and of its loop, means over some calls in a row."""
    with one.inner.timed() as loop_s:
        start_s = time.process_time()
        for _ in range(repeats):
            one.call()
        whole_s = time.process_time() - start_s
    return whole_s / repeats, loop_s[0] / repeats


def compile_seconds() -> dict[str, Seconds]:
    """Time the first calls of a new process: compiled (once), then loaded (in each process)."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.replay_speed", FIRST_CALL]
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        said = [
            subprocess.run(command, env=environment, capture_output=True, check=True)  # noqa: S603
            for _ in range(2)
        ]
    return dict(zip(("compiled", "loaded"), (json.loads(one.stdout) for one in said), strict=True))


def _first_call() -> int:
    one = case("first call", walk(FIRST_CALL_BARS))
    taken = {}
    for name, contender in contenders(one, installed()).items():
        start_s = time.process_time()
        contender.call()
        taken[name] = time.process_time() - start_s
    sys.stdout.write(json.dumps(taken) + "\n")
    return 0


def page(
    measured: Sequence[Measured],
    packages: Mapping[str, str],
    compiling: Mapping[str, Seconds],
) -> str:
    """Return all of it as text."""
    lines = []
    for one in measured:
        lines += [
            f"{one.name}: {one.n_bars:,} bars, {one.n_signals:,} signals (of {one.n_drawn:,} drawn)"
            f", stop {one.risk:.5f} away",
            _HEADING,
            *(_line(name, one) for name in one.speeds),
            *_compared_lines(one.compared),
            "",
        ]
    for told, seconds in compiling.items():
        each = ", ".join(f"{name} {one_s:.1f}" for name, one_s in seconds.items() if one_s >= 0.05)
        lines.append(f"first call of a process, CPU s, {told}: {each or 'none above 0.05'}")
    lines.append(", ".join(f"{name} {version}" for name, version in packages.items()))
    missing = [name for name in (BACKTESTING, VECTORBT) if name not in packages]
    if missing:
        lines.append(f"{' and '.join(missing)} not installed, left out: {INSTALL}")
    return "\n".join(lines) + "\n"


_HEADING = (
    f"  {'':<24}{'bars/s':>12}{'CPU ms':>10}{'  least to most':<16}{'loop alone, ms':>15}"
    f"{'trades':>8}   {PLAIN} is so much faster; {ALL_RULES.removeprefix('assay, ')}"
)


def _line(name: str, one: Measured) -> str:
    speed = one.speeds[name]
    middle_s = statistics.median(speed.seconds)
    span = f"  {1e3 * min(speed.seconds):,.0f} to {1e3 * max(speed.seconds):,.0f}"
    faster = ""
    if name not in (PLAIN, ALL_RULES):
        plain, everything = (ratio(one, name, ours) for ours in (PLAIN, ALL_RULES))
        faster = f"   {_times(plain)}; {_times(everything)}"
    return (
        f"  {name:<24}{one.n_bars / middle_s:>12,.0f}{1e3 * middle_s:>10,.1f}{span:<16}"
        f"{1e3 * statistics.median(speed.loop_seconds):>15,.1f}{speed.n_trades:>8,}{faster}"
    )


def ratio(one: Measured, theirs: str, ours: str) -> list[float]:
    """Return how many times our time a package takes: median, least and most of the rounds."""
    pairs = zip(one.speeds[theirs].seconds, one.speeds[ours].seconds, strict=True)
    found = sorted(their_s / our_s for their_s, our_s in pairs)
    return [statistics.median(found), found[0], found[-1]]


def _times(found: Sequence[float]) -> str:
    digits = 0 if found[0] >= 10 else 2
    middle, least, most = (f"{each:.{digits}f}" for each in found)
    return f"{middle} times ({least} to {most})"


def _compared_lines(found: Mapping[str, Compared]) -> list[str]:
    lines = []
    for name, one in found.items():
        lines.append(f"  trades beside {name}: {one.equal:,} equal, {one.unequal:,} not")
        told = {
            "differ in": one.different,
            f"ours alone, {name.split(',')[0]}": one.only_ours,
            "theirs alone, the replay": one.only_theirs,
        }
        lines += [
            f"    {count:,} {what} {why}"
            for what, counts in told.items()
            for why, count in counts.items()
        ]
    return lines


def _run(given: argparse.Namespace) -> tuple[list[Measured], dict[str, str]]:
    packages = installed()
    histories = {} if given.data is None else {given.symbol: from_file(given.data, given.symbol)}
    histories |= {f"random walk of {size:,}": walk(size) for size in given.bars}
    return [
        measure(name, bars, packages, rounds=given.rounds) for name, bars in histories.items()
    ], packages


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay_speed", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("run", FIRST_CALL), default="run")
    parser.add_argument("--data", type=Path, help="a folder of price files of yours")
    parser.add_argument("--symbol", default="EURUSD", help="the one to take")
    parser.add_argument("--bars", type=int, nargs="*", default=SIZES, help="of the random walks")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    given = parser.parse_args(arguments)
    if given.command == FIRST_CALL:
        return _first_call()
    with one_core_pool(1) as pool:
        measured, packages = pool.submit(_run, given).result()
        compiling = compile_seconds()
    sys.stdout.write(page(measured, packages, compiling))
    record: dict[str, Any] = {
        "measured": [asdict(one) for one in measured],
        "packages": packages,
        "first_call_s": compiling,
    }
    write_json_atomically(given.output, record)
    sys.stdout.write(f"{given.output}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
