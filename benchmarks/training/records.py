"""Finished contenders on disk: one line of JSON each."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Record = Mapping[str, Any]


class Records:
    """The finished contenders of a file; a later record of the same one counts."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, record: Record) -> None:
        """Append one; raises OSError where it cannot be written."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(record, allow_nan=False, separators=(",", ":")) + "\n"
        with self.path.open("a+b") as file:
            # A line that was cut off by an interruption must not swallow this one.
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else f"\n{line}"
            file.write(line.encode())

    def of(self, work: str) -> dict[tuple[str, int], Record]:
        """Return the finished contenders of a piece of work, by mode and repetition."""
        found: dict[tuple[str, int], Record] = {}
        lines = self.path.read_bytes().split(b"\n") if self.path.exists() else []
        for line in lines:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if record["work"] == work:
                found[record["mode"], record["repetition"]] = record
        return found
