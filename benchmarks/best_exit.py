"""What the best exit of the simulated market is worth beside simple exits: docs/best_exit.md.

``python -m benchmarks.best_exit`` learns the rules and values them on other seeds, for three
strengths of the edge; some ten minutes on one core. ``--richer`` learns one rule again from more
data, with finer tables and for longer, and tells what that adds. Each R is the trade's own initial
stop; means are taken of gains less what nobody could foresee, and their standard errors over
symbols and seeds, which are independent. ``--bound`` tells above what no exit can come.

Axes: N entries, M markets, A orders, Z and Y nodes, K factors.
"""

import argparse
import itertools
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import yaml

from benchmarks.best_exit_bound import upper_bounds
from market.bars import FloatArray
from market.best_exit import DEFAULT_STOP_ATR, STOPS_ATR, WAYS, WORSE_FILL_ATR, best_exit
from market.best_exit_rule import LONGEST_TRADE_BARS, ExitRule, Path, Size, Way, path_of, played
from market.compiled import IndexArray
from market.events import SmcEvents
from market.features.smc import SmcFeatures
from market.labels import TripleBarrier
from market.simulate import SYMBOLS, SimulatedMarket, Simulation
from market.simulate_kernels import STEPS_PER_BAR
from selection.atomic import write_json_atomically

CONF = FilePath(__file__).parents[1] / "conf"
OUTPUT = FilePath("runs/bench/best_exit.json")
EDGES, FIRST_SEED, N_SEEDS, N_BARS = (0.15, 0.3, 0.0), 50, 2, 100_000
CONTRARIAN_STATE = 0.4
BOUND_STOPS, N_BOUND, N_PAIRS = (0.75, DEFAULT_STOP_ATR, 5.0), 100, 300
HOURS, LIMITS = (6, 12, 24, 48, 96), (0.0, 0.2, 0.4, 0.6, 0.8)
BARRIER = TripleBarrier(profit_atr=2.0, stop_atr=2.0, max_bars=48)
# Mean of what a walk of normal steps jumps beyond a far level, in steps' volatilities (Siegmund,
# Sequential Analysis, 1985, chapter 10).
OVERSHOOT = 0.5826


@dataclass(frozen=True, slots=True)
class Entries:
    """One market's entries, and what they are played on."""

    path: Path
    simulation: Simulation
    bar_N: IndexArray
    side_N: FloatArray


@dataclass(frozen=True, slots=True)
class Worth:
    """Mean net gain of one exit, by R and by ATR of the signal bar, with standard errors."""

    r: float
    r_error: float
    atr: float
    atr_error: float
    bars: float
    stopped: float
    n: int


# Of one market: net R, net ATR, bars held, stopped.
Outcome = tuple[FloatArray, FloatArray, FloatArray, FloatArray]
Exit = Callable[[Entries], Outcome]


def declared(name: str) -> dict[str, Any]:
    """Return what an option of the configuration declares, without its kind."""
    keys: dict[str, Any] = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    return {key: value for key, value in keys.items() if key != "kind"}


def costs_atr() -> float:
    """Return the cost of a round trip that is declared."""
    return float(sum(declared("costs/fx").values()))


def markets(edge: float, n_bars: int, n_seeds: int) -> list[Entries]:
    """Return every event of every symbol, but for the last ones, whose trades may not end."""
    features, events = SmcFeatures(**declared("features/smc")), SmcEvents(**declared("events/smc"))
    market, found = SimulatedMarket(n_bars=n_bars, edge=edge), []
    for seed in range(FIRST_SEED, FIRST_SEED + n_seeds):
        for symbol in SYMBOLS:
            simulation = market.simulate(symbol, seed)
            bar_N, direction_N = events.find(features.state(simulation.bars))
            early_N = bar_N < n_bars - LONGEST_TRADE_BARS
            found.append(
                Entries(
                    path_of(simulation),
                    simulation,
                    bar_N[early_N],
                    direction_N[early_N].astype(np.float64),
                )
            )
    return found


def contrarian(entries: Entries) -> Entries:
    """Return the entries towards which the state pulls."""
    pull_N = entries.side_N * entries.path.price_TC[entries.bar_N, 4]
    kept_N = np.tanh(pull_N) > CONTRARIAN_STATE
    return replace(entries, bar_N=entries.bar_N[kept_N], side_N=entries.side_N[kept_N])


