"""Runs training tasks in local processes, one core each with single-threaded maths inside.

Ours because the pools at hand (concurrent.futures, loky) fail every task when one worker dies and
cannot tell whose fault it was; here a worker has one task at a time, and its death is that task's.
"""

import gc
import importlib
import logging
import math
import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, Pipe, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import cast

from training.task import Failure, FitEnded, Task, Trained
from training.walk_forward import Training, fit_names

# Seconds of one fit on 1,000 rows, about: the longest tasks begin first, so that no core is left
# waiting for one at the end.
FIT_SECONDS = {"LSTM": 0.4, "MLP": 0.08, "Council": 0.06, "RandomForest": 0.05, "XGBoost": 0.04}
OTHER_FIT_SECONDS = 0.01
# A task that takes less than this is quicker trained than recorded.
RECORDED_SECONDS = 0.1
LIBRARIES = ("sklearn.linear_model", "xgboost", "torch")
AUGMENTING_LIBRARIES = ("imblearn.over_sampling",)
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
FORKS_FROM_SERVER = sys.platform == "linux"
DIED = "the worker process died (out of memory, or a crash)"


_log = logging.getLogger(__name__)

# What a worker tells: that it has begun (None), each fit, and what became of the task.
Told = FitEnded | Trained | Failure | None


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


def run_tasks(tasks: Sequence[Task], n_workers: int) -> Generator[Event, None, None]:
    """Train every task, the long ones first; yield each step as it is made, each task as it ends.

    Of one task there come a `Step` as it begins, one after each fit, and `Finished`. The results
    do not depend on ``n_workers``; with 1, everything runs in this process. Closing the iterator
    early ends the worker processes.
    """
    ordered = sorted(tasks, key=_turn)
    if n_workers == 1:
        yield from _in_this_process(ordered)
    else:
        yield from _in_workers(ordered, min(n_workers, len(ordered)))


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
        self._task = task
        self._names = fit_names(task)
        self._since_s = time.monotonic()
        self._has_begun = False
        self._ended: list[FitEnded] = []

    def event(self, told: Told) -> Event:
        match told:
            case Trained() | Failure():
                return Finished(self._task, told)
            case FitEnded():
                self._ended.append(told)
                _tell_log(self._task, told)
            case None:
                self._has_begun = True
        return Step(self._task, len(self._ended), len(self._names), told)

    def died(self) -> Finished:
        """Return what is known of a task whose worker is gone."""
        failures = (one.augmentation_failure for one in self._ended)
        failure = Failure(
            error=f"{self._where()}{DIED}",
            warnings=tuple(sentence for one in self._ended for sentence in one.warnings),
            augmentation_failures=tuple(sentence for sentence in failures if sentence),
            duration_s=time.monotonic() - self._since_s,
            cpu=None,
        )
        return Finished(self._task, failure)

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
    _import(_libraries(augments=_augments(tasks)))
    with _lost_interrupts() as lost:
        for task in tasks:
            running = _Running(task)
            with closing(_train(task)) as all_told:
                for told in all_told:
                    if lost:
                        raise KeyboardInterrupt
                    yield running.event(told)


def _in_workers(tasks: Sequence[Task], n_workers: int) -> Generator[Event, None, None]:
    waiting = deque(tasks)
    libraries = _libraries(augments=_augments(tasks))
    idle: list[Connection] = []
    busy: dict[Connection, _Running] = {}
    events: list[Event] = []
    processes: list[BaseProcess] = []
    try:
        while waiting or busy or events:
            while len(waiting) > len(idle) and len(idle) + len(busy) < n_workers:
                connection, process = _started(libraries)
                idle.append(connection)
                processes.append(process)
            while waiting and idle:
                connection = idle.pop(0)
                busy[connection] = _sent(connection, waiting.popleft())
            # Only now, when no worker waits for work.
            yield from events
            events = []
            for connection in cast(list[Connection], wait(list(busy)) if busy else []):
                events.append(_received(connection, busy[connection]))
                if isinstance(events[-1], Step):
                    continue
                del busy[connection]
                if not connection.closed:
                    idle.append(connection)
        for connection in idle:
            connection.close()
        for process in processes:
            process.join()
    finally:
        for process in processes:
            process.terminate()
            process.join()


def prepare_workers(n_workers: int, *, augments: bool) -> None:
    """Begin to import what workers need, in a process of its own, while this one goes on.

    Workers that are started later are forked from it and find everything imported.
    """
    if n_workers > 1 and FORKS_FROM_SERVER:
        from multiprocessing.forkserver import ensure_running

        with _one_thread_per_child(), _interrupts_held():
            _context(_libraries(augments=augments))
            ensure_running()


def _context(libraries: Sequence[str]) -> SpawnContext | ForkServerContext:
    """Return how workers are started: never forked from a process in which a library has run.

    A child forked after XGBoost or torch has run hangs. The server only imports them, once for all
    workers, whose memory holds them once.
    """
    if not FORKS_FROM_SERVER:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*libraries, __name__])
    return context


def _started(libraries: Sequence[str]) -> tuple[Connection, BaseProcess]:
    ours, theirs = Pipe()
    process = _context(libraries).Process(target=_work, args=(theirs, libraries), daemon=True)
    with _one_thread_per_child(), _interrupts_held():
        process.start()
    # With the only other end in the worker, its death is seen here as the end of the stream.
    theirs.close()
    return ours, process


def _sent(connection: Connection, task: Task) -> _Running:
    # A worker that died while starting is found out when it is read from.
    with suppress(OSError):
        connection.send(task)
    return _Running(task)


def _received(connection: Connection, running: _Running) -> Event:
    try:
        told: Told = connection.recv()
    except (EOFError, OSError):
        connection.close()
        return running.died()
    return running.event(told)


def _work(connection: Connection, libraries: Sequence[str]) -> None:
    """Train one task after another until the other end of the connection closes."""
    _import(libraries)
    # What was imported stays: no collection need look at it.
    gc.freeze()
    try:
        while True:
            for told in _train(connection.recv()):
                connection.send(told)
    except (EOFError, OSError):
        return


def _augments(tasks: Sequence[Task]) -> bool:
    return any(task.augmentation != "none" for task in tasks)


def _libraries(*, augments: bool) -> list[str]:
    return [*LIBRARIES, *(AUGMENTING_LIBRARIES if augments else ())]


def _import(libraries: Sequence[str]) -> None:
    """Import what fits need beforehand, so that no fit's time holds an import."""
    for library in libraries:
        importlib.import_module(library)


def _train(task: Task) -> Generator[Told, None, None]:
    yield None
    training = Training(task)
    try:
        with _single_threaded():
            yield from training.fits()
    except Exception as error:  # noqa: BLE001 - the boundary that isolates one model's failure
        yield training.failure(error)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let processes started here inherit that Ctrl-C, which reaches them too, is the parent's.

    The parent has it as well when it comes meanwhile, now or afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Started in here, it would let interrupts through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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


@contextmanager
def _one_thread_per_child() -> Iterator[None]:
    """Let processes started here inherit one thread for their maths."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _single_threaded() -> Iterator[None]:
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)
