"""What rules ask of a market at each close: ranges, volume, regime, and the clock of the session.

Axes: T bars.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from exits.rules.records import BAR
from market.bars import Bars, FloatArray
from market.compiled import SignArray, compiled
from market.features.indicators import wilder_atr

ATR_BARS: Final = 14
REGIMES: Final = (
    "NORMAL",
    "NORMAL_TRENDING",
    "NORMAL_CHOPPY",
    "HIGH_VOL_TRENDING",
    "HIGH_VOL_CHOPPY",
    "LOW_VOL_RANGING",
)
_VOLUME_BARS = 20
_QUIET_BARS = 3
_RANGE_BARS = 5
_TREND_BARS = 20
_VOLATILITY_BARS = 100
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MINUTE_US = 60_000_000
_DAY_US = 86_400_000_000
_WEEK_US = 7 * _DAY_US


def bar_rows(
    bars: Bars,
    *,
    signal_T: SignArray,
    confidence_T: FloatArray,
    friday_late_hour: int,
    sessions: Sequence[str],
) -> Any:
    """Return what is known at each close, as records of `exits.rules.records.BAR`.

    No row depends on a later bar.

    Parameters
    ----------
    bars : Bars
    signal_T : int8 array, shape (n_bars,)
        +1, -1, or 0 where the entry model has no event.
    confidence_T : float64 array, shape (n_bars,)
        Its probability of winning.
    friday_late_hour : int
        From which hour of Friday (UTC) on it is late.
    sessions : sequence of str
        When sessions close, see `session_close`.

    Raises
    ------
    ValueError
        If a session's close cannot be read.
    """
    rows = np.empty(len(bars), BAR)
    # Copies: kernels are compiled for one kind of array alone.
    open_T, high_T, low_T = np.array(bars.open_T), np.array(bars.high_T), np.array(bars.low_T)
    close_T, volume_T = np.array(bars.close_T), np.array(bars.volume_T)
    atr_T = wilder_atr(high_T, low_T, close_T, ATR_BARS)
    prices = (open_T, high_T, low_T, close_T, volume_T, atr_T)
    _fill_bars(rows, *prices, np.array(signal_T), np.array(confidence_T))
    _fill_conditions(rows)
    closes = np.array([session_close(one) for one in sessions], np.int64).reshape(-1, 2)
    closed_at_us_T = bars.close_time_T.astype("datetime64[us]").astype(np.int64)
    _fill_clock(rows, closed_at_us_T, closes, friday_late_hour)
    return rows


def session_close(text: str) -> tuple[int, int]:
    """Return how often a session closes and when first after a Monday's midnight, in microseconds.

    Parameters
    ----------
    text : str
        ``Fri 21:00`` once a week, ``21:00`` every day; UTC.

    Raises
    ------
    ValueError
        If it is neither.
    """
    day, _, clock = text.rpartition(" ")
    hours, colon, minutes = clock.partition(":")
    usable = colon and hours.isdecimal() and minutes.isdecimal()
    if not usable or int(hours) > 23 or int(minutes) > 59 or (day and day not in _DAYS):
        raise ValueError(f'a session closes at "21:00" or "Fri 21:00" (UTC), was "{text}"')
    moment = (int(hours) * 60 + int(minutes)) * _MINUTE_US
    return (_WEEK_US, moment + _DAYS.index(day) * _DAY_US) if day else (_DAY_US, moment)


@compiled
def _fill_bars(
    rows: Any,
    open_T: FloatArray,
    high_T: FloatArray,
    low_T: FloatArray,
    close_T: FloatArray,
    volume_T: FloatArray,
    atr_T: FloatArray,
    signal_T: SignArray,
    confidence_T: FloatArray,
) -> None:
    for t in range(len(rows)):
        row = rows[t]
        row.open, row.high, row.low, row.close = open_T[t], high_T[t], low_T[t], close_T[t]
        row.volume, row.atr = volume_T[t], atr_T[t]
        row.signal, row.confidence = signal_T[t], confidence_T[t]


@compiled
def _fill_conditions(rows: Any) -> None:
    """Fill in ranges, volume and regime; each sum of volumes is made anew: zero stays zero."""
    for t in range(len(rows)):
        row = rows[t]
        before = rows[t - 1].close if t > 0 else row.close
        row.true_range = max(row.high, before) - min(row.low, before) if t else row.high - row.low
        row.volume_ratio = 1.0
        if t + 1 >= _VOLUME_BARS:
            total = 0.0
            for k in range(t - _VOLUME_BARS + 1, t + 1):
                total += rows[k].volume
            if total > 0.0:
                row.volume_ratio = row.volume / (total / _VOLUME_BARS)
        row.quiet_volume = 1.0
        if t + 1 >= _QUIET_BARS:
            total = 0.0
            for k in range(t - _QUIET_BARS + 1, t + 1):
                total += rows[k].volume_ratio
            row.quiet_volume = total / _QUIET_BARS
        row.consolidating = 0
        if t + 1 >= _RANGE_BARS:
            high, low = row.high, row.low
            for k in range(t - _RANGE_BARS + 1, t):
                high, low = max(high, rows[k].high), min(low, rows[k].low)
            row.consolidating = 1 if high - low < 2.0 * row.atr else 0
    _fill_regime(rows)


@compiled
def _fill_regime(rows: Any) -> None:
    total_atr = 0.0
    for t in range(len(rows)):
        total_atr += rows[t].atr
        if t >= _VOLATILITY_BARS:
            total_atr -= rows[t - _VOLATILITY_BARS].atr
        rows[t].regime = 0
        if t < _TREND_BARS:
            continue
        path = 0.0
        for k in range(t - _TREND_BARS + 1, t + 1):
            path += abs(rows[k].close - rows[k - 1].close)
        way = abs(rows[t].close - rows[t - _TREND_BARS].close)
        efficiency = way / path if path > 0.0 else 0.0
        volatility = rows[t].atr / (total_atr / min(t + 1, _VOLATILITY_BARS))
        if volatility > 1.25:
            rows[t].regime = 3 if efficiency >= 0.25 else 4
        elif volatility < 0.8:
            rows[t].regime = 5
        elif efficiency >= 0.35:
            rows[t].regime = 1
        elif efficiency <= 0.15:
            rows[t].regime = 2


@compiled
def _fill_clock(rows: Any, closed_at_us_T: Any, closes: Any, friday_late_hour: int) -> None:
    for t in range(len(rows)):
        # Monday is 0: the epoch was a Thursday.
        week_us = (closed_at_us_T[t] + 3 * _DAY_US) % _WEEK_US
        friday = week_us // _DAY_US == 4
        late = week_us % _DAY_US >= friday_late_hour * 60 * _MINUTE_US
        rows[t].friday = 1 if friday else 0
        rows[t].friday_late = 1 if friday and late else 0
        rows[t].minutes_to_close = math.inf
        for k in range(len(closes)):
            left = ((closes[k, 1] - week_us) % closes[k, 0]) / _MINUTE_US
            rows[t].minutes_to_close = min(rows[t].minutes_to_close, left)
