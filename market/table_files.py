"""A folder of tables with features and labels made elsewhere, one per symbol."""

import hashlib
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
    read_frame,
    symbol_files,
    utc_times,
)
from market.event_table import UNDECIDED, EventTable
from market.reading.file_bytes import file_bytes
from market.reading.safe_names import printable, some

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

    Raises
    ------
    DataError
        As BarFiles.
    """

    def __init__(self, *, dir: str) -> None:  # noqa: A002 - named as its key, data.dir
        self.files = symbol_files(data_dir(dir))
        self._sha256: dict[str, str] = {}

    @property
    def symbols(self) -> list[str]:
        """Symbols found, in alphabetical order."""
        return sorted(self.files)

    def digest(self, symbol: str) -> str:
        """Return the SHA-256 of the symbol's file, in hexadecimal: as it was read, if it was."""
        return self._sha256.get(symbol) or file_digest(only_file(self.files, symbol))

    def table(self, symbol: str) -> EventTable:
        """Read and check one symbol's table; raises DataError naming file, row and column."""
        path = only_file(self.files, symbol)
        data = file_bytes(path)
        self._sha256[symbol] = hashlib.sha256(data).hexdigest()
        frame = read_frame(data, path)
        for name in ("timestamp", "label"):
            if name not in frame.columns:
                raise DataError(
                    f"{path.name}: no column {name}; found {some(frame.columns)} (a file of bars "
                    "is read with data=bars)"
                )
        if "" in frame.columns:
            raise DataError(
                f"{path.name}: column {frame.columns.index('') + 1} has no name; name it, or drop "
                "it where it is a row number"
            )
        names_F = tuple(name for name in frame.columns if name not in OWN_COLUMNS)
        if not names_F:
            raise DataError(f"{path.name}: no feature beside {some(frame.columns)}")
        t0_N = utc_times(frame["timestamp"], path)
        check_increasing(t0_N, "timestamp", path)
        label_N = _labels(frame["label"], path)
        decided_N = label_N != UNDECIDED
        return EventTable(
            symbol=symbol,
            t0_N=t0_N,
            x_NF=_features(frame, names_F, decided_N, path),
            names_F=names_F,
            label_N=label_N,
            t1_N=_label_ends(frame, t0_N, decided_N, path),
            weight_N=_weights(frame, decided_N, path),
            timed_out_N=None,
        )


def _labels(column: pl.Series, path: Path) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
    if column.dtype == pl.Boolean:
        column = column.cast(pl.Int8)
    value_N = numbers(column, path, "0, 1 or empty")
    stray_N = ~np.isin(value_N, (0, 1)) & ~np.isnan(value_N)
    if stray_N.any():
        row = first_row(stray_N)
        raise DataError(
            f"{path.name}, row {row}, column label: {_cell(column[row - 1])}, "
            "expected 0, 1 or empty"
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
        bad_N = ~np.isfinite(x_NF[:, f]) & decided_N
        if bad_N.any():
            row = first_row(bad_N)
            raise DataError(
                f"{path.name}, row {row}, column {printable(name)}: {_cell(column[row - 1])}, "
                "expected a finite number; fill it, or leave the row's label empty"
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
            f"{path.name}, row {row}, column label_end: {_cell(frame['label_end'][row - 1])}, "
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
    bad_N = decided_N & ~(np.isfinite(weight_N) & (weight_N > 0))
    if bad_N.any():
        row = first_row(bad_N)
        raise DataError(
            f"{path.name}, row {row}, column weight: {_cell(column[row - 1])}, expected a number "
            "above 0"
        )
    return weight_N


def _cell(value: object) -> str:
    return "empty" if value is None else printable(str(value))
