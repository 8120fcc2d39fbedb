"""How long a run waits for a store that does not do its part, and when it asks again."""

import time
from collections.abc import Callable

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0


class Patience:
    """What is left of the time that a run may lose, and the pause after a failure.

    Parameters
    ----------
    total_s
        Time that may be lost in all.
    clock
        Seconds that only grow.
    """

    def __init__(self, total_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.left_s = total_s
        self._clock = clock
        self._pause_s = _FIRST_PAUSE_S
        self._resumes_s = float("-inf")

    def lose(self, seconds: float) -> None:
        """Count time that was lost."""
        self.left_s = max(0.0, self.left_s - max(0.0, seconds))

    def shorten(self, seconds: float) -> None:
        """Leave no more than that."""
        self.left_s = min(self.left_s, seconds)

    def failed(self) -> None:
        """Begin a pause, twice as long as the one before."""
        self._resumes_s = self._clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)

    def succeeded(self) -> None:
        """Make the next pause a short one again."""
        self._pause_s = _FIRST_PAUSE_S

    def allows(self, *, in_pause: bool = False) -> bool:
        """Return whether the store may be asked now.

        Parameters
        ----------
        in_pause
            Whether a pause is no reason to leave it.
        """
        return self.left_s > 0 and (in_pause or self._clock() >= self._resumes_s)
