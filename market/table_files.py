"""A folder of tables with features and labels made elsewhere, one per symbol."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from market.bars import DataError, FloatArray, TimeArray
from market.data_files import (
    check_increasing,
    data_dir,
    file_digest,
    first_row,
    numbers,
    only_file,
    place,
    read_frame,
    symbol_files,
    utc_times,
)
from market.event_table import UNDECIDED, EventTable
from market.reading.file_bytes import file_bytes
from market.reading.safe_names import clipped, some

LONGEST_NAME = 200
# Models hold features in 32 bits.
LARGEST = float(np.finfo(np.float32).max)
OWN_COLUMNS = ("timestamp", "label", "label_end", "weight")


class TableFiles:
    """Event tables in Parquet or CSV files named after their symbol.

    Columns: ``timestamp`` (the decision time, UTC), ``label`` (0, 1, or empty where undecided),
    optionally ``label_end`` (when the label was known, UTC; without it the timestamp stands in)
    and ``weight`` (1 without it); every other column is a numeric feature.

    Parameters
    ----------
    dir : str
        The folder.
    clock : callable
        Returns the time now, aware of its zone.

    Raises
    ------
    DataError
        As BarFiles.
    """

    def __init__(
        self,
        *,
        dir: str,  # noqa: A002 - named as its key, data.dir
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.files = symbol_files(data_dir(dir))
        self.clock = clock
        self._sha256: dict[str, str] = {}

    @property
    def symbols(self) -> list[str]:
        """Symbols found, in alphabetical order."""
        return sorted(self.files)

    def digest(self, symbol: str) -> str:
        """Return the SHA-256 of the symbol's file, in hexadecimal: as it was read, if it was."""
        return self._sha256.get(symbol) or file_digest(only_file(self.files, symbol))

    def file_name(self, symbol: str) -> str:
        """Return the name of a symbol's file; raises DataError where it has none to read."""
        return only_file(self.files, symbol).name

    def table(self, symbol: str) -> EventTable:
        """Read and check one symbol's table; raises DataError naming file, row and column."""
        path = only_file(self.files, symbol)
        data = file_bytes(path)
        self._sha256[symbol] = hashlib.sha256(data).hexdigest()
        frame = read_frame(data, path)
        for name in ("timestamp", "label"):
            if name not in frame.columns:
                raise DataError(
                    f"{clipped(path.name)}: no column {name}; found {some(frame.columns)} (a file "
                    "of bars is read with data=bars)"
                )
        _check_names(frame.columns, path)
        names_F = tuple(name for name in frame.columns if name not in OWN_COLUMNS)
        if not names_F:
            raise DataError(
                f"{clipped(path.name)}: no feature beside {some(frame.columns)}; add a column of "
                "numbers"
            )
        t0_N = utc_times(frame["timestamp"], path)
        check_increasing(t0_N, "timestamp", path)
        self._check_past(t0_N, "timestamp", path)
        label_N = _labels(frame["label"], path)
        decided_N = label_N != UNDECIDED
        t1_N = _label_ends(frame, t0_N, decided_N, path)
        self._check_past(t1_N, "label_end", path)
        return EventTable(
            symbol=symbol,
            t0_N=t0_N,
            x_NF=_features(frame, names_F, decided_N, path),
            names_F=names_F,
            label_N=label_N,
            t1_N=t1_N,
            weight_N=_weights(frame, decided_N, path),
            timed_out_N=None,
        )

    def _check_past(self, time_N: TimeArray, name: str, path: Path) -> None:
        now = np.datetime64(self.clock().astimezone(UTC).replace(tzinfo=None), "us")
        future_N = time_N > now
        if future_N.any():
            row = first_row(future_N)
            raise DataError(
                f"{place(path, name, row)}: {time_N[row - 1]} UTC is in the future, it is "
                f"{now.astype('datetime64[m]')} UTC; times without an offset are read as UTC: is "
                "it another clock, or a wrong year?"
            )


