"""Runs training tasks in local processes, one core each with single-threaded maths inside.

Ours because the pools at hand (concurrent.futures, loky) fail every task when one worker dies and
cannot tell whose fault it was; here a worker has one task at a time, and its death is that task's.
"""

import logging
import math
import os
import sys
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from multiprocessing.process import BaseProcess
from typing import cast

import psutil

from training.fit_plan import fit_names
from training.memory import private_bytes
from training.processes import (
    FORKS_FROM_SERVER,
    interrupts_held,
    one_thread_per_child,
    start_method,
)
from training.task import Failure, FitEnded, Task, Trained
from training.worker import NoRoom, Told, import_all, train, work

# Seconds of one fit on 1,000 rows, about: the longest tasks begin first, so that no core is left
# waiting for one at the end.
FIT_SECONDS = {"LSTM": 0.4, "MLP": 0.08, "Council": 0.06, "RandomForest": 0.05, "XGBoost": 0.04}
OTHER_FIT_SECONDS = 0.01
# A task that takes less than this is quicker trained than recorded.
RECORDED_SECONDS = 0.1
LIBRARIES = ("sklearn.linear_model", "xgboost", "torch")
AUGMENTING_LIBRARIES = ("imblearn.over_sampling",)
# How long a worker may take too much memory before it is noticed.
MEMORY_LOOK_S = 0.2
DIED = "the worker process died (out of memory, or a crash)"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """A task has begun, or one of its fits has ended.

    Attributes
    ----------
    task : Task
    n_done, n_fits : int
        Fits that have ended, and how many there will be.
    ended : FitEnded or None
        The last of them; None as the task begins.
    """

    task: Task
    n_done: int
    n_fits: int
    ended: FitEnded | None


@dataclass(frozen=True, slots=True)
class Finished:
    """A task and what became of it."""

    task: Task
    outcome: Trained | Failure


Event = Step | Finished


def run_tasks(
    tasks: Sequence[Task], n_workers: int, memory_limit_bytes: int | None = None
) -> Generator[Event, None, None]:
    """Train every task, the long ones first; yield each step as it is made, each task as it ends.

    Of one task there come a `Step` as it begins, one after each fit, and `Finished`. The results
    do not depend on ``n_workers``; with 1 and no limit, everything runs in this process. Closing
    the iterator early ends the worker processes. A task whose worker dies begins once more, when
    all others have ended and with none beside it; then its death is the task's failure.

    Parameters
    ----------
    memory_limit_bytes : int or None
        What one worker may take; that one wants more is a failure of its task.

    Raises
    ------
    OSError
        If the disk takes no more.
    """
    ordered = sorted(tasks, key=_turn)
    if n_workers == 1 and memory_limit_bytes is None:
        yield from _in_this_process(ordered)
    else:
        pool = _Pool(
            min(n_workers, len(ordered)),
            _libraries(augments=_augments(ordered)),
            memory_limit_bytes,
        )
        yield from _in_workers(ordered, pool)


def available_cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _turn(task: Task) -> tuple[bool, float]:
    """Return a task's place in the order in which no worker waits, and nobody for the workers.

    Johnson's rule for two stages (Naval Research Logistics Quarterly 1, 1954): what is recorded
    more slowly than it is trained comes before all else.
    """
    seconds = _expected_seconds(task)
    return seconds > RECORDED_SECONDS, -seconds


def _expected_seconds(task: Task) -> float:
    """Return about how long a task takes; only the order of tasks hangs on it."""
    split = task.split
    n_rows = sum(len(fold.train_N) for fold in split.folds) * (1 + len(task.stronger))
    n_rows += len(split.development) if split.refits else 0
    return FIT_SECONDS.get(task.model.name, OTHER_FIT_SECONDS) * n_rows / 1000


