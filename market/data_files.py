"""Files of a folder, one per symbol: finding them, reading them, turning columns into arrays."""

import hashlib
import io
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from market.bars import DataError, FloatArray, TimeArray
from market.reading.file_bytes import file_bytes
from market.reading.file_names import files_in
from market.reading.parquet_file import parquet_frame, readable
from market.reading.read_options import ReadOptions
from market.reading.safe_names import cannot_be_a_symbol, clipped, printable, quoted, symbol_keys
from market.reading.text_encoding import PARQUET, decoded, unpacked
from market.reading.text_format import read_text
from market.reading.time_formats import stray_finding, stray_times

ENDINGS = (".parquet", ".csv", ".csv.gz")
# 01/02/2024 is refused: nobody can know which is the month. A dot has the day first.
UNAMBIGUOUS_DATE = r"^\s*(\d{4}\D|\d{1,2}\.\d{1,2}\.\d{4})"
PER_SECOND: dict[Literal["s", "ms", "us", "ns"], int] = {
    "s": 1,
    "ms": 10**3,
    "us": 10**6,
    "ns": 10**9,
}
EPOCH_1990_S, EPOCH_2100_S = 631_152_000, 4_102_444_800


def data_dir(text: str) -> Path:
    """Return the folder (or file) that ``data.dir`` names; raises DataError for nobody's home."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise DataError(
            f"{printable(text)}: no such folder: no home of that user is known; write it in full"
        ) from error


def symbol_files(folder: Path) -> dict[str, list[Path]]:
    """Return the data files of a folder by symbol, which is the name without its ending.

    What cannot be a symbol is listed under the key that `symbol_keys` gives it.

    Raises
    ------
    DataError
        If the folder does not exist or holds no such file.
    """
    paths = files_in(folder, lambda path: path.name[:1] != "." and _stem(path) is not None)
    keys = symbol_keys({_stem(path) or "" for path in paths})
    files: dict[str, list[Path]] = {}
    for path in paths:
        files.setdefault(keys[_stem(path) or ""], []).append(path)
    return files


def only_file(files: dict[str, list[Path]], symbol: str) -> Path:
    """Return a symbol's file; raises DataError where there are two, or its name is no symbol."""
    path, *others = files[symbol]
    if (said := _stem(path)) != symbol:
        raise DataError(cannot_be_a_symbol(path.name, said or ""))
    if others:
        raise DataError(
            f"{clipped(path.name)} and {clipped(others[0].name)} are both {symbol}; keep one"
        )
    return path


def read_frame(data: bytes, path: Path) -> pl.DataFrame:
    """Read the bytes of a Parquet or CSV file, packed by gzip or not.

    Raises
    ------
    DataError
        If they cannot be read, are no UTF-8, are a table of rows of unequal width, or name
        a column twice.
    """
    file = clipped(path.name)
    data, _ = unpacked(data, file)
    if data.startswith(PARQUET):
        return parquet_frame(data, file)
    text, encoding = decoded(data, file, None)
    if encoding == "cp1252":
        raise DataError(f"{file}: cannot be read: is no UTF-8; save it as UTF-8")
    data = text.encode()
    # It says where a row is longer or shorter than the others.
    read_text(data, file, ReadOptions(separator=",", encoding="utf-8", header=True), None)
    return _csv_frame(data, file, path)


