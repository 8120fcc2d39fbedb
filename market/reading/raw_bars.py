"""Bars as a file holds them, before anything is checked or repaired, and the format found.

Axes: T rows of the file, in its order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from market.bars import FloatArray, TimeArray
from market.reading.safe_names import clipped

FIELDS = ("time", "open", "high", "low", "close", "volume")
# The kind of what a caller hands over, and no file.
GIVEN = "DataFrame"


@dataclass(frozen=True, slots=True)
class FileFormat:
    """How a price file is read: found out by itself, or set.

    Attributes
    ----------
    kind : str
        ``Parquet``, ``CSV``, ``MetaTrader without header`` and the like, as printed.
    encoding, separator, compression : str or None
        None where the kind has none: ``utf-16-le``, ``tab``, ``gzip``.
    has_header : bool
    time_format : str
        ``2013.11.29,12:00`` style of the times, as ``%Y.%m.%d %H:%M`` or in words.
    time_zone : str
        Clock the times were read in, and why: ``UTC (none is given)``, ``+02:00 (in the file)``,
        ``Europe/Helsinki (set)``.
    columns : mapping of str to str
        What each of the fields ``time``, ``open``, ``high``, ``low``, ``close`` and ``volume`` is
        called in the file (``column 3`` without a header; two names joined by `` + `` for a date
        and a time); a file without volume has no ``volume``.
    ignored : tuple of str
        Columns that are not read.
    """

    kind: str
    encoding: str | None
    separator: str | None
    compression: str | None
    has_header: bool
    time_format: str
    time_zone: str
    columns: Mapping[str, str]
    ignored: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RawBars:
    """One price file, read but not judged.

    Attributes
    ----------
    path : Path
    start_T : datetime64[us] array, shape (n_rows,)
        Start of each bar, UTC; NaT where the cell is empty.
    open_T, high_T, low_T, close_T, volume_T : float64 arrays, shape (n_rows,)
        NaN where the cell is empty; ``volume_T`` is 0 in a file without volume.
    row_T : int64 array, shape (n_rows,)
        Row of the file, the first below the header (or the first of all) being 1.
    format : FileFormat
    sha256 : str or None
        Of the file's bytes, in hexadecimal; None for what is no file.
    """

    path: Path
    start_T: TimeArray
    open_T: FloatArray
    high_T: FloatArray
    low_T: FloatArray
    close_T: FloatArray
    volume_T: FloatArray
    row_T: npt.NDArray[np.int64]
    format: FileFormat
    sha256: str | None = None

    @property
    def file(self) -> str:
        """The file's name, for messages."""
        return clipped(self.path.name)

    @property
    def is_given(self) -> bool:
        """Whether a caller handed it over, who has no settings of a file to change."""
        return self.format.kind == GIVEN

    def __len__(self) -> int:
        return len(self.start_T)
