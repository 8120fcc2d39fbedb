"""What bars look like: gaps, prices that stand still, spikes, level jumps.

Figures for a person to read; they look both ways in time, and nothing is computed from them.

Axes: T bars, B breaks in time.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from market.bars import Bars, FloatArray, TimeArray

BoolArray = npt.NDArray[np.bool_]

_HOUR = np.timedelta64(3_600_000_000, "us")
_FRIDAY, _SATURDAY, _MONDAY = 4, 5, 0
_LONGEST_WEEKEND = 76 * _HOUR  # a bank holiday on one side does not make it a gap
_WINDOW_BARS = 101  # what a bar's range is compared with, centred on it
_SPIKE_RANGES = 15.0
_UNDONE = 0.75
_JUMP_FACTOR = 1.8
_LASTING_BARS = 20
_SHIFT = _HOUR  # what summer time moves a pause by
_CLEARLY, _FEWEST_STEPS = 0.5, 30
_LONG_STEPS, _LONG_SHARE, _MOSTLY = 100, 0.05, 0.5


@dataclass(frozen=True, slots=True)
class Gaps:
    """Breaks with room for a bar or more that are not the ordinary weekend.

    Attributes
    ----------
    breaks, bars_missing : int
        Breaks, and bars that would fit into them.
    longest_h : float
        From the start of the bar before to the start of the bar after, in hours.
    longest_from_utc : datetime64[us] or None
        Start of the last bar before the longest.
    daily_pauses, pause_bars : int
        Breaks that are the market's pause, equally long at one time of most working days (give or
        take summer time), and the bars missing in them.
    """

    breaks: int
    bars_missing: int
    longest_h: float
    longest_from_utc: np.datetime64 | None
    daily_pauses: int
    pause_bars: int


@dataclass(frozen=True, slots=True)
class Stuck:
    """Prices that stand still.

    Attributes
    ----------
    longest_run_bars : int
        Most bars in a row with high = low and the close of the bar before.
    longest_run_from_utc : datetime64[us] or None
    flat_bars : int
        Bars with high = low.
    unchanged_share : float
        Share of closes equal to the close before.
    """

    longest_run_bars: int
    longest_run_from_utc: np.datetime64 | None
    flat_bars: int
    unchanged_share: float


@dataclass(frozen=True, slots=True)
class Spikes:
    """Bars far beyond their surroundings whose move the next bar undoes.

    Far: 15 times the median range of the 101 bars around. Either the high (or low) lies that far
    beyond those of both neighbours, or the close does beyond the close before and the next close is
    back by three quarters.

    Attributes
    ----------
    count : int
    largest : float
        Log distance of the largest, negative for one downwards.
    largest_at_utc : datetime64[us] or None
    """

    count: int
    largest: float
    largest_at_utc: np.datetime64 | None


@dataclass(frozen=True, slots=True)
class LevelJump:
    """A price that is multiplied by 1.8 or more, or divided, from one bar to the next, and stays.

    Attributes
    ----------
    at_utc : datetime64[us]
        Start of the first bar at the new level.
    factor : float
        New level through old: 0.5 after a split in two.
    """

    at_utc: np.datetime64
    factor: float


@dataclass(frozen=True, slots=True)
class LongerPart:
    """Steps in a row that are all longer than a bar: how many, the commonest, and from when."""

    steps: int
    usual: np.timedelta64
    from_utc: np.datetime64


def gaps_in(bars: Bars) -> Gaps:
    """Find breaks; the ordinary weekend goes from a Friday to Saturday, Sunday or Monday.

    It may be 76 hours long.
    """
    step_T = np.diff(bars.start_T)
    break_B = np.flatnonzero(step_T >= 2 * bars.length)
    gap_B = break_B[~_is_weekend(bars.start_T[break_B], bars.start_T[break_B + 1])]
    if len(gap_B) == 0:
        return Gaps(0, 0, 0.0, None, 0, 0)
    length_B = step_T[gap_B]
    missing_B = length_B // bars.length - 1
    pause_B = _is_pause(bars.start_T, bars.start_T[gap_B], length_B)
    longest = int(np.argmax(length_B))
    return Gaps(
        breaks=len(gap_B),
        bars_missing=int(missing_B.sum()),
        longest_h=float(length_B[longest] / _HOUR),
        longest_from_utc=np.datetime64(bars.start_T[gap_B[longest]], "us"),
        daily_pauses=int(pause_B.sum()),
        pause_bars=int(missing_B[pause_B].sum()),
    )


def weekday_T(time_T: TimeArray) -> npt.NDArray[np.int64]:
    """Return the day of the week, Monday being 0."""
    weekday: npt.NDArray[np.int64] = (time_T.astype("datetime64[D]").astype(np.int64) + 3) % 7
    return weekday


def stuck_prices(bars: Bars) -> Stuck:
    """Measure how often, and for how long, prices stand still."""
    flat_T = bars.high_T == bars.low_T
    unchanged_T = np.diff(bars.close_T, prepend=np.nan) == 0
    run_bars, run_from = longest_run(flat_T & unchanged_T)
    return Stuck(
        longest_run_bars=run_bars,
        longest_run_from_utc=np.datetime64(bars.start_T[run_from], "us") if run_bars else None,
        flat_bars=int(flat_T.sum()),
        unchanged_share=float(unchanged_T[1:].mean()) if len(bars) > 1 else 0.0,
    )


def spikes_in(bars: Bars) -> Spikes:
    """Find spikes; the first and the last bar are never one."""
    if len(bars) < 3:
        return Spikes(0, 0.0, None)
    high_T, low_T = np.log(bars.high_T), np.log(bars.low_T)
    close_T = np.log(bars.close_T)
    above_T = high_T[1:-1] - np.maximum(high_T[:-2], high_T[2:])
    below_T = np.minimum(low_T[:-2], low_T[2:]) - low_T[1:-1]
    move_T = close_T[1:-1] - close_T[:-2]
    undone_T = np.abs(close_T[2:] - close_T[:-2]) <= (1.0 - _UNDONE) * np.abs(move_T)
    move_T = np.where(undone_T, move_T, 0.0)
    up_T, down_T = np.maximum(above_T, move_T), np.maximum(below_T, -move_T)
    size_T = np.maximum(up_T, down_T)
    range_T = high_T - low_T
    # Few bars are far beyond the range of all; only for these is the one around them looked at.
    far_N = np.flatnonzero(size_T > _SPIKE_RANGES * _range_of_all(range_T))
    spike_N = far_N[size_T[far_N] > _SPIKE_RANGES * _range_around(range_T, far_N + 1)]
    if len(spike_N) == 0:
        return Spikes(0, 0.0, None)
    largest = int(spike_N[np.argmax(size_T[spike_N])])
    at_utc = np.datetime64(bars.start_T[1 + largest], "us")
    sign = 1.0 if up_T[largest] >= down_T[largest] else -1.0
    return Spikes(len(spike_N), sign * float(size_T[largest]), at_utc)


def level_jumps(bars: Bars) -> tuple[LevelJump, ...]:
    """Find lasting jumps, earliest first: the medians of 20 closes before and after differ too."""
    close_T, open_T = np.log(bars.close_T), np.log(bars.open_T)
    limit = np.log(_JUMP_FACTOR)
    far_T = np.maximum(np.abs(open_T[1:] - close_T[:-1]), np.abs(np.diff(close_T))) >= limit
    found: list[LevelJump] = []
    for t in np.flatnonzero(far_T) + 1:
        before = np.median(close_T[max(0, t - _LASTING_BARS) : t])
        change = float(np.median(close_T[t : t + _LASTING_BARS]) - before)
        if abs(change) >= limit:
            found.append(LevelJump(np.datetime64(bars.start_T[t], "us"), float(np.exp(change))))
    return tuple(found)


def open_close_swapped(bars: Bars) -> bool:
    """Tell whether closes follow the opens before them more closely than opens the closes."""
    next_T = np.flatnonzero(np.diff(bars.start_T) == bars.length) + 1
    if len(next_T) < _FEWEST_STEPS:
        return False
    open_away = np.median(np.abs(bars.open_T[next_T] - bars.close_T[next_T - 1]))
    close_away = np.median(np.abs(bars.close_T[next_T] - bars.open_T[next_T - 1]))
    return bool(close_away < _CLEARLY * open_away)


def longer_part(bars: Bars) -> LongerPart | None:
    """Find a long run of steps above a bar's length, most of them alike: bars of another length."""
    step_T = np.diff(bars.start_T)
    steps, first = longest_run(step_T > 1.5 * bars.length)
    if steps <= max(_LONG_SHARE * len(step_T), _LONG_STEPS):
        return None
    lengths, counts = np.unique(step_T[first : first + steps], return_counts=True)
    if counts.max() < _MOSTLY * steps:
        return None
    usual = np.timedelta64(lengths[np.argmax(counts)], "us")
    return LongerPart(steps, usual, np.datetime64(bars.start_T[first], "us"))


