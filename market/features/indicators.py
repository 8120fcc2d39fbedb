"""Indicators of one series, each value computed from its own bar and those before it.

Axes: T bars. Every loop starts at the first bar and never looks ahead.
"""

import numpy as np

from market.bars import FloatArray
from market.compiled import compiled

# A market that stands still has no range: below this share of the price, ranges count as this.
MIN_RANGE_SHARE = 1e-6
# Share of the price below which a sum of price changes is rounding.
ROUNDING = 1e-9
# Deviations below this count as this: what is scored is in ATR or percent, and a constant window
# must not magnify its rounding.
MIN_DEVIATION = 1e-6


@compiled
def wilder_atr(high_T: FloatArray, low_T: FloatArray, close_T: FloatArray, bars: int) -> FloatArray:
    """Average true range in price units, never below a millionth of the close.

    Wilder's smoothing (New Concepts in Technical Trading Systems, 1978, chapter 3), started with
    the plain mean while fewer than `bars` bars are known.
    """
    atr_T = np.empty(len(close_T))
    mean = 0.0
    for t in range(len(close_T)):
        true_range = high_T[t] - low_T[t]
        if t > 0:
            true_range = max(true_range, high_T[t] - close_T[t - 1], close_T[t - 1] - low_T[t])
        mean += (true_range - mean) / min(t + 1, bars)
        atr_T[t] = max(mean, MIN_RANGE_SHARE * close_T[t])
    return atr_T


@compiled
def wilder_rsi(close_T: FloatArray, bars: int) -> FloatArray:
    """Relative strength index in [0, 100]; 50 where the price does not move (Wilder, chapter 6)."""
    rsi_T = np.full(len(close_T), 50.0)
    gain = 0.0
    loss = 0.0
    for t in range(1, len(close_T)):
        change = close_T[t] - close_T[t - 1]
        weight = 1.0 / min(t, bars)
        gain += (max(change, 0.0) - gain) * weight
        loss += (max(-change, 0.0) - loss) * weight
        # The ratio first: it cannot leave [-1, 1] by rounding, its multiple by 50 could.
        balance = (gain - loss) / max(gain + loss, ROUNDING * close_T[t])
        rsi_T[t] = 50.0 + 50.0 * balance
    return rsi_T


@compiled
def exponential_mean(close_T: FloatArray, bars: int) -> FloatArray:
    """Exponential moving average with weight 2 / (bars + 1), started with the plain mean."""
    mean_T = np.empty(len(close_T))
    mean = 0.0
    for t in range(len(close_T)):
        mean += (close_T[t] - mean) * max(2.0 / (bars + 1), 1.0 / (t + 1))
        mean_T[t] = mean
    return mean_T


@compiled
def signed_efficiency(close_T: FloatArray, bars: int) -> FloatArray:
    """Net move over the way travelled in the last `bars` bars, in [-1, 1], positive when rising.

    Kaufman's efficiency ratio (Trading Systems and Methods) with its sign kept. The running sum
    of the way is summed afresh every `bars` bars, so that rounding cannot pile up.
    """
    efficiency_T = np.zeros(len(close_T))
    way = 0.0
    for t in range(1, len(close_T)):
        first = max(t - bars, 0)
        if t % bars == 0:
            way = 0.0
            for k in range(first + 1, t + 1):
                way += abs(close_T[k] - close_T[k - 1])
        else:
            way += abs(close_T[t] - close_T[t - 1])
            if t > bars:
                way -= abs(close_T[t - bars] - close_T[t - bars - 1])
        ratio = (close_T[t] - close_T[first]) / max(way, ROUNDING * close_T[t])
        efficiency_T[t] = min(max(ratio, -1.0), 1.0)
    return efficiency_T


@compiled
def trailing_zscore(x_T: FloatArray, bars: int, limit: float) -> FloatArray:
    """Score each value against the mean and deviation of the last `bars` values, itself included.

    Mean and variance slide by Welford's update and are computed afresh every `bars` bars, so that
    rounding cannot pile up. 0 where the window is constant; clipped to [-limit, limit].
    """
    z_T = np.empty(len(x_T))
    mean = 0.0
    squares = 0.0
    for t in range(len(x_T)):
        n = min(t + 1, bars)
        if t >= bars and t % bars == 0:
            mean = 0.0
            for k in range(t - bars + 1, t + 1):
                mean += x_T[k] / bars
            squares = 0.0
            for k in range(t - bars + 1, t + 1):
                squares += (x_T[k] - mean) ** 2
        else:
            old = x_T[t - bars] if t >= bars else mean
            before = mean
            mean += (x_T[t] - old) / n
            squares += (x_T[t] - old) * (x_T[t] - mean + old - before)
        deviation = np.sqrt(max(squares, 0.0) / n)
        z_T[t] = min(max((x_T[t] - mean) / max(deviation, MIN_DEVIATION), -limit), limit)
    return z_T
