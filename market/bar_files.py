"""A folder of price files, one per symbol: Parquet, or CSV with a header."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from market.bars import Bars, DataError, FloatArray, TimeArray
from market.data_files import (
    check_increasing,
    check_names,
    file_digest,
    first_row,
    numbers,
    only_file,
    read_frame,
    some,
    symbol_files,
    utc_times,
)

TIME_NAMES = ("timestamp", "time", "datetime", "date")
PRICES = ("open", "high", "low", "close")


class BarFiles:
    """Bars in files named after their symbol (``EURUSD.parquet``, ``EURUSD.csv``).

    Columns, in any case: a time (timestamp, time, datetime or date: the bar's start, UTC where no
    zone is given), open, high, low, close, and volume where there is one (0 where not). A bar is as
    long as the commonest step between two; one that is still forming is left out.

    Parameters
    ----------
    dir : str
        The folder.

    Raises
    ------
    DataError
        If the folder does not exist or holds no such file.
    """

    def __init__(self, *, dir: str) -> None:  # noqa: A002 - named as its key, data.dir
        self.folder = Path(dir).expanduser()
        self.files = symbol_files(self.folder)

    @property
    def symbols(self) -> list[str]:
        """Symbols found, in alphabetical order."""
        return sorted(self.files)

    def digest(self, symbol: str) -> str:
        """Return the SHA-256 of the symbol's file, in hexadecimal."""
        return file_digest(only_file(self.files, symbol))

    def bars(self, symbol: str) -> Bars:
        """Read and check one symbol's bars; raises DataError naming file, row and column."""
        path = only_file(self.files, symbol)
        frame = read_frame(path)
        names = [name.strip().lower() for name in frame.columns]
        check_names(names, path)
        frame.columns = names
        time_name = next((name for name in TIME_NAMES if name in frame.columns), None)
        missing = [name for name in PRICES if name not in frame.columns]
        if time_name is None or missing:
            wanted = missing if time_name else ["timestamp", *missing]
            raise DataError(
                f"{path.name}: no column {', '.join(wanted)}; found {some(frame.columns)}"
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
        # The last bar may still be forming: what it says now is not what it will have said.
        is_complete = bars.close_time_T[-1] <= _now()
        return bars if is_complete else bars.until(len(bars) - 1)


def _volumes(frame: pl.DataFrame, path: Path) -> FloatArray:
    if "volume" not in frame.columns or frame["volume"].is_null().all():
        return np.zeros(len(frame))
    volume_T = numbers(frame["volume"], path, "a volume of 0 or more")
    bad_T = ~(np.isfinite(volume_T) & (volume_T >= 0))
    if bad_T.any():
        row = first_row(bad_T)
        raise DataError(
            f"{path.name}, row {row}, column volume: {volume_T[row - 1]}, "
            "expected a volume of 0 or more"
        )
    return volume_T


def _usual_step(start_T: TimeArray) -> np.timedelta64:
    steps, counts = np.unique(np.diff(start_T), return_counts=True)
    return np.timedelta64(steps[np.argmax(counts)])


def _check_times(start_T: TimeArray, name: str, path: Path) -> None:
    check_increasing(start_T, name, path)
    if start_T[-1] > _now():
        row = first_row(start_T > _now())
        raise DataError(
            f"{path.name}, row {row}, column {name}: {start_T[row - 1]} is in the future"
        )


def _check_prices(bars: Bars, path: Path) -> None:
    for name in PRICES:
        price_T = getattr(bars, f"{name}_T")
        bad_T = ~(np.isfinite(price_T) & (price_T > 0))
        if bad_T.any():
            row = first_row(bad_T)
            raise DataError(
                f"{path.name}, row {row}, column {name}: {price_T[row - 1]}, expected a price "
                "above 0"
            )
    top_T = np.maximum(bars.open_T, bars.close_T)
    bottom_T = np.minimum(bars.open_T, bars.close_T)
    outside_T = (bars.high_T < top_T) | (bars.low_T > bottom_T)
    if outside_T.any():
        row = first_row(outside_T)
        raise DataError(
            f"{path.name}, row {row}: open {bars.open_T[row - 1]} or close {bars.close_T[row - 1]} "
            f"lies outside low {bars.low_T[row - 1]} to high {bars.high_T[row - 1]}"
        )


def _now() -> np.datetime64:
    return np.datetime64(datetime.now(UTC).replace(tzinfo=None), "us")
