"""A forest with what its trees were grown on, and the leaves that rows fall into."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from market.bars import FloatArray
from market.samples import Samples
from models.base import FitReport, Model
from models.exact_trees import ExactTrees
from models.forest_nodes import Tree
from models.monitor import TrainingMonitor
from tests.models.planted import make_model

Counts = npt.NDArray[np.int64]


class Forest:
    """A fitted forest, its trees, and how often each row was drawn for each of them."""

    def __init__(self, rows: Samples, augment: Any = None, **changes: Any) -> None:
        self.trees: list[Tree] = []
        self.counts_TM: list[Counts] = []
        self.model: Model = make_model("random_forest", **changes)
        rng, monitor = np.random.default_rng(0), TrainingMonitor()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ExactTrees, "grow", self._kept(ExactTrees.grow))
            self.report: FitReport = self.model.fit(
                rows, None, rng=rng, monitor=monitor, augment=augment
            )

    def _kept(self, grow: Any) -> Any:
        def keep(growing: Any, count_M: Counts, seed: int) -> Tree:
            self.counts_TM.append(count_M)
            self.trees.append(grow(growing, count_M, seed))
            return self.trees[-1]

        return keep


def leaves(tree: Tree, x_NF: FloatArray) -> npt.NDArray[np.int64]:
    """Return the leaf of each row, found by asking node by node."""
    x_NF = x_NF.astype(np.float32)
    node_N = np.zeros(len(x_NF), np.int64)
    while (inner_N := tree.left_K[node_N] >= 0).any():
        asked_N = x_NF[np.arange(len(x_NF)), tree.feature_K[node_N]]
        goes_left_N = asked_N <= tree.threshold_K[node_N]
        child_N = np.where(goes_left_N, tree.left_K[node_N], tree.right_K[node_N])
        node_N = np.where(inner_N, child_N, node_N)
    return node_N
