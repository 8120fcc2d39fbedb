"""Every opening of a sealed holdout, in a file that only ever grows.

A holdout tells what a model is worth once. Whoever opens it again with another configuration can
choose by what it says, and its figures become as flattering as those of any other test. So every
opening is written down before the scores are computed: nobody has seen figures that are not in
the ledger.

The file is JSON Lines, one opening per line, in the order of opening. A line that a crash cut
short is no opening, as its scores were never computed: it is left out by readers, and the next
writer ends it with a mark that says so. Any other line that cannot be read is an error.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from market.reading.safe_names import printable, some
from selection.json_lines import append_line, whole_lines

# Beside the manifest.
LEDGER = "holdout_ledger.jsonl"
REAL_MARKET = "real"
_CUT_SHORT = b" <- cut short by a crash, no opening"
_LOCK_TIMEOUT_S = 30.0
_TIMES = ("start_utc", "end_utc", "time_utc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """One look at the scores of one holdout; times of any zone are kept in UTC.

    Attributes
    ----------
    symbol : str
    market : str
        `REAL_MARKET`, or what identifies a simulated market: every one has months of its own.
    start_utc, end_utc : datetime
        First and last decision time of the holdout's rows; both belong to the window.
    conf_digest, data_digest : str
        What identifies the configuration, and the symbol's data.
    run_id : str or None
    time_utc : datetime
        When the holdout was opened.
    model : str
        Name of the model that was scored.
    execution : str or None
        Id of the work that a run is one start of; None where it is not known.

    Raises
    ------
    ValueError
        If a text is missing, a time has no zone, or the window ends before it starts.
    """

    symbol: str
    market: str
    start_utc: datetime
    end_utc: datetime
    conf_digest: str
    data_digest: str
    run_id: str | None
    time_utc: datetime
    model: str
    execution: str | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _TIMES:
                if not isinstance(value, datetime) or value.utcoffset() is None:
                    raise ValueError(f"{field.name} must be a time with its zone, was {value!r}")
                object.__setattr__(self, field.name, value.astimezone(UTC))
            elif value is None and field.name in ("run_id", "execution"):
                continue
            elif not isinstance(value, str) or not value:
                raise ValueError(f"{field.name} must be a text, was {value!r}")
        if self.end_utc < self.start_utc:
            raise ValueError(
                f"end_utc must not be before start_utc, {self.start_utc}, was {self.end_utc}"
            )

    def overlaps(self, other: "Opening") -> bool:
        """Tell whether both have seen some of the same market.

        Features, labels and bars do not matter: another label definition on the same months is
        another look at the same months.
        """
        return (
            (self.symbol, self.market) == (other.symbol, other.market)
            and self.start_utc <= other.end_utc
            and other.start_utc <= self.end_utc
        )


@dataclass(frozen=True, slots=True)
class Openings:
    """How often the market of one opening's window had been looked at, that opening included.

    Attributes
    ----------
    n_openings : int
        Openings of overlapping windows of the same market, repeats of a run included.
    n_configurations : int
        Those among them that are no repeat of another. Other data and another model count like
        another configuration: they too show other figures of the same months.
    first_before_utc, latest_before_utc : datetime or None
        When the earliest and the latest of the others took place; None if there are none.
    """

    n_openings: int
    n_configurations: int
    first_before_utc: datetime | None
    latest_before_utc: datetime | None


class HoldoutLedger:
    """The record of the openings of all holdouts whose manifest lies in one folder.

    Parameters
    ----------
    path : Path
        The ledger's file, ``holdout_ledger.jsonl`` beside the manifest; made, with its folder, by
        the first opening.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def record(self, opening: Opening, unrecorded: Iterable[Opening] = ()) -> Openings:
        """Write an opening down; to be called before the scores are computed.

        On return the line is on the disk. Writers wait for each other; nothing that stands in
        the file is changed. An opening of the same execution that is written down already, as by a
        run that was cut off afterwards, is not written again, and counts once.

        Parameters
        ----------
        opening : Opening
        unrecorded : iterable of Opening
            Others that are known to have taken place, though not from the file: they are counted,
            not written.

        Returns
        -------
        Openings
            This one and those recorded before it.

        Raises
        ------
        ValueError
            One line naming the file and the line that cannot be read; nothing is written then.
        OSError
            If the file cannot be read or written; the holdout must stay closed then.
        TimeoutError
            If another writer holds the ledger for 30 seconds.
        """
        with self._writing():
            before = self._openings_in(self._content())
            others = [one for one in before if not _is_same_look(opening, one)]
            if len(others) == len(before):
                append_line(self.path, asdict(opening), cut_short=_CUT_SHORT)
        return _counted(opening, [*others, *unrecorded])

    def take_over(self, openings: Iterable[Opening]) -> int:
        """Write down the openings of another ledger, each once; return how many were not known.

        Raises
        ------
        ValueError, OSError, TimeoutError
            As `record`.
        """
        with self._writing():
            known = set(self._openings_in(self._content()))
            new = [one for one in dict.fromkeys(openings) if one not in known]
            for one in new:
                append_line(self.path, asdict(one), cut_short=_CUT_SHORT)
        return len(new)

    def recorded(self) -> list[Opening]:
        """Return all openings in the order in which they were recorded.

        Raises
        ------
        ValueError
            One line naming the file and the line that cannot be read.
        OSError
            If there is a file and it cannot be read.
        """
        return self._openings_in(self._content())

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=_LOCK_TIMEOUT_S):
            yield

    def _content(self) -> bytes:
        return self.path.read_bytes() if self.path.exists() else b""

    def _openings_in(self, content: bytes) -> list[Opening]:
        lines = whole_lines(content, cut_short=_CUT_SHORT)
        return [self._opening(number, line) for number, line in lines]

    def _opening(self, number: int, line: bytes) -> Opening:
        try:
            return _opening_of(json.loads(line.decode()))
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{printable(str(self.path))}, line {number}: is no opening of a holdout "
                f"({error}); restore the line from a copy of the file, as without "
                "it a holdout that was opened would pass for unseen"
            ) from error


