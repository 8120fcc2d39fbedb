"""One exit decision on one core, beside plain PyTorch; and a replay that asks at every interval.

``python -m benchmarks.exit_decision`` times 208 raw features to 132 parameters in real units, for
one decision and for eleven at once: the model alone, the ladder around it as a replay asks it, and
the same arithmetic in PyTorch (eager, inference mode, float32, one thread). Contenders take turns
in one process of one thread. Then a replay of a random walk: with the defaults, which nobody is
asked for, and with a model that is asked and answers the defaults, so that trades are the same and
the difference is what asking takes, the 208 features included. ``--model FOLDER`` takes an exit
model of yours; the other has random weights, which takes as long.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backtest.costs import Account, Costs, ExitSettings
from backtest.markets import Market
from backtest.replay import replay
from benchmarks.exit_contenders import (
    ALONE,
    EAGER,
    LADDER,
    Decide,
    askings,
    contenders,
    drawn_model,
    drawn_rows,
)
from benchmarks.honesty.runner import one_core_pool
from benchmarks.replay.cases import case, walk
from exits.exit_model import ExitModel, load_exit_model
from exits.ladder import Ladder, LocalNeuralNetwork
from exits.policy import Asked, Decided, Defaults, ExitPolicy
from selection.atomic import write_json_atomically

OUT = Path("runs/bench/exit_decision.json")
BATCHES, N_ROWS = (1, 11), 275
CALLS, ROUNDS, TURN_CALLS = 20_000, 10, 200
BARS, REPLAY_ROUNDS = 100_000, 5
# Between ours and PyTorch's answers: sums in another order.
CLOSE = 1e-4


@dataclass(frozen=True, slots=True)
class Timed:
    """What one contender takes for a call, in microseconds.

    Attributes
    ----------
    p50_us, p99_us : float
        Over all calls.
    rounds_us : list of float
        Medians of each round.
    """

    p50_us: float
    p99_us: float
    rounds_us: list[float]


@dataclass(frozen=True, slots=True)
class Asking:
    """What asking at every interval takes in a replay, in CPU seconds by round.

    Attributes
    ----------
    n_bars, n_trades, n_asked : int
        Entries that were then dropped are asked about too.
    defaults_s, asked_s : list of float
    """

    n_bars: int
    n_trades: int
    n_asked: int
    defaults_s: list[float]
    asked_s: list[float]


def timed(
    found: Mapping[str, Decide], asked: Sequence[Sequence[Asked]], *, calls: int, rounds: int
) -> dict[str, Timed]:
    """Let contenders take turns over the same batches, each call timed by itself."""
    spent_us: dict[str, list[list[float]]] = {name: [] for name in found}
    turns = max(1, round(calls / rounds / TURN_CALLS))
    for decide in found.values():
        for batch in asked:
            decide(batch)
    for _ in range(rounds):
        for each in spent_us.values():
            each.append([])
        for turn in range(turns):
            for name, decide in found.items():
                _take_turn(decide, asked, turn * TURN_CALLS, spent_us[name][-1])
    return {name: _summed(each) for name, each in spent_us.items()}


def _take_turn(
    decide: Decide, asked: Sequence[Sequence[Asked]], first: int, spent_us: list[float]
) -> None:
    for call in range(first, first + TURN_CALLS):
        batch = asked[call % len(asked)]
        start_ns = time.perf_counter_ns()
        decide(batch)
        spent_us.append((time.perf_counter_ns() - start_ns) / 1e3)


def _summed(rounds_us: Sequence[Sequence[float]]) -> Timed:
    p50_us, p99_us = np.percentile(np.concatenate(rounds_us), [50, 99])
    return Timed(float(p50_us), float(p99_us), [statistics.median(one) for one in rounds_us])


def ratio(found: Mapping[str, Timed], ours: str) -> list[float]:
    """Return how many times our time PyTorch takes: median, least and most of the rounds."""
    pairs = zip(found[EAGER].rounds_us, found[ours].rounds_us, strict=True)
    each = sorted(their_us / our_us for their_us, our_us in pairs)
    return [statistics.median(each), each[0], each[-1]]


def decisions(model: ExitModel, *, calls: int, rounds: int) -> dict[str, dict[str, Timed]]:
    """Time all contenders for each size of batch.

    Raises
    ------
    ValueError
        If they do not answer the same.
    """
    asked = askings(drawn_rows(N_ROWS))
    found = contenders(model)
    check_same(found, asked)
    timings = {}
    for size in BATCHES:
        batches = [asked[k : k + size] for k in range(0, N_ROWS - size + 1, size)]
        timings[str(size)] = timed(found, batches, calls=calls, rounds=rounds)
    return timings


def check_same(found: Mapping[str, Decide], asked: Sequence[Asked]) -> None:
    """Raise ValueError if contenders differ by more than rounding."""
    answers = {name: decide(asked) for name, decide in found.items()}
    span_P = np.ptp(answers[EAGER], axis=0) + 1e-9
    for name, values_KP in answers.items():
        # Where it is rounded, a whole number may fall on either side of a half.
        off_KP = np.abs(values_KP - answers[EAGER]) / span_P > CLOSE
        if off_KP.mean() > CLOSE:
            raise ValueError(f"{name} answers other than {EAGER}: {off_KP.sum()} numbers differ")


def replays(*, n_bars: int, rounds: int) -> Asking:
    """Time a replay with nobody asked, and with a model asked that answers the same.

    Raises
    ------
    ValueError
        If trades differ.
    """
    drawn = case("walk", walk(n_bars))
    confidence_T = np.where(drawn.signal_T != 0, 0.6, np.nan)
    asked: ExitPolicy = Ladder([LocalNeuralNetwork(drawn_model(identified=False))])

    def traded(policy: ExitPolicy) -> Any:
        market = Market(
            symbol=drawn.bars.symbol,
            bars=drawn.bars,
            signal_T=drawn.signal_T,
            confidence_T=confidence_T,
            threshold=0.5,
            tick_size=None,
        )
        return replay([market], policy, exits=ExitSettings(), costs=_NO_COSTS, account=Account())

    first, second = traded(Defaults()), traded(asked)
    if not first.trades.drop(_SOURCE).equals(second.trades.drop(_SOURCE)):
        raise ValueError("a model that answers the defaults trades otherwise than the defaults")
    spent_s: list[list[float]] = [[], []]
    for _ in range(rounds):
        for policy, each in zip((Defaults(), asked), spent_s, strict=True):
            start_s = time.process_time()
            traded(policy)
            each.append(time.process_time() - start_s)
    n_asked = _count(asked, traded)
    return Asking(n_bars, second.trades.height, n_asked, *spent_s)


def _count(policy: ExitPolicy, traded: Callable[[ExitPolicy], Any]) -> int:
    """Return how many decisions a replay asks for."""
    counted = Counted(policy)
    traded(counted)
    return counted.n_asked


class Counted:
    """A policy, and how often it was asked."""

    def __init__(self, policy: ExitPolicy) -> None:
        self.name, self.fixed_P = policy.name, policy.fixed_P
        self.reads_state = policy.reads_state
        self._policy = policy
        self.n_asked = 0

    def decide(self, asked: Sequence[Asked]) -> Decided:
        """Pass it on."""
        self.n_asked += len(asked)
        return self._policy.decide(asked)


_SOURCE = "prediction_source"
_NO_COSTS = Costs(spread_atr=0.0, commission_atr=0.0, slippage_atr=0.0)


def page(timings: Mapping[str, Mapping[str, Timed]], asking: Asking | None) -> str:
    """Return all of it as text."""
    lines = []
    for size, found in timings.items():
        lines += [
            f"decisions at once: {size}",
            f"  {'':<20}{'p50 us':>9}{'p99 us':>9}   rounds, us         beside {EAGER}",
            *(_line(name, found) for name in found),
            "",
        ]
    if asking is not None:
        lines += _asking_lines(asking)
    return "\n".join(lines) + "\n"


def _line(name: str, found: Mapping[str, Timed]) -> str:
    one = found[name]
    span = f"{min(one.rounds_us):.1f} to {max(one.rounds_us):.1f}"
    faster = ""
    if name in (ALONE, LADDER):
        middle, least, most = ratio(found, name)
        faster = f"{middle:.1f} times as fast ({least:.1f} to {most:.1f})"
    return f"  {name:<20}{one.p50_us:>9.1f}{one.p99_us:>9.1f}   {span:<19}{faster}".rstrip()


def _asking_lines(one: Asking) -> list[str]:
    extra = sorted(
        1e6 * (asked_s - plain_s) / one.n_asked
        for plain_s, asked_s in zip(one.defaults_s, one.asked_s, strict=True)
    )
    lines = [f"replay of {one.n_bars:,} bars, {one.n_trades:,} trades, {one.n_asked:,} askings"]
    for name, each in (("nobody asked", one.defaults_s), ("the net asked", one.asked_s)):
        rates = sorted(one.n_bars / seconds for seconds in each)
        lines.append(
            f"  {name:<14}{statistics.median(rates):>12,.0f} bars/s"
            f" ({rates[0]:,.0f} to {rates[-1]:,.0f})"
        )
    lines.append(
        f"  an asking takes {statistics.median(extra):.1f} us there"
        f" ({extra[0]:.1f} to {extra[-1]:.1f}), from bar and position to parameters in force"
    )
    return lines


def _run(given: argparse.Namespace) -> tuple[dict[str, dict[str, Timed]], Asking | None]:
    import torch

    torch.set_num_threads(1)
    model = drawn_model() if given.model is None else load_exit_model(given.model)
    timings = decisions(model, calls=given.calls, rounds=ROUNDS)
    asking = replays(n_bars=given.bars, rounds=REPLAY_ROUNDS) if given.bars else None
    return timings, asking


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exit_decision", description=__doc__)
    parser.add_argument("--model", type=Path, help="folder of an exit model of yours")
    parser.add_argument("--calls", type=int, default=CALLS, help="of each contender and batch")
    parser.add_argument("--bars", type=int, default=BARS, help="of the replay; 0 leaves it out")
    parser.add_argument("--output", type=Path, default=OUT)
    given = parser.parse_args(arguments)
    with one_core_pool(1) as pool:
        timings, asking = pool.submit(_run, given).result()
    sys.stdout.write(page(timings, asking))
    record = {
        "decisions": {
            size: {name: asdict(one) for name, one in found.items()}
            for size, found in timings.items()
        },
        "ratios": {
            f"{size}.{name}": ratio(found, name)
            for size, found in timings.items()
            for name in (ALONE, LADDER)
        },
        "replay": None if asking is None else asdict(asking),
    }
    write_json_atomically(given.output, record)
    sys.stdout.write(f"{given.output}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
