"""Trees of scikit-learn's random forest, node for node, in a small part of its time.

Every choice that a forest leaves open is made as scikit-learn 1.9 makes it on x86-64: the same
random numbers in the same order, the same ties, the same rounding. What differs is how the rows of
a node come into order: a feature's values have their ranks once for all trees.

Axes: M rows fitted on, F features, V ranks of a feature's values.
"""

import numpy as np

from market.compiled import compiled
from market.samples import IntArray
from models.base import ModelError
from models.forest_nodes import Float32Array, Tree
from models.tree_growth import MOST_DRAWS, CodeArray, Growth, grown


class ExactTrees:
    """Rows with the ranks of their values, and the trees grown on them.

    Parameters
    ----------
    x_FM : float32 array, shape (n_features, n_rows)
        Finite.
    y_M : int64 array, shape (n_rows,)
        0 or 1.
    growth : Growth
    """

    def __init__(self, x_FM: Float32Array, y_M: IntArray, growth: Growth) -> None:
        self._y_M = y_M
        self._growth = growth
        self._state = np.random.RandomState(0)
        small_enough = x_FM.shape[1] <= np.iinfo(np.uint16).max + 1
        self._code_FM: CodeArray = np.empty(x_FM.shape, np.uint16 if small_enough else np.uint32)
        self._value_FV = np.empty_like(x_FM)
        for feature, x_M in enumerate(x_FM):
            _rank(x_M, np.argsort(x_M), self._code_FM[feature], self._value_FV[feature])

    def grow(self, count_M: IntArray, seed: int) -> Tree:
        """Grow one tree on rows that were each drawn ``count_M`` times.

        Raises
        ------
        ModelError
            If more rows were drawn than can be counted.
        """
        n_draws = int(count_M.sum())
        if n_draws > MOST_DRAWS:
            raise ModelError(
                f"{n_draws} draws per tree, at most {MOST_DRAWS} can be counted: lower max_samples"
            )
        # Seeded anew each time: the making of a generator takes fifty times as long.
        self._state.seed(seed)
        left_K, right_K, feature_K, threshold_K, p_K, gain_F = grown(
            self._code_FM,
            self._value_FV,
            self._y_M,
            count_M,
            self._growth,
            np.uint32(self._state.randint(np.iinfo(np.int32).max)),
        )
        gain_F = gain_F / n_draws
        total = gain_F.sum()
        importance_F = gain_F / total if total > 0 else gain_F
        return Tree(left_K, right_K, feature_K, threshold_K, p_K, importance_F)


@compiled
def _rank(x_M: Float32Array, order_M: IntArray, code_M: CodeArray, value_V: Float32Array) -> None:
    """Write the rank of each row's value, and the values by rank."""
    rank = 0
    value_V[0] = x_M[order_M[0]]
    for row in order_M:
        if x_M[row] != value_V[rank]:
            rank += 1
            value_V[rank] = x_M[row]
        code_M[row] = rank
