"""Market structure: swings, known late, and the closes that break them.

Axes: T bars. A swing is a fact only `swing_length` bars after it happened, and is never used
before.
"""

from dataclasses import dataclass

import numpy as np

from market.bars import FloatArray
from market.compiled import BoolArray, IndexArray, SignArray, compiled


@dataclass(frozen=True, slots=True)
class Structure:
    """Structure breaks per bar.

    Attributes
    ----------
    break_T : int8 array
        +1 where the bar closes above the latest unbroken swing high, -1 where it closes below the
        latest unbroken swing low, else 0. Each swing is broken once.
    choch_T : bool array
        The break turns the trend around (change of character); else it continues it (BOS).
    level_T : float64 array
        Price of the swing broken at this bar, NaN at other bars.
    wick_T : int8 array
        As ``break_T``, for trading beyond the level, whatever the close; 0 where both sides were.
    trend_T : int8 array
        Direction of the latest break, 0 before the first.
    """

    break_T: SignArray
    choch_T: BoolArray
    level_T: FloatArray
    wick_T: SignArray
    trend_T: SignArray


@compiled
def swing_highs(high_T: FloatArray, swing_length: int) -> FloatArray:
    """Price of the swing high that becomes known at each bar, NaN where none does.

    The bar `swing_length` bars ago is a swing high if no bar of the `swing_length` before it came
    as high, and none of those since went higher: the first bar of a plateau.
    """
    known_T = np.full(len(high_T), np.nan)
    for t in range(2 * swing_length, len(high_T)):
        peak = t - swing_length
        known_T[t] = high_T[peak]
        for k in range(1, swing_length + 1):
            if high_T[peak - k] >= high_T[peak] or high_T[peak + k] > high_T[peak]:
                known_T[t] = np.nan
                break
    return known_T


@compiled
def _breaks(
    high_T: FloatArray,
    low_T: FloatArray,
    close_T: FloatArray,
    swing_high_T: FloatArray,
    swing_low_T: FloatArray,
) -> tuple[SignArray, BoolArray, FloatArray, SignArray, SignArray]:
    n_bars = len(close_T)
    break_T = np.zeros(n_bars, dtype=np.int8)
    choch_T = np.zeros(n_bars, dtype=np.bool_)
    level_T = np.full(n_bars, np.nan)
    wick_T = np.zeros(n_bars, dtype=np.int8)
    trend_T = np.zeros(n_bars, dtype=np.int8)
    ceiling = np.nan
    floor = np.nan
    trend = 0
    for t in range(n_bars):
        # Comparisons with NaN are false: no level, no break.
        wick_T[t] = int(high_T[t] > ceiling) - int(low_T[t] < floor)
        if close_T[t] > ceiling:
            break_T[t] = 1
            level_T[t] = ceiling
            ceiling = np.nan
        elif close_T[t] < floor:
            break_T[t] = -1
            level_T[t] = floor
            floor = np.nan
        if break_T[t] != 0:
            wick_T[t] = break_T[t]
            choch_T[t] = trend == -break_T[t]
            trend = break_T[t]
        trend_T[t] = trend
        # A swing confirmed by this bar's close can be broken by the next bar at the earliest.
        if not np.isnan(swing_high_T[t]):
            ceiling = swing_high_T[t]
        if not np.isnan(swing_low_T[t]):
            floor = swing_low_T[t]
    return break_T, choch_T, level_T, wick_T, trend_T


def market_structure(
    high_T: FloatArray,
    low_T: FloatArray,
    close_T: FloatArray,
    swing_high_T: FloatArray,
    swing_low_T: FloatArray,
) -> Structure:
    """Find the breaks, given the swings that become known at each bar (NaN where none does)."""
    return Structure(*_breaks(high_T, low_T, close_T, swing_high_T, swing_low_T))


def latest(happened_T: BoolArray) -> IndexArray:
    """Index of the latest bar, up to and including each bar, where something happened; -1: none."""
    bar_T = np.arange(len(happened_T), dtype=np.int64)
    latest_T: IndexArray = np.maximum.accumulate(np.where(happened_T, bar_T, -1))
    return latest_T
