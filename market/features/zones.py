"""Order blocks and fair value gaps: the latest live one on each side, bar by bar.

Axes: T bars. Everything here is written for bullish zones, below the price; bearish ones are the
same on mirrored prices, so that the two sides cannot differ by accident.
"""

from dataclasses import dataclass

import numpy as np

from market.bars import Bars, FloatArray
from market.compiled import BoolArray, IndexArray, SignArray, compiled


@dataclass(frozen=True, slots=True)
class Prices:
    """Open, high, low and close of T bars; the arrays are contiguous and writable copies.

    Numba compiles a kernel once per memory layout: copying leaves one.
    """

    open_T: FloatArray
    high_T: FloatArray
    low_T: FloatArray
    close_T: FloatArray

    @classmethod
    def of(cls, bars: Bars) -> "Prices":
        """Copy the prices of bars."""
        return cls(
            np.array(bars.open_T, dtype=np.float64),
            np.array(bars.high_T, dtype=np.float64),
            np.array(bars.low_T, dtype=np.float64),
            np.array(bars.close_T, dtype=np.float64),
        )

    def mirrored(self) -> "Prices":
        """Return the prices upside down: what was bearish is bullish."""
        return Prices(-self.open_T, -self.low_T, -self.high_T, -self.close_T)


@dataclass(frozen=True, slots=True)
class Zones:
    """The latest live zone at each bar's close; ``formed_T`` is -1 where none is live.

    Attributes
    ----------
    formed_T : int64 array
        Bar whose close made the zone known.
    top_T, bottom_T : float64 arrays
        Its edges; meaningless where none is live.
    touched_T : int64 array
        First bar that traded back into the zone, -1 while none has.
    """

    formed_T: IndexArray
    top_T: FloatArray
    bottom_T: FloatArray
    touched_T: IndexArray

    @property
    def live_T(self) -> BoolArray:
        """Whether a zone is live at the bar's close."""
        live_T: BoolArray = self.formed_T >= 0
        return live_T

    def touched_now_T(self) -> BoolArray:
        """Whether this very bar is the first to trade back into a zone that survives it."""
        now_T: BoolArray = self.touched_T == np.arange(len(self.touched_T))
        return now_T


@dataclass(frozen=True, slots=True)
class OrderBlocks:
    """Live order blocks: their zones and how they were made.

    ``candle_T`` is the bar of the opposite candle (-1: none), ``bounce_T`` the best close above
    the zone since the touch (price units, at least 0), ``clean_T`` whether the move away never
    traded below the candle's low.
    """

    zones: Zones
    candle_T: IndexArray
    bounce_T: FloatArray
    clean_T: BoolArray


@compiled
def _track_blocks(
    open_T: FloatArray,
    high_T: FloatArray,
    low_T: FloatArray,
    close_T: FloatArray,
    atr_T: FloatArray,
    break_T: BoolArray,
    lookback_bars: int,
    displacement_atr: float,
    max_age_bars: int,
) -> tuple[IndexArray, IndexArray, IndexArray, FloatArray, BoolArray]:
    n_bars = len(close_T)
    formed_T = np.full(n_bars, -1)
    candle_T = np.full(n_bars, -1)
    touched_T = np.full(n_bars, -1)
    bounce_T = np.zeros(n_bars)
    clean_T = np.zeros(n_bars, dtype=np.bool_)
    formed, candle, touched, bounce, clean = -1, -1, -1, 0.0, False
    for t in range(n_bars):
        if formed >= 0 and (close_T[t] < low_T[candle] or t - formed > max_age_bars):
            formed, candle, touched = -1, -1, -1
        if formed >= 0 and touched < 0 and low_T[t] <= high_T[candle]:
            touched = t
        if touched >= 0:
            bounce = max(bounce, close_T[t] - high_T[candle])
        if break_T[t]:
            lowest = low_T[t]
            source = -1
            for k in range(t - 1, max(t - 1 - lookback_bars, -1), -1):
                if close_T[k] < open_T[k]:
                    source = k
                    break
                lowest = min(lowest, low_T[k])
            far = source >= 0 and close_T[t] - close_T[source] >= displacement_atr * atr_T[t]
            # A candle that is the live block already keeps its history.
            if far and source != candle:
                formed, candle, touched, bounce = t, source, -1, 0.0
                clean = lowest >= low_T[source]
        formed_T[t], candle_T[t], touched_T[t] = formed, candle, touched
        if formed >= 0:
            bounce_T[t], clean_T[t] = bounce, clean
    return formed_T, candle_T, touched_T, bounce_T, clean_T


