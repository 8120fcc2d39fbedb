"""Runs on noise side by side, for as many or as long as wanted; each is kept as it ends."""

import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, TextIO

from benchmarks.honesty.runner import LONGEST_FAILURE, one_core_pool
from benchmarks.sweeping.noise import Noise, noise_run
from benchmarks.sweeping.records import SweepRecords

# After so many runs that failed the bench gives up: they will not get better.
MOST_FAILURES = 3


def run_noise(
    asked: Noise,
    worlds: list[str],
    records: SweepRecords,
    *,
    n_runs: int,
    minutes: float | None,
    n_workers: int,
    screen: TextIO,
) -> int:
    """Simulate the runs that are not there yet, the worlds taking turns; return how many failed.

    Parameters
    ----------
    n_runs : int
        Of each world.
    minutes : float or None
        Begin no further run after these; None goes on until all are there.
    n_workers : int
        Processes of one run each; a run does not depend on their number.
    """
    done = records.of(asked.asked)
    missing = [
        key for run in range(n_runs) for world in worlds if (key := (world, run)) not in done
    ]
    screen.write(f"{n_runs * len(worlds) - len(missing)} runs are there already\n")
    until_s = None if minutes is None else time.monotonic() + 60 * minutes
    failures = 0
    for key, ended in _ended(asked, missing, n_workers, until_s):
        error = ended.exception()
        if error is None:
            records.add(asked.asked, key, ended.result())
            screen.write(f"{key[0]}, run {key[1]}: {outcome(ended.result())}\n")
        else:
            failures += 1
            sentence = " ".join(str(error).split())[:LONGEST_FAILURE]
            screen.write(f"{key[0]}, run {key[1]}: {type(error).__name__}: {sentence}\n")
        screen.flush()
        if failures >= MOST_FAILURES:
            break
    return failures


def outcome(found: dict[str, Any]) -> str:
    """Return one line on a finished run."""
    counts = {name: sum(map(bool, found[name].values())) for name in ("tuned", "untuned")}
    seconds = sum(one["wall_s"] for one in found["took"].values())
    return (
        f"{counts['tuned']} deployed ({counts['untuned']} without the sweep), "
        f"{found['adopted']} of {found['studies']} adopted, {seconds:.0f} s"
    )


def _ended(
    asked: Noise, keys: list[tuple[str, int]], n_workers: int, until_s: float | None
) -> Iterator[tuple[tuple[str, int], Future[dict[str, Any]]]]:
    """Yield each run as it ends; none waits in the pool, so that a stop is quick."""
    waiting = iter(keys)
    running: dict[Future[dict[str, Any]], tuple[str, int]] = {}
    with one_core_pool(n_workers) as pool:
        while True:
            while len(running) < n_workers and (until_s is None or time.monotonic() < until_s):
                if (key := next(waiting, None)) is None:
                    break
                running[pool.submit(noise_run, asked, *key)] = key
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future
