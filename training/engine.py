"""Runs training tasks in local processes, one core each with single-threaded maths inside.

Ours because the pools at hand (concurrent.futures, loky) fail every task when one worker dies and
cannot tell whose fault it was; here a worker has one task at a time, and its death is that task's.
"""

import importlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe, wait
from multiprocessing.context import SpawnProcess
from typing import cast

from training.walk_forward import Task, Trained, train_task

LONGEST_FIRST = ("LSTM", "RandomForest", "MLP", "XGBoost")
LIBRARIES = ("sklearn.ensemble", "sklearn.linear_model", "xgboost", "torch")
AUGMENTING_LIBRARIES = ("imblearn.over_sampling",)
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
DIED = "the worker process died (out of memory, or a crash)"


@dataclass(frozen=True, slots=True)
class Finished:
    """A task and what became of it: exactly one of ``trained`` and ``error`` is set."""

    task: Task
    trained: Trained | None
    error: str | None


def run_tasks(tasks: Sequence[Task], n_workers: int) -> Generator[Finished, None, None]:
    """Train every task, longest models first, and yield each as it ends.

    The results do not depend on ``n_workers``; with 1, everything runs in this process. Closing
    the iterator early ends the worker processes.
    """
    ordered = sorted(tasks, key=_rank)
    if n_workers == 1:
        yield from _in_this_process(ordered)
    else:
        yield from _in_workers(ordered, min(n_workers, len(ordered)))


def available_cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _rank(task: Task) -> int:
    name = task.model.name
    return LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)


def _in_this_process(tasks: Sequence[Task]) -> Generator[Finished, None, None]:
    _import(_libraries(tasks))
    for task in tasks:
        yield _train(task)


def _in_workers(tasks: Sequence[Task], n_workers: int) -> Generator[Finished, None, None]:
    waiting = deque(tasks)
    libraries = _libraries(tasks)
    idle: list[Connection] = []
    busy: dict[Connection, Task] = {}
    finished: list[Finished] = []
    processes: list[SpawnProcess] = []
    try:
        while waiting or busy or finished:
            while len(waiting) > len(idle) and len(idle) + len(busy) < n_workers:
                connection, process = _started(libraries)
                idle.append(connection)
                processes.append(process)
            while waiting and idle:
                connection = idle.pop(0)
                busy[connection] = waiting.popleft()
                _send(connection, busy[connection])
            # Only now, when no worker waits for work.
            yield from finished
            finished = []
            for connection in cast(list[Connection], wait(list(busy)) if busy else []):
                finished.append(_received(connection, busy.pop(connection)))
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


def _started(libraries: Sequence[str]) -> tuple[Connection, SpawnProcess]:
    """Start a worker. Spawned, not forked: a child forked after XGBoost or torch has run hangs."""
    ours, theirs = Pipe()
    spawning = multiprocessing.get_context("spawn")
    process = spawning.Process(target=_work, args=(theirs, libraries), daemon=True)
    with _one_thread_per_child(), _interrupts_ignored():
        process.start()
    # With the only other end in the worker, its death is seen here as the end of the stream.
    theirs.close()
    return ours, process


def _send(connection: Connection, task: Task) -> None:
    # A worker that died while starting is found out when it is read from.
    with suppress(OSError):
        connection.send(task)


def _received(connection: Connection, task: Task) -> Finished:
    try:
        finished: Finished = connection.recv()
    except (EOFError, OSError):
        connection.close()
        return Finished(task, None, DIED)
    return finished


def _work(connection: Connection, libraries: Sequence[str]) -> None:
    """Train one task after another until the other end of the connection closes."""
    _import(libraries)
    try:
        while True:
            connection.send(_train(connection.recv()))
    except (EOFError, OSError):
        return


def _libraries(tasks: Sequence[Task]) -> list[str]:
    augments = any(task.new_augmenter for task in tasks)
    return [*LIBRARIES, *(AUGMENTING_LIBRARIES if augments else ())]


def _import(libraries: Sequence[str]) -> None:
    """Import what fits need beforehand, so that no fit's time holds an import."""
    for library in libraries:
        importlib.import_module(library)


def _train(task: Task) -> Finished:
    try:
        with _single_threaded():
            return Finished(task, train_task(task), None)
    except Exception as error:  # noqa: BLE001 - the boundary that isolates one model's failure
        return Finished(task, None, f"{type(error).__name__}: {' '.join(str(error).split())}")


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Let processes started here inherit that Ctrl-C, which reaches them too, is the parent's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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
