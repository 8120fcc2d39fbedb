"""A folder of price files, one per symbol: Parquet, or CSV with a header."""

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from market.bars import Bars, DataError, FloatArray, TimeArray

SUFFIXES = (".parquet", ".csv")
SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._#-]*")
TIME_NAMES = ("timestamp", "time", "datetime", "date")
PRICES = ("open", "high", "low", "close")
# 01/02/2024 is refused: nobody can know which is the month. A dot has the day first.
UNAMBIGUOUS_DATE = r"^\s*(\d{4}\D|\d{1,2}\.\d{1,2}\.\d{4})"
PER_SECOND: dict[Literal["s", "ms", "us", "ns"], int] = {
    "s": 1,
    "ms": 10**3,
    "us": 10**6,
    "ns": 10**9,
}
EPOCH_1990_S, EPOCH_2100_S = 631_152_000, 4_102_444_800


class BarFiles:
    """Bars in files named after their symbol (``EURUSD.parquet``, ``EURUSD.csv``).

    Columns, in any case: a time (timestamp, time, datetime or date: the bar's start, UTC where no
    zone is given), open, high, low, close, and volume where there is one (0 where not). A bar is as
    long as the commonest step between two.

    Parameters
    ----------
    dir : str
        The folder.

    Raises
    ------
    DataError
        If the folder does not exist, holds no such file, or holds two for one symbol.
    """

    def __init__(self, *, dir: str) -> None:  # noqa: A002 - named as its key, data.dir
        self.files = symbol_files(Path(dir))

    @property
    def symbols(self) -> list[str]:
        """Symbols found, in alphabetical order."""
        return sorted(self.files)

    def digest(self, symbol: str) -> str:
        """Return the SHA-256 of the symbol's file, in hexadecimal."""
        return file_digest(self.files[symbol])

    def bars(self, symbol: str) -> Bars:
        """Read and check one symbol's bars; raises DataError naming file, row and column."""
        path = self.files[symbol]
        frame = read_frame(path)
        names = [name.strip().lower() for name in frame.columns]
        _check_names(names, path)
        frame.columns = names
        time_name = next((name for name in TIME_NAMES if name in frame.columns), None)
        missing = [name for name in PRICES if name not in frame.columns]
        if time_name is None or missing:
            wanted = missing if time_name else ["timestamp", *missing]
            raise DataError(
                f"{path.name}: no column {', '.join(wanted)}; found {', '.join(frame.columns)}"
            )
        if len(frame) < 2:
            raise DataError(f"{path.name}: {len(frame)} bars, at least 2 are needed")
        start_T = utc_times(frame[time_name], path)
        _check_times(start_T, time_name, path)
        open_T, high_T, low_T, close_T = (
            numbers(frame[name], path, "a price above 0") for name in PRICES
        )
        volume_T, step = _volumes(frame, path), _usual_step(start_T)
        bars = Bars(symbol, start_T, open_T, high_T, low_T, close_T, volume_T, step)
        _check_prices(bars, path)
        return bars


def symbol_files(folder: Path) -> dict[str, Path]:
    """Return the data files of a folder by symbol; raises DataError as BarFiles does."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in SUFFIXES or not SYMBOL.fullmatch(path.stem):
            continue
        if path.stem in files:
            raise DataError(
                f"{folder}: {files[path.stem].name} and {path.name} are both {path.stem}; keep one"
            )
        files[path.stem] = path
    if not files:
        raise DataError(f"{folder}: no .parquet or .csv file named after a symbol")
    return files


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
        _check_names([name or "" for name in header.row(0)], path)
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
            row = _first(unread.to_numpy())
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
            row = _first(unread.to_numpy())
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


def _epoch_times(column: pl.Series, path: Path) -> pl.Series:
    for unit, per_second in PER_SECOND.items():
        if column.is_between(EPOCH_1990_S * per_second, EPOCH_2100_S * per_second).all():
            return pl.from_epoch(column, time_unit=unit)
    raise DataError(
        f"{path.name}, column {column.name}: holds {column.min()!r} to {column.max()!r}, expected "
        "times such as 2024-01-31 13:00:00, or seconds since 1970"
    )


def _volumes(frame: pl.DataFrame, path: Path) -> FloatArray:
    if "volume" not in frame.columns or frame["volume"].is_null().all():
        return np.zeros(len(frame))
    volume_T = numbers(frame["volume"], path, "a volume of 0 or more")
    bad_T = ~(np.isfinite(volume_T) & (volume_T >= 0))
    if bad_T.any():
        row = _first(bad_T)
        raise DataError(
            f"{path.name}, row {row}, column volume: {volume_T[row - 1]}, "
            "expected a volume of 0 or more"
        )
    return volume_T


def _check_names(names: list[str], path: Path) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path.name}: column {twice} is there twice; keep one")


def _usual_step(start_T: TimeArray) -> np.timedelta64:
    steps, counts = np.unique(np.diff(start_T), return_counts=True)
    return np.timedelta64(steps[np.argmax(counts)])


def _check_times(start_T: TimeArray, name: str, path: Path) -> None:
    check_increasing(start_T, name, path)
    now = np.datetime64(datetime.now(UTC).replace(tzinfo=None), "us")
    if start_T[-1] > now:
        row = _first(start_T > now)
        raise DataError(
            f"{path.name}, row {row}, column {name}: {start_T[row - 1]} is in the future"
        )


def check_increasing(time_N: TimeArray, name: str, path: Path) -> None:
    """Raise DataError where a time is missing or not after the one before."""
    if np.isnat(time_N).any():
        raise DataError(f"{path.name}, row {_first(np.isnat(time_N))}, column {name}: is empty")
    backward_N = np.diff(time_N) <= np.timedelta64(0, "us")
    if backward_N.any():
        row = _first(backward_N)
        raise DataError(
            f"{path.name}, row {row + 1}, column {name}: {time_N[row]} is not after the row "
            f"before, {time_N[row - 1]}; sort the file and keep each time once"
        )


def _check_prices(bars: Bars, path: Path) -> None:
    for name in PRICES:
        price_T = getattr(bars, f"{name}_T")
        bad_T = ~(np.isfinite(price_T) & (price_T > 0))
        if bad_T.any():
            row = _first(bad_T)
            raise DataError(
                f"{path.name}, row {row}, column {name}: {price_T[row - 1]}, expected a price "
                "above 0"
            )
    top_T = np.maximum(bars.open_T, bars.close_T)
    bottom_T = np.minimum(bars.open_T, bars.close_T)
    outside_T = (bars.high_T < top_T) | (bars.low_T > bottom_T)
    if outside_T.any():
        row = _first(outside_T)
        raise DataError(
            f"{path.name}, row {row}: open {bars.open_T[row - 1]} or close {bars.close_T[row - 1]} "
            f"lies outside low {bars.low_T[row - 1]} to high {bars.high_T[row - 1]}"
        )


def _first(found_T: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> int:
    """Return the row of the first True, counted from 1."""
    return int(np.argmax(found_T)) + 1
