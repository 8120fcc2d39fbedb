"""What a model said of rows that it had not been fitted on.

Axes: N rows.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
TimeArray = npt.NDArray[np.datetime64]


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """The walk-forward predictions of one model of one symbol, rows in time order.

    Attributes
    ----------
    y_N : int64 array
        1 where the trade won, else 0.
    p_N : float64 array
        Probability of winning: corrected for the base rate, not calibrated.
    base_rate_N : float64 array
        Weighted share of wins in the training rows behind each prediction.
    t0_N, t1_N : datetime64 arrays
        Decision times, increasing, and when each label was known.
    block_N : int64 array
        Number of the block that each row was predicted in.
    """

    y_N: IntArray
    p_N: FloatArray
    base_rate_N: FloatArray
    t0_N: TimeArray
    t1_N: TimeArray
    block_N: IntArray

    def __len__(self) -> int:
        return len(self.y_N)

    def at(self, t0_N: TimeArray) -> "OutOfFold":
        """Return the rows with these decision times."""
        kept_N = np.isin(self.t0_N, t0_N)
        return OutOfFold(
            self.y_N[kept_N],
            self.p_N[kept_N],
            self.base_rate_N[kept_N],
            self.t0_N[kept_N],
            self.t1_N[kept_N],
            self.block_N[kept_N],
        )
