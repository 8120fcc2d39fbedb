"""Worker processes: each has one job or waits for one, and its death is that job's alone.

Ours because the pools at hand (concurrent.futures, loky) fail every task when one worker dies and
cannot tell whose fault it was.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from multiprocessing.process import BaseProcess
from typing import cast

import psutil

from training.memory import private_bytes
from training.processes import interrupts_held, one_thread_per_child, start_method
from training.worker import Job, Told, import_all, is_last, work, worked_on

# How long a worker may take too much memory before it is noticed.
MEMORY_LOOK_S = 0.2
DIED = "the worker process died (out of memory, or a crash)"


@dataclass(frozen=True, slots=True)
class Gone:
    """A worker has ended with its job undone.

    Attributes
    ----------
    how : str
        One line.
    may_pass : bool
        Whether the job may do better another time.
    """

    how: str
    may_pass: bool


class Pool:
    """Worker processes that are started as they are needed.

    Parameters
    ----------
    n_workers : int
        Most of them at a time.
    libraries : sequence of str
        What each imports before its first job.
    memory_limit_bytes : int or None
        What one worker may take; one that takes more is ended.
    """

    def __init__(
        self, n_workers: int, libraries: Sequence[str], memory_limit_bytes: int | None
    ) -> None:
        self._busy: dict[Connection, Job] = {}
        self._idle: list[Connection] = []
        self._n_workers = n_workers
        self._libraries = libraries
        self._limit_bytes = memory_limit_bytes
        self._looked_s = 0.0
        self._greedy: set[Connection] = set()
        self._process_ids: dict[Connection, int] = {}
        self._processes: list[BaseProcess] = []
        self._lifelines: list[Connection] = []

    @property
    def n_busy(self) -> int:
        """Number of jobs in work."""
        return len(self._busy)

    @property
    def n_free(self) -> int:
        """Number of jobs that can be begun at once."""
        return self._n_workers - len(self._busy)

    def give(self, waiting: "deque[Job]") -> None:
        """Give every worker a job, while there are any."""
        # One that waits says nothing: what can be read there is its end.
        for connection in [one for one in self._idle if one.poll()]:
            self._idle.remove(connection)
            connection.close()
        while len(waiting) > len(self._idle) and len(self._idle) + len(self._busy) < (
            self._n_workers
        ):
            self._start()
        while waiting and self._idle:
            connection = self._idle.pop(0)
            job = waiting.popleft()
            self._busy[connection] = job
            # A worker that died while starting is found out when it is read from.
            with suppress(OSError):
                connection.send(job)

    def told(self, patience_s: float | None = None) -> Iterator[tuple[Job, Told | Gone]]:
        """Wait until something is told, for so long at most; yield it with its job."""
        if self._limit_bytes is not None:
            patience_s = min(MEMORY_LOOK_S, patience_s or MEMORY_LOOK_S)
        told = wait(list(self._busy), patience_s) if self._busy else []
        self._end_the_greedy()
        for connection in cast(list[Connection], told):
            job = self._busy[connection]
            try:
                said: Told = connection.recv()
            except (EOFError, OSError):
                del self._busy[connection]
                yield job, self._gone(connection)
                connection.close()
                continue
            if is_last(said):
                del self._busy[connection]
                self._idle.append(connection)
            yield job, said

    def _end_the_greedy(self) -> None:
        """End the workers that take more memory than they may.

        By looking at them, as a limit that the system holds makes some libraries try for ever.
        """
        now_s = time.monotonic()
        if self._limit_bytes is None or now_s - self._looked_s < MEMORY_LOOK_S:
            return
        self._looked_s = now_s
        for connection in self._busy.keys() - self._greedy:
            if private_bytes(self._process_ids[connection]) > self._limit_bytes:
                self._greedy.add(connection)
                psutil.Process(self._process_ids[connection]).kill()

    def _gone(self, connection: Connection) -> Gone:
        if connection not in self._greedy or self._limit_bytes is None:
            return Gone(DIED, may_pass=True)
        most = f"{self._limit_bytes / 1e6:,.0f} MB of memory (execution.memory_limit)"
        return Gone(f"its worker wanted more than {most}", may_pass=False)

    def dismiss(self) -> None:
        """Let the workers end, who have nothing to do, and wait until they have."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        for process in self._processes:
            process.join()

    def end(self) -> None:
        """End the workers, whatever they are doing."""
        for process in self._processes:
            process.terminate()
            process.join()
        for connection in (*self._idle, *self._busy, *self._lifelines):
            connection.close()

    def _start(self) -> None:
        (ours, theirs), (lifeline, end) = Pipe(), Pipe(duplex=False)
        process = start_method(self._libraries).Process(
            target=work, args=(theirs, lifeline, self._libraries), daemon=True
        )
        with one_thread_per_child(), interrupts_held():
            process.start()
        # With the only other end in the worker, its death is seen here as the end of the stream,
        # and the death of this process there.
        theirs.close()
        lifeline.close()
        assert process.pid is not None  # noqa: S101 - it has been started
        self._process_ids[ours] = process.pid
        self._idle.append(ours)
        self._processes.append(process)
        self._lifelines.append(end)


class ThisProcess:
    """One job at a time, without a worker; has what a `Pool` has."""

    def __init__(self, libraries: Sequence[str]) -> None:
        import_all(libraries)
        self._job: Job | None = None

    @property
    def n_busy(self) -> int:
        """Number of jobs in work."""
        return int(self._job is not None)

    @property
    def n_free(self) -> int:
        """Number of jobs that can be begun at once."""
        return 1 - self.n_busy

    def give(self, waiting: "deque[Job]") -> None:
        """Take a job, where there is one."""
        if waiting and self._job is None:
            self._job = waiting.popleft()

    def told(self, patience_s: float | None = None) -> Iterator[tuple[Job, Told | Gone]]:
        """Do the job; yield what is told of it."""
        del patience_s
        job, self._job = self._job, None
        if job is not None:
            yield from ((job, said) for said in worked_on(job))

    def end(self) -> None:
        """Do nothing."""


Workers = Pool | ThisProcess
