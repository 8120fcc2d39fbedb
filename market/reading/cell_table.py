"""The cells of a price file before anybody knows what they mean.

Axes: T rows of the file, in its order.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from market.bars import DataError
from market.reading.safe_names import clipped

NARROW, TOO_NARROW = "##", "as Excel shows what a narrow column cannot hold; widen it, save again"
# What stands for a cell without a value, in lower case.
EMPTY = ("", "nan", "null", "none", "nat", "na", "n/a", "#n/a", "-", "--", "<na>")


@dataclass(frozen=True, slots=True)
class CellTable:
    """Columns of a file as they stand.

    Attributes
    ----------
    file : str
        Name, for messages: printable.
    names : tuple of str or None
        The header, stripped; None without one. It may hold anything.
    columns : tuple of Series, each of n_rows values
        Text, except those of a Parquet file.
    row_T : int64 array, shape (n_rows,)
        Row of the file, the first below the header being 1.
    encoding, separator, compression : str or None
    above : str
        What stands above the header; empty where nothing does.
    """

    file: str
    names: tuple[str, ...] | None
    columns: tuple[pl.Series, ...]
    row_T: npt.NDArray[np.int64]
    encoding: str | None
    separator: str | None
    compression: str | None
    above: str

    def label(self, position: int) -> str:
        """Return what to call a column in print: its name, else ``column 3``."""
        return clipped(self.name(position)) or f"column {position + 1}"

    def name(self, position: int) -> str:
        """Return a column's name as it stands; empty without one."""
        return "" if self.names is None else self.names[position]

    def wrong(
        self, label: str, finding: str, found_T: npt.NDArray[np.bool_] | None = None
    ) -> DataError:
        """Return the error that names a column, and the first row of ``found_T`` where given."""
        row = "" if found_T is None else f"row {self.row_T[int(np.argmax(found_T))]}, "
        column = label if label.startswith("column ") else f"column {label}"
        return DataError(f"{self.file}, {row}{column}: {finding}")


def text_cells(column: pl.Series) -> pl.Series:
    """Return text without blanks around it, and null where it stands for nothing."""
    cells = column.str.strip_chars()
    short = cells.str.len_bytes() <= max(map(len, EMPTY))
    if not short.any():
        return cells
    is_empty = short & cells.str.to_lowercase().is_in(EMPTY)
    return cells.set(is_empty.fill_null(value=False), None)
