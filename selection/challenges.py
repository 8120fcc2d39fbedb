"""Every judgement of a challenger, in a file that only ever grows: what was read is read once.

Who may judge one challenger after the other on the same events ends with one that fits them. So an
event that has been used in a judgement is not used in another; the file says up to when they are,
and it is written before anybody is told a verdict. Symbols that were judged together stand in one
line: all of them are judged, or none is. It goes with a manifest that is promoted elsewhere.

The file is JSON Lines, as the ledger of holdouts is (`selection.holdout_ledger`).
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from market.reading.safe_names import printable
from selection.json_lines import append_line, whole_lines

# Beside the manifest.
CHALLENGES = "challenges.jsonl"
_CUT_SHORT = b" <- cut short by a crash, no judgement"
_LOCK_TIMEOUT_S = 30.0
_TIMES = ("from_utc", "until_utc", "time_utc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One challenger and the later events that it was judged on.

    Attributes
    ----------
    symbol : str
    market : str
        `holdout_ledger.REAL_MARKET`, or what identifies a simulated market, however many bars of it
        there are: every one has events of its own.
    challenger_sha256 : str
        Of the manifest that the challenger was trained into.
    champion : str or None
        Digest of the champion's files; None where no model was deployed.
    from_utc, until_utc : datetime
        First decision, and when the last outcome was known, of the events that were read.
    rows : int
    effective_rows, log_loss, p_evidence, p_adjusted : float
    champion_log_loss, gain, standard_error, p_advantage : float or None
        ``gain`` of the challenger over the champion, nats per row.
    family : int
        Symbols judged together.
    alpha : float
    adopted : bool
    reason : str
    time_utc : datetime
    """

    symbol: str
    market: str
    challenger_sha256: str
    champion: str | None
    from_utc: datetime
    until_utc: datetime
    rows: int
    effective_rows: float
    log_loss: float
    champion_log_loss: float | None
    gain: float | None
    standard_error: float | None
    p_evidence: float
    p_advantage: float | None
    p_adjusted: float
    family: int
    alpha: float
    adopted: bool
    reason: str
    time_utc: datetime


class Challenges:
    """The record of all judgements of challengers of one manifest; writers wait for each other.

    Parameters
    ----------
    manifest : Path
        The live manifest, beside which the file lies.
    """

    def __init__(self, manifest: Path) -> None:
        self.path = manifest.with_name(CHALLENGES)

    def record(self, together: Sequence[Judged]) -> None:
        """Write judgements down that were made together; on return they are on the disk.

        Raises
        ------
        OSError
            If the file cannot be read or written; nobody may be told a verdict then.
        TimeoutError
            If another writer holds it for 30 seconds.
        """
        with self._writing():
            self._append(together)

    def take_over(self, judgements: Iterable[Judged]) -> int:
        """Write down the judgements of another record, each once; return how many were not known.

        Raises
        ------
        ValueError
            As `recorded`; nothing is written then.
        OSError, TimeoutError
            As `record`.
        """
        with self._writing():
            known = set(self.recorded())
            new = [one for one in dict.fromkeys(judgements) if one not in known]
            if new:
                self._append(new)
        return len(new)

    def recorded(self) -> list[Judged]:
        """Return all judgements in their order.

        Raises
        ------
        ValueError
            One line naming the file and the line that cannot be read.
        OSError
            If there is a file and it cannot be read.
        """
        content = self.path.read_bytes() if self.path.exists() else b""
        return [
            one
            for number, line in whole_lines(content, cut_short=_CUT_SHORT)
            for one in self._line(number, line)
        ]

    def used_until(self, symbol: str, market: str) -> datetime | None:
        """Return up to when a symbol's events of a market have been read; None if none has been."""
        wanted = symbol, market
        read = [one.until_utc for one in self.recorded() if (one.symbol, one.market) == wanted]
        return max(read, default=None)

    def of(self, symbol: str, challenger_sha256: str) -> Judged | None:
        """Return the judgement of a challenger; None where there is none yet."""
        wanted = symbol, challenger_sha256
        found = (one for one in self.recorded() if (one.symbol, one.challenger_sha256) == wanted)
        return next(found, None)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_name(f".{self.path.name}.lock"), timeout=_LOCK_TIMEOUT_S):
            yield

    def _append(self, together: Sequence[Judged]) -> None:
        append_line(self.path, {"judged": [asdict(one) for one in together]}, cut_short=_CUT_SHORT)

    def _line(self, number: int, line: bytes) -> list[Judged]:
        try:
            return [_judged(one) for one in json.loads(line.decode())["judged"]]
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(
                f"{printable(str(self.path))}, line {number}: is no judgement of challengers "
                f"({error}); restore the line from a copy of the file, as without it events that "
                "were read would pass for unread"
            ) from error


def _judged(document: Mapping[str, Any]) -> Judged:
    values = {field.name: document[field.name] for field in fields(Judged)}
    for name in _TIMES:
        moment = datetime.fromisoformat(values[name])
        if moment.utcoffset() is None:
            raise ValueError(f"{name} has no zone")
        values[name] = moment.astimezone(UTC)
    return Judged(**values)
