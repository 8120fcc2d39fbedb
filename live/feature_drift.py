"""Whether a model still sees what it was trained on: feature by feature, window by window.

Rows near one another resemble each other, so plain tests of two samples find a difference wherever
a calm month is held against a lively year. Here training itself says what is ordinary: windows of
its own rows, each held against the rest of training, as long as those that are looked at later.

Axes: N rows, F features, W windows, B bins.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import kolmogorov

from market.bars import FloatArray
from market.compiled import BoolArray, IndexArray
from selection.evidence import holm

BINS: Final = 10
# Of training there must be so many windows, or it cannot say what is ordinary between them.
LEAST_WINDOWS: Final = 4
# Windows of training overlap by three quarters; more than so many say nothing new.
_MOST_WINDOWS: Final = 40
_OVERLAP: Final = 4
# Mean of Kolmogorov's distribution: sqrt(pi / 2) log 2.
_KOLMOGOROV_MEAN: Final = float(np.sqrt(np.pi / 2) * np.log(2))
_KOLMOGOROV_DEVIATION: Final = float(np.sqrt(np.pi**2 / 12 - _KOLMOGOROV_MEAN**2))
_COUNTED: Final = 0.5


@dataclass(frozen=True, slots=True)
class FeatureShift:
    """One feature of one window against training.

    Attributes
    ----------
    name : str
    psi : float
        Population stability index over tenths of training; 0 where nothing moved.
    psi_in_training : float
        The largest that a window of training has against the rest.
    distance : float
        Largest difference of the two distribution functions (Kolmogorov and Smirnov).
    p_value : float
        That the distance is one of those between parts of training; 1 for a constant that stayed.
    p_adjusted : float
        For the number of features (Holm, Scandinavian Journal of Statistics 6, 1979).
    effective : float
        Independent rows that a window amounts to.
    median_before, median_now : float
    moved : bool
        Whether it has moved further than training did within itself, and far enough to matter.
    """

    name: str
    psi: float
    psi_in_training: float
    distance: float
    p_value: float
    p_adjusted: float
    effective: float
    median_before: float
    median_now: float
    moved: bool


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """What the features of one symbol say.

    Attributes
    ----------
    rows_before : int
        Of training.
    windows : int
        That were looked at: all that are whole, or those up to the first in which a feature moved.
    first, last : int
        Rows of the last of them, both ends included.
    level : float
        Chance that a window of an unchanged market trips.
    shifts : tuple of FeatureShift
        Of that window, those that moved furthest first.
    """

    rows_before: int
    windows: int
    first: int
    last: int
    level: float
    shifts: tuple[FeatureShift, ...]

    @property
    def moved(self) -> tuple[FeatureShift, ...]:
        """The features that moved."""
        return tuple(one for one in self.shifts if one.moved)


class Training:
    """What was trained on, and how much its windows differ from one another.

    Parameters
    ----------
    x_NF : float64 array, shape (n_rows, n_features)
        In time order.
    names_F : sequence of str
    window : int
        Rows that are looked at together.

    Raises
    ------
    ValueError
        If there are fewer than four windows of rows.
    """

    def __init__(self, x_NF: FloatArray, names_F: tuple[str, ...], *, window: int) -> None:
        n = len(x_NF)
        if n < LEAST_WINDOWS * window:
            raise ValueError(
                f"{n} rows were trained on, {LEAST_WINDOWS * window} are needed to say how much "
                f"windows of {window} differ anyway"
            )
        self.x_NF, self.names_F, self.window = x_NF, names_F, window
        self._bins = [_edges(x_NF[:, f]) for f in range(x_NF.shape[1])]
        n_windows = min((n - window) * _OVERLAP // window + 1, _MOST_WINDOWS)
        starts_W = np.linspace(0, n - window, n_windows).astype(np.int64)
        order = _Order(x_NF)
        distance_WF, psi_WF = [], []
        for start in starts_W:
            inside_N = np.zeros(n, dtype=bool)
            inside_N[start : start + window] = True
            distance_WF.append(order.distances(inside_N))
            psi_WF.append(self._psi(x_NF[~inside_N], x_NF[inside_N]))
        self.psi_F: FloatArray = np.max(psi_WF, axis=0)
        self.effective_F = _effective(np.mean(distance_WF, axis=0), window, n - window)

    def against(self, now_NF: FloatArray, *, level: float, least_psi: float) -> list[FeatureShift]:
        """Hold one window of later rows against training; those that moved furthest come first."""
        both_NF = np.concatenate([self.x_NF, now_NF])
        is_now_N = np.arange(len(both_NF)) >= len(self.x_NF)
        distance_F = _Order(both_NF).distances(is_now_N)
        psi_F = self._psi(self.x_NF, now_NF)
        constant_F = np.ptp(self.x_NF, axis=0) == 0
        # A constant has no distribution to differ from: any other value is new to the model.
        p_F = np.where(
            constant_F,
            np.where(distance_F > 0, 0.0, 1.0),
            kolmogorov(distance_F * np.sqrt(self.effective_F)),
        )
        adjusted = holm(dict(zip(self.names_F, p_F.tolist(), strict=True)))
        adjusted_F = np.array([adjusted[name] for name in self.names_F])
        moved_F = (adjusted_F <= level) & (psi_F >= least_psi) & (psi_F > self.psi_F)
        before_F, now_F = np.median(self.x_NF, axis=0), np.median(now_NF, axis=0)
        shifts = [
            FeatureShift(
                name=name,
                psi=float(psi_F[f]),
                psi_in_training=float(self.psi_F[f]),
                distance=float(distance_F[f]),
                p_value=float(p_F[f]),
                p_adjusted=float(adjusted_F[f]),
                effective=float(self.effective_F[f]),
                median_before=float(before_F[f]),
                median_now=float(now_F[f]),
                moved=bool(moved_F[f]),
            )
            for f, name in enumerate(self.names_F)
        ]
        return sorted(shifts, key=lambda one: (not one.moved, -one.psi, one.name))

    def _psi(self, before_NF: FloatArray, now_NF: FloatArray) -> FloatArray:
        pairs = [_psi(edges, before_NF[:, f], now_NF[:, f]) for f, edges in enumerate(self._bins)]
        return np.array(pairs)


def feature_drift(
    training: Training, later_NF: FloatArray, *, false_alarm_every: float, least_psi: float
) -> FeatureDrift | None:
    """Look at later rows window by window, each once, until one trips; None before the first.

    Windows do not overlap and none is looked at again with more rows, so that looking often changes
    nothing: each trips an unchanged market with a chance of ``window / false_alarm_every`` at most,
    and one false alarm comes in so many rows on average.

    Parameters
    ----------
    training : Training
    later_NF : float64 array, shape (n_rows, n_features)
        In time order.
    false_alarm_every : float
        Rows.
    least_psi : float
        What moved less does not matter, however surely it moved.
    """
    window, level = training.window, min(training.window / false_alarm_every, 1.0)
    found = None
    for number in range(len(later_NF) // window):
        first = number * window
        rows_NF = later_NF[first : first + window]
        shifts = tuple(training.against(rows_NF, level=level, least_psi=least_psi))
        found = FeatureDrift(
            len(training.x_NF), number + 1, first, first + window - 1, level, shifts
        )
        if found.moved:
            break
    return found


class _Order:
    """The rows of a matrix in the order of each of its columns."""

    def __init__(self, x_NF: FloatArray) -> None:
        self._order_NF = np.argsort(x_NF, axis=0, kind="stable")
        sorted_NF = np.take_along_axis(x_NF, self._order_NF, axis=0)
        last_F = np.ones((1, x_NF.shape[1]), dtype=bool)
        # Distribution functions are compared behind ties alone.
        self._counts_NF = np.concatenate([sorted_NF[1:] > sorted_NF[:-1], last_F])

    def distances(self, inside_N: BoolArray) -> FloatArray:
        """Return, by column, the largest distance of the rows inside from those outside."""
        inside_NF = inside_N[self._order_NF]
        share_NF = np.cumsum(inside_NF, axis=0) / inside_N.sum()
        rest_NF = np.cumsum(~inside_NF, axis=0) / (~inside_N).sum()
        distance_NF: FloatArray = np.abs(share_NF - rest_NF) * self._counts_NF
        largest_F: FloatArray = distance_NF.max(axis=0)
        return largest_F


def _effective(mean_distance_F: FloatArray, window: int, rest: int) -> FloatArray:
    """Return the independent rows at which Kolmogorov's mean distance is the one that was met.

    The mean of few windows may be small by luck, so it is taken one standard error larger; windows
    that overlap count once. Of few values, distances are smaller than of many: no more rows than
    there are.
    """
    most = window * rest / (window + rest)
    error = _KOLMOGOROV_DEVIATION / np.sqrt((window + rest) / window)
    larger = 1.0 + error / _KOLMOGOROV_MEAN
    with np.errstate(divide="ignore"):
        found_F = (_KOLMOGOROV_MEAN / (mean_distance_F * larger)) ** 2
    effective_F: FloatArray = np.minimum(found_F, most)
    return effective_F


def _edges(x_N: FloatArray) -> FloatArray:
    """Return what parts a sample into tenths; a value that takes a tenth has a bin of its own."""
    tenths = np.quantile(x_N, np.arange(1, BINS) / BINS)
    edges, times = np.unique(tenths, return_counts=True)
    below: FloatArray = np.nextafter(edges[times > 1], -np.inf)
    parted: FloatArray = np.union1d(edges, below)
    return parted


def _psi(edges: FloatArray, before_N: FloatArray, now_N: FloatArray) -> float:
    """Return the population stability index of a sample against an earlier one.

    Over the bins of the earlier sample: the sum of ``(now - before) log(now / before)`` over their
    shares. Half a row of the smaller sample is added to each, to both alike, so that samples that
    are alike have an index of 0.
    """
    added = _COUNTED / min(len(before_N), len(now_N))
    before_B, now_B = (_shares(edges, one) + added for one in (before_N, now_N))
    return float(np.sum((now_B - before_B) * np.log(now_B / before_B)))


def _shares(edges: FloatArray, x_N: FloatArray) -> FloatArray:
    bin_N: IndexArray = np.searchsorted(edges, x_N, side="left")
    shares_B: FloatArray = np.bincount(bin_N, minlength=len(edges) + 1) / len(x_N)
    return shares_B
