"""Leaves a service that keeps failing alone for a while, so that nobody waits for it in vain."""

import time
from collections.abc import Callable


class CircuitBreaker:
    """Counts failures in a row.

    Open after ``most_failures`` of them, for ``pause_s``; then a single call is let through: where
    it succeeds all is well again, where it fails another pause begins.

    Parameters
    ----------
    most_failures : int
        At least 1.
    pause_s : float
        At least 0.
    clock : callable
        Seconds that never run backwards.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    def __init__(
        self,
        *,
        most_failures: int,
        pause_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if most_failures < 1:
            raise ValueError(f"most_failures must be at least 1, was {most_failures}")
        if not pause_s >= 0:
            raise ValueError(f"pause_s must be at least 0, was {pause_s}")
        self._most_failures, self._pause_s, self._clock = most_failures, pause_s, clock
        self._failures = 0
        self._open_until = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether no call should be made now."""
        return self._clock() < self._open_until

    def succeeded(self) -> None:
        """Count a call that was answered."""
        self._failures = 0
        self._open_until = float("-inf")

    def failed(self) -> None:
        """Count a call that was not."""
        self._failures += 1
        if self._failures >= self._most_failures:
            self._open_until = self._clock() + self._pause_s
