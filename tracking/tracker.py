"""The interface between a training run and whatever records it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tracking.records import NOT_LOGGED, LoggedModel, ModelRecord, RunStart, Status


class Tracker(Protocol):
    """Records one training command; no method raises because a store is slow or down.

    Attributes
    ----------
    failure
        One line on why tracking stopped, or None.
    cpu_seconds
        Processor time this process spent while the tracker worked.
    """

    failure: str | None
    cpu_seconds: float

    def start(self, run: RunStart) -> str | None:
        """Open the parent run and return its id, or None without one."""

    def log_model(self, record: ModelRecord) -> LoggedModel:
        """Record one model as a finished child run."""

    def set_champion(self, registered_name: str, version: str) -> None:
        """Point the alias `champion` of a registered model at one version."""

    def finish(
        self,
        *,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        artifacts: Sequence[Path],
        status: Status,
    ) -> None:
        """Add the last facts to the parent run and end every run that is still open."""


class NoTracker:
    """Records nothing: the choice for runs that need no history."""

    def __init__(self) -> None:
        self.failure: str | None = None
        self.cpu_seconds = 0.0

    def start(self, run: RunStart) -> str | None:
        """Return None: there is no run."""
        return None

    def log_model(self, record: ModelRecord) -> LoggedModel:
        """Return the empty answer."""
        return NOT_LOGGED

    def set_champion(self, registered_name: str, version: str) -> None:
        """Do nothing."""

    def finish(
        self,
        *,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        artifacts: Sequence[Path],
        status: Status,
    ) -> None:
        """Do nothing."""
