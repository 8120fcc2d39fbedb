"""Files of a folder, one per symbol: finding them, reading them, turning columns into arrays."""

import hashlib
import re
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from market.bars import DataError, FloatArray, TimeArray

ENDINGS = (".parquet", ".csv", ".csv.gz")
SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._#-]{0,63}")
# 01/02/2024 is refused: nobody can know which is the month. A dot has the day first.
UNAMBIGUOUS_DATE = r"^\s*(\d{4}\D|\d{1,2}\.\d{1,2}\.\d{4})"
PER_SECOND: dict[Literal["s", "ms", "us", "ns"], int] = {
    "s": 1,
    "ms": 10**3,
    "us": 10**6,
    "ns": 10**9,
}
EPOCH_1990_S, EPOCH_2100_S = 631_152_000, 4_102_444_800


def symbol_files(folder: Path) -> dict[str, list[Path]]:
    """Return the data files of a folder by symbol, which is the name without its ending.

    Raises
    ------
    DataError
        If the folder does not exist or holds no such file.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        found = next((ending for ending in ENDINGS if path.name.lower().endswith(ending)), None)
        if found is not None and not path.name.startswith("."):
            files.setdefault(path.name[: -len(found)], []).append(path)
    if not files:
        raise DataError(f"{folder}: no .parquet or .csv file named after a symbol")
    return files


def only_file(files: dict[str, list[Path]], symbol: str) -> Path:
    """Return a symbol's file; raises DataError where there are two, or its name is no symbol."""
    path, *others = files[symbol]
    if others:
        raise DataError(f"{path.name} and {others[0].name} are both {symbol}; keep one")
    if not SYMBOL.fullmatch(symbol):
        raise DataError(
            f"{path.name}: {symbol!r} cannot be a symbol; rename the file to at most 64 "
            "letters, digits and ._#-, beginning with a letter or digit"
        )
    return path


def read_frame(path: Path) -> pl.DataFrame:
    """Read a Parquet or CSV file whole.

    Raises
    ------
    DataError
        If it is a folder, cannot be read, is no UTF-8, or names a column twice.
    """
    if path.is_dir():
        raise DataError(f"{path.name}: is a folder, expected a file")
    try:
        if path.suffix.lower() == ".parquet":
            return pl.read_parquet(path, glob=False)
        # The reader renames what is there twice, so that the header must be looked at as it stands.
        header = pl.read_csv(path, has_header=False, n_rows=1, infer_schema=False, glob=False)
        check_names([name or "" for name in header.row(0)], path)
        return pl.read_csv(path, infer_schema_length=None, glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        finding = str(error).strip().partition("\n")[0]
        raise DataError(f"{path.name}: cannot be read: {finding}") from error


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def utc_times(column: pl.Series, path: Path) -> TimeArray:
    """Return times as datetime64[us] in UTC; a missing one is NaT.

    Text has the year first (ISO 8601) or is 31.01.2024 13:00. Whole numbers are counted from 1970
    in s, ms, us or ns: whichever puts all of them between 1990 and 2100.

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
                f"{path.name}, row {row}, column {column.name}: {column[row - 1]!r} is not a time "
                "such as 2024-01-31 13:00:00"
            )
        column = parsed
    if column.dtype.is_integer():
        column = _epoch_times(column, path)
    if column.dtype in (pl.Date, pl.Null):
        column = column.cast(pl.Datetime("us"))
    if not isinstance(column.dtype, pl.Datetime):
        raise DataError(
            f"{path.name}, column {column.name}: holds {column.dtype}, expected times such as "
            "2024-01-31 13:00:00"
        )
    if column.dtype.time_zone is not None:
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
                f"{path.name}, row {row}, column {column.name}: {column[row - 1]!r}, "
                f"expected {expected}"
            )
        column = parsed
    if not (column.dtype.is_numeric() or column.dtype == pl.Null):
        raise DataError(
            f"{path.name}, column {column.name}: holds {column.dtype}, expected {expected}"
        )
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()


def check_increasing(time_N: TimeArray, name: str, path: Path) -> None:
    """Raise DataError where a time is missing or not after the one before."""
    if np.isnat(time_N).any():
        raise DataError(f"{path.name}, row {first_row(np.isnat(time_N))}, column {name}: is empty")
    backward_N = np.diff(time_N) <= np.timedelta64(0, "us")
    if backward_N.any():
        row = first_row(backward_N)
        raise DataError(
            f"{path.name}, row {row + 1}, column {name}: {time_N[row]} is not after the row "
            f"before, {time_N[row - 1]}; sort the file and keep each time once"
        )


def check_names(names: list[str], path: Path) -> None:
    """Raise DataError where a column is there twice."""
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path.name}: column {twice} is there twice; keep one")


def some(names: list[str]) -> str:
    """Return the first few names, for a message."""
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def first_row(found_T: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int:
    """Return the row of the first True, counted from 1."""
    return int(np.argmax(found_T)) + 1


def _epoch_times(column: pl.Series, path: Path) -> pl.Series:
    for unit, per_second in PER_SECOND.items():
        if column.is_between(EPOCH_1990_S * per_second, EPOCH_2100_S * per_second).all():
            return pl.from_epoch(column, time_unit=unit)
    raise DataError(
        f"{path.name}, column {column.name}: holds {column.min()!r} to {column.max()!r}, expected "
        "times such as 2024-01-31 13:00:00, or seconds since 1970"
    )
