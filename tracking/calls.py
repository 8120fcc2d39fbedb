"""What a tracker has been told, as values that can wait on disk until the store takes them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from tracking.records import (
    FailedData,
    ModelRecord,
    RunStart,
    Status,
    StudyKey,
    StudyRecord,
    TrialRecord,
    Verdict,
)

# So that each call takes a moment, and what a sick store does not take is little.
TRIALS_PER_CALL = 20


@dataclass(frozen=True, slots=True)
class Started:
    """The parent run was opened at that moment."""

    run: RunStart
    at: datetime


@dataclass(frozen=True, slots=True)
class DataFailed:
    """A symbol's data turned out unusable at that moment."""

    failed: FailedData
    at: datetime


@dataclass(frozen=True, slots=True)
class Trials:
    """These trials of a study, `TRIALS_PER_CALL` at most, have ended."""

    key: StudyKey
    trials: tuple[TrialRecord, ...]


@dataclass(frozen=True, slots=True)
class Promotion:
    """The alias `champion` was given to a version at that moment.

    Attributes
    ----------
    version, model
        The version, or None and the model of this execution whose version it is: one that was
        not registered yet.
    manifest, manifest_sha256
        File that names the version, and the digest it had then; None without one.
    """

    registered_name: str
    version: str | None
    model: str | None
    simulated: bool
    description: str
    manifest: str | None
    manifest_sha256: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Ended:
    """The parent run ended at that moment, with its last facts."""

    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    artifacts: tuple[tuple[Path, str], ...]
    status: Status
    name: str | None
    description: str
    at: datetime


Call = Started | ModelRecord | DataFailed | Trials | StudyRecord | Verdict | Promotion | Ended

CALLS: dict[str, type[Call]] = {
    "start": Started,
    "model": ModelRecord,
    "failed_data": DataFailed,
    "trials": Trials,
    "study": StudyRecord,
    "verdict": Verdict,
    "promotion": Promotion,
    "end": Ended,
}


def kind_of(call: Call) -> str:
    """Return the word that a call's folder is named with."""
    return next(word for word, kind in CALLS.items() if isinstance(call, kind))


def with_paths(call: Call, moved: Callable[[Path], Path]) -> Call:
    """Return a call whose files and folders are those that `moved` gives for its own."""
    if isinstance(call, ModelRecord) and call.artifact_folder is not None:
        return replace(call, artifact_folder=moved(call.artifact_folder))
    if isinstance(call, DataFailed) and call.failed.report is not None:
        return replace(call, failed=replace(call.failed, report=moved(call.failed.report)))
    if isinstance(call, Ended | StudyRecord):
        artifacts = tuple((moved(path), place) for path, place in call.artifacts)
        return replace(call, artifacts=artifacts)
    return call
