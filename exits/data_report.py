"""What was read of files of experiences, and what was not: counts that a reader can act on."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

# So many different unknown words are told one by one; a broken file may hold any number.
_MOST: Final = 100


@dataclass(slots=True)
class DataReport:
    """Counts over all files.

    Attributes
    ----------
    files : dict of str to dict of str to int
        Records, used ones, rejected ones and duplicates of each file.
    rejected : counter of str
        Records set aside, by reason.
    missing : counter of str
        Fields that used records, or items of their histories, did not hold or held as NaN or
        infinity: they have the neutral value of the feature table.
    unknown : counter of (str, str)
        Field and value of categories that the table does not know: they are its ``other``.
    unusable : counter of str
        Histories that could not be used, by reason: the rest of the record was.
    generations : counter of int
        Used records by how many of the 132 parameters they hold.
    rows : counter of int
        Decisions by their number: 0 is that of the entry.
    sources, segments : counter of str
        Used records by who decided at the entry, and by what had been read of their months.
    simulated : counter of bool or None
        Used records by whether their prices were simulated; None where nothing says.
    without_history : int
        Used records that gave the decision of the entry alone, for lack of a history.
    """

    files: dict[str, dict[str, int]] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    unknown: Counter[tuple[str, str]] = field(default_factory=Counter)
    unusable: Counter[str] = field(default_factory=Counter)
    generations: Counter[int] = field(default_factory=Counter)
    rows: Counter[int] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    segments: Counter[str] = field(default_factory=Counter)
    simulated: Counter[bool | None] = field(default_factory=Counter)
    without_history: int = 0

    def _total(self, what: str) -> int:
        return sum(counts[what] for counts in self.files.values())

    @property
    def records(self) -> int:
        """Records in all files, whatever became of them."""
        return self._total("records")

    @property
    def used(self) -> int:
        """Trades that can be learnt from."""
        return self._total("used")

    @property
    def duplicates(self) -> int:
        """Records of a trade that was read before: the first one counts."""
        return self._total("duplicates")

    @property
    def n_rejected(self) -> int:
        """Records that were set aside."""
        return self._total("rejected")

    def tell(self, told: tuple[str, ...]) -> None:
        """Count one thing that a record told: ("unknown", field, value), ("history", why), ..."""
        kind, *rest = told
        if kind == "unknown":
            pair = (rest[0], rest[1])
            many = len(self.unknown) >= _MOST and pair not in self.unknown
            self.unknown[(rest[0], "others") if many else pair] += 1
        elif kind == "history":
            self.unusable[rest[0]] += 1
        else:
            self.missing[rest[0]] += 1

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON can hold them, the most frequent first."""
        unknown: dict[str, dict[str, int]] = {}
        for (name, value), count in self.unknown.most_common():
            unknown.setdefault(name, {})[value] = count
        return {
            "records": self.records,
            "used": self.used,
            "rejected": dict(self.rejected.most_common()),
            "duplicates": self.duplicates,
            "without_history": self.without_history,
            "unusable_histories": dict(self.unusable.most_common()),
            "missing_fields": dict(self.missing.most_common()),
            "unknown_categories": unknown,
            "parameters_held": {str(n): count for n, count in sorted(self.generations.items())},
            "rows_by_decision": {str(n): count for n, count in sorted(self.rows.items())},
            "sources": dict(self.sources.most_common()),
            "segments": dict(self.segments.most_common()),
            "simulated": {str(one).lower(): count for one, count in self.simulated.items()},
            "files": self.files,
        }
