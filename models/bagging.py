"""Which rows each tree of a forest is grown on.

Axes: M rows fitted on, D draws.
"""

import numpy as np
import numpy.typing as npt

from market.bars import FloatArray
from market.compiled import compiled
from market.samples import IntArray

CountArray = npt.NDArray[np.int64]


class Bagging:
    """Draws rows with replacement, each as often as its weight is large.

    The draws are those of scikit-learn's forests: a tree's seed says which rows it is grown on,
    whatever grows it.

    Parameters
    ----------
    weight_M : float64 array, shape (n_rows,)
        Positive.
    max_samples : float
        Draws per tree, as a share of the sum of weights; one draw at least.
    """

    def __init__(self, weight_M: FloatArray, max_samples: float) -> None:
        self.n_draws = max(1, int(max_samples * weight_M.sum()))
        share_M = (weight_M / weight_M.sum()).cumsum()
        self._share_M = share_M / share_M[-1]
        # Where the search for a draw of n / M begins: without it each takes a dozen jumps.
        self._start_M = self._share_M.searchsorted(np.arange(len(share_M)) / len(share_M), "right")
        self._state = np.random.RandomState(0)

    def counts(self, seed: int) -> CountArray:
        """Return how often each row is drawn for the tree of that seed, shape (n_rows,)."""
        # Seeded anew each time: the making of a generator takes fifty times as long.
        self._state.seed(seed)
        return _counted(self._state.random_sample(self.n_draws), self._share_M, self._start_M)


def tree_seeds(rng: np.random.Generator, n_trees: int) -> list[int]:
    """Return a seed for each tree: those that scikit-learn's forest gives its trees."""
    state = np.random.RandomState(int(rng.integers(2**31)))
    return [int(state.randint(np.iinfo(np.int32).max)) for _ in range(n_trees)]


def balanced_weight(y_M: IntArray, weight_M: FloatArray) -> FloatArray:
    """Return the weights, scaled so that both classes weigh half of the rows' total each."""
    total_C = np.bincount(y_M, weights=weight_M)
    balanced_M: FloatArray = weight_M * (total_C.sum() / (2 * total_C))[y_M]
    return balanced_M


@compiled
def _counted(u_D: FloatArray, share_M: FloatArray, start_M: CountArray) -> CountArray:
    count_M = np.zeros(len(share_M), np.int64)
    for u in u_D:
        m = start_M[int(u * len(share_M))]
        while share_M[m] <= u:
            m += 1
        count_M[m] += 1
    return count_M
