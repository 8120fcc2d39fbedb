"""Labelled rows of one symbol in time order: what splitting, training and scoring read.

Axes: N rows, F features.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from market.bars import DataError, FloatArray, TimeArray

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Samples:
    """Time-ordered labelled rows of one symbol.

    A row cannot exist without its own moment in time: decision times are strictly increasing, so
    synthetic rows (copies, jitter, SMOTE), which have none, can never be put through a split.

    Attributes
    ----------
    x_NF : float64 array, shape (n_rows, n_features)
        Features known at the decision time; finite.
    y_N : int64 array, shape (n_rows,)
        1 where the trade wins, else 0.
    weight_N : float64 array, shape (n_rows,)
        Sample weight (label uniqueness), positive.
    t0_N : datetime64[us] array, shape (n_rows,)
        Decision time, UTC, strictly increasing.
    t1_N : datetime64[us] array, shape (n_rows,)
        When the label was known, UTC; never before ``t0_N``. Purging reads it.
    names_F : tuple of str
        Feature names, in column order.

    Raises
    ------
    DataError
        If shapes disagree, times are missing or not increasing, a label ends before its decision, a
        label is not 0 or 1, a weight is not positive, or a feature is not finite.
    """

    x_NF: FloatArray
    y_N: IntArray
    weight_N: FloatArray
    t0_N: TimeArray
    t1_N: TimeArray
    names_F: tuple[str, ...]

    def __post_init__(self) -> None:
        n_rows = len(self.t0_N)
        shapes = {len(self.x_NF), len(self.y_N), len(self.weight_N), len(self.t1_N), n_rows}
        if len(shapes) != 1 or self.x_NF.shape[1:] != (len(self.names_F),):
            raise DataError(
                f"rows and columns disagree: x {self.x_NF.shape}, {len(self.y_N)} labels, "
                f"{len(self.weight_N)} weights, {n_rows} times, {len(self.names_F)} names"
            )
        if n_rows == 0:
            return
        self._check_times()
        self._check_values()

    def _check_times(self) -> None:
        # Comparisons with NaT are false, so that each test is put to fail on a missing time.
        backward = ~(np.diff(self.t0_N) > np.timedelta64(0, "us"))
        if backward.any():
            row = int(np.argmax(backward)) + 1
            raise DataError(
                f"row {row}: decision time {self.t0_N[row]} is not after the one before it, "
                f"{self.t0_N[row - 1]}; rows must be in time order, each time once"
            )
        early = ~(self.t1_N >= self.t0_N)
        if early.any():
            row = int(np.argmax(early))
            raise DataError(
                f"row {row}: label ends {self.t1_N[row]}, expected a time from {self.t0_N[row]} on"
            )

    def _check_values(self) -> None:
        if not np.isin(self.y_N, (0, 1)).all():
            row = int(np.argmax(~np.isin(self.y_N, (0, 1))))
            raise DataError(f"row {row}: label must be 0 or 1, was {self.y_N[row]}")
        if not (self.weight_N > 0).all() or not np.isfinite(self.weight_N).all():
            row = int(np.argmax(~((self.weight_N > 0) & np.isfinite(self.weight_N))))
            raise DataError(f"row {row}: weight must be positive, was {self.weight_N[row]}")
        if not np.isfinite(self.x_NF).all():
            row, column = np.argwhere(~np.isfinite(self.x_NF))[0]
            raise DataError(
                f"row {row}, column {self.names_F[column]}: {self.x_NF[row, column]} is not a "
                "finite number; fill it or drop the row"
            )

    def __len__(self) -> int:
        return len(self.y_N)

    def take(self, rows: IntArray | slice) -> "Samples":
        """Return the given rows; a slice returns views."""
        return Samples(
            self.x_NF[rows],
            self.y_N[rows],
            self.weight_N[rows],
            self.t0_N[rows],
            self.t1_N[rows],
            self.names_F,
        )

    def digest(self) -> str:
        """Return the SHA-256 of names and contents, in hexadecimal."""
        sha = hashlib.sha256("\n".join(self.names_F).encode())
        for array in (self.x_NF, self.y_N, self.weight_N):
            sha.update(np.ascontiguousarray(array).tobytes())
        for times in (self.t0_N, self.t1_N):
            sha.update(np.ascontiguousarray(times.astype("datetime64[us]")).tobytes())
        return sha.hexdigest()


def uniqueness(start_N: FloatArray, end_N: FloatArray) -> FloatArray:
    """Average uniqueness of each label over its span.

    A moment shared by c labels counts 1/c for each of them (López de Prado, Advances in Financial
    Machine Learning, 2018, section 4.4).

    Parameters
    ----------
    start_N, end_N : float64 arrays, shape (n_labels,)
        Spans [start, end) in bars or in time units. An undecided label ends at infinity: it
        shares what it overlaps.

    Returns
    -------
    float64 array, shape (n_labels,)
        In (0, 1]; 1 for an empty span.
    """
    edges = np.unique(np.concatenate([start_N, end_N[np.isfinite(end_N)]]))
    opened = np.searchsorted(np.sort(start_N), edges, side="right")
    closed = np.searchsorted(np.sort(end_N), edges, side="right")
    shares = np.diff(edges) / np.maximum(opened - closed, 1)[:-1]
    integral = np.concatenate([[0.0], np.cumsum(shares)])
    last = edges[-1] if len(edges) else 0.0
    end_N = np.minimum(end_N, last)
    span = end_N - start_N
    share = integral[np.searchsorted(edges, end_N)] - integral[np.searchsorted(edges, start_N)]
    return np.where(span > 0, share / np.where(span > 0, span, 1.0), 1.0)


def mean_uniqueness(samples: Samples) -> float:
    """Return the labels' mean average uniqueness, by their spans in time."""
    origin = samples.t0_N[0]
    start_N = (samples.t0_N - origin) / np.timedelta64(1, "s")
    end_N = (samples.t1_N - origin) / np.timedelta64(1, "s")
    return float(uniqueness(start_N, end_N).mean())
