"""Works on one job after another, in a process of its own or not, and tells of every fit.

Whatever a model raises is that task's failure. A process that works for another ends with it.
"""

import gc
import importlib
import os
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler

from selection.atomic import NO_ROOM
from training.task import Failure, FitEnded, Task, Trained
from training.tuning.trial import Attempt, Trial, attempted
from training.walk_forward import Training


@dataclass(frozen=True, slots=True)
class NoRoom:
    """The disk takes no more: whatever is trained from here on would be lost."""

    number: int
    sentence: str | None
    path: str | None

    def raised(self) -> OSError:
        """Return the error as it was."""
        return OSError(self.number, self.sentence, self.path)


# A model to be trained, or one set of hyperparameters to be tried.
Job = Task | Trial
# That a job has begun (None), each fit, and what became of the job.
Told = FitEnded | Trained | Failure | Attempt | NoRoom | None


def is_last(told: Told) -> bool:
    """Return whether this is what became of a job."""
    return isinstance(told, Trained | Failure | Attempt)


def worked_on(job: Job) -> Generator[Told, None, None]:
    """Work on a job; yield None as it begins, each fit as it ends, and what became of it."""
    return train(job) if isinstance(job, Task) else attempt(job)


def attempt(trial: Trial) -> Generator[Told, None, None]:
    """Try hyperparameters; whatever a model raises is that trial's failure."""
    yield None
    try:
        with single_threaded():
            told: Told = attempted(trial)
    except OSError as error:
        told = NoRoom(error.errno or 0, error.strerror, error.filename)
    yield told


def train(task: Task) -> Generator[Told, None, None]:
    """Train a task; yield None as it begins, each fit as it ends, and what became of the task."""
    yield None
    training: Training | None = None
    try:
        with single_threaded():
            training = Training(task)
            yield from training.fits()
    except Exception as error:  # noqa: BLE001 - the boundary that isolates one model's failure
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            yield NoRoom(error.errno, error.strerror, error.filename or str(task.folder))
        else:
            yield training.failure(error) if training else _failed_at_once(error)


def work(connection: Connection, lifeline: Connection, libraries: Sequence[str]) -> None:
    """Work on one job after another until the other end of the connection closes.

    Parameters
    ----------
    connection : Connection
        Jobs come in, what is told of them goes out.
    lifeline : Connection
        Nothing comes in; once its other end is gone this process ends, whatever it is doing.
    libraries : sequence of str
        Imported beforehand, so that no fit's time holds an import.
    """
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    import_all(libraries)
    # What was imported stays: no collection need look at it.
    gc.freeze()
    try:
        while True:
            content = connection.recv_bytes()
            try:
                job = ForkingPickler.loads(content)
            except OSError as error:
                connection.send(_failed_at_once(error))
                continue
            for told in worked_on(job):
                connection.send(told)
    except (EOFError, OSError):
        return


def import_all(libraries: Sequence[str]) -> None:
    """Import libraries by their names."""
    for library in libraries:
        importlib.import_module(library)


def _end_with(lifeline: Connection) -> None:
    try:
        lifeline.recv_bytes()
    except (EOFError, OSError):
        # Nobody is left whom a longer way out would serve, and what was kept is whole.
        os._exit(1)


def _failed_at_once(error: Exception) -> Failure:
    sentence = " ".join(str(error).split())
    return Failure(f"{type(error).__name__}: {sentence}", (), (), 0.0, None, repeats=False)


@contextmanager
def single_threaded() -> Iterator[None]:
    """Let the maths in its block run on one core."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)
