"""Optuna's journal file, for one process that is alone with it: a trial is written in two goes.

The file is the one that Optuna's own backend reads and writes. That one reads and syncs it for each
parameter of each trial, which takes as long as a quick fit.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend


class _OneWriter(BaseJournalBackend):
    """Keeps what stands in a journal in memory, and what is yet to be written."""

    def __init__(self, path: Path) -> None:
        # Left by a process that was killed while it wrote; the next one would wait for it.
        path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
        _end_whole(path)
        self._file = JournalFileBackend(str(path))
        self._logs = list(self._file.read_logs(0))
        self._unwritten: list[dict[str, Any]] = []

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """Return what was logged from a number on."""
        return self._logs[log_number_from:]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Take logs, which the next flush writes."""
        self._logs += logs
        self._unwritten += logs

    def flush(self) -> None:
        """Bring everything to the disk."""
        # Not once more where it fails: part of it may be there.
        unwritten, self._unwritten = self._unwritten, []
        if unwritten:
            self._file.append_logs(unwritten)


class Journal(JournalStorage):
    """A journal file of studies that nobody else writes to.

    Parameters
    ----------
    path : Path
        Made where it is missing; a last line that was cut short is removed.
    """

    def __init__(self, path: Path) -> None:
        self._writer = _OneWriter(path)
        super().__init__(self._writer)

    def flush(self) -> None:
        """Bring everything to the disk; raises OSError where that takes no more."""
        self._writer.flush()


def _end_whole(path: Path) -> None:
    """Cut off a last line without its end: whoever appends to it would make the file unreadable."""
    if not path.exists():
        return
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)