def best(name: str, edge: float, stops_atr: tuple[float, ...], size: Size) -> Exit:
    """Return the best exit of a way."""
    learnt = best_exit(WAYS[name], edge, stops_atr=stops_atr, size=size)

    def outcome(one: Entries) -> Outcome:
        done = learnt.trades(one.path, one.bar_N, one.side_N, costs_atr())
        return (
            done.steady_r_N,
            done.steady_r_N * done.stop_atr_N,
            (done.exit_bar_N - one.bar_N).astype(np.float64),
            done.stopped_N.astype(np.float64),
        )

    return outcome


def time_exit(bars: int, stop_atr: float) -> Exit:
    """Return "leave after so many bars"."""
    return _fixed(
        _rule(Way(holds=(0, bars)), np.array((-1.0, -1.0)), np.array((0.0, 1.0))), stop_atr
    )


def limit_exit(limit: float, stop_atr: float) -> Exit:
    """Return "leave when the state is against the trade by more than a limit"."""
    pull_Z = np.array((-3.0, 3.0))
    return _fixed(_rule(Way(), pull_Z + math.atanh(limit), pull_Z), stop_atr)


def _rule(way: Way, value_Z: FloatArray, pull_Z: FloatArray) -> ExitRule:
    table_AZYK = np.zeros((2, len(pull_Z), 2, 1))
    table_AZYK[1] = value_Z[:, None, None]
    return ExitRule(way, table_AZYK, pull_Z, np.array((0.0, 1.0)))


def _fixed(rule: ExitRule, stop_atr: float) -> Exit:
    def outcome(one: Entries) -> Outcome:
        path = replace(one.path, factor_TK=np.ones((len(one.path.atr_T), 1)))
        atr_N, first_N = path.atr_T[one.bar_N], np.ones(len(one.bar_N), dtype=np.int64)
        risk_N = (stop_atr - WORSE_FILL_ATR) * atr_N
        done = played(rule, path, one.bar_N, one.side_N, risk_N, 0.0 * atr_N, first_N)
        net_N = done.foreseen_N / atr_N - costs_atr()
        held_N = (done.end_bar_N + ~done.stopped_N - one.bar_N).astype(np.float64)
        return net_N / stop_atr, net_N, held_N, done.stopped_N.astype(np.float64)

    return outcome


def barrier_exit(one: Entries) -> Outcome:
    """Hold to the barriers of the labels; R is their stop."""
    path, bar_N, side_N = one.path, one.bar_N, one.side_N
    labels = BARRIER.label(one.simulation.bars, path.atr_T, bar_N, side_N.astype(np.int8))
    atr_N, close_T = path.atr_T[bar_N], path.price_TC[:, 2]
    move_N = side_N * (close_T[labels.end_bar_N] - close_T[bar_N])
    reached_N = np.where(labels.label_N == 1, BARRIER.profit_atr, -BARRIER.stop_atr) * atr_N
    known_T = np.cumsum(path.price_TC[:, 3])
    foreseen_N = side_N * (known_T[labels.end_bar_N] - known_T[bar_N])
    foreseen_N += np.where(labels.timed_out_N, 0.0, reached_N - move_N)
    net_N = foreseen_N / atr_N - costs_atr()
    stopped_N = (labels.label_N == 0) & ~labels.timed_out_N
    held_N = (labels.end_bar_N - bar_N).astype(np.float64)
    return net_N / BARRIER.stop_atr, net_N, held_N, stopped_N.astype(np.float64)


def worth(leave: Exit, found: Iterable[Entries]) -> Worth:
    """Value an exit on all markets."""
    outcomes = [leave(one) for one in found]
    r, atr = (_mean_and_error([one[k] for one in outcomes]) for k in (0, 1))
    bars, stopped = (float(np.mean(np.concatenate([one[k] for one in outcomes]))) for k in (2, 3))
    return Worth(*r, *atr, bars, stopped, sum(len(one[0]) for one in outcomes))


