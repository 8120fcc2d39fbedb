"""From the bytes of a Parquet file to its cells."""

import io
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import polars as pl

from market.bars import DataError
from market.reading.cell_table import CellTable
from market.reading.safe_names import clipped
from market.reading.text_encoding import AGAIN

# There is one standard error in a process: two threads must not both put it aside.
STANDARD_ERROR = threading.Lock()
# In memory. Prices take a half to a tenth of that in their file; columns that are nearly always 0
# take much less, so that no ratio tells what is there to fill the memory.
FREE_BYTES, MOST_RATIO = 2 * 2**30, 20
NUMBER_BYTES, TEXT_BYTES = 8, 16


def read_parquet(data: bytes, file: str, compression: str | None) -> CellTable:
    """Return the cells of a Parquet file.

    Raises
    ------
    DataError
        If it is broken, holds no rows, or would take more memory than 2 GiB and than twenty times
        its size.
    """
    frame = parquet_frame(data, file)
    if frame.is_empty():
        raise DataError(f"{file}: holds no rows; {AGAIN}")
    return CellTable(
        file=file,
        names=tuple(name.strip() for name in frame.columns),
        columns=tuple(frame.get_columns()),
        row_T=np.arange(1, len(frame) + 1),
        encoding=None,
        separator=None,
        compression=compression,
        above="",
    )


def parquet_frame(data: bytes, file: str) -> pl.DataFrame:
    """Return a Parquet file's columns; those of lists and records empty, for nothing reads them.

    Raises
    ------
    DataError
        As `read_parquet`, but for a file without rows.
    """
    with readable(file):
        lazy = pl.scan_parquet(io.BytesIO(data))
        schema = lazy.collect_schema()
        n_rows = lazy.select(pl.len()).collect().item()
    most, needed = max(FREE_BYTES, MOST_RATIO * len(data)), n_rows * _row_bytes(schema)
    if needed > most:
        raise DataError(
            f"{file}: holds {n_rows:,} rows and {len(schema)} columns, {needed / 2**30:.1f} GiB in "
            f"memory, expected at most {most / 2**30:.1f}; look what it holds, split it by years "
            "or leave columns out"
        )
    nested = {name: kind for name, kind in schema.items() if kind.is_nested()}
    with readable(file):
        frame = pl.read_parquet(
            io.BytesIO(data), columns=[name for name in schema if name not in nested]
        )
    if not nested:
        return frame
    empty = [
        pl.Series(name, [None], dtype=kind).new_from_index(0, n_rows)
        for name, kind in nested.items()
    ]
    return frame.with_columns(empty).select(list(schema))


def _row_bytes(schema: pl.Schema) -> int:
    # Of a file without columns, the rows themselves.
    return sum(TEXT_BYTES if kind == pl.String else NUMBER_BYTES for kind in schema.values()) or 1


@contextmanager
def readable(file: str) -> Iterator[None]:
    """Turn what polars says of a damaged ``file`` into a DataError of one line, and no other."""
    try:
        with _no_backtrace():
            yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        finding = clipped(str(error).strip().partition("\n")[0])
        raise DataError(f"{file}: cannot be read: {finding}; {AGAIN}") from error


@contextmanager
def _no_backtrace() -> Iterator[None]:
    """Keep what is written to standard error, and drop it if the block fails.

    On a damaged file the reader may panic, and then writes a page of its own before it raises;
    nothing in it can be told not to.
    """
    with STANDARD_ERROR, tempfile.TemporaryFile() as kept:
        try:
            aside = os.dup(2)
        except OSError:  # a service without standard error
            yield
            return
        os.dup2(kept.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(aside, 2)
            os.close(aside)
        kept.seek(0)
        if text := kept.read():
            os.write(2, text)
