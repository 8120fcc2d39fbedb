"""Finished runs on disk: one line of JSON each, one file per grid."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.honesty.grids import Job

Record = Mapping[str, Any]
Key = tuple[str, str, int, int]


class RunRecords:
    """The finished runs of a folder.

    Parameters
    ----------
    folder : Path
        Made when the first run is added.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, grid: str) -> Path:
        """Return the file of a grid's runs."""
        return self.folder / f"{grid}.jsonl"

    def add(self, record: Record) -> None:
        """Append a finished run in one write; raises OSError where it cannot be written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.path(record["grid"])
        line = json.dumps(record, allow_nan=False, separators=(",", ":")) + "\n"
        with path.open("a+b") as file:
            # A line that was cut off by an interruption must not swallow this one.
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else f"\n{line}"
            file.write(line.encode())

    def of(self, grid: str) -> list[Record]:
        """Return the finished runs of a grid, each once; a line that was cut off is left out.

        Raises
        ------
        ValueError
            If a line is JSON but no record of that grid.
        """
        path = self.path(grid)
        if not path.exists():
            return []
        found: dict[Key, Record] = {}
        for number, record in _whole_lines(path):
            try:
                found[key_of(record)] = record
            except (KeyError, TypeError) as error:
                raise ValueError(f"{path}, line {number}: is no finished run: {error}") from error
        return list(found.values())

    def missing(self, jobs: Iterable[Job]) -> list[Job]:
        """Return the jobs that are not among the finished runs, in the order given."""
        jobs = list(jobs)
        done = {key_of(one) for grid in {job.grid for job in jobs} for one in self.of(grid)}
        return [job for job in jobs if job.key not in done]


def key_of(record: Record) -> Key:
    """Return what a record's job is known by."""
    return record["grid"], record["cell"], record["run"], record["seed"]


def _whole_lines(path: Path) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        try:
            yield number, json.loads(line)
        except ValueError:
            continue
