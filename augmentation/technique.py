"""What every augmentation technique offers, and the scale that several of them share.

Axes: N original rows, S synthetic rows, L steps of a window, F features. ``x_NxF`` is either
(N, F), plain rows, or (N, L, F), windows of L steps.
"""

from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
LabelArray = npt.NDArray[Any]


class Technique(Protocol):
    """One way of making synthetic rows.

    Attributes
    ----------
    needs_steps : bool
        True if it works on windows of at least two steps only.
    """

    needs_steps: ClassVar[bool]

    def apply(
        self,
        x_NxF: FloatArray,
        y_N: LabelArray,
        source_S: IntArray,
        rng: np.random.Generator,
    ) -> tuple[FloatArray, LabelArray]:
        """Make one synthetic row for each source row.

        Parameters
        ----------
        x_NxF : float64 array, shape (n_rows, n_features) or (n_rows, n_steps, n_features)
            Original rows; never written to.
        y_N : array, shape (n_rows,)
            Their labels.
        source_S : int64 array, shape (n_synthetic,)
            Original row that each synthetic row comes from. A technique that picks its own rows
            keeps the number of rows per class.
        rng : numpy.random.Generator
            The only source of chance.

        Returns
        -------
        tuple of arrays
            The synthetic rows, shaped as the originals, and their labels.

        Raises
        ------
        ValueError
            If the rows do not allow it; one line.
        """
        ...


def feature_std(x_NxF: FloatArray) -> FloatArray:
    """Return each feature's standard deviation over all rows (and steps), shape (n_features,).

    A constant feature has exactly 0, whatever rounding makes of its mean.
    """
    axes = tuple(range(x_NxF.ndim - 1))
    constant_F = x_NxF.max(axis=axes) == x_NxF.min(axis=axes)
    return np.where(constant_F, 0.0, x_NxF.std(axis=axes))
