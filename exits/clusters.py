"""Rows that depend on each other, put together.

Axes: N rows, C clusters.
"""

import numpy as np

from market.bars import FloatArray
from market.compiled import IndexArray


class Clusters:
    """Rows by cluster.

    Parameters
    ----------
    cluster_N : int64 array
        Rows of one number are of one cluster.

    Attributes
    ----------
    n : int
        Number of clusters.
    """

    def __init__(self, cluster_N: IndexArray) -> None:
        self._order_N = np.argsort(cluster_N, kind="stable")
        ordered_N = cluster_N[self._order_N]
        self._first_C = np.flatnonzero(np.append(True, ordered_N[1:] != ordered_N[:-1]))
        self.n = len(self._first_C)

    def sums(self, value_NX: FloatArray) -> FloatArray:
        """Return the sum of each cluster's rows, shape (n_clusters, ...)."""
        sum_CX: FloatArray = np.add.reduceat(value_NX[self._order_N], self._first_C, axis=0)
        return sum_CX