def in_words(openings: Openings) -> str:
    """Return how often a holdout was opened and what that means for its figures, in one line."""
    times, configurations = openings.n_openings, openings.n_configurations
    if times == 1:
        return "opened once"
    if configurations == 1:
        return f"opened {times} times, by one configuration"
    return (
        f"opened {times} times since {openings.first_before_utc:%Y-%m-%d}, by {configurations} "
        "configurations: its figures are no longer unseen"
    )


def _counted(opening: Opening, before: list[Opening]) -> Openings:
    others = [other for other in before if opening.overlaps(other)]
    # Where all of this agrees, a run was repeated: it showed the same figures and taught nothing.
    distinct = {
        (one.conf_digest, one.data_digest, one.model, one.start_utc, one.end_utc)
        for one in (opening, *others)
    }
    times_utc = [other.time_utc for other in others]
    return Openings(
        n_openings=1 + len(others),
        n_configurations=len(distinct),
        first_before_utc=min(times_utc, default=None),
        latest_before_utc=max(times_utc, default=None),
    )


def _opening_of(document: Any) -> Opening:
    """Return the opening in a line's JSON; keys of later versions are left aside."""
    if not isinstance(document, Mapping):
        raise ValueError(f"expected an object, found {type(document).__name__}")  # noqa: TRY004
    names = [field.name for field in fields(Opening)]
    # Older lines do not name it.
    missing = [name for name in names if name not in document and name != "execution"]
    if missing:
        raise ValueError(f"no {some(missing)}")
    return Opening(**{name: _read(name, document.get(name)) for name in names})


def _is_same_look(opening: Opening, other: Opening) -> bool:
    """Tell whether an opening is one that an earlier start of the same work has made."""
    if opening.execution is None:
        return False
    return replace(other, run_id=opening.run_id, time_utc=opening.time_utc) == opening


def _read(name: str, value: Any) -> Any:
    return datetime.fromisoformat(value) if name in _TIMES and isinstance(value, str) else value
