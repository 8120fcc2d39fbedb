"""What the bars themselves say about the clock they were stamped by. Nothing is ever shifted.

The foreign-exchange week ends on Friday at 17:00 in New York and begins on Sunday at 17:00
(metals 18:00), all year round. Where the weekly hole of a file lies, and how it moves with summer
time, tells which clock the file was written by.

Axes: T bars, W weekends, C candidate clocks, M currencies and metals.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from market.bars import Bars, FloatArray, TimeArray
from market.checks.bar_figures import BoolArray, weekday_T
from market.checks.bar_grid import DAY
from market.checks.day_pattern import (
    ClockChange,
    busiest_hours,
    clock_changes,
    keeps_european_summer,
)

ClockKind = Literal["week", "sessions", "every day", "daily bars", "too short"]
Reading = Callable[[TimeArray], TimeArray]

_HOUR = np.timedelta64(3_600_000_000, "us")
_WEEK = np.timedelta64(7 * 86_400_000_000, "us")
_HELSINKI, _NEW_YORK = "Europe/Helsinki", "America/New_York"
NEW_YORK_CLOSE = "America/New_York+7h"
_OFFSETS = {
    "UTC": "",
    "Europe/London": " (UTC+0/+1)",
    "Europe/Berlin": " (UTC+1/+2)",
    _HELSINKI: " (UTC+2/+3)",
    _NEW_YORK: " (UTC-5/-4)",
}
_FIXED_HOURS = tuple(hours for hours in range(-11, 13) if hours != 0)
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SATURDAY_CLOSE = np.datetime64("2000-01-01T17:00", "us")  # midway through some weekend
_SHORTEST_HOLE, _LONGEST_HOLE = 30 * _HOUR, 80 * _HOUR
_SHORTEST_NIGHT = 4 * _HOUR
_FEWEST_WEEKENDS = 4
_FEWEST_A_YEAR = 8
_WEEKS_TO_COMPARE = 104
# Both ends of a hole together: brokers close an hour early, metals open an hour late.
_MOST_OFF_H = 1.25
_FAR_H = 3.0  # how much further makes no difference
_LEAST_SHARE = 0.6
_AS_WELL = 0.05
_LEAST_LEAD = 0.25  # in share of weekends; by less no clock is preferred to UTC


@dataclass(frozen=True, slots=True)
class YearClock:
    """The clock that one year's weekends look like, and the share of them that it explains."""

    year: int
    clock: str
    share: float


@dataclass(frozen=True, slots=True)
class ClockEvidence:
    """Which clock the times look like.

    Attributes
    ----------
    kind : {"week", "sessions", "every day", "daily bars", "too short"}
        What there was to tell it by; only ``week`` names clocks.
    sentence : str
        All of it for a person, and what to do.
    looks_wrong : bool
        The clock looks like another than UTC, or changes in mid-file.
    busiest_hours : tuple of int
        The three hours of the day with the widest bars, widest first; empty for daily bars.
    session : str or None
        Commonest first and last bar of a market with a daily session: ``14:30 to 20:30``.
    weekends : int
        Weekly holes weighed.
    hole : str or None
        Commonest start of the last bar and of the first: ``Fri 21:00 to Sun 22:00``.
    hole_share : float
        Share of the weekends with exactly that hole.
    best, runner_up : str or None
        As data.time_zone has them: a zone, ``America/New_York+7h`` (the usual MetaTrader server)
        or ``UTC+3``. The best is UTC unless another explains 25 points more of the weekends.
    best_share, runner_up_share, utc_share : float
        Share of the weekends that each explains: both ends of the hole are, together, within an
        hour and a quarter of Friday and Sunday 17:00 in New York.
    years : tuple of YearClock
        Each year with at least 8 weekends.
    changes : tuple of ClockChange
        Quarters from which on the day's pattern comes at other hours than a year before.
    """

    kind: ClockKind
    sentence: str
    looks_wrong: bool = False
    busiest_hours: tuple[int, ...] = ()
    session: str | None = None
    weekends: int = 0
    hole: str | None = None
    hole_share: float = 0.0
    best: str | None = None
    best_share: float = 0.0
    runner_up: str | None = None
    runner_up_share: float = 0.0
    utc_share: float = 0.0
    years: tuple[YearClock, ...] = ()
    changes: tuple[ClockChange, ...] = ()


