"""All events of one symbol, decided or not, as they are stored and exchanged."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from market.bars import FloatArray, TimeArray
from market.samples import Samples

UNDECIDED = -1


@dataclass(frozen=True, slots=True)
class EventTable:
    """Every event of one symbol in time order.

    Attributes
    ----------
    symbol : str
    t0_N : datetime64[us] array, shape (n_events,)
        Decision time, UTC.
    x_NF : float64 array, shape (n_events, n_features)
    names_F : tuple of str
    label_N : int8 array, shape (n_events,)
        0, 1, or -1 where the outcome is not known yet.
    t1_N : datetime64[us] array, shape (n_events,)
        When the label was known; NaT where undecided.
    weight_N : float64 array, shape (n_events,)
    timed_out_N : bool array, shape (n_events,), or None
        Labels decided by the time limit; None where labels were made elsewhere.
    """

    symbol: str
    t0_N: TimeArray
    x_NF: FloatArray
    names_F: tuple[str, ...]
    label_N: npt.NDArray[np.int8]
    t1_N: TimeArray
    weight_N: FloatArray
    timed_out_N: npt.NDArray[np.bool_] | None

    def __len__(self) -> int:
        return len(self.t0_N)

    def samples(self) -> Samples:
        """Return the decided rows."""
        decided = self.label_N != UNDECIDED
        return Samples(
            self.x_NF[decided],
            self.label_N[decided].astype(np.int64),
            self.weight_N[decided],
            self.t0_N[decided],
            self.t1_N[decided],
            self.names_F,
        )

    def to_frame(self) -> pl.DataFrame:
        """Return one row per event: timestamp, the features, label, label_end, weight."""
        label = pl.Series("label", self.label_N, dtype=pl.Int8)
        columns = [
            _utc("timestamp", self.t0_N),
            *(pl.Series(name, self.x_NF[:, f]) for f, name in enumerate(self.names_F)),
            label.set(label == UNDECIDED, None),
            _utc("label_end", self.t1_N),
            pl.Series("weight", self.weight_N),
        ]
        return pl.DataFrame(columns)


def _utc(name: str, times: TimeArray) -> pl.Series:
    series = pl.Series(name, times.astype("datetime64[us]"), dtype=pl.Datetime("us"))
    return series.dt.replace_time_zone("UTC")
