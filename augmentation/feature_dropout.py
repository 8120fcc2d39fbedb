"""Feature dropout: original rows in which some features say nothing."""

from typing import ClassVar

import numpy as np

from augmentation.technique import FloatArray, IntArray, LabelArray


class FeatureDropout:
    """Blank out each feature of a row with a given chance.

    A dropped feature takes its mean over all rows, one number for every row, step and class: the
    value carries nothing of the row (a class mean would carry its label). In a window a feature is
    dropped at every step, since a single missing step can be guessed from its neighbours.

    Parameters
    ----------
    dropout_fraction : float
        Chance that a feature of a row is dropped, each on its own; inside (0, 1).

    Raises
    ------
    ValueError
        If the fraction lies outside (0, 1).
    """

    needs_steps: ClassVar[bool] = False

    def __init__(self, *, dropout_fraction: float) -> None:
        if not 0 < dropout_fraction < 1:
            raise ValueError(
                f"dropout_fraction must be above 0 and below 1, was {dropout_fraction}"
            )
        self.dropout_fraction = dropout_fraction

    def apply(
        self,
        x_NxF: FloatArray,
        y_N: LabelArray,
        source_S: IntArray,
        rng: np.random.Generator,
    ) -> tuple[FloatArray, LabelArray]:
        """Return the source rows with features dropped, and the source rows' labels."""
        axes = tuple(range(x_NxF.ndim - 1))
        # The clip keeps a constant feature constant where its mean rounds to the number next to it.
        mean_F = np.clip(x_NxF.mean(axis=axes), x_NxF.min(axis=axes), x_NxF.max(axis=axes))
        dropped_SF = rng.random((len(source_S), x_NxF.shape[-1])) < self.dropout_fraction
        dropped_SxF = np.expand_dims(dropped_SF, tuple(range(1, x_NxF.ndim - 1)))
        return np.where(dropped_SxF, mean_F, x_NxF[source_S]), y_N[source_S]