@dataclass(frozen=True, slots=True)
class _Weekends:
    """Starts of the last bar before and of the first after each weekly hole, and a bar's length."""

    last_W: TimeArray
    first_W: TimeArray
    length: np.timedelta64

    def __len__(self) -> int:
        return len(self.last_W)


@dataclass(frozen=True, slots=True)
class _Fit:
    """Which weekends each clock explains; how far off it is on average ranks them."""

    names: list[str]
    explained_CW: BoolArray
    off_h_CW: FloatArray

    def best(self, among_W: BoolArray, usual: int, n_clocks: int) -> tuple[int, int]:
        """Return best clock and runner-up of the first so many.

        The usual one is best unless it is clearly beaten.
        """
        share_C = self.explained_CW[:n_clocks, among_W].mean(axis=1)
        far_C = np.minimum(self.off_h_CW[:n_clocks, among_W], _FAR_H).mean(axis=1)
        order = np.argsort(far_C, kind="stable").tolist()
        top = order[0]
        is_clear = share_C[top] >= max(_LEAST_SHARE, share_C[usual] + _LEAST_LEAD)
        first = top if is_clear else usual
        return first, next(clock for clock in order if clock != first)


def clock_evidence(bars: Bars, *, zone_is_set: bool) -> ClockEvidence:
    """Weigh the clocks that bar starts, taken for UTC, could have been stamped by.

    Parameters
    ----------
    bars : Bars
        After whatever conversion was configured.
    zone_is_set : bool
        A time zone was configured or stood in the file: what looks wrong is then that zone.
    """
    if bars.length >= DAY or len(bars) < 2:
        return ClockEvidence("daily bars", "daily bars: nothing to tell the clock by")
    weekends = _weekly_holes(bars)
    n_weeks = (bars.start_T[-1] - bars.start_T[0]) / _WEEK
    session = _session(bars)
    if session is not None:
        text = f"trades in sessions, first and last bar {session} as the times are"
        found = ClockEvidence("sessions", text, session=session)
    elif n_weeks < _FEWEST_WEEKENDS:
        text = f"{len(weekends)} weekends: too few to tell the clock by"
        found = ClockEvidence("too short", text)
    elif len(weekends) < max(n_weeks / 2, _FEWEST_WEEKENDS - 1):
        text = "trades through weekends: nothing to tell the clock by"
        found = ClockEvidence("every day", text)
    else:
        found = _weigh(weekends, keeps_european_summer(bars), zone_is_set=zone_is_set)
    found = replace(found, busiest_hours=busiest_hours(bars))
    # A broker's week may itself move from year to year: the pattern of the day goes before.
    years = found.years if bars.length > _HOUR or n_weeks < _WEEKS_TO_COMPARE else ()
    return _with_changes(found, clock_changes(bars), years)


def _weigh(weekends: _Weekends, is_european: bool | None, *, zone_is_set: bool) -> ClockEvidence:
    fit = _fit(weekends)
    everything = np.ones(len(weekends), dtype=bool)
    best, runner_up = fit.best(everything, usual=0, n_clocks=len(fit.names))
    servers = {True: fit.names.index(_HELSINKI), False: fit.names.index(NEW_YORK_CLOSE)}
    is_told_apart = is_european is not None and best in servers.values()
    if is_told_apart:
        # Servers that leave out what lies outside their own Monday to Friday look like both.
        best, runner_up = servers[bool(is_european)], servers[not is_european]
    share_C = fit.explained_CW.mean(axis=1)
    hole, hole_share = _usual_hole(weekends)
    finding = f"the week's hole is {hole} in {hole_share:.0%} of {len(weekends)} weeks"
    verdict = _verdict(fit.names[best], float(share_C[best]), zone_is_set=zone_is_set)
    if is_told_apart:
        verdict += f" (by the European morning, not {fit.names[runner_up]})"
    elif fit.names[best] != "UTC" and share_C[runner_up] > share_C[best] - _AS_WELL:
        verdict += f" ({fit.names[runner_up]} in {share_C[runner_up]:.0%})"
    return ClockEvidence(
        kind="week",
        sentence=f"{finding}: {verdict}",
        looks_wrong=fit.names[best] != "UTC",
        weekends=len(weekends),
        hole=hole,
        hole_share=hole_share,
        best=fit.names[best],
        best_share=float(share_C[best]),
        runner_up=fit.names[runner_up],
        runner_up_share=float(share_C[runner_up]),
        utc_share=float(share_C[0]),
        years=_years(fit, weekends, best),
    )


