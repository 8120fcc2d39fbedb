"""Says in one line what waits for a store, and what delivers it."""

from pathlib import Path

from tracking.failures import without_password
from tracking.session import SET_ASIDE

_DEFAULT_URI = "sqlite:///mlruns/mlflow.db"


def sync_command(uri: str, queue: str | None) -> str:
    """Return the command that delivers what waits for this store."""
    words = ["python -m pipelines.sync"]
    if uri != _DEFAULT_URI:
        words.append(f"tracking.uri={without_password(uri)}")
    if queue is not None:
        words.append(f"tracking.queue={queue}")
    return " ".join(words)


def waiting_line(
    queue: Path, command: str, reason: str | None, *, waiting: int, refused: int, lost: int
) -> str | None:
    """Say how many records are not in the store, and why; None where all are.

    Parameters
    ----------
    command
        What delivers those that wait.
    reason
        What kept the last one, or None: the run was interrupted.
    """
    said = []
    if waiting:
        some = "1 record waits" if waiting == 1 else f"{waiting} records wait"
        said.append(f"{some} in {queue}, {command} delivers what waits")
    if refused:
        said.append(f"{refused} set aside in {queue / SET_ASIDE}")
    if lost:
        said.append(f"{lost} could not be kept")
    return "; ".join(filter(None, [reason, *said])) if said else None
