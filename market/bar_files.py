"""A folder of price files, one per symbol: Parquet, or CSV with a header."""

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from market.bars import Bars, DataError

SUFFIXES = (".parquet", ".csv")
SYMBOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._#-]*")
TIME_NAMES = ("timestamp", "time", "datetime", "date")
PRICES = ("open", "high", "low", "close")


class BarFiles:
    """Bars in files named after their symbol (``EURUSD.parquet``, ``EURUSD.csv``).

    Columns, in any case: a time (timestamp, time, datetime or date: the bar's start, UTC where no
    zone is given), open, high, low, close, and volume where there is one.

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
        frame = frame.rename({name: name.strip().lower() for name in frame.columns})
        time_name = next((name for name in TIME_NAMES if name in frame.columns), None)
        missing = [name for name in PRICES if name not in frame.columns]
        if time_name is None or missing:
            wanted = missing if time_name else ["timestamp", *missing]
            raise DataError(
                f"{path.name}: no column {', '.join(wanted)}; found {', '.join(frame.columns)}"
            )
        volume = frame["volume"] if "volume" in frame.columns else pl.zeros(len(frame), eager=True)
        start_T = utc_times(frame[time_name], path)
        if len(start_T) < 2:
            raise DataError(f"{path.name}: {len(start_T)} bars, at least 2 are needed")
        open_T, high_T, low_T, close_T = (_numbers(frame[name], path) for name in PRICES)
        volume_T = _numbers(volume, path)
        step = _usual_step(start_T)
        bars = Bars(symbol, start_T, open_T, high_T, low_T, close_T, volume_T, step)
        _check_times(bars, path)
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
    """Read a Parquet or CSV file whole; raises DataError where it cannot be read."""
    try:
        if path.suffix.lower() == ".parquet":
            return pl.read_parquet(path)
        return pl.read_csv(path, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name}: cannot be read: {' '.join(str(error).split())}") from error


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def utc_times(column: pl.Series, path: Path) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
    """Return times as datetime64[us] in UTC; a missing one is NaT.

    Raises
    ------
    DataError
        If the column holds neither times nor text in ISO 8601, or a text that is none.
    """
    if column.dtype == pl.String:
        parsed = column.str.strip_chars().str.to_datetime(
            time_unit="us", time_zone="UTC", strict=False
        )
        unread = parsed.is_null() & column.is_not_null()
        if unread.any():
            row = int(unread.arg_max() or 0)
            raise DataError(
                f"{path.name}, row {row + 1}, column {column.name}: {column[row]!r} is not a time "
                "such as 2024-01-31 13:00:00"
            )
        column = parsed
    if column.dtype == pl.Date:
        column = column.cast(pl.Datetime("us"))
    if not isinstance(column.dtype, pl.Datetime):
        raise DataError(
            f"{path.name}, column {column.name}: holds {column.dtype}, expected times such as "
            "2024-01-31 13:00:00"
        )
    if column.dtype.time_zone is not None:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return column.cast(pl.Datetime("us")).to_numpy()


def _numbers(column: pl.Series, path: Path) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    if not column.dtype.is_numeric():
        raise DataError(
            f"{path.name}, column {column.name}: holds {column.dtype}, expected numbers"
        )
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()


def _usual_step(start_T: np.ndarray[tuple[int], np.dtype[np.datetime64]]) -> np.timedelta64:
    steps, counts = np.unique(np.diff(start_T), return_counts=True)
    return np.timedelta64(steps[np.argmax(counts)])


def _check_times(bars: Bars, path: Path) -> None:
    missing_T = np.isnat(bars.start_T)
    if missing_T.any():
        raise DataError(f"{path.name}, row {_first(missing_T)}: no time")
    backward_T = np.diff(bars.start_T) <= np.timedelta64(0, "us")
    if backward_T.any():
        row = _first(backward_T)
        raise DataError(
            f"{path.name}, row {row + 1}: time {bars.start_T[row]} is not after the row before, "
            f"{bars.start_T[row - 1]}; sort the file and keep each time once"
        )
    now = np.datetime64(datetime.now(UTC).replace(tzinfo=None), "us")
    if bars.start_T[-1] > now:
        row = _first(bars.start_T > now)
        raise DataError(f"{path.name}, row {row}: time {bars.start_T[row - 1]} is in the future")


def _check_prices(bars: Bars, path: Path) -> None:
    for name in PRICES:
        price_T = getattr(bars, f"{name}_T")
        bad_T = ~(np.isfinite(price_T) & (price_T > 0))
        if bad_T.any():
            row = _first(bad_T)
            raise DataError(
                f"{path.name}, row {row}, column {name}: {price_T[row - 1]} is not a price above 0"
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