def _verdict(clock: str, share: float, *, zone_is_set: bool) -> str:
    if clock == "UTC":
        return f"UTC explains {share:.0%} of weeks, no other clock clearly more"
    described = f"{clock}{_OFFSETS.get(clock, '')}, not UTC, in {share:.0%} of weeks"
    if zone_is_set:
        return (
            f"after conversion the times look like {described}; check data.time_zone and the file"
        )
    return f"the file's clock looks like {described}; if so set data.time_zone={clock}"


def _with_changes(
    found: ClockEvidence, moves: tuple[ClockChange, ...], years: tuple[YearClock, ...]
) -> ClockEvidence:
    """Add what changes in mid-file, by the pattern of the day or by the weekly holes."""
    signs = [
        f"the day begins {abs(move.hours)} h {'later' if move.hours > 0 else 'earlier'} from "
        f"{move.quarter} on"
        for move in moves
    ]
    clocks = [
        f"the weeks look like {now.clock} from {now.year} on and like {before.clock} before"
        for before, now in pairwise(years)
        if now.clock != before.clock
    ]
    if not (signs or clocks):
        return found
    told = ", and ".join([*clocks, *signs][:3])
    text = (
        f"; the clock seems to change in mid-file: {told}; if so split the file there and convert "
        "each part by itself"
    )
    return replace(found, sentence=found.sentence + text, looks_wrong=True, changes=moves)


def _clocks() -> dict[str, Reading]:
    """Return how to read each candidate clock as UTC; of equals the first is preferred."""
    clocks: dict[str, Reading] = {zone: partial(_utc, zone, 0) for zone in _OFFSETS}
    clocks[NEW_YORK_CLOSE] = partial(_utc, _NEW_YORK, 7)
    for hours in _FIXED_HOURS:
        clocks[f"UTC{hours:+d}"] = partial(_utc, "UTC", hours)
    return clocks


def _utc(zone: str, ahead_h: int, time_N: TimeArray) -> TimeArray:
    """Read times of a clock that is ahead of a zone's; an hour that summer time skips is NaT."""
    time_N = time_N - ahead_h * _HOUR
    if zone == "UTC":
        return time_N
    there = pl.Series(time_N).dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    utc: TimeArray = there.dt.convert_time_zone("UTC").dt.replace_time_zone(None).to_numpy()
    return utc


def _new_york(utc_N: TimeArray) -> TimeArray:
    there = pl.Series(utc_N).dt.replace_time_zone("UTC").dt.convert_time_zone(_NEW_YORK)
    local: TimeArray = there.dt.replace_time_zone(None).to_numpy()
    return local


def _fit(weekends: _Weekends) -> _Fit:
    clocks = _clocks()
    off_CWM = _hours_off(weekends, list(clocks.values()))
    hole = np.median(weekends.first_W - weekends.last_W) - weekends.length
    # Metals, too, are judged by the currencies' week, and ranked by their own.
    off_h_CW = off_CWM.min(axis=2) if hole > 48 * _HOUR else off_CWM[:, :, 0]
    return _Fit(list(clocks), off_CWM[:, :, 0] <= _MOST_OFF_H, off_h_CW)