def _csv_frame(data: bytes, file: str, path: Path) -> pl.DataFrame:
    with readable(file):
        # The reader renames what is there twice, so that the header must be looked at as it stands.
        header = pl.read_csv(io.BytesIO(data), has_header=False, n_rows=1, infer_schema=False)
        check_names([name or "" for name in header.row(0)], path)
        return pl.read_csv(io.BytesIO(data), infer_schema_length=None)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal; raises DataError where it cannot be read."""
    return hashlib.sha256(file_bytes(path)).hexdigest()


def utc_times(column: pl.Series, path: Path) -> TimeArray:
    """Return times as datetime64[us] in UTC; a missing one is NaT.

    Text has the year first (ISO 8601) or is 31.01.2024 13:00. Whole numbers are counted from 1970
    in s, ms, us or ns: whichever puts all of them between 1990 and 2100. None lies outside 1900 to
    2199.

    Raises
    ------
    DataError
        If the column holds anything else.
    """
    if column.dtype == pl.String:
        parsed = column.str.strip_chars().str.to_datetime(
            time_unit="us", time_zone="UTC", strict=False
        )
        read = parsed.is_not_null() & column.str.contains(UNAMBIGUOUS_DATE)
        unread = column.is_not_null() & ~read
        if unread.any():
            row = first_row(unread.to_numpy())
            raise DataError(
                f"{place(path, column.name, row)}: {quoted(column[row - 1])} is "
                "not a time such as 2024-01-31 13:00:00; write it so"
            )
        column = parsed
    if column.dtype.is_integer():
        column = _epoch_times(column, path)
    if column.dtype == pl.Null:
        column = column.cast(pl.Datetime("us"))
    if not isinstance(column.dtype, pl.Date | pl.Datetime):
        raise DataError(
            f"{place(path, column.name)}: holds {column.dtype}, expected times "
            "such as 2024-01-31 13:00:00"
        )
    stray_N = stray_times(column)
    if stray_N.any():
        where = place(path, column.name, first_row(stray_N))
        raise DataError(f"{where}: {stray_finding(column, stray_N)}")
    if column.dtype == pl.Date:
        column = column.cast(pl.Datetime("us"))
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return column.cast(pl.Datetime("us")).to_numpy()


def numbers(column: pl.Series, path: Path, expected: str) -> FloatArray:
    """Return numbers, or text that is numbers, as float64; an empty cell is NaN.

    Raises
    ------
    DataError
        If the column holds anything else; the message names the row and what was ``expected``.
    """
    if column.dtype == pl.String:
        parsed = column.str.strip_chars().cast(pl.Float64, strict=False)
        unread = parsed.is_null() & column.is_not_null()
        if unread.any():
            row = first_row(unread.to_numpy())
            raise DataError(
                f"{place(path, column.name, row)}: {quoted(column[row - 1])}, expected {expected}"
            )
        column = parsed
    if not (column.dtype.is_numeric() or column.dtype == pl.Null):
        raise DataError(f"{place(path, column.name)}: holds {column.dtype}, expected {expected}")
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()


def check_increasing(time_N: TimeArray, name: str, path: Path) -> None:
    """Raise DataError where a time is missing or not after the one before."""
    if np.isnat(time_N).any():
        raise DataError(f"{place(path, name, first_row(np.isnat(time_N)))}: is empty")
    backward_N = np.diff(time_N) <= np.timedelta64(0, "us")
    if backward_N.any():
        row = first_row(backward_N)
        raise DataError(
            f"{place(path, name, row + 1)}: {time_N[row]} is not after the row "
            f"before, {time_N[row - 1]}; sort the file and keep each time once"
        )


def check_names(names: list[str], path: Path) -> None:
    """Raise DataError where a column is there twice."""
    counts = Counter(names)
    twice = next((name for name in names if counts[name] > 1), None)
    if twice is not None:
        raise DataError(f"{clipped(path.name)}: column {clipped(twice)} is there twice; keep one")


def place(path: Path, column: str, row: int | None = None) -> str:
    """Return how a message begins: file, row and column."""
    at = "" if row is None else f"row {row}, "
    return f"{clipped(path.name)}, {at}column {clipped(column)}"


def first_row(found_T: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int:
    """Return the row of the first True, counted from 1."""
    return int(np.argmax(found_T)) + 1


def _stem(path: Path) -> str | None:
    """Return a data file's name without its ending; None for any other file."""
    found = next((ending for ending in ENDINGS if path.name.lower().endswith(ending)), None)
    return None if found is None else path.name[: -len(found)]


def _epoch_times(column: pl.Series, path: Path) -> pl.Series:
    for unit, per_second in PER_SECOND.items():
        if column.is_between(EPOCH_1990_S * per_second, EPOCH_2100_S * per_second).all():
            return pl.from_epoch(column, time_unit=unit)
    raise DataError(
        f"{place(path, column.name)}: holds {column.min()!r} to "
        f"{column.max()!r}, expected times such as 2024-01-31 13:00:00, or seconds since 1970"
    )