def largest_return(bars: Bars) -> tuple[float, np.datetime64 | None]:
    """Return the largest absolute log return from close to close, and its bar's start."""
    if len(bars) < 2:
        return 0.0, None
    size_T = np.abs(np.diff(np.log(bars.close_T)))
    largest = int(np.argmax(size_T))
    return float(size_T[largest]), np.datetime64(bars.start_T[largest + 1], "us")


def _is_weekend(last_B: TimeArray, next_B: TimeArray) -> BoolArray:
    after_B = weekday_T(next_B)
    is_short_B = next_B - last_B <= _LONGEST_WEEKEND
    resumes_B = (after_B >= _SATURDAY) | (after_B == _MONDAY)
    weekend_B: BoolArray = (weekday_T(last_B) == _FRIDAY) & resumes_B & is_short_B
    return weekend_B


def _is_pause(
    start_T: TimeArray, last_B: TimeArray, length_B: npt.NDArray[np.timedelta64]
) -> BoolArray:
    lengths, counts = np.unique(length_B, return_counts=True)
    usual = lengths[np.argmax(counts)]
    usual_B = length_B == usual
    of_day_B = (last_B - last_B.astype("datetime64[D]")).astype("timedelta64[us]")
    times, counts = np.unique(of_day_B[usual_B], return_counts=True)
    away_B = np.abs(of_day_B - times[np.argmax(counts)])
    pause_B: BoolArray = usual_B & (np.minimum(away_B, 24 * _HOUR - away_B) <= _SHIFT)
    days = np.unique(start_T.astype("datetime64[D]"))
    working_days = int((weekday_T(days) < _SATURDAY).sum())
    # What comes as often at other hours is a longer bar, or a thin market.
    is_daily = pause_B.sum() > max(working_days, usual_B.sum()) / 2
    return pause_B & bool(is_daily and usual < 24 * _HOUR)


