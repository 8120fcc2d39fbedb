"""From the text of a price file to its cells: separator, header and the rows that do not fit.

Axes: T rows, L lines.
"""

import csv
import io
import re
from collections import Counter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from market.bars import DataError
from market.reading.cell_table import CellTable
from market.reading.read_options import SEPARATOR_NAMES, SEPARATORS, ReadOptions
from market.reading.safe_names import clipped, quoted
from market.reading.text_encoding import AGAIN, EMPTY, NEITHER, decoded

# In this order: a decimal comma makes commas as regular as the separator is.
CANDIDATES = ("\t", ";", "|", ",", " ")
UNPAIRED = "its quotation marks do not pair up"
LEAST_SEPARATORS = 4  # time, open, high, low, close
SAMPLE_LINES = 200
MOST_COLUMNS = 20_000
NUMBER = re.compile(r"[-+]?\d[\d.,' ]*(?:[eE][-+]?\d+)?|[-+]?\.\d+|(?i:nan|null)")

IntArray = npt.NDArray[np.int64]


class Lines(NamedTuple):
    """Where each line of a body lies, and how many fields it has; blank ones are left out."""

    start_L: IntArray
    end_L: IntArray
    fields_L: IntArray
    number_L: IntArray  # counted from 0, blank lines included


def read_text(data: bytes, file: str, options: ReadOptions, compression: str | None) -> CellTable:
    """Return the cells of a text file.

    Raises
    ------
    DataError
        If it is no table: no text, no rows, or rows of different width.
    """
    text, encoding = decoded(data, file, options.encoding)
    separator = SEPARATORS.get(options.separator or "") or _separator(text)
    if separator is None:
        line = quoted(text.strip().partition("\n")[0])
        raise DataError(f"{file}: no separator in {line}; say which with data.separator")
    if separator == " ":
        text = re.sub(r" ?\n ?", "\n", re.sub(r"[ \t]+", " ", text)).strip(" ")
    body = _body(text, file)
    lines = _lines(body, separator)
    if len(lines.start_L) == 0:
        raise DataError(f"{file}: cannot be read: {EMPTY}")
    _check_columns(lines, file)
    usual = Counter(lines.fields_L[:SAMPLE_LINES].tolist()).most_common(1)[0][0]
    # Short lines before the table: an address, a title, a spreadsheet's sep=;
    above = int(np.argmax(2 * lines.fields_L > usual))
    first = range(min(above + 3, len(lines.start_L)))
    head = [_cells(body, lines, at, separator, file) for at in first]
    names, skipped = _header(head[above:], options.header)
    skipped += above
    rows = Lines(*(part[skipped:] for part in lines))
    if len(rows.start_L) == 0:
        raise DataError(f"{file}: holds no rows below its header; {AGAIN}")
    row_T = rows.number_L - (lines.number_L[skipped - 1] if skipped else -1)
    names, width = _fitted(names, rows, usual)
    _check_width(rows, row_T, width, file, has_header=names is not None)
    names, columns = _matched(names, _columns(body, rows, width, separator, file))
    return CellTable(
        file=file,
        names=None if names is None else tuple(names),
        columns=tuple(columns),
        row_T=row_T,
        encoding=encoding,
        separator=SEPARATOR_NAMES[separator],
        compression=compression,
        above=" ".join(head[0]) if above else "",
    )


def _body(text: str, file: str) -> bytes:
    try:
        body = text.encode()
    except UnicodeEncodeError:  # halves of characters, as some encodings can spell
        raise DataError(f"{file}: cannot be read: {NEITHER}") from None
    return body if body.endswith(b"\n") else body + b"\n"


def _check_columns(lines: Lines, file: str) -> None:
    many_L = lines.fields_L > MOST_COLUMNS
    if many_L.any():
        at = int(np.argmax(many_L))
        raise DataError(
            f"{file}, line {lines.number_L[at] + 1}: holds {lines.fields_L[at]:,} columns, at most "
            f"{MOST_COLUMNS:,} can be read; leave out what is not needed"
        )


def _separator(text: str) -> str | None:
    lines = [re.sub(r'"[^"]*"', "", line).strip(" ") for line in text[:65_536].split("\n")]
    lines = [line for line in lines if line.strip()][:SAMPLE_LINES]
    if not lines:
        return None
    usual = {}
    for candidate in CANDIDATES:
        found = [
            len(line.split()) - 1 if candidate == " " else line.count(candidate) for line in lines
        ]
        usual[candidate] = Counter(found).most_common(1)[0][0]
        if usual[candidate] >= LEAST_SEPARATORS:
            return candidate
    # One blank in a line may be within a time.
    best = max(CANDIDATES[:-1], key=lambda candidate: usual[candidate])
    return best if usual[best] else None


