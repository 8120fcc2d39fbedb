"""RandomForest: scikit-learn's forest from the same seed, grown and answered by compiled code.

Its nodes are saved as plain arrays: their bytes are the same for the same forest and hold no code.
"""

import math
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from market.bars import FloatArray
from market.samples import IntArray, Samples
from models.bagging import Bagging, balanced_weight, tree_seeds
from models.base import (
    Augment,
    FitReport,
    Model,
    ModelError,
    augmented_rows,
    check_at_least,
    check_share,
    prior_shift,
)
from models.exact_trees import ExactTrees
from models.forest_nodes import Float32Array, check_nodes, joined, mean_leaf_p
from models.monitor import TrainingMonitor
from models.onnx_graph import OnnxGraph
from models.onnx_trees import Trees, add_trees, rounded_down
from models.tree_growth import Growth

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
        {
            "max_depth": "smaller",
            "min_samples_leaf": "larger",
            "min_leaf_share": "larger",
            "max_samples": "smaller",
        }
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
        del valid
        start_s = monitor.clock()
        x_MF, y_M, weight_M = augmented_rows(train.x_NF, train.y_N, train.weight_N, augment)
        balanced = self.hyperparameters["class_weight"] == "balanced"
        drawn_M = balanced_weight(y_M, weight_M) if balanced else weight_M
        p_M, unseen_p_M = self._grow(x_MF, y_M, drawn_M, rng)
        fitted_rate = 0.5 if balanced else float(np.average(y_M, weights=weight_M))
        self.log_odds_shift = prior_shift(train, fitted_rate)
        monitor.check_timeout(start_s)
        # The training rows come before the synthetic ones.
        train_accuracy = _accuracy(p_M[: len(train)], train.y_N)
        out_of_bag_M = ~np.isnan(unseen_p_M)
        oob_accuracy = _accuracy(unseen_p_M[out_of_bag_M], y_M[out_of_bag_M])
        monitor.check_overfitting(train_accuracy, oob_accuracy, epoch=0)
        curves = {"train_accuracy": [train_accuracy], "oob_accuracy": [oob_accuracy]}
        return FitReport(len(train), len(y_M), self.hyperparameters["n_estimators"], curves)

    def _grow(
        self, x_MF: FloatArray, y_M: IntArray, weight_M: FloatArray, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        """Grow all trees; return their mean answer to each row, and that of the out-of-bag ones.

        The latter is NaN for a row that every tree was grown on.
        """
        x_FM = _float32(x_MF)
        growing = ExactTrees(x_FM, y_M, self._growth(*x_MF.shape))
        bagging = Bagging(weight_M, self.hyperparameters["max_samples"])
        trees = []
        p_M, unseen_p_M, n_unseen_M = np.zeros((3, len(y_M)))
        for seed in tree_seeds(rng, self.hyperparameters["n_estimators"]):
            count_M = bagging.counts(seed)
            trees.append(growing.grow(count_M, seed))
            leaf_p_M = trees[-1].leaf_p(x_FM)
            p_M += leaf_p_M
            unseen_p_M += leaf_p_M * (count_M == 0)
            n_unseen_M += count_M == 0
        self._nodes: dict[str, Any] = joined(trees)
        unseen_p_M[n_unseen_M == 0] = np.nan
        return p_M / len(trees), unseen_p_M / np.maximum(n_unseen_M, 1)

    def _growth(self, n_rows: int, n_features: int) -> Growth:
        one = self.hyperparameters
        return Growth(
            max_depth=one["max_depth"],
            min_samples_split=one["min_samples_split"],
            min_samples_leaf=max(
                one["min_samples_leaf"], math.ceil(one["min_leaf_share"] * n_rows)
            ),
            n_tried=_n_tried(one["max_features"], n_features),
        )

    def _log_odds(self, x_NF: FloatArray, context_NF: FloatArray | None) -> FloatArray:
        del context_NF
        p_N = mean_leaf_p(x_NF, self._nodes)
        p_N = np.clip(p_N, 1e-6, 1 - 1e-6)
        log_odds_N: FloatArray = np.log(p_N) - np.log1p(-p_N)
        return log_odds_N

    def _onnx_log_odds(self, graph: OnnxGraph, features: str) -> str:
        nodes = self._nodes
        n_trees = len(nodes["root"])
        # Sums are float32. Leaves are split so that the first parts add up without rounding, and
        # the second parts are so small that theirs does not matter.
        steps = 2.0 ** (23 - math.ceil(math.log2(n_trees)))
        coarse_K = np.round(nodes["p"] * steps) / steps
        weight_KW = np.column_stack([coarse_K, nodes["p"] - coarse_K]).astype(np.float32)
        trees = Trees(
            root_T=nodes["root"],
            left_K=nodes["left"],
            right_K=nodes["right"],
            feature_K=nodes["feature"],
            threshold_K=rounded_down(nodes["threshold"]),
            strict=False,
            weight_KW=weight_KW,
        )
        sums = graph.float64(add_trees(graph, features, trees))
        share_W2 = np.array([[-1.0, 1.0], [-1.0, 1.0]]) / n_trees
        p = graph.linear(sums, share_W2, np.array([1.0, 0.0]))
        clipped = graph.node("Clip", p, graph.constant(1e-6), graph.constant(1 - 1e-6))
        return graph.linear(graph.node("Log", clipped), np.array([[-1.0], [1.0]]), np.zeros(1))

    def _importance(self) -> FloatArray:
        importance_F: FloatArray = self._nodes["importance"]
        return importance_F

    def _save_weights(self, folder: Path) -> None:
        from safetensors.numpy import save

        (folder / WEIGHTS).write_bytes(save(self._nodes))

    def _load_weights(self, folder: Path) -> None:
        from safetensors.numpy import load_file

        self._nodes = load_file(folder / WEIGHTS)
        check_nodes(self._nodes, len(self.names_F))


def _float32(x_MF: FloatArray) -> Float32Array:
    """Return the features in rows; trees compare float32."""
    limit = float(np.finfo(np.float32).max)
    if np.abs(x_MF).max(initial=0.0) > limit:
        raise ModelError(f"a feature is beyond {limit:.2g}, which float32 cannot hold")
    return np.ascontiguousarray(x_MF.T, dtype=np.float32)


def _accuracy(p_N: FloatArray, y_N: IntArray) -> float:
    """Return the share of right answers; NaN without rows."""
    return float(np.mean((p_N > 0.5) == (y_N == 1))) if len(y_N) else math.nan


def _n_tried(max_features: str | float, n_features: int) -> int:
    """Return how many features are compared at a node."""
    if max_features == "sqrt":
        return max(1, math.isqrt(n_features))
    if max_features == "log2":
        return max(1, int(math.log2(n_features)))
    return max(1, int(float(max_features) * n_features))
