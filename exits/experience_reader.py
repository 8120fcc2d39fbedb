"""Trades from files of experiences: each once, the unusable set aside with the reason."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from exits.data_report import DataReport
from exits.experience_files import ExperienceError, Record, records
from exits.record_fields import RecordError
from exits.recorded_trade import RecordedTrade, id_of, identity, parsed, recorded_trade
from selection.atomic import write_bytes_atomically

OnProgress = Callable[[int, int], None]
# Bytes between two tellings of how far it is.
_STEP = 1 << 24


class ExperienceReader:
    """Reads files one after the other, and keeps account.

    Parameters
    ----------
    paths : sequence of Path
    rejected : Path
        Where the records that were set aside are told, one JSON object per line: file, index (from
        0), line (from 1), id and reason.
    on_progress : callable, optional
        Told bytes read and bytes in all.
    """

    def __init__(
        self, paths: Sequence[Path], *, rejected: Path, on_progress: OnProgress | None = None
    ) -> None:
        self.report = DataReport()
        self._paths = paths
        self._rejected_path = rejected
        self._rejected: list[bytes] = []
        self._on_progress = on_progress or (lambda done, total: None)
        self._seen: set[tuple[str, str, int]] = set()

    def trades(self) -> Iterator[tuple[str, RecordedTrade]]:
        """Yield id and trade of each usable record, in the order of the files.

        Records of one trade have the same id, symbol and time of entry: the first one counts.

        Raises
        ------
        ExperienceError
            If a file cannot be read or has records and no usable one, or there is none in all; what
            was set aside is written all the same.
        OSError
            If that cannot be written.
        """
        try:
            total = sum(_size(path) for path in self._paths)
            done = 0
            for path in self._paths:
                for record in records(path):
                    if (trade := self._trade(path, record)) is not None:
                        yield trade
                    if record.end % _STEP < len(record.content):
                        self._on_progress(done + record.end, total)
                self._check(path)
                done += _size(path)
                self._on_progress(done, total)
            if not self.report.used:
                raise ExperienceError(f"{_named(self._paths)}: no experience in it")
        finally:
            write_bytes_atomically(self._rejected_path, b"".join(self._rejected))

    def _trade(self, path: Path, record: Record) -> tuple[str, RecordedTrade] | None:
        counts = self.report.files.setdefault(
            str(path), {"records": 0, "used": 0, "rejected": 0, "duplicates": 0}
        )
        counts["records"] += 1
        found: dict[str, Any] = {}
        try:
            found = parsed(record.content)
            key = identity(found)
            if key in self._seen:
                counts["duplicates"] += 1
                return None
            trade = recorded_trade(found)
        except RecordError as error:
            counts["rejected"] += 1
            self._set_aside(path, record, id_of(found), error)
            return None
        self._seen.add(key)
        counts["used"] += 1
        self._count(trade)
        return key[0], trade

    def _set_aside(
        self, path: Path, record: Record, trade_id: str | int | None, error: RecordError
    ) -> None:
        self.report.rejected[error.kind] += 1
        told = {
            "file": str(path),
            "index": record.index,
            "line": record.line,
            "id": trade_id,
            "reason": str(error),
        }
        self._rejected.append(f"{json.dumps(told)}\n".encode())

    def _count(self, trade: RecordedTrade) -> None:
        report = self.report
        report.generations[trade.n_parameters] += 1
        report.rows.update(trade.steps.number_K)
        report.sources[trade.source or "unknown"] += 1
        report.segments[trade.segment or "unknown"] += 1
        report.simulated[trade.simulated] += 1
        report.without_history += not trade.steps.previous
        for told in trade.told:
            report.tell(told)

    def _check(self, path: Path) -> None:
        counts = self.report.files.get(str(path))
        if counts and counts["records"] == counts["rejected"]:
            first = json.loads(
                next(line for line in self._rejected if json.loads(line)["file"] == str(path))
            )
            raise ExperienceError(
                f"{path}: none of {counts['records']} records can be used; the first: "
                f"{first['reason']} (all of them: {self._rejected_path})"
            )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise ExperienceError(f"{path}: cannot be read: {error.strerror}") from error


def _named(paths: Sequence[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{len(paths)} files"
