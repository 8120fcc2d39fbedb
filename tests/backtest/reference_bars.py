"""What the slow reference knows at each bar, worked out bar by bar from docs/replay_rules.md."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; ``time`` is when it is complete, in UTC."""

    time: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is known of the market at a bar's close."""

    true_range: float
    atr: float
    volume_ratio: float
    quiet_volume: float
    consolidating: bool
    regime: int
    minutes_to_session_close: float
    friday: bool
    hour: int
    momentum: float


def conditions_of(bars: list[Bar], sessions: tuple[str, ...]) -> list[Conditions]:
    ranges = [true_range(bars, t) for t in range(len(bars))]
    atr = wilder(bars, ranges)
    ratios = [volume_ratio(bars, t) for t in range(len(bars))]
    return [
        Conditions(
            true_range=ranges[t],
            atr=atr[t],
            volume_ratio=ratios[t],
            quiet_volume=sum(ratios[t - 2 : t + 1]) / 3 if t >= 2 else 1.0,
            consolidating=t >= 4 and window(bars, t, 5) < 2 * atr[t],
            regime=regime(bars, atr, t),
            minutes_to_session_close=minutes_to_session_close(bar.time, sessions),
            friday=bar.time.weekday() == 4,
            hour=bar.time.hour,
            momentum=(bar.close - bars[t - 5].close) / atr[t] if t >= 5 else 0.0,
        )
        for t, bar in enumerate(bars)
    ]


def true_range(bars: list[Bar], t: int) -> float:
    bar = bars[t]
    before = bars[t - 1].close if t else bar.high
    if t == 0:
        return bar.high - bar.low
    return max(bar.high, before) - min(bar.low, before)


def wilder(bars: list[Bar], ranges: list[float]) -> list[float]:
    mean, found = 0.0, []
    for t, span in enumerate(ranges):
        mean += (span - mean) / min(t + 1, 14)
        found.append(max(mean, 1e-6 * bars[t].close))
    return found


def volume_ratio(bars: list[Bar], t: int) -> float:
    if t < 19:
        return 1.0
    mean = sum(bar.volume for bar in bars[t - 19 : t + 1]) / 20
    return bars[t].volume / mean if mean > 0 else 1.0


def window(bars: list[Bar], t: int, n: int) -> float:
    last = bars[t - n + 1 : t + 1]
    return max(bar.high for bar in last) - min(bar.low for bar in last)


def regime(bars: list[Bar], atr: list[float], t: int) -> int:
    if t < 20:
        return 0
    closes = [bar.close for bar in bars[t - 20 : t + 1]]
    way = sum(abs(b - a) for a, b in pairwise(closes))
    efficiency = abs(closes[-1] - closes[0]) / way if way > 0 else 0.0
    last = atr[max(0, t - 99) : t + 1]
    volatility = atr[t] / (sum(last) / len(last))
    if volatility > 1.25:
        return 3 if efficiency >= 0.25 else 4
    if volatility < 0.8:
        return 5
    if efficiency >= 0.35:
        return 1
    return 2 if efficiency <= 0.15 else 0


def minutes_to_session_close(now: datetime, sessions: tuple[str, ...]) -> float:
    waits = [(next_close(now, session) - now) / timedelta(minutes=1) for session in sessions]
    return min(waits, default=float("inf"))


def next_close(now: datetime, session: str) -> datetime:
    *weekday, clock = session.split()
    hour, minute = (int(part) for part in clock.split(":"))
    close = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    while close < now or (weekday and WEEKDAYS[close.weekday()] != weekday[0]):
        close += timedelta(days=1)
    return close
