"""Runs training tasks in local processes, one core each with single-threaded maths inside."""

import logging
import math
import os
import sys
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import cast

from training.fit_plan import fit_names
from training.pool import Gone, Pool
from training.processes import (
    FORKS_FROM_SERVER,
    interrupts_held,
    one_thread_per_child,
    start_method,
)
from training.task import Failure, FitEnded, Task, Trained
from training.worker import Job, NoRoom, Told, import_all, train

# Seconds of one fit on 1,000 rows, about: the longest tasks begin first, so that no core is left
# waiting for one at the end.
FIT_SECONDS = {"LSTM": 0.4, "MLP": 0.08, "Council": 0.06, "RandomForest": 0.05, "XGBoost": 0.04}
OTHER_FIT_SECONDS = 0.01
# A task that takes less than this is quicker trained than recorded.
RECORDED_SECONDS = 0.1
LIBRARIES = ("sklearn.linear_model", "xgboost", "torch")
AUGMENTING_LIBRARIES = ("imblearn.over_sampling",)

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
        pool = Pool(
            min(n_workers, len(ordered)),
            libraries(augments=_augments(ordered)),
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
            case _:
                self._has_begun, self._since_s = True, time.monotonic()
                told = None
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

    def told_again(self, how: str) -> str:
        """Return what is said of a task whose worker is gone, for the first time."""
        name = f"{self.task.symbol} {self.task.model.name}"
        return f"{name}: {self._where()}{how}; it is tried once more, alone, after the others"

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
    import_all(libraries(augments=_augments(tasks)))
    with _lost_interrupts() as lost:
        for task in tasks:
            running = _Running(task)
            with closing(train(task)) as all_told:
                for told in all_told:
                    if lost:
                        raise KeyboardInterrupt
                    yield running.event(told)


def _in_workers(tasks: Sequence[Task], pool: Pool) -> Generator[Event, None, None]:
    waiting, again = deque[Job](tasks), deque[Task]()
    running = {id(task): _Running(task) for task in tasks}
    died: set[int] = set()
    events: list[Event] = []
    try:
        while waiting or again or pool.n_busy or events:
            if again and not (waiting or pool.n_busy):
                # What others hold of the memory may be what it lacked.
                pool.dismiss()
                waiting.append(again.popleft())
            pool.give(waiting)
            # Only now, when no worker waits for work.
            yield from events
            events = []
            for job, told in pool.told():
                task = cast(Task, job)
                one = running[id(task)]
                if not isinstance(told, Gone):
                    events.append(one.event(told))
                elif not told.may_pass:
                    events.append(one.died(told.how))
                elif id(task) in died:
                    events.append(one.died(f"{told.how}, twice"))
                else:
                    died.add(id(task))
                    again.append(task)
                    _log.warning("%s", one.told_again(told.how))
                    running[id(task)] = _Running(task)
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
            start_method(libraries(augments=augments))
            ensure_running()


def _augments(tasks: Sequence[Task]) -> bool:
    return any(task.augmentation != "none" for task in tasks)


def libraries(*, augments: bool) -> list[str]:
    """Return what a worker imports beforehand."""
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