def _check_names(names: list[str], path: Path) -> None:
    for at, name in enumerate(names, start=1):
        found = f"{clipped(path.name)}: column {at}"
        if not name:
            raise DataError(f"{found} has no name; name it, or drop it where it is a row number")
        if not name.isprintable():
            raise DataError(
                f"{found}, {clipped(name)}, has signs nobody sees in its name; rename it"
            )
        if len(name) > LONGEST_NAME:
            raise DataError(
                f"{found}, {clipped(name)}, has a name of {len(name):,} letters, at most "
                f"{LONGEST_NAME} are possible; rename it"
            )


def _labels(column: pl.Series, path: Path) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
    if column.dtype == pl.Boolean:
        column = column.cast(pl.Int8)
    value_N = numbers(column, path, "0, 1 or empty")
    stray_N = ~np.isin(value_N, (0, 1)) & ~np.isnan(value_N)
    if stray_N.any():
        row = first_row(stray_N)
        raise DataError(
            f"{place(path, 'label', row)}: {_cell(column[row - 1])}, expected 0, 1 or empty"
        )
    seen = np.unique(value_N[~np.isnan(value_N)])
    if len(seen) == 1:
        raise DataError(
            f"{clipped(path.name)}, column label: is {seen[0]:g} in every row that has one, "
            "expected both 0 and 1; take more rows"
        )
    return np.where(np.isnan(value_N), UNDECIDED, value_N).astype(np.int8)


def _features(
    frame: pl.DataFrame,
    names_F: tuple[str, ...],
    decided_N: np.ndarray[tuple[int], np.dtype[np.bool_]],
    path: Path,
) -> FloatArray:
    x_NF = np.empty((len(frame), len(names_F)))
    for f, name in enumerate(names_F):
        column = frame[name]
        if column.dtype == pl.Boolean:
            column = column.cast(pl.Int8)
        x_NF[:, f] = numbers(column, path, "a number")
        bad_N = ~(np.abs(x_NF[:, f]) <= LARGEST) & decided_N
        if bad_N.any():
            row = first_row(bad_N)
            raise DataError(
                f"{place(path, name, row)}: {_cell(column[row - 1])}, "
                f"expected a finite number{_beyond(x_NF[row - 1, f])}; fill it, or leave the row's "
                "label empty"
            )
    return x_NF


def _label_ends(
    frame: pl.DataFrame,
    t0_N: TimeArray,
    decided_N: np.ndarray[tuple[int], np.dtype[np.bool_]],
    path: Path,
) -> TimeArray:
    if "label_end" not in frame.columns:
        return np.where(decided_N, t0_N, np.datetime64("NaT", "us"))
    t1_N = utc_times(frame["label_end"], path)
    early_N = decided_N & ~(t1_N >= t0_N)
    if early_N.any():
        row = first_row(early_N)
        raise DataError(
            f"{place(path, 'label_end', row)}: {_cell(frame['label_end'][row - 1])}, "
            f"expected a time from {t0_N[row - 1]} on"
        )
    return np.where(decided_N, t1_N, np.datetime64("NaT", "us"))


def _weights(
    frame: pl.DataFrame, decided_N: np.ndarray[tuple[int], np.dtype[np.bool_]], path: Path
) -> FloatArray:
    if "weight" not in frame.columns:
        return np.ones(len(frame))
    column = frame["weight"]
    weight_N = numbers(column, path, "a number above 0")
    bad_N = decided_N & ~((weight_N > 0) & (weight_N <= LARGEST))
    if bad_N.any():
        row = first_row(bad_N)
        raise DataError(
            f"{place(path, 'weight', row)}: {_cell(column[row - 1])}, expected a number "
            f"above 0{_beyond(weight_N[row - 1])}"
        )
    return weight_N


def _beyond(value: float) -> str:
    return f" up to {LARGEST:.1e}" if np.isfinite(value) else ""


def _cell(value: object) -> str:
    return "empty" if value is None else clipped(str(value))