def _hours_off(weekends: _Weekends, clocks: Sequence[Reading]) -> FloatArray:
    """Return how far a hole's ends are from Friday and Sunday 17:00 in New York, summed, in hours.

    A bar is a span of time: the week ended within the last one and began within the first.

    Returns
    -------
    float64 array, shape (n_clocks, n_weekends, 2)
        For currencies, and for metals, which begin at 18:00.
    """
    ends_N = np.concatenate([weekends.last_W, weekends.first_W])
    # All clocks at once: what a conversion costs does not depend on how many times it is given.
    local_N = _new_york(np.concatenate([read(ends_N) for read in clocks]))
    last_CW, first_CW = np.moveaxis(local_N.reshape(len(clocks), 2, len(weekends)), 1, 0)
    known_CW = ~(np.isnat(last_CW) | np.isnat(first_CW))
    middle_CW = np.where(known_CW, last_CW + (first_CW - last_CW) / 2, _SATURDAY_CLOSE)
    weeks_CW = np.floor((middle_CW - _SATURDAY_CLOSE) / _WEEK + 0.5).astype(np.int64)
    saturday_CW = _SATURDAY_CLOSE + weeks_CW * _WEEK
    end_CW, ended_CW = last_CW + weekends.length, saturday_CW - DAY
    is_last_CW = (last_CW < ended_CW) & (ended_CW <= end_CW)
    off_CW = np.where(is_last_CW, 0.0, np.abs(end_CW - ended_CW) / _HOUR)
    off_CWM = np.full((*known_CW.shape, 2), np.inf)
    for metal in (0, 1):
        began_CW = saturday_CW + DAY + metal * _HOUR
        is_first_CW = (first_CW <= began_CW) & (began_CW < first_CW + weekends.length)
        late_CW = np.where(is_first_CW, 0.0, np.abs(first_CW - began_CW) / _HOUR)
        off_CWM[known_CW, metal] = (off_CW + late_CW)[known_CW]
    return off_CWM


def _weekly_holes(bars: Bars) -> _Weekends:
    step_T = np.diff(bars.start_T)
    middle_T = bars.start_T[:-1] + step_T / 2
    long_T = (step_T >= _SHORTEST_HOLE) & (step_T <= _LONGEST_HOLE)
    hole_W = np.flatnonzero(long_T & (weekday_T(middle_T) >= 5))
    return _Weekends(bars.start_T[hole_W], bars.start_T[hole_W + 1], bars.length)


def _years(fit: _Fit, weekends: _Weekends, usual: int) -> tuple[YearClock, ...]:
    year_W = weekends.last_W.astype("datetime64[Y]").astype(np.int64) + 1970
    # One year alone is too little for a clock that nobody names.
    n_named, found = max(len(_OFFSETS) + 1, usual + 1), []
    for year in np.unique(year_W).tolist():
        among_W = year_W == year
        if among_W.sum() >= _FEWEST_A_YEAR:
            clock, _ = fit.best(among_W, usual, n_named)
            share = float(fit.explained_CW[clock, among_W].mean())
            found.append(YearClock(year, fit.names[clock], share))
    return tuple(found)


def _usual_hole(weekends: _Weekends) -> tuple[str, float]:
    minute = np.timedelta64(1, "m")
    ends = np.stack([weekends.last_W, weekends.first_W])
    of_week = (ends - np.datetime64("2000-01-03", "us")) % _WEEK // minute
    holes, counts = np.unique(of_week, axis=1, return_counts=True)
    top = int(np.argmax(counts))
    last, first = (_weekly_time(int(at)) for at in holes[:, top])
    return f"{last} to {first}", float(counts[top] / len(weekends))


def _weekly_time(minutes: int) -> str:
    day, minute = divmod(minutes, 1440)
    return f"{_WEEKDAYS[day]} {minute // 60:02d}:{minute % 60:02d}"


def _session(bars: Bars) -> str | None:
    """Return the commonest first and last bar of a day, if most days end in a long pause."""
    pause_T = np.diff(bars.start_T) - bars.length
    night_T = np.flatnonzero((pause_T >= _SHORTEST_NIGHT) & (pause_T < _SHORTEST_HOLE))
    n_days = len(np.unique(bars.start_T.astype("datetime64[D]")))
    if len(night_T) < max(n_days / 2, _FEWEST_WEEKENDS):
        return None
    ends = [_daily_time(bars.start_T[night_T + offset]) for offset in (1, 0)]
    return " to ".join(ends)


def _daily_time(time_N: TimeArray) -> str:
    minutes: npt.NDArray[np.int64] = time_N.astype("datetime64[m]").astype(np.int64) % 1440
    times, counts = np.unique(minutes, return_counts=True)
    hour, minute = divmod(int(times[np.argmax(counts)]), 60)
    return f"{hour:02d}:{minute:02d}"
