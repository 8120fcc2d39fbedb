"""Which rows can be augmented, and how synthetic values take the originals' type.

Axes: N original rows, S synthetic rows, F features; ``x`` marks (rows, features) or windows
(rows, steps, features).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from augmentation.technique import FloatArray, LabelArray

RowArray = npt.NDArray[Any]

# Integers beyond this have no exact float64, in which the techniques compute.
LARGEST_EXACT_INTEGER = 2**53


def check_rows(X: RowArray, y: LabelArray) -> None:
    """Refuse what no technique can work on, naming the first thing found."""
    if X.ndim not in (2, 3) or y.shape != X.shape[:1]:
        raise ValueError(
            "features must be (rows, features) or (rows, steps, features) with one label a row, "
            f"the shapes are {X.shape} and {y.shape}"
        )
    if X.size == 0:
        raise ValueError(f"there is nothing to augment in features of shape {X.shape}")
    if X.dtype.kind not in "fiu" or y.dtype.kind not in "biufUS":
        raise ValueError(f"features of type {X.dtype} or labels of type {y.dtype} are not handled")
    _check_values(X, y)
    labels = np.unique(y)
    if len(labels) < 2:
        raise ValueError(f"all rows are of one class, {labels[0]}")


def _check_values(X: RowArray, y: LabelArray) -> None:
    if X.dtype.kind == "f":
        bad = ~np.isfinite(X)
    else:
        bad = (X > LARGEST_EXACT_INTEGER) | (X < -LARGEST_EXACT_INTEGER)
    if bad.any():
        where = np.argwhere(bad)[0]
        value = X[tuple(where)]
        raise ValueError(f"row {where[0]}, feature {where[-1]}: {value} cannot be computed with")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        row = int(np.argmin(np.isfinite(y)))
        raise ValueError(f"row {row}: label {y[row]} is not a finite number")


def cast_rows(x_SxF: FloatArray, dtype: np.dtype[Any]) -> RowArray:
    """Bring synthetic values to the originals' type."""
    if not np.isfinite(x_SxF).all():
        raise ValueError("a synthetic value is not finite: features are too large")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        low = max(limits.min, -LARGEST_EXACT_INTEGER)
        high = min(limits.max, LARGEST_EXACT_INTEGER)
        return np.clip(np.rint(x_SxF), low, high).astype(dtype)
    cast_SxF = x_SxF.astype(dtype)
    if not np.isfinite(cast_SxF).all():
        raise ValueError(f"a synthetic value is too large for {dtype}")
    return cast_SxF


def append_rows(original: RowArray, synthetic: RowArray) -> RowArray:
    """Stack two arrays in the dtype of the first, byte order included."""
    stacked = np.empty((len(original) + len(synthetic), *original.shape[1:]), original.dtype)
    stacked[: len(original)] = original
    stacked[len(original) :] = synthetic
    return stacked
