"""Numbers as price files spell them: decimal point or comma, and signs between thousands.

Axes: T rows of the file, in its order.
"""

import re
from collections.abc import Iterable

import numpy as np
import polars as pl

from market.bars import FloatArray
from market.reading.cell_table import NARROW, TOO_NARROW, CellTable, text_cells
from market.reading.safe_names import quoted

BLANKS = r"[\s\u00a0\u202f\u2019']"
GROUPED = {
    ".": rf"^[-+]?\d{{1,3}}(?:(?:,\d{{3}})+|(?:{BLANKS}\d{{3}})+)(?:\.\d*)?$",
    ",": rf"^[-+]?\d{{1,3}}(?:(?:\.\d{{3}})+|(?:{BLANKS}\d{{3}})+)?(?:,\d*)?$",
}
NUMBER = r"^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$|^(?i:[-+]?inf(?:inity)?)$"
LIKE_THOUSANDS = r"^[-+]?[1-9]\d{0,2},\d{3}$"


def decimal_sign(table: CellTable, columns: Iterable[int]) -> str:
    """Return the decimal sign of a file's numbers, ``.`` or ``,``.

    Raises
    ------
    DataError
        If every comma could part thousands as well as decimals, and nothing else tells.
    """
    is_ambiguous, label, cell = False, "", ""
    for column in columns:
        series = table.columns[column]
        if series.dtype != pl.String:
            continue
        commas = series.filter(series.str.contains(",", literal=True)).str.strip_chars()
        if commas.is_empty():
            if series.str.contains(".", literal=True).any():
                return "."
            continue
        if commas.str.contains(r",.*,|,.*\.").any():
            return "."
        if not commas.str.contains(LIKE_THOUSANDS).all():
            return ","
        if not is_ambiguous:
            is_ambiguous, label, cell = True, table.label(column), commas[0]
    if is_ambiguous:
        raise table.wrong(
            label,
            f"{quoted(cell)} may have a decimal comma or thousands; say which with "
            "data.decimal=',' or data.decimal='.'",
        )
    return "."


def numbers(table: CellTable, column: int, decimal: str, expected: str) -> FloatArray:
    """Return a column as float64, shape (n_rows,); an empty cell is NaN.

    Raises
    ------
    DataError
        If a cell is anything else; the message names the row and what was ``expected``.
    """
    series, label = table.columns[column], table.label(column)
    if series.dtype in (pl.Categorical, pl.Enum):
        series = series.cast(pl.String)
    if series.dtype == pl.String:
        series = _from_text(table, text_cells(series), label, decimal, expected)
    if not (series.dtype.is_numeric() or series.dtype == pl.Null):
        raise table.wrong(label, f"holds {series.dtype}, expected {expected}")
    return series.cast(pl.Float64).fill_null(np.nan).to_numpy()


def sample_numbers(cells: pl.Series) -> list[float] | None:
    """Return the numbers of a few cells with either decimal sign, or None where one is none."""
    present = text_cells(cells)
    found = present.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    if (found.is_null() & present.is_not_null()).any():
        return None
    return found.fill_null(np.nan).to_list()


def _from_text(
    table: CellTable, cells: pl.Series, label: str, decimal: str, expected: str
) -> pl.Series:
    if decimal == ",":
        is_other = cells.str.contains(".", literal=True) & ~cells.str.contains(GROUPED[","])
        plain = cells.str.replace_all(r"\.", "").str.replace(",", ".", literal=True)
        cells_read = plain.set(is_other.fill_null(value=False), None)
    else:
        cells_read = cells
    found = cells_read.cast(pl.Float64, strict=False)
    unread = found.is_null() & cells.is_not_null()
    if unread.any():
        grouped = unread & cells.str.contains(GROUPED[decimal])
        signs = BLANKS if decimal == "," else re.sub(r"^\[", "[,", BLANKS)
        apart = cells_read.str.replace_all(signs, "").cast(pl.Float64, strict=False)
        found = found.zip_with(~grouped.fill_null(value=False), apart)
        unread = found.is_null() & cells.is_not_null()
    if unread.any():
        cell = cells.filter(unread)[0]
        finding = (
            TOO_NARROW
            if cell.startswith(NARROW)
            else f"expected {expected}; mend it, or take the row out"
        )
        raise table.wrong(label, f"{quoted(cell)}, {finding}", unread.to_numpy())
    return found
