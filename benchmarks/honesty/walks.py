"""Triple-barrier labels of a driftless random walk, and features of its past.

Axes: T bars, N rows, W bars a trade may last, F features.
"""

import numpy as np

from benchmarks.honesty.columns import N_FEATURES, autoregressive, feature_columns
from market.bars import FloatArray
from market.compiled import BoolArray, IndexArray

# Volatility clusters: the logarithm of it is an AR(1) process.
VOLATILITY_PHI = 0.98
VOLATILITY_SPREAD = 0.3
# Barriers in multiples of the recent mean absolute move, and the time limit: a label lasts 29 bars
# on average.
BARRIER = 7.0
MAX_BARS = 48
# Bars before the first row, on which averages settle.
WARM_UP_BARS = 300

MOMENTUM_BARS = (3, 6, 12, 24, 48, 96)
EMA_SPANS = (5, 10, 20, 50, 100)
RANGE_BARS = (12, 24, 48, 96)
VOLATILITY_BARS = (6, 24, 96)
LAGS = (0, 1, 2)
TREND_COLUMN = 17


def random_walk(rng: np.random.Generator, n_bars: int) -> FloatArray:
    """Draw the closes of a walk without drift: after any past, up and down are equally likely."""
    sigma_T = np.exp(
        VOLATILITY_SPREAD * autoregressive(rng, n_bars, np.array([VOLATILITY_PHI]))[:, 0]
    )
    return np.cumsum(sigma_T * rng.standard_normal(n_bars))


def outcomes(
    close_T: FloatArray, bar_N: IndexArray, barrier_N: FloatArray
) -> tuple[IndexArray, IndexArray]:
    """Label trades entered at a close, both barriers at the same distance.

    Parameters
    ----------
    close_T : float64 array, shape (n_bars,)
    bar_N : int64 array, shape (n_rows,)
        Bars of entry; 48 bars must follow each.
    barrier_N : float64 array, shape (n_rows,)
        Distance of both barriers.

    Returns
    -------
    (up_N, end_bar_N)
        1 where the upper barrier was reached first or, with neither reached in 48 bars, the walk
        has risen, else 0; and the bar at whose close that was known.
    """
    path_NW = close_T[bar_N[:, None] + np.arange(1, MAX_BARS + 1)] - close_T[bar_N, None]
    reached_NW = np.abs(path_NW) >= barrier_N[:, None]
    last_N = np.where(reached_NW.any(axis=1), reached_NW.argmax(axis=1), MAX_BARS - 1)
    up_N = path_NW[np.arange(len(bar_N)), last_N] > 0
    return up_N.astype(np.int64), bar_N + 1 + last_N


def mean_move(close_T: FloatArray) -> FloatArray:
    """Return the recent mean absolute move at each bar, known at its close."""
    return _ema(np.abs(np.diff(close_T, prepend=close_T[0])), 14) + 1e-12


def walk_features(rng: np.random.Generator, close_T: FloatArray, bar_N: IndexArray) -> FloatArray:
    """Return 57 features of each row: 31 of the walk up to its bar, the others of nothing.

    Parameters
    ----------
    rng : numpy.random.Generator
        Of the columns that are noise.
    close_T : float64 array, shape (n_bars,)
    bar_N : int64 array, shape (n_rows,)
        The rows' bars; closes after them change nothing.

    Returns
    -------
    float64 array, shape (n_rows, 57)
    """
    past_NF = np.column_stack(past_columns(close_T))[bar_N]
    noise_NF = feature_columns(rng, len(bar_N))[:, past_NF.shape[1] - N_FEATURES :]
    return np.column_stack([past_NF, noise_NF])


def past_columns(close_T: FloatArray) -> list[FloatArray]:
    """Return indicators of the walk, each known at its bar's close; all scaled by recent moves."""
    move_T = mean_move(close_T)
    step_T = np.diff(close_T, prepend=close_T[0])
    ema_T = {span: _ema(close_T, span) for span in EMA_SPANS}
    above_20_T = close_T > ema_T[20]
    columns: list[FloatArray] = []
    columns += [(close_T - _lagged(close_T, w)) / (move_T * np.sqrt(w)) for w in MOMENTUM_BARS]
    columns += [(close_T - ema_T[span]) / move_T for span in EMA_SPANS]
    columns += [_place_in_range(close_T, w) for w in RANGE_BARS]
    columns += [_flag(above_20_T), _flag(close_T > ema_T[50]), _flag(ema_T[20] > ema_T[50])]
    usual_T = _ema(np.abs(step_T), 200) + 1e-12
    columns += [_ema(np.abs(step_T), w) / usual_T for w in VOLATILITY_BARS]
    columns += [_mean(_flag(step_T > 0), w) for w in (6, 12, 24)]
    columns += [_lagged(step_T, lag) / move_T for lag in LAGS]
    strength_T = _ema(np.maximum(step_T, 0), 14) / (_ema(np.abs(step_T), 14) + 1e-12)
    columns += [strength_T, _flag(strength_T > 0.7), _flag(strength_T < 0.3)]
    columns.append(np.minimum(_bars_since_change(above_20_T), 100).astype(np.float64))
    return columns


def _flag(condition_T: BoolArray) -> FloatArray:
    return condition_T.astype(np.float64)


def _ema(value_T: FloatArray, span: int) -> FloatArray:
    from scipy.signal import lfilter

    share = 2.0 / (span + 1)
    start = [(1 - share) * value_T[0]]
    return np.asarray(lfilter([share], [1.0, share - 1.0], value_T, zi=start)[0])


def _lagged(value_T: FloatArray, n_bars: int) -> FloatArray:
    return np.concatenate([np.full(n_bars, value_T[0]), value_T[: len(value_T) - n_bars]])


def _mean(value_T: FloatArray, n_bars: int) -> FloatArray:
    total_T = np.cumsum(value_T)
    mean_T: FloatArray = (total_T - np.concatenate([np.zeros(n_bars), total_T[:-n_bars]])) / n_bars
    return mean_T


def _place_in_range(close_T: FloatArray, n_bars: int) -> FloatArray:
    """Return where the close lies between the lowest (0) and highest (1) of the last bars."""
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    # The windows are centred but for their origin, which puts each bar last in its own.
    past = {"size": n_bars, "origin": (n_bars - 1) // 2, "mode": "nearest"}
    low_T, high_T = minimum_filter1d(close_T, **past), maximum_filter1d(close_T, **past)
    place_T: FloatArray = (close_T - low_T) / np.maximum(high_T - low_T, 1e-12)
    return place_T


def _bars_since_change(flag_T: BoolArray) -> IndexArray:
    bar_T = np.arange(len(flag_T))
    changed_T = np.diff(flag_T, prepend=flag_T[0])
    return np.asarray(bar_T - np.maximum.accumulate(np.where(changed_T, bar_T, 0)))
