"""OHLCV bars of one symbol: what they are, and what must hold for them to be usable."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
TimeArray = npt.NDArray[np.datetime64]


class DataError(ValueError):
    """Input that cannot be used; the message is one line naming file, row, column and finding."""


@dataclass(frozen=True, slots=True)
class Bars:
    """OHLCV bars of one symbol in ascending time.

    Attributes
    ----------
    symbol : str
    start_T : datetime64[us] array, shape (n_bars,)
        Start of each bar, UTC, strictly increasing.
    open_T, high_T, low_T, close_T, volume_T : float64 arrays, shape (n_bars,)
        Prices in quote currency; volume in whatever unit the source ships.
    length : timedelta64[us]
        Length of one bar: a bar covers [start, start + length), or less where the next one starts
        before, as a bar of four hours does on the day its clock changes.
    """

    symbol: str
    start_T: TimeArray
    open_T: FloatArray
    high_T: FloatArray
    low_T: FloatArray
    close_T: FloatArray
    volume_T: FloatArray
    length: np.timedelta64

    def __len__(self) -> int:
        return len(self.start_T)

    @property
    def close_time_T(self) -> TimeArray:
        """When each bar is complete, UTC: the earliest moment a decision can use it.

        Its start and its length, but never later than the next bar's start. Of the last bar no next
        one is known: where bars are cut behind one that was short, its own time is later than it
        was, and no other changes.
        """
        end_T: TimeArray = self.start_T + self.length
        end_T[:-1] = np.minimum(end_T[:-1], self.start_T[1:])
        return end_T

    def until(self, n_bars: int) -> "Bars":
        """Return the first ``n_bars`` bars, as they were known then."""
        return Bars(
            self.symbol,
            self.start_T[:n_bars],
            self.open_T[:n_bars],
            self.high_T[:n_bars],
            self.low_T[:n_bars],
            self.close_T[:n_bars],
            self.volume_T[:n_bars],
            self.length,
        )
