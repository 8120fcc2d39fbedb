"""Jitter: original rows with a little Gaussian noise on every feature."""

import math
from typing import ClassVar

import numpy as np

from augmentation.technique import FloatArray, IntArray, LabelArray, feature_std


class GaussianNoise:
    """Add Gaussian noise in proportion to each feature's own spread.

    Parameters
    ----------
    noise_fraction : float
        Standard deviation of the noise as a share of the feature's own, over all rows (and steps
        of a window). A constant feature stays constant.

    Raises
    ------
    ValueError
        If the fraction is not a finite number above 0.
    """

    needs_steps: ClassVar[bool] = False

    def __init__(self, *, noise_fraction: float) -> None:
        if not 0 < noise_fraction < math.inf:
            raise ValueError(f"noise_fraction must be above 0 and finite, was {noise_fraction}")
        self.noise_fraction = noise_fraction

    def apply(
        self,
        x_NxF: FloatArray,
        y_N: LabelArray,
        source_S: IntArray,
        rng: np.random.Generator,
    ) -> tuple[FloatArray, LabelArray]:
        """Return the source rows with noise, and the source rows' labels."""
        x_SxF = x_NxF[source_S]
        scale_F = self.noise_fraction * feature_std(x_NxF)
        return x_SxF + scale_F * rng.standard_normal(x_SxF.shape), y_N[source_S]
