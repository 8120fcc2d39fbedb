"""How many alerts a person gets: few enough to be read."""

from collections import Counter, deque
from collections.abc import Callable

from live.alerts import Alert

HOUR_S = 3600.0


class AlertLimits:
    """Lets one alert of a kind and symbol through in a while, and so many of all in an hour.

    What is held back is counted, and told with the next one of its kind and symbol.

    Parameters
    ----------
    every_s : float
        Between two alerts of one kind and symbol.
    per_hour : int
        Of all kinds.
    now_s : callable
        A clock that only goes forward.
    """

    def __init__(self, *, every_s: float, per_hour: int, now_s: Callable[[], float]) -> None:
        self._every_s, self._per_hour, self._now_s = every_s, per_hour, now_s
        self._last_s: dict[tuple[str, str | None], float] = {}
        self._latest_s: deque[float] = deque()
        self._held: Counter[tuple[str, str | None]] = Counter()

    def passes(self, alert: Alert) -> bool:
        """Tell whether an alert is to be sent; count it where it is not."""
        key, now_s = (alert.kind, alert.symbol), self._now_s()
        while self._latest_s and now_s - self._latest_s[0] >= HOUR_S:
            self._latest_s.popleft()
        last_s = self._last_s.get(key)
        is_early = last_s is not None and now_s - last_s < self._every_s
        if is_early or len(self._latest_s) >= self._per_hour:
            self._held[key] += 1
            return False
        self._last_s[key] = now_s
        self._latest_s.append(now_s)
        return True

    def tell(self, alert: Alert) -> int:
        """Return how many like it are held back, which it tells of now."""
        return self._held.pop((alert.kind, alert.symbol), 0)

    def take_back(self, alert: Alert, told: int = 0) -> None:
        """Count an alert that passed and could not be sent, and those that it told of."""
        self._held[alert.kind, alert.symbol] += told + 1
