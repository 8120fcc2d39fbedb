"""Out-of-fold rows of known make-up: hourly decisions, labels `depth` hours long.

Axes: N rows.
"""

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.signal import lfilter

from selection.out_of_fold import OutOfFold

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

START = np.datetime64("2020-01-01T00:00:00", "s")
HOUR = np.timedelta64(3600, "s")


def rows_of(
    y_N: npt.ArrayLike,
    p_N: npt.ArrayLike,
    base_rate: npt.ArrayLike = 0.5,
    *,
    depth: int = 1,
    n_blocks: int = 6,
) -> OutOfFold:
    """Return labels and predictions as rows; neighbours overlap where ``depth`` is above 1."""
    y_N, p_N = np.asarray(y_N, dtype=np.int64), np.asarray(p_N, dtype=np.float64)
    base_rate_N = np.broadcast_to(np.asarray(base_rate, dtype=np.float64), y_N.shape)
    t0_N = START + np.arange(len(y_N)) * HOUR
    return OutOfFold(y_N, p_N, base_rate_N, t0_N, t0_N + depth * HOUR, blocks(len(y_N), n_blocks))


def blocks(n_rows: int, n_blocks: int = 6) -> IntArray:
    """Return equally long blocks."""
    return np.arange(n_rows, dtype=np.int64) * n_blocks // n_rows


def sums_of_shared_noise(rng: np.random.Generator, n_rows: int, depth: int) -> FloatArray:
    """Return standard normal values, each the sum of its hour's noise and the next hours'."""
    noise_N = rng.standard_normal(n_rows + depth - 1)
    sums_N: FloatArray = np.convolve(noise_N, np.ones(depth), "valid") / np.sqrt(depth)
    return sums_N


def labels(rng: np.random.Generator, n_rows: int, depth: int = 1) -> IntArray:
    """Return balanced labels that share as much noise as their spans overlap."""
    return (sums_of_shared_noise(rng, n_rows, depth) > 0).astype(np.int64)


def persistent(rng: np.random.Generator, n_rows: int, memory: float) -> FloatArray:
    """Return standard normal values with this correlation from row to row."""
    noise_N = rng.standard_normal(n_rows)
    noise_N[1:] *= np.sqrt(1 - memory**2)
    values_N: FloatArray = lfilter([1.0], [1.0, -memory], noise_N)
    return values_N


def sigmoid(log_odds_N: npt.ArrayLike) -> FloatArray:
    """Return the probabilities of log-odds."""
    return 1 / (1 + np.exp(-np.asarray(log_odds_N, dtype=np.float64)))


def logit(p_N: npt.ArrayLike) -> FloatArray:
    """Return the log-odds of probabilities."""
    p_N = np.asarray(p_N, dtype=np.float64)
    log_odds_N: FloatArray = np.log(p_N / (1 - p_N))
    return log_odds_N


def informed(rng: np.random.Generator, y_N: IntArray, shift: float) -> FloatArray:
    """Return true probabilities given one normal signal per row, ``2 * shift`` between classes."""
    signal_N = rng.standard_normal(len(y_N)) + shift * (2 * y_N - 1)
    return sigmoid(2 * shift * signal_N)


def irregular(seed: int, n_rows: int, n_blocks: int) -> OutOfFold:
    """Return random rows: gaps, lengths, base rates per block, and some signal, all uneven."""
    rng = np.random.default_rng(seed)
    start_N = np.cumsum(rng.integers(1, 4, n_rows))
    end_N = start_N + rng.integers(0, 15, n_rows)
    block_N = blocks(n_rows, n_blocks)
    y_N = rng.integers(0, 2, n_rows)
    base_N = rng.uniform(0.3, 0.7, n_blocks)[block_N]
    p_N = sigmoid(logit(base_N) + persistent(rng, n_rows, 0.5) + 0.6 * (2 * y_N - 1))
    return OutOfFold(y_N, p_N, base_N, START + start_N * HOUR, START + end_N * HOUR, block_N)


def hours_since_start(time_N: npt.NDArray[np.datetime64]) -> FloatArray:
    """Return times in hours."""
    hours_N: FloatArray = (time_N - START) / HOUR
    return hours_N


def r_of(rows: OutOfFold) -> FloatArray:
    """Return the whole of R, the matrix of overlaps."""
    return overlap_matrix(hours_since_start(rows.t0_N), hours_since_start(rows.t1_N))


def overlap_matrix(start_N: npt.ArrayLike, end_N: npt.ArrayLike) -> FloatArray:
    """Return the whole of R, from its definition."""
    start_N, end_N = np.asarray(start_N), np.asarray(end_N)
    shared_NN = np.minimum.outer(end_N, end_N) - np.maximum.outer(start_N, start_N)
    length_N = np.maximum(end_N - start_N, 1)  # without a length nothing is shared either
    r_NN: FloatArray = np.maximum(shared_NN, 0) / np.sqrt(np.outer(length_N, length_N))
    np.fill_diagonal(r_NN, 1.0)
    return r_NN


def correlation_at(lag: int, a_N: FloatArray) -> float:
    """Return the autocorrelation of a centred series."""
    return float((a_N[lag:] * a_N[: len(a_N) - lag]).sum() / (a_N**2).sum())


def most_below(alpha: float, n_draws: int) -> float:
    """Return the share of draws below alpha that a true null exceeds once in a hundred times."""
    return float(stats.binom.ppf(0.99, n_draws, alpha)) / n_draws
