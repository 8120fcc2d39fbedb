"""Raw features to and from bounds that were fitted to training rows: [0, 1], clipped.

Axes: N training rows, K rows, F the 208 features.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from exits.feature_table import FEATURES, N_FEATURES, NAMES
from exits.parameters import PARAMETERS
from market.bars import FloatArray
from market.compiled import compiled

UnitArray = npt.NDArray[np.float32]
# Where the bounds of fitted columns lie: a few odd rows are clipped rather than squeeze the rest.
QUANTILES: Final = (0.005, 0.995)


@dataclass(frozen=True, slots=True)
class FeatureBounds:
    """What a raw 0 and a raw 1 are, column by column.

    Attributes
    ----------
    low_F, high_F : float64 array, shape (208,)
        Raw values that become 0 and 1; equal where a column has no spread and is always 0.
    log_F : float64 array, shape (208,)
        0 for a linear column; else the size from which it is rather logarithmic than linear: x
        counts as sign(x) log(1 + |x| / size).
    """

    low_F: FloatArray
    high_F: FloatArray
    log_F: FloatArray

    def __post_init__(self) -> None:
        for name in ("low_F", "high_F", "log_F"):
            x_F = getattr(self, name)
            if x_F.shape != (N_FEATURES,):
                raise ValueError(f"{name} must have shape ({N_FEATURES},), had {x_F.shape}")
            if not np.isfinite(x_F).all():
                place = int(np.argmin(np.isfinite(x_F)))
                raise ValueError(f"{name} of {NAMES[place]} must be finite, was {x_F[place]}")
        _check(self.low_F <= self.high_F, "low_F must be at most high_F")
        _check(self.log_F >= 0.0, "log_F must be at least 0")

    @classmethod
    def fit(cls, x_NF: FloatArray) -> "FeatureBounds":
        """Return the bounds of training rows: those of the table where it has them.

        Parameters
        ----------
        x_NF : float64 array, shape (N, 208)
            Raw and finite; of the training part alone.

        Raises
        ------
        ValueError
            If there is no row, or a value is not finite.
        """
        if len(x_NF) == 0:
            raise ValueError("bounds need at least one row of features, had none")
        if not np.isfinite(x_NF).all():
            place = int(np.argmin(np.isfinite(x_NF).all(axis=0)))
            raise ValueError(f"feature {NAMES[place]} must be finite in every row")
        fitted = [_fitted(column, x_NF[:, column]) for column in range(N_FEATURES)]
        return cls(*np.array(fitted, np.float64).T.copy())

    def scaling(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return what `unit_rows` takes: size, offset and gain of each column."""
        low_F, high_F = (_counted(x_F, self.log_F) for x_F in (self.low_F, self.high_F))
        span_F = high_F - low_F
        gain_F = np.where(span_F > 0.0, 1.0 / np.where(span_F > 0.0, span_F, 1.0), 0.0)
        return np.ascontiguousarray(self.log_F), low_F, gain_F

    def unit(self, x_KF: FloatArray) -> UnitArray:
        """Return raw features as float32 in [0, 1].

        Parameters
        ----------
        x_KF : float64 array, shape (K, 208)
            Finite.
        """
        out_KF = np.empty(x_KF.shape, np.float32)
        unit_rows(np.ascontiguousarray(x_KF, np.float64), *self.scaling(), out_KF)
        return out_KF

    def to_json(self) -> dict[str, list[float]]:
        """Return the bounds as JSON can hold them; every number comes back as it was."""
        return {name: getattr(self, f"{name}_F").tolist() for name in ("low", "high", "log")}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "FeatureBounds":
        """Return bounds that `to_json` made.

        Raises
        ------
        ValueError
            If something else was stored; one line names what.
        """
        columns = []
        for name in ("low", "high", "log"):
            values = stored.get(name)
            plain = isinstance(values, list) and all(type(one) in (int, float) for one in values)
            if not plain:
                raise ValueError(f"bounds: {name} must be a list of {N_FEATURES} numbers")
            columns.append(np.array(values, np.float64))
        return cls(*columns)


def _check(fine_F: npt.NDArray[np.bool_], said: str) -> None:
    if not fine_F.all():
        raise ValueError(f"{said}, not so for {NAMES[int(np.argmin(fine_F))]}")


def _fitted(column: int, x_N: FloatArray) -> tuple[float, float, float]:
    """Return low, high and size of a column."""
    feature = FEATURES[column]
    if feature.scale == "table":
        return PARAMETERS[column].low, PARAMETERS[column].high, 0.0
    if feature.scale == "code":
        return 0.0, len(feature.codes) - 1.0, 0.0
    low, high = (float(bound) for bound in np.quantile(x_N, QUANTILES))
    if low == high:
        # Nearly always the same: then the few that differ are all there is to see.
        low, high = float(x_N.min()), float(x_N.max())
    return low, high, _size(x_N) if feature.scale == "log" else 0.0


def _size(x_N: FloatArray) -> float:
    """Return the median size of what is not 0, 1 if all is."""
    sizes = np.abs(x_N[x_N != 0.0])
    return float(np.median(sizes)) if len(sizes) else 1.0


def _counted(x_F: FloatArray, log_F: FloatArray) -> FloatArray:
    pairs = zip(x_F.tolist(), log_F.tolist(), strict=True)
    return np.array([_scaled(x, size) for x, size in pairs])


@compiled
def _scaled(x: float, size: float) -> float:
    return math.copysign(math.log1p(abs(x) / size), x) if size > 0.0 else x


@compiled
def unit_rows(
    x_KF: FloatArray,
    log_F: FloatArray,
    offset_F: FloatArray,
    gain_F: FloatArray,
    out_KF: UnitArray,
) -> None:
    """Write raw features as numbers in [0, 1] to ``out_KF``; arrays are contiguous."""
    for k in range(x_KF.shape[0]):
        for f in range(x_KF.shape[1]):
            unit = (_scaled(x_KF[k, f], log_F[f]) - offset_F[f]) * gain_F[f]
            out_KF[k, f] = min(max(unit, 0.0), 1.0)
