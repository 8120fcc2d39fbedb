"""A folder of price files, one per symbol, in any usual format: read, checked, reported on."""

import math
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import numpy as np

from market.bars import Bars, DataError
from market.checks.bar_checks import checked
from market.checks.bar_grid import length_text
from market.checks.bar_report import BarReport
from market.data_files import data_dir, file_digest
from market.reading.file_names import PriceFile, price_files
from market.reading.file_names import bar_length as parsed_length
from market.reading.file_names import name_pattern as compiled_pattern
from market.reading.price_file import ReadOptions, read_price_file
from market.reading.raw_bars import RawBars
from market.reading.safe_names import cannot_be_a_symbol, clipped
from market.table_cache import table_cache


class BarFiles:
    """Bars in files whose names begin with their symbol (``EURUSD.parquet``, ``EURUSD_H1.csv.gz``).

    Whatever is None is found out, file by file. Times are bar starts.

    Parameters
    ----------
    dir : str
        The folder, or one file.
    name_pattern : str or None
        Regular expression for file names without endings, with a group ``symbol`` and perhaps one
        ``length``.
    separator, encoding, header, decimal, time_format, time_zone, columns
        As `ReadOptions` has them.
    bar_length : str or None
        ``5min``, ``1h``, ``1d``; None for the commonest step. Of two files for one symbol, the one
        whose name says this length is read. Bars are never resampled.
    max_dropped : float
        Most rows of a file that may be dropped as bad, as a share in [0, 1].
    cache : str or None
        Folder in which the features and labels made of the bars are kept for the next run.
    cache_max_gb : float
        Most that folder may take, in 1e9 bytes.
    clock : callable
        Returns the time now, aware of its zone.

    Raises
    ------
    DataError
        If the folder does not exist or holds no such file.
    ValueError
        If a setting cannot be used; the sentence begins with its name.
    """

    def __init__(
        self,
        *,
        dir: str,  # noqa: A002 - named as its key, data.dir
        name_pattern: str | None,
        separator: str | None,
        encoding: str | None,
        header: bool | None,
        decimal: str | None,
        time_format: str | None,
        time_zone: str | None,
        bar_length: str | None,
        columns: dict[str, str | int | None],
        max_dropped: float,
        cache: str | None = None,
        cache_max_gb: float = math.inf,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if not 0 <= max_dropped <= 1:
            raise ValueError(f"max_dropped must be from 0 to 1, was {max_dropped}")
        if name_pattern is not None:
            compiled_pattern(name_pattern)
        self.folder = data_dir(dir)
        self.options = ReadOptions(
            separator=separator,
            encoding=encoding,
            header=header,
            decimal=decimal,
            time_format=time_format,
            time_zone=time_zone,
            columns=columns,
        )
        self.bar_length = None if bar_length is None else _length(bar_length)
        self.max_dropped = max_dropped
        self.clock = clock
        self.files = price_files(self.folder, name_pattern)
        self.cache = table_cache(cache, cache_max_gb, data=self.folder)
        self._sha256: dict[str, str] = {}

    @property
    def symbols(self) -> list[str]:
        """Symbols found, in alphabetical order."""
        return sorted(self.files)

    def digest(self, symbol: str) -> str:
        """Return the SHA-256 of the symbol's file, in hexadecimal: as it was read, if it was."""
        return self._sha256.get(symbol) or file_digest(self._file(symbol).path)

    def identity(self, symbol: str) -> dict[str, Any]:
        """Return all that decides what `read` makes of a symbol but the time it is read at.

        In values that JSON has. The file is read anew for its digest; raises DataError where it
        cannot be.
        """
        file, options = self._file(symbol), self.options
        self._sha256[symbol] = file_digest(file.path)
        settings = {field.name: getattr(options, field.name) for field in fields(options)}
        return {
            "kind": "bars",
            "symbol": symbol,
            "file": file.path.name,
            "sha256": self._sha256[symbol],
            "named_length": None if file.length is None else str(file.length),
            "settings": settings | {"columns": dict(options.columns)},
            "bar_length": None if self.bar_length is None else str(self.bar_length),
            "max_dropped": self.max_dropped,
        }

    def raw(self, symbol: str) -> RawBars:
        """Return the rows of one symbol's file as they stand."""
        raw = read_price_file(self._file(symbol).path, self.options)
        if raw.sha256 is not None:
            self._sha256[symbol] = raw.sha256
        return raw

    def read(self, symbol: str) -> tuple[Bars, BarReport]:
        """Return one symbol's bars and what was found in its file.

        Raises
        ------
        DataError
            If they cannot be used; one line naming file, row and column.
        """
        return self.judged(symbol, self.raw(symbol))

    def judged(self, symbol: str, raw: RawBars) -> tuple[Bars, BarReport]:
        """Return what `read` does, of rows that have been read already."""
        now_utc = self.clock().astimezone(UTC).replace(tzinfo=None)
        return checked(
            raw,
            symbol=symbol,
            length=self.bar_length,
            max_dropped=self.max_dropped,
            now_utc=np.datetime64(now_utc, "us"),
            named_length=self._file(symbol).length,
        )

    def bars(self, symbol: str) -> Bars:
        """Return one symbol's bars; raises DataError as `read` does."""
        return self.read(symbol)[0]

    def file_name(self, symbol: str) -> str:
        """Return the name of a symbol's file; raises DataError where it has none to read."""
        return self._file(symbol).path.name

    def _file(self, symbol: str) -> PriceFile:
        files = self.files[symbol]
        if files[0].symbol != symbol:
            raise DataError(cannot_be_a_symbol(files[0].path.name, files[0].symbol))
        if len(files) == 1:
            return files[0]
        fitting = [file for file in files if file.length == self.bar_length is not None]
        if len(fitting) == 1:
            return fitting[0]
        raise DataError(_too_many(symbol, fitting or files))


def _too_many(symbol: str, files: list[PriceFile]) -> str:
    names = " and ".join(clipped(file.path.name) for file in files)
    which = "both" if len(files) == 2 else "all"
    lengths = [length_text(file.length) for file in files if file.length is not None]
    if len(set(lengths)) == len(files):
        return f"{names} are {which} {symbol}; choose one by data.bar_length ({', '.join(lengths)})"
    return f"{names} are {which} {symbol}; join them into one file, or keep one"


def _length(text: str) -> np.timedelta64:
    try:
        length = parsed_length(text)
    except ValueError:
        length = None
    if length is None:
        raise ValueError(f"bar_length must be such as 5min, 1h or 1d, or null, was {text!r}")
    return length
