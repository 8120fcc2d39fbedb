"""What a trader sees of the market at each close: the market part of an experience.

Axes: T bars.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from exits.conditions import bar_rows
from market.bars import Bars, FloatArray, TimeArray
from market.compiled import IndexArray, compiled
from market.features.indicators import wilder_rsi

RSI_BARS: Final = 14
VOLATILITY_BARS: Final = 20
# A year of trading is this many days of 24 hours.
DAYS_PER_YEAR: Final = 252
_DAY: Final = np.timedelta64(1, "D")


@dataclass(frozen=True, slots=True)
class MarketStates:
    """The market at each close; no value depends on a later bar.

    Attributes
    ----------
    close_time_T : datetime64[us] array, shape (n_bars,)
    atr_T : float64 array, shape (n_bars,)
        Wilder's, in price units.
    regime_T : int64 array, shape (n_bars,)
        0 to 5, see ``exits.conditions.REGIMES``.
    volume_ratio_T : float64 array, shape (n_bars,)
        Volume / mean volume of the last 20 bars.
    minutes_to_close_T : float64 array, shape (n_bars,)
        Until the session's next close; infinite where none is set.
    rsi_T : float64 array, shape (n_bars,)
        0 to 100.
    vwap_distance_T : float64 array, shape (n_bars,)
        Close less the volume-weighted mean price of the UTC day so far, in ATR.
    vix_T : float64 array, shape (n_bars,)
        Realised volatility of the last 20 bars, annualised, in percent.
    """

    close_time_T: TimeArray
    atr_T: FloatArray
    regime_T: IndexArray
    volume_ratio_T: FloatArray
    minutes_to_close_T: FloatArray
    rsi_T: FloatArray
    vwap_distance_T: FloatArray
    vix_T: FloatArray


def market_states(bars: Bars, *, sessions: Sequence[str]) -> MarketStates:
    """Return the market at each close of a symbol's bars.

    Raises
    ------
    ValueError
        If a session's close cannot be read.
    """
    n_bars = len(bars)
    rows = bar_rows(
        bars,
        signal_T=np.zeros(n_bars, np.int8),
        confidence_T=np.zeros(n_bars),
        friday_late_hour=24,
        sessions=sessions,
    )
    close_T = np.array(bars.close_T)
    typical_T = (bars.high_T + bars.low_T + close_T) / 3.0
    day_T = bars.start_T.astype("datetime64[D]").astype(np.int64)
    atr_T = np.array(rows["atr"])
    vwap_T = _day_vwap(day_T, typical_T, np.array(bars.volume_T))
    bars_per_year = DAYS_PER_YEAR * (_DAY / bars.length)
    return MarketStates(
        close_time_T=bars.close_time_T,
        atr_T=atr_T,
        regime_T=np.array(rows["regime"]),
        volume_ratio_T=np.array(rows["volume_ratio"]),
        minutes_to_close_T=np.array(rows["minutes_to_close"]),
        rsi_T=wilder_rsi(close_T, RSI_BARS),
        vwap_distance_T=(close_T - vwap_T) / atr_T,
        vix_T=100.0 * math.sqrt(bars_per_year) * _return_deviation(close_T, VOLATILITY_BARS),
    )


@compiled
def _day_vwap(day_T: IndexArray, typical_T: FloatArray, volume_T: FloatArray) -> FloatArray:
    """Return the mean price of the day so far, weighted by volume; by bars while there is none."""
    vwap_T = np.empty(len(typical_T))
    weighted = volume = plain = 0.0
    n = 0
    for t in range(len(typical_T)):
        if t == 0 or day_T[t] != day_T[t - 1]:
            weighted = volume = plain = 0.0
            n = 0
        n += 1
        plain += typical_T[t]
        weighted += typical_T[t] * volume_T[t]
        volume += volume_T[t]
        vwap_T[t] = weighted / volume if volume > 0.0 else plain / n
    return vwap_T


@compiled
def _return_deviation(close_T: FloatArray, bars: int) -> FloatArray:
    """Return the standard deviation of the last log returns; 0 where there are fewer than two."""
    deviation_T = np.zeros(len(close_T))
    for t in range(2, len(close_T)):
        first = max(1, t - bars + 1)
        n = t + 1 - first
        mean = math.log(close_T[t] / close_T[first - 1]) / n
        squares = 0.0
        for k in range(first, t + 1):
            squares += (math.log(close_T[k] / close_T[k - 1]) - mean) ** 2
        deviation_T[t] = math.sqrt(squares / (n - 1))
    return deviation_T
