"""Does work on a thread of its own, so that who waits for it can stop waiting."""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any


class Job:
    """Work that is done, or being done.

    Attributes
    ----------
    ended
        Set when it is done, well or not.
    result
        What it returned.
    error
        What it raised, or None.
    """

    def __init__(self, work: Callable[[], Any]) -> None:
        self.ended = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None
        self._work = work

    def do(self) -> None:
        """Do the work, on the thread that calls this."""
        try:
            self.result = self._work()
        except BaseException as error:  # noqa: BLE001 - it is raised where the work was asked for
            self.error = error
        finally:
            self.ended.set()


class Courier:
    """Does one piece of work after another; its thread never keeps a process from ending."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._last: Job | None = None
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether it is still at the work it was given last."""
        return self._last is not None and not self._last.ended.is_set()

    def begin(self, work: Callable[[], Any]) -> Job:
        """Hand over work; what is still being done comes first."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="tracker", daemon=True)
            self._thread.start()
        self._last = Job(work)
        self._jobs.put(self._last)
        return self._last

    def wait(self, seconds: float) -> bool:
        """Wait for the last piece of work, and return whether it is done."""
        return self._last is None or self._last.ended.wait(seconds)

    def stop(self) -> None:
        """End the thread once its work is done; later work begins another."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread, self._jobs = None, SimpleQueue()

    def _serve(self) -> None:
        jobs = self._jobs
        while (job := jobs.get()) is not None:
            job.do()
