"""The bench on the command line: ``python -m benchmarks.training``, ``report`` or ``profile``.

``run`` (the default) puts the contenders side by side on the same rows and prints the table; what
is there already is not measured again. ``profile`` says where the time of Assay's command goes,
beside what the libraries alone take for the same work.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.training import tables
from benchmarks.training.modes import ASSAY, LOOPS, MODES, ModeError, measured, warm_up
from benchmarks.training.records import Records
from benchmarks.training.report import page
from benchmarks.training.work import Work, configured

OUT = Path("runs/bench/training")
RECORDS, PAGE = "records.jsonl", "training.md"
OVERRIDES = ("data=table", "data.dir=given", "regularize=reference", "augmentation=none")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for; return the exit code."""
    given = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        work, records = _work(given), Records(given.out / RECORDS)
        if given.command == "profile":
            from benchmarks.training.where_time_goes import profile

            n_floor = min(given.floor_symbols, given.symbols)
            return profile(work, records, given.processes, given.out, floor_symbols=n_floor)
        if given.command == "run":
            _run(work, records, given)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; what was measured is kept\n")
        return 130
    except (ModeError, tables.TooFewRowsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return _report(work, records, given)


def _work(given: argparse.Namespace) -> Work:
    asked = {"bars": given.data, "n_symbols": given.symbols, "n_rows": given.rows}
    folder = tables.place(given.out, **asked)
    digests = tables.written(folder, **asked)
    return configured(folder, digests, OVERRIDES, given.max_epochs)


def _run(work: Work, records: Records, given: argparse.Namespace) -> None:
    """Measure the contenders that have no record yet, one after another."""
    done = {} if given.again else records.of(work.digest)
    jobs = [
        (mode, repetition)
        for repetition in range(given.repeats)
        for mode in given.modes
        if (mode, repetition) not in done
    ]
    if any(mode in ASSAY for mode, _ in jobs):
        _say("compiling what is not compiled yet; not counted")
        warm_up(work, given.out / "logs")
    for mode, repetition in jobs:
        _say(f"{mode}: ...")
        record = measured(mode, work, given.processes, given.out / "logs")
        records.add({**record, "repetition": repetition})
        _say(f"{mode}: {record['cpu_s']:.1f} CPU s, {record['wall_s']:.1f} s")


def _report(work: Work, records: Records, given: argparse.Namespace) -> int:
    """Print and write the table; 1 if there is nothing to report."""
    from selection.atomic import write_bytes_atomically

    done = records.of(work.digest)
    order = (*LOOPS, *ASSAY)
    found = [done[key] for key in sorted(done, key=lambda key: (order.index(key[0]), key[1]))]
    if not found:
        sys.stderr.write(f"{records.path}: nothing measured on these rows yet; run first\n")
        return 1
    source = "simulated market" if given.data is None else "real hourly bars"
    text = page(found, n_rows=given.rows, source=source)
    write_bytes_atomically(given.out / PAGE, text.encode())
    sys.stdout.write(f"{text}\n{given.out / PAGE}\n")
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__)
    commands = ("run", "report", "profile")
    parser.add_argument("command", nargs="?", choices=commands, default="run")
    parser.add_argument("--data", metavar="FOLDER", help="price files; simulated without")
    parser.add_argument("--symbols", type=_at_least_1, default=11)
    parser.add_argument("--rows", type=_at_least_1, default=2000, help="labelled, per symbol")
    parser.add_argument("--processes", type=_at_least_1, default=2)
    parser.add_argument("--repeats", type=_at_least_1, default=1)
    parser.add_argument("--modes", nargs="+", choices=(*LOOPS, *ASSAY), default=MODES)
    parser.add_argument("--max-epochs", type=_at_least_1, help="of the nets, for a trial")
    parser.add_argument("--again", action="store_true", help="measure the modes anew")
    parser.add_argument("--floor-symbols", type=_at_least_1, default=2, help="of profile's floors")
    parser.add_argument("--out", type=Path, default=OUT, help=f"folder, {OUT} by default")
    return parser


def _at_least_1(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, was {value}")
    return value


if __name__ == "__main__":
    sys.exit(main())