def track_order_blocks(
    prices: Prices,
    atr_T: FloatArray,
    break_T: BoolArray,
    *,
    lookback_bars: int,
    displacement_atr: float,
    max_age_bars: int,
) -> OrderBlocks:
    """Follow the latest bullish order block.

    The block is the last falling candle, at most `lookback_bars` bars back, before a close that
    breaks structure upwards at least `displacement_atr` ATR above that candle's close. Its zone is
    the candle's whole range. It dies when a bar closes below it, when it is older than
    `max_age_bars`, or when the next one forms.
    """
    formed_T, candle_T, touched_T, bounce_T, clean_T = _track_blocks(
        prices.open_T,
        prices.high_T,
        prices.low_T,
        prices.close_T,
        atr_T,
        break_T,
        lookback_bars,
        displacement_atr,
        max_age_bars,
    )
    at_T = np.maximum(candle_T, 0)
    zones = Zones(formed_T, prices.high_T[at_T], prices.low_T[at_T], touched_T)
    return OrderBlocks(zones, candle_T, bounce_T, clean_T)


@compiled
def _track_gaps(
    high_T: FloatArray, low_T: FloatArray, gap_T: BoolArray, max_age_bars: int
) -> tuple[IndexArray, IndexArray]:
    n_bars = len(high_T)
    formed_T = np.full(n_bars, -1)
    touched_T = np.full(n_bars, -1)
    formed, touched = -1, -1
    for t in range(n_bars):
        if formed >= 0 and (low_T[t] <= high_T[formed - 2] or t - formed > max_age_bars):
            formed, touched = -1, -1
        if formed >= 0 and touched < 0 and low_T[t] < low_T[formed]:
            touched = t
        if gap_T[t]:
            formed, touched = t, -1
        formed_T[t], touched_T[t] = formed, touched
    return formed_T, touched_T


def gap_bars(prices: Prices, atr_T: FloatArray, min_atr: float) -> BoolArray:
    """Bars whose low lies above the high two bars before, by at least `min_atr` ATR."""
    gap_T = np.zeros(len(atr_T), dtype=np.bool_)
    height_T = prices.low_T[2:] - prices.high_T[:-2]
    gap_T[2:] = (height_T > 0.0) & (height_T >= min_atr * atr_T[2:])
    return gap_T


def track_gaps(prices: Prices, gap_T: BoolArray, *, max_age_bars: int) -> Zones:
    """Follow the latest bullish fair value gap: from the high two bars before it to its own low.

    It dies when a bar trades all the way through it, when it is older than `max_age_bars`, or when
    the next one forms.
    """
    formed_T, touched_T = _track_gaps(prices.high_T, prices.low_T, gap_T, max_age_bars)
    top_T = prices.low_T[np.maximum(formed_T, 0)]
    bottom_T = prices.high_T[np.maximum(formed_T - 2, 0)]
    return Zones(formed_T, top_T, bottom_T, touched_T)


def nearest_side(bullish: Zones, bearish: Zones, close_T: FloatArray) -> SignArray:
    """+1 where the bullish zone is the nearer one, -1 where the bearish one is, 0 where none lives.

    `bearish` holds mirrored prices. A price inside a zone has no distance to it; of two equally
    near zones the younger counts.
    """
    above_T = np.maximum(close_T - bullish.top_T, 0.0)
    below_T = np.maximum(-close_T - bearish.top_T, 0.0)
    younger_T = (above_T == below_T) & (bullish.formed_T > bearish.formed_T)
    up_T = bullish.live_T & (~bearish.live_T | (above_T < below_T) | younger_T)
    return np.where(up_T, 1, np.where(bearish.live_T, -1, 0)).astype(np.int8)
