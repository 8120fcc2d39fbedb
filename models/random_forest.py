"""RandomForest: scikit-learn's, kept and answered from plain arrays.

The arrays (and not scikit-learn's own objects) are saved: their bytes are the same for the same
forest, hold no code, and a compiled walk answers one row a thousand times quicker.
"""

import math
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from market.bars import FloatArray
from market.compiled import compiled
from market.samples import Samples
from models.base import (
    Augment,
    FitReport,
    Model,
    augmented_rows,
    check_at_least,
    check_share,
    prior_shift,
)
from models.monitor import TrainingMonitor

WEIGHTS = "forest.safetensors"


class RandomForest(Model):
    """Breiman's random forest (Machine Learning 45, 2001), strongly regularised.

    Parameters
    ----------
    n_estimators, max_depth, min_samples_split, min_samples_leaf : int
    min_leaf_share : float
        Least share of the rows in a leaf, on top of ``min_samples_leaf``, in [0, 1).
    max_features : str or float
        ``sqrt``, ``log2`` or a share of the features in (0, 1], per split; 1 is all of them.
    max_samples : float
        Rows drawn per tree, as a share of the sum of weights.
    class_weight : str or None
        ``balanced`` or None; probabilities are corrected back to the true base rate.
    """

    name = "RandomForest"
    stronger_when = MappingProxyType(
        {"max_depth": "smaller", "min_samples_leaf": "larger", "min_leaf_share": "larger"}
    )

    def __init__(
        self,
        *,
        n_estimators: int,
        max_depth: int,
        min_samples_split: int,
        min_samples_leaf: int,
        min_leaf_share: float = 0.0,
        max_features: str | float,
        max_samples: float,
        class_weight: str | None,
    ) -> None:
        # scikit-learn would take the integer 1 for one feature.
        max_features = max_features if isinstance(max_features, str) else float(max_features)
        super().__init__(
            n_estimators=n_estimators,
            max_depth=max_depth,
            min_samples_split=min_samples_split,
            min_samples_leaf=min_samples_leaf,
            min_leaf_share=min_leaf_share,
            max_features=max_features,
            max_samples=max_samples,
            class_weight=class_weight,
        )
        check_at_least("n_estimators", n_estimators, 1)
        check_at_least("max_depth", max_depth, 1)
        check_at_least("min_samples_split", min_samples_split, 2)
        check_at_least("min_samples_leaf", min_samples_leaf, 1)
        check_share("min_leaf_share", min_leaf_share)
        check_share("max_samples", max_samples, closed=True)
        if isinstance(max_features, str) and max_features not in ("sqrt", "log2"):
            raise ValueError(f"max_features must be sqrt, log2 or a share, was {max_features}")
        if isinstance(max_features, float):
            check_share("max_features", max_features, closed=True)
        if class_weight not in (None, "balanced"):
            raise ValueError(f"class_weight must be balanced or null, was {class_weight}")

    def _fit(
        self,
        train: Samples,
        valid: Samples | None,
        rng: np.random.Generator,
        monitor: TrainingMonitor,
        augment: Augment | None,
    ) -> FitReport:
        from sklearn.ensemble import RandomForestClassifier

        del valid
        start_s = monitor.clock()
        x_MF, y_M, weight_M = augmented_rows(train.x_NF, train.y_N, train.weight_N, augment)
        forest = RandomForestClassifier(
            **self._parameters(len(y_M)),
            n_jobs=1,
            oob_score=_accuracy,
            random_state=int(rng.integers(2**31)),
        )
        forest.fit(x_MF, y_M, sample_weight=weight_M)
        self._keep(forest)
        balanced = self.hyperparameters["class_weight"] == "balanced"
        fitted_rate = 0.5 if balanced else float(np.average(y_M, weights=weight_M))
        self.log_odds_shift = prior_shift(train, fitted_rate)
        monitor.check_timeout(start_s)
        train_accuracy = float(np.mean(forest.predict(train.x_NF) == train.y_N))
        oob_accuracy = float(forest.oob_score_)
        monitor.check_overfitting(train_accuracy, oob_accuracy, epoch=0)
        curves = {"train_accuracy": [train_accuracy], "oob_accuracy": [oob_accuracy]}
        return FitReport(len(train), len(y_M), len(forest.estimators_), curves)

    def _parameters(self, n_rows: int) -> dict[str, Any]:
        parameters = dict(self.hyperparameters)
        least = math.ceil(parameters.pop("min_leaf_share") * n_rows)
        return {**parameters, "min_samples_leaf": max(parameters["min_samples_leaf"], least)}

    def _keep(self, forest: Any) -> None:
        trees = [estimator.tree_ for estimator in forest.estimators_]
        starts_T = np.cumsum([0, *(tree.node_count for tree in trees)])
        counts_T = np.diff(starts_T)
        offset_K = np.repeat(starts_T[:-1], counts_T)
        left_K = np.concatenate([tree.children_left for tree in trees])
        right_K = np.concatenate([tree.children_right for tree in trees])
        values_K = np.concatenate([tree.value[:, 0, :] for tree in trees])
        self._nodes: dict[str, Any] = {
            "root": starts_T[:-1].astype(np.int32),
            "left": np.where(left_K < 0, -1, left_K + offset_K).astype(np.int32),
            "right": np.where(right_K < 0, -1, right_K + offset_K).astype(np.int32),
            "feature": np.concatenate([tree.feature for tree in trees]).astype(np.int32),
            "threshold": np.concatenate([tree.threshold for tree in trees]),
            "p": values_K[:, 1] / values_K.sum(axis=1),
            "importance": np.asarray(forest.feature_importances_, dtype=np.float64),
        }

    def _log_odds(self, x_NF: FloatArray, context_NF: FloatArray | None) -> FloatArray:
        del context_NF
        nodes = self._nodes
        # scikit-learn's trees compare features as float32.
        p_N = _mean_leaf(
            x_NF.astype(np.float32),
            nodes["root"],
            nodes["left"],
            nodes["right"],
            nodes["feature"],
            nodes["threshold"],
            nodes["p"],
        )
        p_N = np.clip(p_N, 1e-6, 1 - 1e-6)
        log_odds_N: FloatArray = np.log(p_N) - np.log1p(-p_N)
        return log_odds_N

    def _importance(self) -> FloatArray:
        importance_F: FloatArray = self._nodes["importance"]
        return importance_F

    def _save_weights(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        save_file(self._nodes, folder / WEIGHTS)

    def _load_weights(self, folder: Path) -> None:
        from safetensors.numpy import load_file

        self._nodes = load_file(folder / WEIGHTS)


def _accuracy(y_N: npt.NDArray[np.int64], predicted_N: npt.NDArray[np.int64]) -> float:
    return float(np.mean(y_N == predicted_N))


@compiled
def _mean_leaf(
    x_NF: npt.NDArray[np.float32],
    root_T: npt.NDArray[np.int32],
    left_K: npt.NDArray[np.int32],
    right_K: npt.NDArray[np.int32],
    feature_K: npt.NDArray[np.int32],
    threshold_K: FloatArray,
    p_K: FloatArray,
) -> FloatArray:
    """Mean over trees T of the leaf probability that each row N falls into (K: nodes)."""
    p_N = np.zeros(len(x_NF))
    for n in range(len(x_NF)):
        total = 0.0
        for root in root_T:
            node = root
            while left_K[node] >= 0:
                goes_left = x_NF[n, feature_K[node]] <= threshold_K[node]
                node = left_K[node] if goes_left else right_K[node]
            total += p_K[node]
        p_N[n] = total / len(root_T)
    return p_N
