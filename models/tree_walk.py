"""Many rows through many trees at once.

A row alone waits, at every node, for what the last one said. Sixteen rows that take their steps
together do not wait for each other, and none of their steps is a guess.

Axes: N rows, S of them side by side, F features, T trees, K nodes of all of them, W sums.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from market.bars import FloatArray
from market.compiled import IndexArray, compiled

if TYPE_CHECKING:
    from models.onnx_trees import Trees

Float32Array = npt.NDArray[np.float32]
TOGETHER = 16


@dataclass(frozen=True, slots=True)
class TreeWalk:
    """Trees whose nodes lie level by level, the right child after the left; made by `of`.

    A leaf is its own left child, and no float32 lies right of it: every row takes as many steps
    as its tree is deep.

    Attributes
    ----------
    root_T, depth_T : int64 arrays
        Place of each tree's root, and steps to its deepest leaf.
    left_K, feature_K : int64 arrays
    threshold_K : float32 array
    strict : bool
    weight_KW : float32 array
        The last three as `Trees` has them.
    """

    root_T: IndexArray
    depth_T: IndexArray
    left_K: IndexArray
    feature_K: IndexArray
    threshold_K: Float32Array
    strict: bool
    weight_KW: Float32Array

    @classmethod
    def of(cls, trees: "Trees") -> "TreeWalk":
        """Lay trees out anew.

        Raises
        ------
        ValueError
            If they are no trees: a node is not reached, or more than once.
        """
        level_K, tree_K, order_K = _levels(trees)
        old_K = order_K[np.lexsort((np.arange(len(order_K)), tree_K))]
        place_K = np.empty_like(old_K)
        place_K[old_K] = np.arange(len(old_K))
        leaf_K = trees.left_K[old_K] < 0
        depth_T = np.zeros(len(trees.root_T), dtype=np.int64)
        np.maximum.at(depth_T, tree_K, level_K)
        return cls(
            root_T=place_K[trees.root_T],
            depth_T=depth_T,
            left_K=np.where(leaf_K, np.arange(len(old_K)), place_K[trees.left_K[old_K]]),
            feature_K=np.where(leaf_K, 0, trees.feature_K[old_K]).astype(np.int64),
            threshold_K=np.where(leaf_K, np.float32(np.nan), trees.threshold_K[old_K]),
            strict=trees.strict,
            weight_KW=trees.weight_KW[old_K],
        )

    def __call__(self, x_NF: FloatArray) -> Float32Array:
        """Return the sums of leaf weights, float32 (N, W), added tree by tree.

        Parameters
        ----------
        x_NF : float64 array, shape (n_rows, n_features)
            Without NaN; compared as float32.

        Raises
        ------
        ValueError
            If the trees ask for a feature that is not there.
        """
        if self.feature_K.min() < 0 or self.feature_K.max() >= x_NF.shape[1]:
            raise ValueError(f"trees of {self.feature_K.max() + 1} features, given {x_NF.shape[1]}")
        return _sums(
            x_NF,
            self.root_T,
            self.depth_T,
            self.left_K,
            self.feature_K,
            self.threshold_K,
            self.strict,
            self.weight_KW,
        )


def _levels(trees: "Trees") -> tuple[IndexArray, IndexArray, IndexArray]:
    """Return level, tree and index of every node, level by level, siblings side by side."""
    n_nodes = len(trees.left_K)
    index_K = trees.root_T.astype(np.int64)
    tree_K = np.arange(len(index_K))
    parts: list[tuple[IndexArray, IndexArray, IndexArray]] = []
    n_reached = 0
    while len(index_K):
        parts.append((np.full(len(index_K), len(parts)), tree_K, index_K))
        n_reached += len(index_K)
        if n_reached > n_nodes or index_K.max() >= n_nodes or index_K.min() < 0:
            raise ValueError("nodes that are no trees: one is reached twice, or does not exist")
        inner_K = trees.left_K[index_K] >= 0
        parents_K = index_K[inner_K]
        index_K = np.column_stack([trees.left_K[parents_K], trees.right_K[parents_K]]).ravel()
        tree_K = np.repeat(tree_K[inner_K], 2)
    level_K, tree_K, order_K = (np.concatenate(part) for part in zip(*parts, strict=True))
    if len(np.unique(order_K)) < n_nodes:
        raise ValueError("nodes that are no trees: one is never reached")
    return level_K, tree_K, order_K


@compiled
def _sums(
    x_NF: FloatArray,
    root_T: IndexArray,
    depth_T: IndexArray,
    left_K: IndexArray,
    feature_K: IndexArray,
    threshold_K: Float32Array,
    strict: bool,
    weight_KW: Float32Array,
) -> Float32Array:
    n_rows, n_features = x_NF.shape
    n_weights = weight_KW.shape[1]
    sum_NW = np.zeros((n_rows, n_weights), dtype=np.float32)
    x_SF = np.zeros((TOGETHER, n_features), dtype=np.float32)
    at_S = np.zeros(TOGETHER, dtype=np.int64)
    for first in range(0, n_rows, TOGETHER):
        n = min(TOGETHER, n_rows - first)
        x_SF[:n] = x_NF[first : first + n]
        for tree in range(len(root_T)):
            at_S[:] = root_T[tree]
            # A comparison with a leaf's NaN is false. Places that hold no row walk along, unread.
            for _ in range(depth_T[tree]):
                if strict:
                    for s in range(TOGETHER):
                        k = at_S[s]
                        at_S[s] = left_K[k] + (x_SF[s, feature_K[k]] >= threshold_K[k])
                else:
                    for s in range(TOGETHER):
                        k = at_S[s]
                        at_S[s] = left_K[k] + (x_SF[s, feature_K[k]] > threshold_K[k])
            for s in range(n):
                for w in range(n_weights):
                    sum_NW[first + s, w] += weight_KW[at_S[s], w]
    return sum_NW