def longest_run(is_T: BoolArray) -> tuple[int, int]:
    """Return length and place of the longest run of True, the first of equals."""
    edge_T = np.diff(np.concatenate([[0], is_T.astype(np.int8), [0]]))
    first, end = np.flatnonzero(edge_T == 1), np.flatnonzero(edge_T == -1)
    if len(first) == 0:
        return 0, 0
    longest = int(np.argmax(end - first))
    return int(end[longest] - first[longest]), int(first[longest])


def _range_of_all(range_T: FloatArray) -> float:
    """Return the median range of all bars that are not flat."""
    moving_T = range_T[range_T > 0]
    return float(np.median(moving_T)) if len(moving_T) else 0.0


def _range_around(range_T: FloatArray, bar_N: npt.NDArray[np.int64]) -> FloatArray:
    """Return the median range of the bars around each of some bars, themselves included."""
    if len(bar_N) * _WINDOW_BARS > len(range_T):
        around = pl.Series(range_T).rolling_median(_WINDOW_BARS, min_samples=1, center=True)
        return around.to_numpy()[bar_N]
    side = _WINDOW_BARS // 2
    parts = (range_T[max(bar - side, 0) : bar + side + 1] for bar in bar_N.tolist())
    return np.array([np.median(part) for part in parts], dtype=np.float64)
