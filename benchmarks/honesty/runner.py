"""Runs jobs in processes of their own, one core each, and keeps what they find."""

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TextIO

from benchmarks.honesty.grids import Job
from benchmarks.honesty.records import RunRecords
from benchmarks.honesty.simulated_run import simulated_run

ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
LONGEST_FAILURE = 400


def run_jobs(
    jobs: Sequence[Job], records: RunRecords, *, n_workers: int, screen: TextIO
) -> list[str]:
    """Simulate every job that has no record yet, and record each as it ends.

    Parameters
    ----------
    jobs : sequence of Job
    records : RunRecords
        Written to by this process alone.
    n_workers : int
        Processes; a job does not depend on their number.
    screen : text file
        Gets a line per finished job.

    Returns
    -------
    list of str
        One sentence for each run that failed; the others are recorded all the same.
    """
    waiting = records.missing(jobs)
    screen.write(f"{len(jobs) - len(waiting)} of {len(jobs)} runs are there already\n")
    failures: list[str] = []
    began_s = time.monotonic()
    for number, (job, ended) in enumerate(_ended(waiting, n_workers), start=1):
        error = ended.exception()
        if error is None:
            records.add(ended.result())
        else:
            failures.append(_failure(job, error))
        said = failures[-1] if error else outcome(ended.result())
        left_s = (time.monotonic() - began_s) / number * (len(waiting) - number)
        screen.write(f"{number}/{len(waiting)}  {_minutes(left_s)} left  {said}\n")
        screen.flush()
    return failures


def outcome(record: Mapping[str, Any]) -> str:
    """Return one line on a finished run."""
    symbols = record["symbols"].values()
    deployed = sum(one["selected_model"] is not None for one in symbols)
    return (
        f"{record['grid']}: {record['cell']}, run {record['run']}: "
        f"{deployed} of {len(symbols)} deployed, {record['seconds']:.1f} s"
    )


def _ended(jobs: Sequence[Job], n_workers: int) -> Iterator[tuple[Job, Future[dict[str, Any]]]]:
    """Yield each job with its future as it ends; few are handed out, so that a stop is quick."""
    waiting = iter(jobs)
    running: dict[Future[dict[str, Any]], Job] = {}
    with one_core_pool(n_workers) as pool:
        while True:
            while len(running) <= n_workers and (job := next(waiting, None)) is not None:
                running[pool.submit(simulated_run, job)] = job
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future


@contextmanager
def one_core_pool(n_workers: int) -> Iterator[ProcessPoolExecutor]:
    """Start processes of one thread each, which end when the process that started them does."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    # Spawned, not forked: a child forked after XGBoost or torch has run hangs.
    spawning = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(n_workers, spawning, _end_with_parent) as pool:
            yield pool
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _end_with_parent() -> None:
    """Watch the parent: a worker whose parent was killed would never be told to stop."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _failure(job: Job, error: BaseException) -> str:
    sentence = " ".join(str(error).split())
    return f"{job.cell.name}, run {job.run}: {type(error).__name__}: {sentence[:LONGEST_FAILURE]}"


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
