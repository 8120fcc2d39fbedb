"""How much labels that share their time share of their outcome.

R holds, for rows t and u, the time that their labels share over the geometric mean of their
lengths. Most of it is zero and none of it is stored: its quadratic forms are summed pair by pair.

Axes: N rows in time order, K vectors.
"""

import numpy as np
import numpy.typing as npt

from market.compiled import compiled

FloatArray = npt.NDArray[np.float64]
TimeArray = npt.NDArray[np.datetime64]


class Overlaps:
    """The overlap matrix R of labels that each span [t0, t1).

    Parameters
    ----------
    t0_N, t1_N : datetime64 arrays, shape (n_rows,)
        Decision times, increasing, and when each label was known. A label without a length
        overlaps with nothing.

    Raises
    ------
    ValueError
        If the decision times do not increase, or there are not as many label ends.
    """

    def __init__(self, t0_N: TimeArray, t1_N: TimeArray) -> None:
        if t0_N.shape != t1_N.shape:
            raise ValueError(
                f"every decision time needs a label end, were {len(t0_N)} and {len(t1_N)}"
            )
        if not (np.diff(t0_N) > np.timedelta64(0)).all():
            raise ValueError("decision times must increase from row to row")
        origin = t0_N[:1]
        self._start_N = (t0_N - origin) / np.timedelta64(1, "s")
        self._end_N = (t1_N - origin) / np.timedelta64(1, "s")

    def __len__(self) -> int:
        return len(self._start_N)

    def forms(self, a_KN: FloatArray) -> FloatArray:
        """Return ``a' R a`` for each of K vectors.

        Raises
        ------
        ValueError
            If a vector is not as long as there are rows.
        """
        a_KN = np.ascontiguousarray(a_KN, dtype=np.float64)
        if a_KN.shape[1] != len(self):
            raise ValueError(f"vectors must have {len(self)} elements, had {a_KN.shape[1]}")
        return _forms(self._start_N, self._end_N, a_KN)

    @property
    def effective_rows(self) -> float:
        """N squared over the sum of R: how many labels that share nothing would say as much."""
        n_rows = len(self)
        return n_rows**2 / float(self.forms(np.ones((1, n_rows)))[0]) if n_rows else 0.0


@compiled
def _forms(start_N: FloatArray, end_N: FloatArray, a_KN: FloatArray) -> FloatArray:
    n_vectors, n_rows = a_KN.shape
    forms_K = np.zeros(n_vectors)
    for t in range(n_rows):
        length_t = end_N[t] - start_N[t]
        for k in range(n_vectors):
            forms_K[k] += a_KN[k, t] ** 2
        u = t + 1
        while u < n_rows and start_N[u] < end_N[t]:
            length_u = end_N[u] - start_N[u]
            if length_u > 0:
                shared = min(end_N[t], end_N[u]) - start_N[u]
                twice = 2.0 * shared / np.sqrt(length_t * length_u)
                for k in range(n_vectors):
                    forms_K[k] += twice * a_KN[k, t] * a_KN[k, u]
            u += 1
    return forms_K
