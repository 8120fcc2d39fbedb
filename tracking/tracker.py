"""The interface between a training run and whatever records it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tracking.records import (
    NOT_LOGGED,
    FailedData,
    LoggedModel,
    ModelRecord,
    RunStart,
    Status,
    StudyKey,
    StudyRecord,
    TrialRecord,
    Verdict,
)


class Tracker(Protocol):
    """Records one command that trains or tunes; no method raises because a store is slow or down.

    Attributes
    ----------
    failure
        One line on what the store has not got, and where that is kept; None where it has all.
    waiting
        Number of records that wait on disk for the store.
    cpu_seconds
        Processor time this process spent while the tracker worked.
    """

    failure: str | None
    waiting: int
    cpu_seconds: float

    @property
    def queue(self) -> Path | None:
        """Folder that records wait in, or None where there is none."""

    def start(self, run: RunStart) -> str | None:
        """Open the parent run and return its id, or None without one or while it waits."""

    def log_model(self, record: ModelRecord) -> LoggedModel:
        """Record one model as a finished child run."""

    def log_failed_data(self, failed: FailedData) -> None:
        """Record a symbol that could not be trained as a failed child run."""

    def log_verdicts(self, verdicts: Sequence[Verdict]) -> None:
        """Add to models that have been logged what selection made of them."""

    def log_trials(self, key: StudyKey, trials: Sequence[TrialRecord]) -> None:
        """Record ended trials as runs beneath their study's, which the first of them begins.

        Those that this execution recorded before, by number, are left as they are.
        """

    def log_study(self, record: StudyRecord) -> None:
        """Add the last facts to a study's run and end it; work that goes on tells it once more."""

    def promote(
        self,
        registered_name: str,
        version: str | None,
        *,
        simulated: bool,
        description: str,
        manifest: Path | None = None,
        model: str | None = None,
    ) -> str | None:
        """Point the alias `champion` of a registered model at one version.

        A version trained on simulated data never takes the alias from one of real data.

        It needs no `start`; then `close` ends what it began.

        Parameters
        ----------
        version
            None for one that waits in the queue and has no number yet; `model` names it.
        description
            Markdown shown on the registered model's page.
        manifest
            The file that names the version: its path and its digest become the version's tags.
        model
            Name of the model of this execution whose version is meant where `version` is None.

        Returns
        -------
        str or None
            One line where the alias was left to the version that has it.
        """

    def finish(
        self,
        *,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        artifacts: Sequence[tuple[Path, str]],
        status: Status,
        name: str | None = None,
        description: str = "",
    ) -> None:
        """Add the last facts to the parent run, end every run that is still open, and close.

        Parameters
        ----------
        artifacts
            Files, each with the folder within the run that it is shown in (`""`: the top).
        name
            The run's final name, or None to leave it.
        description
            Markdown shown on the run's page.
        """

    def close(self) -> None:
        """Leave what waits to the next command; without `start`, this ends what `promote` began."""


class NoTracker:
    """Records nothing: the choice for runs that need no history."""

    def __init__(self) -> None:
        self.failure: str | None = None
        self.waiting = 0
        self.queue = None
        self.cpu_seconds = 0.0

    def start(self, run: RunStart) -> str | None:
        """Return None: there is no run."""
        return None

    def log_model(self, record: ModelRecord) -> LoggedModel:
        """Return the empty answer."""
        return NOT_LOGGED

    def log_failed_data(self, failed: FailedData) -> None:
        """Do nothing."""

    def log_verdicts(self, verdicts: Sequence[Verdict]) -> None:
        """Do nothing."""

    def log_trials(self, key: StudyKey, trials: Sequence[TrialRecord]) -> None:
        """Do nothing."""

    def log_study(self, record: StudyRecord) -> None:
        """Do nothing."""

    def promote(
        self,
        registered_name: str,
        version: str | None,
        *,
        simulated: bool,
        description: str,
        manifest: Path | None = None,
        model: str | None = None,
    ) -> str | None:
        """Return None: no alias was kept back."""
        return None

    def finish(
        self,
        *,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        artifacts: Sequence[tuple[Path, str]],
        status: Status,
        name: str | None = None,
        description: str = "",
    ) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
