"""57 feature columns of the make-up real ones have, drawn independently of any label.

Axes: N rows in time order, F features.
"""

import numpy as np

from market.bars import FloatArray

N_FEATURES = 57
NAMES = tuple(f"f{number:02d}" for number in range(1, N_FEATURES + 1))
# What the columns hold, left to right. The first half remembers itself from row to row.
N_PERSISTENT = 28
PERSISTENT_FLAGS = slice(23, 28)
WHITE_FLAGS = slice(48, 54)
WHITE_COUNTS = slice(54, 57)
PERSISTENT_NUMBERS = range(23)
WHITE_NUMBERS = range(28, 48)
# Autocorrelation from one row to the next, drawn per column.
PHI = (0.9, 0.98)
# A flag is set where its column exceeds a quantile drawn from these: some are common, some rare.
FLAG_QUANTILES = (0.4, 0.95)


def feature_columns(
    rng: np.random.Generator, n_rows: int, *, all_persistent: bool = False
) -> FloatArray:
    """Draw features that know nothing of any label.

    Columns are independent of each other. The first 28 are stationary AR(1) processes with a
    coefficient drawn from 0.9 to 0.98, the others are white. All have a normal distribution of
    mean 0 and variance 1, but for 11 flags (0 or 1) and 3 small counts, which cut such a column
    up.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_rows : int
    all_persistent : bool
        Make every column an AR(1) process.

    Returns
    -------
    float64 array, shape (n_rows, 57)
    """
    n_persistent = N_FEATURES if all_persistent else N_PERSISTENT
    phi_F = np.zeros(N_FEATURES)
    phi_F[:n_persistent] = rng.uniform(*PHI, n_persistent)
    x_NF = autoregressive(rng, n_rows, phi_F)
    for columns in (PERSISTENT_FLAGS, WHITE_FLAGS):
        n_flags = columns.stop - columns.start
        x_NF[:, columns] = x_NF[:, columns] > _normal_quantiles(rng, n_flags)
    x_NF[:, WHITE_COUNTS] = np.floor(np.abs(2 * x_NF[:, WHITE_COUNTS]))
    return x_NF


def autoregressive(rng: np.random.Generator, n_rows: int, phi_F: FloatArray) -> FloatArray:
    """Draw stationary AR(1) processes of mean 0 and variance 1, one per coefficient in (-1, 1)."""
    from scipy.signal import lfilter

    z_NF = rng.standard_normal((n_rows, len(phi_F)))
    # Begun in its stationary distribution, a process needs no warm-up.
    z_NF[1:] *= np.sqrt(1 - phi_F**2)
    for f in np.flatnonzero(phi_F):
        z_NF[:, f] = lfilter([1.0], [1.0, -phi_F[f]], z_NF[:, f])
    return z_NF


def _normal_quantiles(rng: np.random.Generator, n_flags: int) -> FloatArray:
    from scipy.special import ndtri

    return np.asarray(ndtri(rng.uniform(*FLAG_QUANTILES, n_flags)))
