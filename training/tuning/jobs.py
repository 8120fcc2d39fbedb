"""Jobs that wait for workers or are with them, each with what it is of."""

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from training.pool import Gone, Workers
from training.worker import Job, NoRoom, Told, is_last

Of = TypeVar("Of")


class Jobs(Generic[Of]):
    """Hands jobs to workers; one whose worker dies is begun once more, behind those that wait.

    Parameters
    ----------
    workers : Workers
    patience_s : float
        How long `told` waits at most.
    """

    def __init__(self, workers: Workers, patience_s: float) -> None:
        self._workers, self._patience_s = workers, patience_s
        self._of: dict[int, tuple[Job, Of]] = {}
        self._waiting: deque[Job] = deque()
        self._died: set[int] = set()

    @property
    def n_free(self) -> int:
        """Number of jobs that could be begun at once."""
        return self._workers.n_free - len(self._waiting)

    def __len__(self) -> int:
        """Return the number of jobs that have not ended."""
        return len(self._of)

    def add(self, job: Job, of: Of) -> None:
        """Queue a job."""
        self._of[id(job)] = job, of
        self._waiting.append(job)

    def give(self) -> None:
        """Give workers what waits."""
        self._workers.give(self._waiting)

    def told(self) -> Iterator[tuple[Of, Job, Told | Gone]]:
        """Yield what is told of jobs, of each with what it is of.

        Raises
        ------
        OSError
            If the disk takes no more.
        """
        for job, told in self._workers.told(self._patience_s):
            if isinstance(told, NoRoom):
                raise told.raised()
            if isinstance(told, Gone) and told.may_pass and id(job) not in self._died:
                self._died.add(id(job))
                self._waiting.append(job)
                continue
            _, of = self._of[id(job)]
            if isinstance(told, Gone) or is_last(told):
                del self._of[id(job)]
                self._died.discard(id(job))
            yield of, job, told
