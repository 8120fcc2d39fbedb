"""Everything that is read off the bars before features are named: indicators, structure, zones.

Axes: T bars.
"""

from dataclasses import dataclass

import numpy as np

from market.bars import FloatArray
from market.compiled import BoolArray, SignArray
from market.features.structure import Structure, latest
from market.features.zones import OrderBlocks, Prices, Zones, nearest_side

# Distance from the EMA, in ATR, that counts as a full trend.
FULL_TREND_ATR = 3.0


@dataclass(frozen=True, slots=True)
class Side:
    """Zones of one side, bullish as they are, or bearish on mirrored prices."""

    prices: Prices
    blocks: OrderBlocks
    gaps: Zones
    gap_T: BoolArray


@dataclass(frozen=True, slots=True)
class Readings:
    """Per-bar readings; ``atr_T`` is in price units, ``efficiency_T`` and ``bias_T`` in [-1, 1]."""

    atr_T: FloatArray
    rsi_T: FloatArray
    ema_T: FloatArray
    efficiency_T: FloatArray
    bias_T: FloatArray
    body_z_T: FloatArray
    structure: Structure
    bullish: Side
    bearish: Side

    @property
    def close_T(self) -> FloatArray:
        """Closing prices."""
        return self.bullish.prices.close_T

    def block_side_T(self) -> SignArray:
        """Side of the order block nearest to the close, 0 where none lives."""
        return nearest_side(self.bullish.blocks.zones, self.bearish.blocks.zones, self.close_T)

    def gap_side_T(self) -> SignArray:
        """Side of the fair value gap nearest to the close, 0 where none lives."""
        return nearest_side(self.bullish.gaps, self.bearish.gaps, self.close_T)

    def block_touch_T(self) -> SignArray:
        """Direction of the order block this bar is the first to come back to, else 0."""
        return first_touch(self.bullish.blocks.zones, self.bearish.blocks.zones)

    def gap_touch_T(self) -> SignArray:
        """Direction of the fair value gap this bar is the first to come back to, else 0."""
        return first_touch(self.bullish.gaps, self.bearish.gaps)


def first_touch(bullish: Zones, bearish: Zones) -> SignArray:
    """+1 or -1 where this bar first touches a zone of that side; 0 for none or both."""
    up_T = bullish.touched_now_T().astype(np.int8)
    down_T = bearish.touched_now_T().astype(np.int8)
    return np.asarray(up_T - down_T, dtype=np.int8)


def trend_bias(structure: Structure, distance_atr_T: FloatArray) -> FloatArray:
    """Mean of the structure's direction and the distance from the EMA in full trends."""
    distance_T = np.clip(distance_atr_T / FULL_TREND_ATR, -1.0, 1.0)
    return 0.5 * (structure.trend_T.astype(np.float64) + distance_T)


def recall(x_T: FloatArray, happened_T: BoolArray, max_age_bars: int) -> FloatArray:
    """Return the value at the latest bar where something happened; 0 where that is too long ago."""
    bar_T = latest(happened_T)
    age_T = np.arange(len(bar_T)) - bar_T
    known_T = (bar_T >= 0) & (age_T <= max_age_bars)
    return np.where(known_T, x_T[np.maximum(bar_T, 0)], 0.0)
