"""What was predicted out of fold, read back from the bytes of its file.

Axes: N rows.
"""

import io
from dataclasses import dataclass

import numpy as np

from market.bars import FloatArray, TimeArray
from selection.deployed_files import DeploymentError


@dataclass(frozen=True, slots=True)
class Predicted:
    """The decisions of one symbol's development that fits were asked about which had not seen them.

    Attributes
    ----------
    t0_N : datetime64[us] array, shape (n_rows,)
        Decision times, UTC, strictly increasing.
    p_N : float64 array, shape (n_rows,)
        Probability of winning as a deployed model would have said it then: calibrated where it is,
        by what was known before. NaN where the row may not speak for the model.
    """

    t0_N: TimeArray
    p_N: FloatArray

    def __len__(self) -> int:
        return len(self.t0_N)

    def at(self, t0_N: TimeArray) -> FloatArray:
        """Return the probability of each of these decision times; NaN where there is none."""
        if not len(self):
            return np.full(len(t0_N), np.nan)
        nearest_N = np.minimum(np.searchsorted(self.t0_N, t0_N), len(self) - 1)
        return np.where(self.t0_N[nearest_N] == t0_N, self.p_N[nearest_N], np.nan)


def predicted(what: str, content: bytes) -> Predicted:
    """Read the rows of a file that `training.predictions.write_predictions` wrote.

    Parameters
    ----------
    what : str
        Begins every message.
    content : bytes
        Parquet, checked against its digest.

    Raises
    ------
    DeploymentError
        If it is no such file.
    """
    import polars as pl
    from polars.exceptions import PolarsError

    time = pl.Datetime("us", "UTC")
    try:
        frame = pl.read_parquet(io.BytesIO(content))
    except (PolarsError, OSError) as error:
        finding = " ".join(str(error).split())
        raise DeploymentError(f"{what} cannot be read as Parquet: {finding:.120}") from error
    p = "p_calibrated" if "p_calibrated" in frame.columns else "p"
    for name, kind in (("timestamp", time), ("p", pl.Float64), (p, pl.Float64)):
        if frame.schema.get(name) != kind:
            raise DeploymentError(f"{what} has no column {name} of type {kind}")
    t0_N = frame["timestamp"].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
    p_N = frame[p].cast(pl.Float64).fill_null(np.nan).to_numpy().copy()
    if np.isnat(t0_N).any() or (np.diff(t0_N) <= np.timedelta64(0)).any():
        raise DeploymentError(f"{what}: its decision times do not increase")
    if ((p_N < 0) | (p_N > 1)).any():
        raise DeploymentError(f"{what}: a probability lies outside 0 to 1")
    if "judged" in frame.columns:
        p_N[~frame["judged"].cast(pl.Boolean).fill_null(value=False).to_numpy()] = np.nan
    return Predicted(t0_N, p_N)
