"""The bench on the command line: ``python -m benchmarks.sweeping edge|noise|throughput|report``.

What is there already is not measured again; an interrupted part goes on where it was.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.sweeping.commands import CommandError
from benchmarks.sweeping.records import SweepRecords

OUT = Path("runs/bench/sweeping")
PARTS = ("edge", "noise", "throughput")
PAGE, FIGURES = "sweeping.md", "sweeping.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; return the exit code."""
    given = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = {"edge": edge, "noise": noise, "throughput": throughput, "report": report}[
            given.command
        ](given)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; what was measured is kept\n")
        return 130
    except CommandError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return code


def edge(given: argparse.Namespace) -> int:
    """Sweep markets with an edge, and hold what was found against the truth."""
    from benchmarks.sweeping.edge import SAMPLERS, Edge, measured, swept
    from market.simulate import SYMBOLS

    asked = Edge(
        models=tuple(given.models),
        symbols=tuple(SYMBOLS)[: given.symbols],
        n_bars=given.bars,
        n_fresh_bars=given.fresh_bars,
        edge=given.edge,
        n_trials=given.trials,
    )
    records = _records(given, "edge")
    for seed in range(given.seed, given.seed + given.seeds):
        done = {(key[0], key[1]) for key in records.of(asked.asked)}
        if {(seed, symbol) for symbol in asked.symbols} <= done:
            continue
        folders = {name: given.out / "sweeps" / asked.place(seed, name) for name in SAMPLERS}
        for name, folder in folders.items():
            _say(f"seed {seed}, {name}: ...")
            took = swept(asked, seed, name, folder, given.workers)
            _say(f"seed {seed}, {name}: {took or 'swept before'}")
        for symbol, model, found in measured(asked, seed, folders, given.workers):
            records.add(asked.asked, (seed, symbol, model), found)
            tuned = ", ".join(
                f"{name} {one['tuned']:.4f}" for name, one in found["samplers"].items()
            )
            _say(
                f"seed {seed}, {symbol} {model}: default {found['default']:.4f}, {tuned}, "
                f"attainable {found['attainable']:.4f}"
            )
    return report(given)


def noise(given: argparse.Namespace) -> int:
    """Sweep and train on noise; 1 where a run failed."""
    from benchmarks.sweeping.noise import Noise
    from benchmarks.sweeping.noise_runs import run_noise

    failures = run_noise(
        Noise(n_rows=given.rows, n_trials=given.trials),
        given.worlds,
        _records(given, "noise"),
        n_runs=given.runs,
        minutes=given.minutes,
        n_workers=given.workers,
        screen=sys.stdout,
    )
    return 1 if failures else report(given)


def throughput(given: argparse.Namespace) -> int:
    """Measure what a trial costs in the command, and bare."""
    from benchmarks.sweeping.throughput import Throughput, measured

    asked = Throughput(
        model=given.model,
        symbols=tuple(given.symbols),
        data=None if given.data is None else str(given.data.resolve()),
        n_bars=given.bars,
        tracking=given.tracking,
        workers=given.workers,
        short=given.short,
        long=given.long,
    )
    records = _records(given, "throughput")
    for repetition in range(given.repeats):
        for name, n_trials in asked.lengths.items():
            if (repetition, name) in records.of(asked.asked):
                continue
            found = measured(asked, n_trials, given.out / "logs")
            records.add(asked.asked, (repetition, name), found)
            _say(
                f"{found['trials']} trials: {found['sweep_cpu_s']:.1f} CPU s, "
                f"bare {found['bare_cpu_s']:.1f}"
            )
    return report(given)


def report(given: argparse.Namespace) -> int:
    """Print and write what is there; 1 if there is nothing."""
    from benchmarks.sweeping.report import edge_page, noise_page, throughput_page
    from selection.atomic import write_bytes_atomically, write_json_atomically

    pages = dict(zip(PARTS, (edge_page, noise_page, throughput_page), strict=True))
    made = {
        name: [page(one) for one in _records(given, name).groups()] for name, page in pages.items()
    }
    text = "\n".join(words for ones in made.values() for words, _ in ones if words)
    if not text:
        sys.stderr.write(
            f"{given.out}: nothing measured yet; run edge, noise or throughput first\n"
        )
        return 1
    figures = {name: [figures for words, figures in ones if words] for name, ones in made.items()}
    write_bytes_atomically(given.out / PAGE, text.encode())
    write_json_atomically(given.out / FIGURES, figures)
    sys.stdout.write(f"{text}\n{given.out / PAGE}\n{given.out / FIGURES}\n")
    return 0


def _records(given: argparse.Namespace, part: str) -> SweepRecords:
    return SweepRecords(given.out / f"{part}.jsonl")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweeping", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, add in (("edge", _edge), ("noise", _noise), ("throughput", _throughput)):
        own = commands.add_parser(name)
        own.add_argument("--workers", type=_at_least_1, default=os.cpu_count() or 1)
        add(own)
    commands.add_parser("report", help="tables and words of what is there")
    for own in commands.choices.values():
        own.add_argument("--out", type=Path, default=OUT, help=f"folder, {OUT} by default")
    return parser


def _edge(own: argparse.ArgumentParser) -> None:
    own.description = "Sweep markets with an edge by TPE and by random search."
    own.add_argument("--models", nargs="+", default=["xgboost"])
    own.add_argument("--symbols", type=_at_least_1, default=11)
    own.add_argument("--seeds", type=_at_least_1, default=2, help="markets of each symbol")
    own.add_argument("--seed", type=int, default=7, help="the first")
    own.add_argument("--trials", type=_at_least_1, default=50, help="of each study")
    own.add_argument("--bars", type=_at_least_1, default=30_000)
    own.add_argument("--fresh-bars", type=_at_least_1, default=70_000)
    own.add_argument("--edge", type=float, default=0.15)


def _noise(own: argparse.ArgumentParser) -> None:
    own.description = "Sweep and train 11 symbols of noise, again and again."
    own.add_argument("--worlds", nargs="+", choices=("balanced", "overlapping"))
    own.set_defaults(worlds=["balanced", "overlapping"])
    own.add_argument("--runs", type=_at_least_1, default=100, help="of each world")
    own.add_argument("--minutes", type=float, help="begin no run after these")
    own.add_argument("--rows", type=_at_least_1, default=300)
    own.add_argument("--trials", type=_at_least_1, default=25, help="of each study")


def _throughput(own: argparse.ArgumentParser) -> None:
    own.description = "What a trial costs, in the command and in a bare loop."
    own.add_argument("--model", choices=("xgboost", "random_forest"), default="xgboost")
    own.add_argument("--symbols", nargs="+", default=["EURUSD"])
    own.add_argument("--data", type=Path, metavar="FOLDER", help="price files; simulated without")
    own.add_argument("--bars", type=_at_least_1, default=20_000, help="where simulated")
    own.add_argument("--tracking", choices=("sqlite", "none"), default="sqlite")
    own.add_argument("--short", type=_at_least_1, default=10, help="trials of the short sweep")
    own.add_argument("--long", type=_at_least_1, default=75, help="trials of the long one")
    own.add_argument("--repeats", type=_at_least_1, default=1)


def _at_least_1(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, was {value}")
    return value


if __name__ == "__main__":
    sys.exit(main())
