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
from market.reading.safe_names import printable

# There is one standard error in a process: two threads must not both put it aside.
STANDARD_ERROR = threading.Lock()


def read_parquet(data: bytes, file: str, compression: str | None) -> CellTable:
    """Return the cells of a Parquet file.

    Raises
    ------
    DataError
        If it is broken or holds no rows.
    """
    with readable(file):
        frame = pl.read_parquet(io.BytesIO(data))
    if frame.is_empty():
        raise DataError(f"{file}: holds no rows")
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


@contextmanager
def readable(file: str) -> Iterator[None]:
    """Turn what polars says of a damaged ``file`` into a DataError of one line, and no other."""
    try:
        with _no_backtrace():
            yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        finding = printable(str(error).strip().partition("\n")[0])
        raise DataError(f"{file}: cannot be read: {finding}") from error


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