class _Running:
    """A task in work, as it is seen from outside: turns what is told of it into events."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self._names = fit_names(task)
        self._since_s = time.monotonic()
        self._has_begun = False
        self._ended: list[FitEnded] = []

    def event(self, told: Told) -> Event:
        """Return what is told as an event; raises OSError where the disk takes no more."""
        match told:
            case NoRoom():
                raise told.raised()
            case Trained() | Failure():
                return Finished(self.task, told)
            case FitEnded():
                self._ended.append(told)
                _tell_log(self.task, told)
            case None:
                self._has_begun = True
        return Step(self.task, len(self._ended), len(self._names), told)

    def died(self, how: str) -> Finished:
        """Return what is known of a task whose worker is gone for good."""
        failures = (one.augmentation_failure for one in self._ended)
        failure = Failure(
            error=f"{self._where()}{how}",
            warnings=tuple(sentence for one in self._ended for sentence in one.warnings),
            augmentation_failures=tuple(sentence for sentence in failures if sentence),
            duration_s=time.monotonic() - self._since_s,
            cpu=None,
            repeats=False,
        )
        return Finished(self.task, failure)

    def told_again(self) -> str:
        """Return what is said of a task whose worker is gone, for the first time."""
        name = f"{self.task.symbol} {self.task.model.name}"
        return f"{name}: {self._where()}{DIED}; it is tried once more, alone, after the others"

    def _where(self) -> str:
        if not self._has_begun or len(self._ended) == len(self._names):
            return ""
        return f"{self._names[len(self._ended)]}: "


def _tell_log(task: Task, fit: FitEnded) -> None:
    if fit.error is not None:
        accuracy = f"failed: {fit.error}"
    else:
        on_block = "" if math.isnan(fit.accuracy) else f", {fit.accuracy:.3f} on its block"
        accuracy = f"accuracy {fit.train_accuracy:.3f} in training{on_block}"
    name, rows = f"{task.symbol} {task.model.name} {fit.name}", fit.n_train
    told = "%s: %d rows, %d purged, %.2f s, %s"
    _log.debug(told, name, rows, fit.n_purged, fit.wall_s, accuracy)


def _in_this_process(tasks: Sequence[Task]) -> Generator[Event, None, None]:
    import_all(_libraries(augments=_augments(tasks)))
    with _lost_interrupts() as lost:
        for task in tasks:
            running = _Running(task)
            with closing(train(task)) as all_told:
                for told in all_told:
                    if lost:
                        raise KeyboardInterrupt
                    yield running.event(told)


class _Pool:
    """Worker processes: each has one task or waits for one.

    Parameters
    ----------
    n_workers : int
        Most of them at a time.
    libraries : sequence of str
    memory_limit_bytes : int or None
    """

    def __init__(
        self, n_workers: int, libraries: Sequence[str], memory_limit_bytes: int | None
    ) -> None:
        self.busy: dict[Connection, _Running] = {}
        self._idle: list[Connection] = []
        self._n_workers = n_workers
        self._libraries = libraries
        self._limit_bytes = memory_limit_bytes
        self._looked_s = 0.0
        self._greedy: set[Connection] = set()
        self._process_ids: dict[Connection, int] = {}
        self._processes: list[BaseProcess] = []
        self._lifelines: list[Connection] = []

    def give(self, waiting: "deque[Task]") -> None:
        """Give every worker a task, while there are any."""
        # One that waits says nothing: what can be read there is its end.
        for connection in [one for one in self._idle if one.poll()]:
            self._idle.remove(connection)
            connection.close()
        while len(waiting) > len(self._idle) and len(self._idle) + len(self.busy) < self._n_workers:
            self._start()
        while waiting and self._idle:
            connection = self._idle.pop(0)
            task = waiting.popleft()
            self.busy[connection] = _Running(task)
            # A worker that died while starting is found out when it is read from.
            with suppress(OSError):
                connection.send(task)

    def told(self) -> Iterator[tuple[_Running, Event | None]]:
        """Wait until something is told; yield it, None where a worker is gone."""
        patience_s = None if self._limit_bytes is None else MEMORY_LOOK_S
        told = wait(list(self.busy), patience_s) if self.busy else []
        self._end_the_greedy()
        for connection in cast(list[Connection], told):
            running = self.busy[connection]
            try:
                said: Told = connection.recv()
            except (EOFError, OSError):
                del self.busy[connection]
                yield running, self._gone(connection, running)
                connection.close()
                continue
            event = running.event(said)
            if isinstance(event, Finished):
                del self.busy[connection]
                self._idle.append(connection)
            yield running, event

    def _end_the_greedy(self) -> None:
        """End the workers that take more memory than they may.

        By looking at them, as a limit that the system holds makes some libraries try for ever.
        """
        now_s = time.monotonic()
        if self._limit_bytes is None or now_s - self._looked_s < MEMORY_LOOK_S:
            return
        self._looked_s = now_s
        for connection in self.busy.keys() - self._greedy:
            if private_bytes(self._process_ids[connection]) > self._limit_bytes:
                self._greedy.add(connection)
                psutil.Process(self._process_ids[connection]).kill()

    def _gone(self, connection: Connection, running: _Running) -> Event | None:
        """Return the end of a task whose worker took too much; None for any other death."""
        if connection not in self._greedy or self._limit_bytes is None:
            return None
        most = f"{self._limit_bytes / 1e6:,.0f} MB of memory (execution.memory_limit)"
        return running.died(f"its worker wanted more than {most}")

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
        for connection in (*self._idle, *self.busy, *self._lifelines):
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


def _in_workers(tasks: Sequence[Task], pool: _Pool) -> Generator[Event, None, None]:
    waiting, again = deque(tasks), deque[Task]()
    died: set[int] = set()
    events: list[Event] = []
    try:
        while waiting or again or pool.busy or events:
            if again and not (waiting or pool.busy):
                # What others hold of the memory may be what it lacked.
                pool.dismiss()
                waiting.append(again.popleft())
            pool.give(waiting)
            # Only now, when no worker waits for work.
            yield from events
            events = []
            for running, event in pool.told():
                if event is not None:
                    events.append(event)
                elif id(running.task) in died:
                    events.append(running.died(f"{DIED}, twice"))
                else:
                    died.add(id(running.task))
                    again.append(running.task)
                    _log.warning("%s", running.told_again())
        pool.dismiss()
    finally:
        pool.end()


def prepare_workers(n_workers: int, *, augments: bool) -> None:
    """Begin to import what workers need, in a process of its own, while this one goes on.

    Workers that are started later are forked from it and find everything imported.
    """
    if n_workers > 1 and FORKS_FROM_SERVER:
        from multiprocessing.forkserver import ensure_running

        with one_thread_per_child(), interrupts_held():
            start_method(_libraries(augments=augments))
            ensure_running()


def _augments(tasks: Sequence[Task]) -> bool:
    return any(task.augmentation != "none" for task in tasks)


def _libraries(*, augments: bool) -> list[str]:
    return [*LIBRARIES, *(AUGMENTING_LIBRARIES if augments else ())]


@contextmanager
def _lost_interrupts() -> Iterator[list[object]]:
    """Collect interrupts that came while a library called back, from where nothing can be raised.

    The library goes on, or fails with an error of its own, as if nobody had asked it to end.
    """
    lost: list[object] = []
    before = sys.unraisablehook

    def collect(unraisable: "sys.UnraisableHookArgs") -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            lost.append(unraisable.exc_type)
        else:
            before(unraisable)

    sys.unraisablehook = collect
    try:
        yield lost
    finally:
        sys.unraisablehook = before
