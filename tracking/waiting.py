"""Says in one line what waits for a store, and what delivers it."""

import logging
from pathlib import Path

from tracking.failures import without_password
from tracking.session import SET_ASIDE

_DEFAULT_URI = "sqlite:///mlruns/mlflow.db"

_log = logging.getLogger(__name__)


def sync_command(uri: str, queue: str | None) -> str:
    """Return the command that delivers what waits for this store."""
    words = ["python -m pipelines.sync"]
    if uri != _DEFAULT_URI:
        words.append(f"tracking.uri={without_password(uri)}")
    if queue is not None:
        words.append(f"tracking.queue={queue}")
    return " ".join(words)


class Shortfall:
    """What a store has not got, and why; the first reason is told as a warning.

    Parameters
    ----------
    queue
        Folder that records wait in.
    command
        What delivers those that wait.

    Attributes
    ----------
    reason
        What kept the last record, or None: nothing did, or the run was interrupted.
    refused
        Number of records that were set aside.
    lost
        Number of records that could not be kept.
    """

    def __init__(self, queue: Path, command: str) -> None:
        self.reason: str | None = None
        self.refused = 0
        self.lost = 0
        self._queue = queue
        self._command = command
        self._warned = False

    def say(self, reason: str) -> None:
        """Keep the reason why something waits, and tell the first."""
        self.reason = reason
        if not self._warned:
            _log.warning("tracking waits on disk: %s; %s delivers it", reason, self._command)
        self._warned = True

    def line(self, waiting: int) -> str | None:
        """Say how many records are not in the store, and why; None where all are.

        Parameters
        ----------
        waiting
            Number of records that wait.
        """
        said = []
        if waiting:
            some = "1 record waits" if waiting == 1 else f"{waiting} records wait"
            said.append(f"{some} in {self._queue}, {self._command} delivers what waits")
        if self.refused:
            said.append(f"{self.refused} set aside in {self._queue / SET_ASIDE}")
        if self.lost:
            said.append(f"{self.lost} could not be kept")
        return "; ".join(filter(None, [self.reason, *said])) if said else None
