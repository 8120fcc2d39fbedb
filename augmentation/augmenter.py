"""Enlarges a small training set with synthetic rows, inside a single fit.

Call it on the rows of one fit, after the split: a synthetic row gives away the row it was made
from, so augmenting before a split scores memory as skill.
"""

import warnings
from collections.abc import Sequence

import numpy as np

from augmentation.feature_dropout import FeatureDropout
from augmentation.gaussian_noise import GaussianNoise
from augmentation.rows import RowArray, append_rows, cast_rows, check_rows
from augmentation.smote import Smote
from augmentation.technique import IntArray, LabelArray, Technique
from augmentation.time_shift import TimeShift

MAX_CLASS_DRIFT = 0.05


class AugmentationWarning(UserWarning):
    """Augmentation was left out, or moved the class proportions; the message is one line."""


class NotAugmentedWarning(AugmentationWarning):
    """Augmentation was not possible: the original rows are used.

    Parameters
    ----------
    n_rows : int
        Original rows.
    reason : str
        Line breaks in it are taken out.
    """

    def __init__(self, n_rows: int, reason: str) -> None:
        super().__init__(
            f"no augmentation, {n_rows} original rows are used as they are: "
            f"{' '.join(reason.split())}"
        )


class DataAugmenter:
    """Enlarge small training sets two- or threefold with synthetic rows.

    Every original row is the source of equally many synthetic rows, and every technique gets the
    same share of each class, so the class proportions stay as they are.

    Parameters
    ----------
    seed : int
        Same seed and input, same output, however often one instance is called.
    threshold : int
        From this many rows on nothing is done.
    strong_below : int
        Below this many rows (and below the threshold) the rows are tripled, else doubled.
    techniques : sequence of str
        Any of ``noise``, ``time_shift``, ``feature_dropout``, ``smote``, each once. Time shift is
        passed over where the rows are not windows of at least two steps.
    noise_fraction : float
        See `GaussianNoise`.
    max_shift_steps : int
        See `TimeShift`.
    dropout_fraction : float
        See `FeatureDropout`.
    smote_neighbors : int
        See `Smote`.

    Raises
    ------
    ValueError
        If an argument is out of range or a technique is unknown or named twice.
    """

    def __init__(
        self,
        *,
        seed: int = 42,
        threshold: int = 300,
        strong_below: int = 200,
        techniques: Sequence[str] = ("noise", "time_shift", "feature_dropout", "smote"),
        noise_fraction: float = 0.15,
        max_shift_steps: int = 2,
        dropout_fraction: float = 0.1,
        smote_neighbors: int = 5,
    ) -> None:
        _check_not_negative("seed", seed)
        _check_not_negative("threshold", threshold)
        _check_not_negative("strong_below", strong_below)
        known: dict[str, Technique] = {
            "noise": GaussianNoise(noise_fraction=noise_fraction),
            "time_shift": TimeShift(max_shift_steps=max_shift_steps),
            "feature_dropout": FeatureDropout(dropout_fraction=dropout_fraction),
            "smote": Smote(smote_neighbors=smote_neighbors),
        }
        _check_names(techniques, list(known))
        self.seed = seed
        self.threshold = threshold
        self.strong_below = strong_below
        self._techniques = [known[name] for name in techniques]

    def augment(
        self, X: RowArray, y: LabelArray, threshold: int | None = None
    ) -> tuple[RowArray, LabelArray]:
        """Return the original rows followed by synthetic ones.

        Parameters
        ----------
        X : array, shape (n_rows, n_features) or (n_rows, n_steps, n_features)
            Floating point or integer features, finite; never written to. Synthetic values of
            integer features are rounded to the nearest integer and kept inside the type's range.
        y : array, shape (n_rows,)
            Labels: integers, booleans, strings or finite floats.
        threshold : int, optional
            Replaces the constructor's threshold for this call.

        Returns
        -------
        tuple of arrays
            ``X`` and ``y`` themselves from the threshold on. Else new arrays of twice or three
            times the rows and of the same dtypes, which begin with the original rows, unchanged
            and in order; the synthetic rows follow in no particular order.

        Raises
        ------
        ValueError
            If the threshold is negative.

        Warns
        -----
        NotAugmentedWarning
            If augmentation is not possible, and ``X`` and ``y`` themselves are returned.
        AugmentationWarning
            If the share of a class moves by more than 5 points.
        """
        threshold = self.threshold if threshold is None else threshold
        _check_not_negative("threshold", threshold)
        if len(X) >= threshold:
            return X, y
        try:
            check_rows(X, y)
            x_aug, y_aug = self._enlarge(X, y)
        except ValueError as error:
            warnings.warn(NotAugmentedWarning(len(X), str(error)), stacklevel=2)
            return X, y
        drift = _class_drift(y, y_aug)
        if drift > MAX_CLASS_DRIFT:
            moved = f"augmentation moved the share of a class by {100 * drift:.1f} points, limit 5"
            warnings.warn(moved, AugmentationWarning, stacklevel=2)
        return x_aug, y_aug

    def _enlarge(self, X: RowArray, y: LabelArray) -> tuple[RowArray, LabelArray]:
        has_steps = X.ndim == 3 and X.shape[1] > 1
        usable = [one for one in self._techniques if has_steps or not one.needs_steps]
        if not usable:
            raise ValueError(f"no technique named works on rows of shape {X.shape}")
        rng = np.random.default_rng(self.seed)
        copies = 2 if len(X) < self.strong_below else 1
        shares = _sources(y, copies, len(usable), rng)
        # Overflow shows as a value that is not finite, which the cast at the end refuses.
        with np.errstate(over="ignore", invalid="ignore"):
            # One memory order, because sums round by it: equal rows give equal output.
            x_NxF = X.astype(np.float64, order="C")
            made = [
                technique.apply(x_NxF, y, source_S, rng)
                for technique, source_S in zip(usable, shares, strict=True)
            ]
            x_SxF = cast_rows(np.concatenate([x for x, _ in made]), X.dtype)
        y_S = np.concatenate([labels for _, labels in made])
        order_S = rng.permutation(copies * len(X))
        return append_rows(X, x_SxF[order_S]), append_rows(y, y_S[order_S])


def _check_not_negative(name: str, value: int) -> None:
    if value < 0:
        raise ValueError(f"{name} must be at least 0, was {value}")


def _check_names(names: Sequence[str], known: list[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown or not names or len(set(names)) != len(names):
        raise ValueError(
            f"techniques must name one or more of {', '.join(known)}, each once, was {list(names)}"
        )


def _sources(
    y_N: LabelArray, copies: int, n_techniques: int, rng: np.random.Generator
) -> list[IntArray]:
    """Deal every row ``copies`` times over the techniques, each class evenly."""
    row_S = rng.permutation(np.tile(np.arange(len(y_N)), copies))
    row_S = row_S[np.argsort(y_N[row_S], kind="stable")]
    return [row_S[first::n_techniques] for first in range(n_techniques)]


def _class_drift(before_N: LabelArray, after_M: LabelArray) -> float:
    """Return the largest change in the share of a class, between 0 and 1."""
    labels, class_K = np.unique(np.concatenate([before_N, after_M]), return_inverse=True)
    share_before = np.bincount(class_K[: len(before_N)], minlength=len(labels)) / len(before_N)
    share_after = np.bincount(class_K[len(before_N) :], minlength=len(labels)) / len(after_M)
    return float(np.abs(share_after - share_before).max())