def _mean_and_error(parts: list[FloatArray]) -> tuple[float, float]:
    """Return the mean over entries, and its error from how the markets' sums differ."""
    sum_M = np.array([part.sum() for part in parts])
    n_M = np.array([len(part) for part in parts])
    mean = sum_M.sum() / n_M.sum()
    spread = np.sqrt(np.sum((sum_M - mean * n_M) ** 2) * len(parts) / max(len(parts) - 1, 1))
    return float(mean), float(spread / n_M.sum())


def gift(found: Iterable[Entries], stop_atr: float) -> tuple[float, float]:
    """Return what a stop fills better than the next step's price: measured, and by theory; in ATR.

    Measured on trades that have no other exit, in the foreseen part of their gains.
    """
    rule = _rule(Way(holds=(0, LONGEST_TRADE_BARS)), np.array((-1.0, -1.0)), np.array((0.0, 1.0)))
    measured, expected = [], []
    for one in found:
        path = replace(one.path, factor_TK=np.ones((len(one.path.atr_T), 1)))
        atr_N, first_N = path.atr_T[one.bar_N], np.ones(len(one.bar_N), dtype=np.int64)
        done = played(rule, path, one.bar_N, one.side_N, stop_atr * atr_N, 0.0 * atr_N, first_N)
        hit_N = done.stopped_N
        step_N = one.simulation.sigma_T[done.end_bar_N] / math.sqrt(STEPS_PER_BAR)
        measured.append((done.foreseen_N / atr_N)[hit_N])
        expected.append((OVERSHOOT * step_N * path.price_TC[done.end_bar_N, 2] / atr_N)[hit_N])
    return float(np.mean(np.concatenate(measured))), float(np.mean(np.concatenate(expected)))


def exits(edge: float, size: Size) -> dict[str, Exit | list[Exit]]:
    """Return the exits of the table; of a list the best one counts."""
    default = (DEFAULT_STOP_ATR,)
    return {
        "hold to the barriers, 2 ATR each, 48 bars": barrier_exit,
        "best time exit, default stop": [time_exit(n, DEFAULT_STOP_ATR) for n in HOURS],
        "best time exit, best stop": [time_exit(n, stop) for n in HOURS for stop in STOPS_ATR],
        "best limit of the state, default stop": [limit_exit(b, DEFAULT_STOP_ATR) for b in LIMITS],
        "best limit of the state, best stop": [
            limit_exit(b, stop) for b in LIMITS for stop in STOPS_ATR
        ],
        "asked every 5 bars, default stop": best("asked", edge, default, size),
        "asked every 5 bars, stop chosen": best("asked", edge, STOPS_ATR, size),
        "**best exit, default stop**": best("kept", edge, default, size),
        "**best exit, stop chosen**": best("kept", edge, STOPS_ATR, size),
        "best exit, default stop, tightened": best("free", edge, default, size),
        "best exit, stop chosen, tightened": best("free", edge, STOPS_ATR, size),
        "best exit, stop chosen, watched at closes": best("watched", edge, STOPS_ATR, size),
    }


def table(edge: float, found: list[Entries], size: Size) -> dict[str, dict[str, Worth]]:
    """Value every exit on all events and on the contrarian ones."""
    kinds = {"events": found, "contrarian": [contrarian(one) for one in found]}
    rows: dict[str, dict[str, Worth]] = {}
    for name, leave in exits(edge, size).items():
        choices = leave if isinstance(leave, list) else [leave]
        rows[name] = {
            kind: max((worth(one, some) for one in choices), key=lambda value: value.r)
            for kind, some in kinds.items()
        }
    return rows