def _lines(body: bytes, separator: str) -> Lines:
    byte_B = np.frombuffer(body, np.uint8)
    is_end_B, is_separator_B = byte_B == ord("\n"), byte_B == ord(separator)
    if _is_quoted(body):
        outside_B = np.cumsum(byte_B == ord('"'), dtype=np.int64) % 2 == 0
        is_end_B &= outside_B
        is_separator_B &= outside_B
    end_L = np.flatnonzero(is_end_B)
    start_L = np.concatenate([[0], end_L[:-1] + 1])
    at = np.flatnonzero(is_separator_B)
    fields_L = np.searchsorted(at, end_L) - np.searchsorted(at, start_L) + 1
    # A spreadsheet ends with lines of nothing but separators.
    is_content_B = np.isin(
        byte_B, np.frombuffer(separator.encode() + b'\n "\t', np.uint8), invert=True
    )
    kept = np.flatnonzero(np.logical_or.reduceat(is_content_B, start_L))
    return Lines(start_L[kept], end_L[kept], fields_L[kept], kept)


def _is_quoted(body: bytes) -> bool:
    quotes = body.count(b'"')
    return quotes > 0 and quotes % 2 == 0


def _cells(body: bytes, lines: Lines, at: int, separator: str, file: str) -> list[str]:
    line = body[lines.start_L[at] : lines.end_L[at]].decode()
    if not _is_quoted(body):
        return [cell.strip() for cell in line.split(separator)]
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]
    except csv.Error as error:
        raise DataError(f"{file}: cannot be read: {UNPAIRED}") from error


def _header(head: list[list[str]], is_there: bool | None) -> tuple[list[str] | None, int]:
    """Return the names in the first lines, and how many lines they take."""
    if is_there is None:
        is_there = sum(NUMBER.fullmatch(cell) is not None for cell in head[0]) < 3
    if not is_there:
        return None, 0
    # Two levels of names and an index, as pandas writes them.
    if len(head) > 2 and head[1][0].lower() == "ticker" and head[2][0] and not any(head[2][1:]):
        return [head[2][0], *head[0][1:]], 3
    return head[0], 1


def _fitted(names: list[str] | None, rows: Lines, usual: int) -> tuple[list[str] | None, int]:
    """Return the header and the width of the rows, which a separator at the end may widen."""
    if names is None:
        return None, usual
    if (rows.fields_L == len(names) + 1).all():
        return names, len(names) + 1
    if names[-1] == "" and (rows.fields_L == len(names) - 1).all():
        return names[:-1], len(names) - 1
    return names, len(names)


def _matched(
    names: list[str] | None, columns: list[pl.Series]
) -> tuple[list[str] | None, list[pl.Series]]:
    """Return a header and columns of one width, where rows have one field more."""
    if names is None or len(names) == len(columns):
        return names, columns
    if columns[-1].is_null().all():
        return names, columns[:-1]
    return ["", *names], columns  # row names, as R writes them


def _check_width(rows: Lines, row_T: IntArray, width: int, file: str, has_header: bool) -> None:
    ragged_T = rows.fields_L != width
    if ragged_T.any():
        at = int(np.argmax(ragged_T))
        like = "the header" if has_header else "most rows"
        is_last = at == len(ragged_T) - 1 and at > 0
        end = "it is the last row: cut off?" if is_last else "mend the row, or take it out"
        raise DataError(
            f"{file}, row {row_T[at]}: number of fields is {rows.fields_L[at]}, "
            f"expected {width} as in {like}; {end}"
        )


def _columns(body: bytes, rows: Lines, width: int, separator: str, file: str) -> list[pl.Series]:
    n_lines = rows.number_L[-1] - rows.number_L[0] + 1
    if n_lines == len(rows.number_L):
        table = body[rows.start_L[0] : rows.end_L[-1] + 1]
    else:
        ends = zip(rows.start_L.tolist(), rows.end_L.tolist(), strict=True)
        table = b"".join(body[start : end + 1] for start, end in ends)
    try:
        frame = pl.read_csv(
            io.BytesIO(table),
            has_header=False,
            schema={f"{column}": pl.String for column in range(width)},
            separator=separator,
            quote_char='"' if _is_quoted(body) else None,
            glob=False,
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        finding = clipped(str(error).strip().partition("\n")[0])
        raise DataError(f"{file}: cannot be read: {finding}; {AGAIN}") from error
    if len(frame) != len(rows.number_L):
        raise DataError(f"{file}: cannot be read: {UNPAIRED}")
    return frame.get_columns()
