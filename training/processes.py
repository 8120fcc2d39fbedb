"""How worker processes are started, and ended with all that is below this one."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.context import ForkServerContext, SpawnContext

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
FORKS_FROM_SERVER = sys.platform == "linux"


def start_method(libraries: Sequence[str]) -> SpawnContext | ForkServerContext:
    """Return how workers are started: never forked from a process in which a library has run.

    A child forked after XGBoost or torch has run hangs. The server only imports them, once for all
    workers, whose memory holds them once.
    """
    if not FORKS_FROM_SERVER:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*libraries, "training.worker"])
    return context


def end_workers() -> None:
    """End all workers, and what prepares them, whatever they are doing."""
    import psutil

    children = psutil.Process().children()
    ours = [one for one in children if "multiprocessing" in " ".join(one.cmdline())]
    below = [*ours, *(process for one in ours for process in one.children(recursive=True))]
    for process in below:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(below, timeout=5.0)


@contextmanager
def interrupts_held() -> Iterator[None]:
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
def one_thread_per_child() -> Iterator[None]:
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