def page(edge: float, rows: Mapping[str, Mapping[str, Worth]]) -> str:
    """Return a table in Markdown."""
    n = next(iter(rows.values()))
    lines = [
        f"### Edge {edge}: {n['events'].n:,} events, {n['contrarian'].n:,} contrarian ones",
        "",
        "| exit | events: R | ATR | bars | contrarian: R | ATR | bars |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, kinds in rows.items():
        cells = [
            f"{one.r:+.4f} ± {one.r_error:.4f} | {one.atr:+.3f} ± {one.atr_error:.3f} "
            f"| {one.bars:.0f}"
            for one in (kinds["events"], kinds["contrarian"])
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def richer(edge: float, found: list[Entries]) -> str:
    """Return what rules learnt from more, with finer tables or for longer add."""
    plain = Size()
    sizes = {
        "three times the data": replace(plain, n_seeds=3),
        "twice the nodes of the pull": replace(plain, pull_Z=_finer(plain.pull_Z)),
        "twice the nodes of the room": replace(plain, room_Y=_finer(plain.room_Y)),
        "12 iterations": replace(plain, n_iterations=12),
    }
    lines = ["| learnt with | stop chosen: R | default stop: R |", "|---|---|---|"]
    stops = (STOPS_ATR, (DEFAULT_STOP_ATR,))
    base = [[best("kept", edge, some, plain)(one)[0] for one in found] for some in stops]
    for name, size in sizes.items():
        cells = []
        for some, before in zip(stops, base, strict=True):
            leave = best("kept", edge, some, size)
            added = [leave(one)[0] - old for one, old in zip(found, before, strict=True)]
            mean, error = _mean_and_error(added)
            cells.append(f"{mean:+.4f} ± {error:.4f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def bounds(edge: float, found: list[Entries]) -> str:
    """Return what the rule gains, and above what no exit comes that keeps its stop.

    The bound is taken on some entries only, as what it lies above the rule's own expectation.
    """
    rng = np.random.default_rng(FIRST_SEED)
    lines = ["| entries | stop, ATR | attained, R | at most, R |", "|---|---|---|---|"]
    for kind, some in (("events", found), ("contrarian", [contrarian(one) for one in found])):
        for stop in BOUND_STOPS:
            learnt = best_exit(WAYS["kept"], edge, stops_atr=(stop,))
            attained, expected, above = [], [], []
            for one in some:
                done = learnt.trades(one.path, one.bar_N, one.side_N, costs_atr())
                attained.append(done.steady_r_N)
                expected.append(done.expected_r_N)
                few_N = rng.permutation(len(one.bar_N))[:N_BOUND]
                bound_N = upper_bounds(
                    learnt, one.simulation, one.path, one.bar_N[few_N], one.side_N[few_N],
                    n_pairs=N_PAIRS, rng=rng,
                )  # fmt: skip
                above.append((bound_N - costs_atr()) / stop - done.expected_r_N[few_N])
            (gain, error), (promise, _) = _mean_and_error(attained), _mean_and_error(expected)
            more, more_error = _mean_and_error(above)
            lines.append(
                f"| {kind} | {stop} | {gain:+.4f} ± {error:.4f} "
                f"| {promise + more:+.4f} ± {more_error:.4f} |"
            )
    return "\n".join([*lines, ""])


def _finer(nodes: tuple[float, ...]) -> tuple[float, ...]:
    middle = [(low + high) / 2 for low, high in itertools.pairwise(nodes)]
    return tuple(sorted((*nodes, *middle)))


def main() -> None:
    """Print the tables, and write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edges", type=float, nargs="+", default=EDGES)
    parser.add_argument("--richer", action="store_true", help="what richer rules add")
    parser.add_argument("--bound", action="store_true", help="above what no exit can come")
    parser.add_argument("--bars", type=int, default=N_BARS, help="bars of each symbol")
    parser.add_argument("--seeds", type=int, default=N_SEEDS, help="seeds to value on")
    parser.add_argument("--output", type=FilePath, default=OUTPUT)
    arguments = parser.parse_args()
    record: dict[str, Any] = {}
    for edge in arguments.edges:
        found = markets(edge, arguments.bars, arguments.seeds)
        if arguments.richer or arguments.bound:
            _say(richer(edge, found) if arguments.richer else bounds(edge, found))
            continue
        rows = table(edge, found, Size())
        gifts = {stop: gift(found, stop) for stop in (0.75, 2.4)} if edge == 0 else {}
        for stop, (measured, theory) in gifts.items():
            _say(f"a stop of {stop} ATR fills better by {measured:.4f} ATR, theory {theory:.4f}")
        _say(page(edge, rows))
        record[str(edge)] = {
            name: {kind: asdict(one) for kind, one in kinds.items()} for name, kinds in rows.items()
        }
    if record:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomically(arguments.output, record)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
