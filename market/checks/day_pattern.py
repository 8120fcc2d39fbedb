"""What the hours of the day tell about a clock: when bars are wide, and when that moves.

Trading in Europe begins at the same hour of a European clock all year round, and what was quiet
one year is quiet in the next. A pattern that moves by an hour is a clock that was changed.

Axes: T bars, D days, H hours of the day, Q quarters of a year, L lags in hours.
"""

from dataclasses import dataclass
from itertools import pairwise

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
    mean_QH = _mean_range_by_quarter(bars)
    compared = [quarter for quarter in mean_QH if quarter - 4 in mean_QH]
    if not compared:
        return ()
    lags = _lags(
        np.stack([mean_QH[quarter] for quarter in compared]),
        np.stack([mean_QH[quarter - 4] for quarter in compared]),
    )
    lag_Q = dict(zip(compared, lags, strict=True))
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
    hour_T, range_T = _hours_and_ranges(bars)
    return _mean_by_hour(hour_T[among_T], range_T[among_T], len(bars))


def _mean_range_by_quarter(bars: Bars) -> dict[int, FloatArray]:
    """Return the same for each quarter, counted from 1970, that has bars."""
    quarter_T = bars.start_T.astype("datetime64[M]").astype(np.int64) // 3
    hour_T, range_T = _hours_and_ranges(bars)
    quarters, first_Q = np.unique(quarter_T, return_index=True)
    parts = [slice(*ends) for ends in pairwise([*first_Q.tolist(), len(bars)])]
    return {
        quarter: _mean_by_hour(hour_T[part], range_T[part], len(bars))
        for quarter, part in zip(quarters.tolist(), parts, strict=True)
    }


def _hours_and_ranges(bars: Bars) -> tuple[npt.NDArray[np.int64], FloatArray]:
    hour_T = bars.start_T.astype("datetime64[h]").astype(np.int64) % 24
    return hour_T, np.log(bars.high_T / bars.low_T)


def _mean_by_hour(hour_T: npt.NDArray[np.int64], range_T: FloatArray, n_bars: int) -> FloatArray:
    count_H = np.bincount(hour_T, minlength=24)
    total_H = np.bincount(hour_T, weights=range_T, minlength=24)
    mean_H: FloatArray = np.full(24, np.nan)
    np.divide(total_H, count_H, out=mean_H, where=count_H >= min(_FEWEST_A_DAY_HOUR, n_bars))
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
    """Return how unlike two patterns are; NaN where one is flat, or an hour is not known."""
    means = one_H.mean(), other_H.mean()
    if not all(mean > 0 for mean in means):
        return np.nan
    return float(np.square(one_H / means[0] - other_H / means[1]).sum())


def _lags(now_QH: FloatArray, before_QH: FloatArray) -> list[int]:
    """Return by how many hours each pattern comes later than before, 0 where that is not clear."""
    moved_QLH = np.stack([np.roll(before_QH, lag, axis=1) for lag in _LAGS], axis=1)
    fit_QL = _correlations(now_QH[:, None, :], moved_QLH)
    best_Q = fit_QL.argmax(axis=1)
    is_clear_Q = fit_QL.max(axis=1) > fit_QL[:, 0] + _LEAST_GAIN
    lags: list[int] = np.where(is_clear_Q, np.array(_LAGS)[best_Q], 0).tolist()
    return lags


def _correlations(one_H: FloatArray, other_H: FloatArray) -> FloatArray:
    """Return correlations along the last axis over the hours known in both; 0 for too few."""
    known_H = np.isfinite(one_H) & np.isfinite(other_H)
    count = known_H.sum(axis=-1, keepdims=True)
    one_H, other_H = (np.where(known_H, each_H, 0.0) for each_H in (one_H, other_H))
    one_H, other_H = (
        np.where(known_H, each_H - each_H.sum(axis=-1, keepdims=True) / np.maximum(count, 1), 0.0)
        for each_H in (one_H, other_H)
    )
    size = np.sqrt(np.square(one_H).sum(axis=-1) * np.square(other_H).sum(axis=-1))
    is_known = (count[..., 0] >= _FEWEST_HOURS) & (size > 0)
    product: FloatArray = (one_H * other_H).sum(axis=-1)
    return np.where(is_known, product / np.where(is_known, size, 1.0), 0.0)
