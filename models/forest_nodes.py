"""The nodes of a forest as plain arrays, and the way of rows through them.

A row goes left where its feature, as float32, is at most the node's threshold.

Axes: N rows, F features, T trees, K nodes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from market.bars import FloatArray
from market.compiled import compiled
from models.base import ModelError

Float32Array = npt.NDArray[np.float32]
NodeArray = npt.NDArray[np.int32]
Nodes = dict[str, Any]

# For fewer rows, sorting them by leaf takes longer than following each alone.
_FEW_ROWS = 40


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree, its root the first node.

    Attributes
    ----------
    left_K, right_K, feature_K : int32 array
        A node's children, and the feature it asks for; below 0 in leaves.
    threshold_K : float64 array
    p_K : float64 array
        Share of wins among the draws that reach a node.
    importance_F : float64 array
        Each feature's share in the fall of impurity; zeros where the root is a leaf.
    """

    left_K: NodeArray
    right_K: NodeArray
    feature_K: NodeArray
    threshold_K: FloatArray
    p_K: FloatArray
    importance_F: FloatArray

    def leaf_p(self, x_FN: Float32Array) -> FloatArray:
        """Return the share of wins in the leaf of each row, shape (n_rows,)."""
        return _leaf_p(
            x_FN, 0, self.left_K, self.right_K, self.feature_K, self.threshold_K, self.p_K
        )


def joined(trees: Sequence[Tree]) -> Nodes:
    """Put trees behind one another: ``root`` says where each begins, children count from there."""
    sizes = [len(tree.left_K) for tree in trees]
    root_T = np.cumsum([0, *sizes[:-1]])
    offset_K = np.repeat(root_T, sizes)
    left_K = np.concatenate([tree.left_K for tree in trees])
    right_K = np.concatenate([tree.right_K for tree in trees])
    return {
        "root": root_T.astype(np.int32),
        "left": np.where(left_K < 0, -1, left_K + offset_K).astype(np.int32),
        "right": np.where(right_K < 0, -1, right_K + offset_K).astype(np.int32),
        "feature": np.concatenate([tree.feature_K for tree in trees]).astype(np.int32),
        "threshold": np.concatenate([tree.threshold_K for tree in trees]),
        "p": np.concatenate([tree.p_K for tree in trees]),
        "importance": _mean_importance(trees),
    }


def _mean_importance(trees: Sequence[Tree]) -> FloatArray:
    split = [tree.importance_F for tree in trees if len(tree.left_K) > 1]
    if not split:
        return np.zeros_like(trees[0].importance_F)
    mean_F = np.mean(split, axis=0)
    share_F: FloatArray = mean_F / mean_F.sum()
    return share_F


def check_nodes(nodes: Mapping[str, Any], n_features: int) -> None:
    """Make sure that every way through a forest stays inside it and ends.

    Raises
    ------
    ModelError
        If it does not: compiled code would read beyond the arrays, or never return.
    """
    left_K, right_K, feature_K, root_T = (
        nodes[name].astype(np.int64) for name in ("left", "right", "feature", "root")
    )
    n_nodes, node_K = len(left_K), np.arange(len(left_K))
    splits_K = left_K >= 0
    inside = (np.minimum(left_K, right_K) > node_K) & (np.maximum(left_K, right_K) < n_nodes)
    known = (feature_K >= 0) & (feature_K < n_features)
    same_length = {len(nodes[name]) for name in ("right", "feature", "threshold", "p")} == {n_nodes}
    if (
        not same_length
        or not (inside & known)[splits_K].all()
        or not ((root_T >= 0) & (root_T < n_nodes)).all()
        or len(root_T) == 0
    ):
        raise ModelError("its nodes are no forest: a child, feature or root is out of range")


def mean_leaf_p(x_NF: FloatArray, nodes: Mapping[str, Any]) -> FloatArray:
    """Return the mean over all trees of the share of wins in each row's leaf, shape (n_rows,)."""
    names = ("root", "left", "right", "feature", "threshold", "p")
    arrays = [nodes[name] for name in names]
    if len(x_NF) < _FEW_ROWS:
        return _mean_row_by_row(x_NF.astype(np.float32), *arrays)
    return _mean_tree_by_tree(np.ascontiguousarray(x_NF.T, dtype=np.float32), *arrays)


@compiled
def _leaf_p(
    x_FN: Float32Array,
    root: int,
    left_K: NodeArray,
    right_K: NodeArray,
    feature_K: NodeArray,
    threshold_K: FloatArray,
    p_K: FloatArray,
) -> FloatArray:
    """Send all rows down together: each node parts its own into left and right."""
    n_rows = x_FN.shape[1]
    p_N = np.empty(n_rows)
    row_N = np.arange(n_rows).astype(np.int32)
    aside_N = np.empty(n_rows, np.int32)
    # Nodes to visit, each with where its rows lie: no more than one a level, and one beside it.
    todo = [(root, 0, n_rows)]
    while len(todo) > 0:
        node, first, end = todo.pop()
        if left_K[node] < 0:
            for at in range(first, end):
                p_N[row_N[at]] = p_K[node]
            continue
        x_N, threshold = x_FN[feature_K[node]], threshold_K[node]
        middle, n_aside = first, 0
        # Both are written and one is kept: a branch that nobody can guess would take longer.
        for at in range(first, end):
            row = row_N[at]
            goes_left = x_N[row] <= threshold
            row_N[middle] = row
            aside_N[n_aside] = row
            middle += goes_left
            n_aside += not goes_left
        for at in range(n_aside):
            row_N[middle + at] = aside_N[at]
        if middle < end:
            todo.append((right_K[node], middle, end))
        if first < middle:
            todo.append((left_K[node], first, middle))
    return p_N


@compiled
def _mean_tree_by_tree(
    x_FN: Float32Array,
    root_T: NodeArray,
    left_K: NodeArray,
    right_K: NodeArray,
    feature_K: NodeArray,
    threshold_K: FloatArray,
    p_K: FloatArray,
) -> FloatArray:
    total_N = np.zeros(x_FN.shape[1])
    for root in root_T:
        total_N += _leaf_p(x_FN, root, left_K, right_K, feature_K, threshold_K, p_K)
    return total_N / len(root_T)


@compiled
def _mean_row_by_row(
    x_NF: Float32Array,
    root_T: NodeArray,
    left_K: NodeArray,
    right_K: NodeArray,
    feature_K: NodeArray,
    threshold_K: FloatArray,
    p_K: FloatArray,
) -> FloatArray:
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
