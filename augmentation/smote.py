"""SMOTE within the class proportions: rows between neighbours of the same class."""

from typing import ClassVar

import numpy as np

from augmentation.technique import FloatArray, IntArray, LabelArray, feature_std


class Smote:
    """Draw rows on the line between a row and one of its nearest neighbours of the same class.

    Method: Chawla et al., SMOTE: Synthetic Minority Over-sampling Technique, JAIR 16 (2002),
    section 4.2, as imbalanced-learn has it. It is not used to balance: every class grows by as
    many rows as the sources hold of it. Neighbours are found with every feature divided by its
    standard deviation, so that units do not decide who is near. A window is one point of
    n_steps x n_features coordinates.

    Parameters
    ----------
    smote_neighbors : int
        Neighbours of the same class to choose among; a class needs one row more than that.

    Raises
    ------
    ValueError
        If ``smote_neighbors`` is below 1.
    """

    needs_steps: ClassVar[bool] = False

    def __init__(self, *, smote_neighbors: int) -> None:
        if smote_neighbors < 1:
            raise ValueError(f"smote_neighbors must be at least 1, was {smote_neighbors}")
        self.smote_neighbors = smote_neighbors

    def apply(
        self,
        x_NxF: FloatArray,
        y_N: LabelArray,
        source_S: IntArray,
        rng: np.random.Generator,
    ) -> tuple[FloatArray, LabelArray]:
        """Return rows between neighbours, per class as many as among the sources, with labels.

        Raises
        ------
        ValueError
            If a class has too few rows for the neighbours asked for.
        """
        from imblearn.over_sampling import SMOTE

        label_C, class_N, count_C = np.unique(y_N, return_inverse=True, return_counts=True)
        self._check_neighbours(label_C, count_C)
        target_C = count_C + np.bincount(class_N[source_S], minlength=len(label_C))
        std_F = feature_std(x_NxF)
        scale_F = np.where(std_F > 0, std_F, 1.0)
        sampler = SMOTE(
            sampling_strategy=dict(enumerate(target_C.tolist())),
            k_neighbors=self.smote_neighbors,
            # A generator, not a number: a number would give every class the same draws.
            random_state=np.random.RandomState(rng.integers(2**32)),
        )
        flat_NK = (x_NxF / scale_F).reshape(len(y_N), -1)
        flat_MK, class_M = sampler.fit_resample(flat_NK, class_N)
        x_SxF = flat_MK[len(y_N) :].reshape(-1, *x_NxF.shape[1:]) * scale_F
        return x_SxF, label_C[class_M[len(y_N) :]]

    def _check_neighbours(self, label_C: LabelArray, count_C: IntArray) -> None:
        rarest = int(np.argmin(count_C))
        if count_C[rarest] <= self.smote_neighbors:
            raise ValueError(
                f"class {label_C[rarest]} has {count_C[rarest]} rows, SMOTE with "
                f"{self.smote_neighbors} neighbours needs at least {self.smote_neighbors + 1}"
            )
