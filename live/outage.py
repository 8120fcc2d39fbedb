"""Waiting for a bus that is down: pauses that grow, said once, given up after a while."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from live.alerts import Alert, Alerts
from live.bus import BusDownError

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0

Found = TypeVar("Found")

logger = logging.getLogger(__name__)


class Outage:
    """One outage after another of the bus that a process reads.

    Parameters
    ----------
    alerts : Alerts
        Told once for each.
    patience_s : float or None
        After which the process is to end; None waits for ever.
    who : str
        What waits, for messages.
    """

    def __init__(self, alerts: Alerts, *, patience_s: float | None, who: str) -> None:
        self._alerts, self._patience_s, self._who = alerts, patience_s, who
        self._since_s: float | None = None
        self._pause_s = FIRST_PAUSE_S
        self.count = 0

    def wait(self, error: BusDownError, stop: threading.Event) -> None:
        """Wait a while before the next try; raise the error again where patience is over."""
        now_s = time.monotonic()
        if self._since_s is None:
            self._since_s, self.count = now_s, self.count + 1
            logger.warning("%s; %s waits for it", error, self._who)
            self._alerts.send(Alert("bus_down", f"{self._who}: {error}"))
        left_s = float("inf")
        if self._patience_s is not None:
            left_s = self._since_s + self._patience_s - now_s
        if left_s <= 0:
            raise error
        stop.wait(min(self._pause_s, left_s))
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def over(self) -> None:
        """Note that a call has worked."""
        if self._since_s is not None:
            away_s = time.monotonic() - self._since_s
            logger.info("the events bus is back after %.1f s; %s goes on", away_s, self._who)
        self._since_s, self._pause_s = None, FIRST_PAUSE_S

    def waited_out(self, call: Callable[[], Found]) -> Found:
        """Return what a call of the bus returns once that is up; raises as `wait`."""
        never = threading.Event()
        while True:
            try:
                found = call()
            except BusDownError as error:
                self.wait(error, never)
            else:
                self.over()
                return found
