"""Runs training tasks in local processes, one core each with single-threaded maths inside."""

import importlib
import multiprocessing
import os
import signal
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

from training.walk_forward import Task, Trained, train_task

LONGEST_FIRST = ("LSTM", "RandomForest", "MLP", "XGBoost")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


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
        yield from _in_workers(ordered, min(n_workers, max(1, len(ordered))))


def available_cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _rank(task: Task) -> int:
    name = task.model.name
    return LONGEST_FIRST.index(name) if name in LONGEST_FIRST else len(LONGEST_FIRST)


def _in_this_process(tasks: Sequence[Task]) -> Generator[Finished, None, None]:
    for task in tasks:
        yield _train(task)


def _in_workers(tasks: Sequence[Task], n_workers: int) -> Generator[Finished, None, None]:
    # Spawned, not forked: a child forked after XGBoost or torch has run hangs.
    pool = ProcessPoolExecutor(
        n_workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_warm_up,
        initargs=(any(task.new_augmenter for task in tasks),),
    )
    waiting: dict[Future[Finished], Task] = {}
    try:
        with _one_thread_per_child():
            waiting |= {pool.submit(_train, task): task for task in tasks}
        for future in as_completed(waiting):
            task = waiting[future]
            try:
                yield future.result()
            except BrokenProcessPool:
                yield Finished(task, None, "the worker process died (out of memory, or a crash)")
    except BaseException:
        _end(pool)
        raise
    pool.shutdown()


def _end(pool: ProcessPoolExecutor) -> None:
    processes = list((pool._processes or {}).values())
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.terminate()
    for process in processes:
        process.join()


def _train(task: Task) -> Finished:
    try:
        with _single_threaded():
            return Finished(task, train_task(task), None)
    except Exception as error:  # noqa: BLE001 - the boundary that isolates one model's failure
        return Finished(task, None, f"{type(error).__name__}: {' '.join(str(error).split())}")


def _warm_up(augments: bool) -> None:
    """Import what every fit needs, so that no fit's time holds an import."""
    # Ctrl-C reaches the whole process group; only the parent acts on it, and ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    libraries = ["sklearn.ensemble", "sklearn.linear_model", "xgboost", "torch"]
    for library in [*libraries, "imblearn.over_sampling"] if augments else libraries:
        importlib.import_module(library)


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
