"""What was measured, on disk: one line of JSON each, one file per part of the bench."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.training.records import Records

Key = tuple[str | int, ...]
Found = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Group:
    """All that was measured under the same options.

    Attributes
    ----------
    asked : dict
        The options.
    found : dict
        What was found, by the key of each measurement; a later one of the same key counts.
    """

    asked: dict[str, Any]
    found: dict[Key, Found] = field(default_factory=dict)


class SweepRecords:
    """The measurements of one part of the bench.

    Parameters
    ----------
    path : Path
        Made, with its folder, when the first one is added.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, asked: Mapping[str, Any], key: Key, found: Found) -> None:
        """Append one in a single write; raises OSError where it cannot be written."""
        Records(self.path).add({"asked": dict(asked), "key": list(key), "found": dict(found)})

    def groups(self) -> list[Group]:
        """Return what is there, by options, in the order in which each was first measured.

        A line that was cut off is left out.
        """
        groups: dict[str, Group] = {}
        lines = self.path.read_bytes().split(b"\n") if self.path.exists() else []
        for line in lines:
            try:
                one = json.loads(line)
            except ValueError:
                continue
            named = json.dumps(one["asked"], sort_keys=True)
            group = groups.setdefault(named, Group(one["asked"]))
            group.found[tuple(one["key"])] = one["found"]
        return list(groups.values())

    def of(self, asked: Mapping[str, Any]) -> dict[Key, Found]:
        """Return what was measured under these options."""
        own = json.loads(json.dumps(dict(asked)))
        return next((group.found for group in self.groups() if group.asked == own), {})
