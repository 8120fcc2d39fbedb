"""What the hours of the day tell about a clock: when bars are wide, and when that moves.

Trading in Europe begins at the same hour of a European clock all year round, and what was quiet
one year is quiet in the next. A pattern that moves by an hour is a clock that was changed.

Axes: T bars, D days, H hours of the day, Q quarters of a year.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from market.bars import Bars, FloatArray, TimeArray
from market.checks.bar_figures import BoolArray

_HOUR = np.timedelta64(3_600_000_000, "us")
_MORNING = np.arange(8, 14)  # of Helsinki: Frankfurt and London begin, New York has not
_FEWEST_A_DAY_HOUR = 8
_CLEARLY_FARTHER = 2.0
_LAGS = (0, -3, -2, -1, 1, 2, 3)
_LEAST_GAIN = 0.1  # in correlation, for a lag to be believed
_FEWEST_QUARTERS = 3
_FEWEST_HOURS = 12


@dataclass(frozen=True, slots=True)
class ClockChange:
    """The day's pattern comes ``hours`` later by the file's times than it did a year before."""

    quarter: str
    hours: int


def busiest_hours(bars: Bars) -> tuple[int, ...]:
    """Return the three hours of the day whose bars have the widest mean range, widest first."""
    mean_H = _mean_range(bars, np.ones(len(bars), dtype=bool))
    order = np.argsort(-np.nan_to_num(mean_H), kind="stable")[:3]
    return tuple(int(hour) for hour in order if mean_H[hour] > 0)


def keeps_european_summer(bars: Bars) -> bool | None:
    """Tell whether a clock two hours ahead in winter has Europe's summer time or New York's.

    For a few weeks a year one of the two has begun and the other not: the wide bars of the European
    morning then come at their usual hour by a European clock, and an hour later by the other.

    Returns
    -------
    bool or None
        True for Europe's; None if it is not clear, the bars do not reach those weeks, or they are
        longer than an hour.
    """
    apart_T = _summer_times_apart(bars.start_T)
    if bars.length > _HOUR or not apart_T.any() or apart_T.all():
        return None
    apart_H, usual_H = _mean_range(bars, apart_T), _mean_range(bars, ~apart_T)
    same = _distance(apart_H[_MORNING], usual_H[_MORNING])
    later = _distance(apart_H[_MORNING], usual_H[_MORNING - 1])
    is_clear = max(same, later) > _CLEARLY_FARTHER * min(same, later)
    return bool(same < later) if is_clear else None


def clock_changes(bars: Bars) -> tuple[ClockChange, ...]:
    """Find where the day's pattern moves, by quarters compared with the same ones a year before.

    Bars of more than an hour, and files of less than two years, show none.
    """
    if bars.length > _HOUR:
        return ()
    quarter_T = bars.start_T.astype("datetime64[M]").astype(np.int64) // 3
    quarters = np.unique(quarter_T)
    mean_QH = {int(q): _mean_range(bars, quarter_T == q) for q in quarters}
    lag_Q = {q: _lag(mean_QH[q], mean_QH[q - 4]) for q in mean_QH if q - 4 in mean_QH}
    found: list[ClockChange] = []
    run: list[int] = []
    for quarter, lag in lag_Q.items():
        goes_on = lag and run and np.sign(lag) == np.sign(run[-1]) and quarter - 1 in lag_Q
        run = [*run, lag] if goes_on else [lag] if lag else []
        if len(run) == _FEWEST_QUARTERS:
            first = quarter - _FEWEST_QUARTERS + 1
            name = f"{1970 + first // 4}-Q{first % 4 + 1}"
            found.append(ClockChange(name, int(np.median(run))))
    return tuple(found)


def _mean_range(bars: Bars, among_T: BoolArray) -> FloatArray:
    """Return the mean log range of the bars of each hour; NaN for hours with too few."""
    hour_T = bars.start_T[among_T].astype("datetime64[h]").astype(np.int64) % 24
    range_T = np.log(bars.high_T[among_T] / bars.low_T[among_T])
    count_H = np.bincount(hour_T, minlength=24)
    total_H = np.bincount(hour_T, weights=range_T, minlength=24)
    mean_H: FloatArray = np.full(24, np.nan)
    np.divide(total_H, count_H, out=mean_H, where=count_H >= min(_FEWEST_A_DAY_HOUR, len(bars)))
    return mean_H


def _summer_times_apart(start_T: TimeArray) -> BoolArray:
    day_T, first = start_T.astype("datetime64[D]"), start_T[0].astype("datetime64[D]")
    day_D = np.arange(first, day_T[-1] + 1)
    noon_D = pl.Series(day_D.astype("datetime64[us]") + 12 * _HOUR)
    local_D = [
        noon_D.dt.replace_time_zone("UTC").dt.convert_time_zone(zone).dt.replace_time_zone(None)
        for zone in ("Europe/Helsinki", "America/New_York")
    ]
    apart_D: BoolArray = (local_D[0] - local_D[1]).to_numpy() != 7 * _HOUR
    place_T: npt.NDArray[np.int64] = (day_T - first).astype(np.int64)
    apart_T: BoolArray = apart_D[place_T]
    return apart_T


def _distance(one_H: FloatArray, other_H: FloatArray) -> float:
    return float(np.square(one_H / one_H.mean() - other_H / other_H.mean()).sum())


def _lag(now_H: FloatArray, before_H: FloatArray) -> int:
    """Return by how many hours the pattern comes later than before, 0 where that is not clear."""
    fit = [_correlation(now_H, np.roll(before_H, lag)) for lag in _LAGS]
    best = int(np.argmax(fit))
    return _LAGS[best] if fit[best] > fit[0] + _LEAST_GAIN else 0


def _correlation(one_H: FloatArray, other_H: FloatArray) -> float:
    known_H = np.isfinite(one_H) & np.isfinite(other_H)
    if known_H.sum() < _FEWEST_HOURS:
        return 0.0
    one_H, other_H = one_H[known_H], other_H[known_H]
    one_H, other_H = one_H - one_H.mean(), other_H - other_H.mean()
    size = float(np.sqrt(one_H @ one_H * (other_H @ other_H)))
    return float(one_H @ other_H) / size if size > 0 else 0.0
