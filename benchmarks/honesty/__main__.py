"""The bench on the command line: ``python -m benchmarks.honesty run GRID...``, then ``report``."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.honesty.grids import GRIDS, jobs
from benchmarks.honesty.records import RunRecords
from benchmarks.honesty.report import markdown, summaries

OUT = Path("runs/honesty")
PAGE, PICTURE = "honesty.md", "honesty.png"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    given = _parser().parse_args(arguments)
    records = RunRecords(given.out)
    if given.command == "report":
        return report(records)
    return run(records, given)


def run(records: RunRecords, given: argparse.Namespace) -> int:
    """Simulate the runs of grids that are not there yet; 1 if any failed."""
    from benchmarks.honesty.runner import run_jobs

    wanted = [
        job
        for grid in dict.fromkeys(given.grids)
        for job in jobs(grid, seed=given.seed, most_runs=given.runs)
    ]
    failures = run_jobs(wanted, records, n_workers=given.workers, screen=sys.stdout)
    if failures:
        sys.stderr.write(
            f"{len(failures)} of {len(wanted)} runs failed, the first: {failures[0]}\n"
        )
    return 1 if failures else 0


def report(records: RunRecords) -> int:
    """Print and write the page, and draw the picture; 1 if there is nothing to report."""
    from benchmarks.honesty.figure import figure_png
    from selection.atomic import write_bytes_atomically

    found = [one for grid in GRIDS for one in summaries(grid, records.of(grid))]
    if not found:
        sys.stderr.write(f"{records.folder}: no finished run; run a grid first\n")
        return 1
    page = markdown(found)
    write_bytes_atomically(records.folder / PAGE, page.encode())
    write_bytes_atomically(records.folder / PICTURE, figure_png(found))
    sys.stdout.write(f"{page}\n{records.folder / PAGE}\n{records.folder / PICTURE}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.honesty", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="simulate the runs that are not there yet")
    running.add_argument("grids", nargs="+", choices=list(GRIDS), metavar="GRID")
    running.add_argument("--workers", type=_at_least_1, default=os.cpu_count() or 1)
    running.add_argument("--runs", type=_at_least_1, help="of each cell, at most")
    running.add_argument("--seed", type=int, help="in place of the grid's own")
    reporting = commands.add_parser("report", help="tables and a picture of what is there")
    for command in (running, reporting):
        command.add_argument("--out", type=Path, default=OUT, help=f"folder, {OUT} by default")
    return parser


def _at_least_1(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, was {value}")
    return value


if __name__ == "__main__":
    sys.exit(main())
