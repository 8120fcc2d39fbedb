"""Fixed membership functions: straight ramps between two points, never fitted to data."""

import numpy as np

from market.bars import FloatArray

# score: (0 at and before this value, 1 at and beyond that value)
BLOCK_BODY_SHARE = (0.2, 0.8)
BLOCK_DISPLACEMENT_ATR = (1.0, 4.0)
BOUNCE_ATR = (0.0, 2.0)
GAP_DEPTH_ATR = (0.0, 1.0)
TREND_STRENGTH = (0.05, 0.5)
OVERBOUGHT_RSI = (60.0, 80.0)
OVERSOLD_RSI = (40.0, 20.0)


def ramp(x: FloatArray, points: tuple[float, float]) -> FloatArray:
    """Membership in [0, 1]: 0 at the first point, 1 at the second, straight between, flat beyond.

    The second point may be the smaller one; the ramp then falls as `x` grows.
    """
    start, end = points
    score: FloatArray = np.clip((x - start) / (end - start), 0.0, 1.0)
    return score
