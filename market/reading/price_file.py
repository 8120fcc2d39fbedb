"""One price file of any usual kind, read and not yet judged."""

import hashlib
import re
from pathlib import Path

import numpy as np

from market.reading.bar_times import Times, bar_times
from market.reading.cell_numbers import decimal_sign, numbers
from market.reading.cell_table import CellTable
from market.reading.column_names import PRICES, Fields, field_columns, plain
from market.reading.file_bytes import file_bytes
from market.reading.parquet_file import read_parquet
from market.reading.raw_bars import FIELDS, FileFormat, RawBars
from market.reading.read_options import ReadOptions
from market.reading.safe_names import clipped
from market.reading.text_encoding import PARQUET, unpacked
from market.reading.text_format import read_text

__all__ = ["ReadOptions", "described", "read_price_file"]

EXPECTED = dict.fromkeys(PRICES, "a price above 0") | {"volume": "a volume of 0 or more"}


def read_price_file(path: Path, options: ReadOptions) -> RawBars:
    """Read a Parquet or text file of bars, compressed or not, whatever its name says.

    Kind, encoding, separator, header, columns, decimal sign, time format and clock are found from
    the content where ``options`` does not set them. Nothing is sorted, dropped or repaired.

    Raises
    ------
    DataError
        If it cannot be read so; one line naming file, row and column, and the key that would help.
    """
    file, data = clipped(path.name), file_bytes(path)
    sha256 = hashlib.sha256(data).hexdigest()
    data, compression = unpacked(data, file)
    if data.startswith(PARQUET):
        table = read_parquet(data, file, compression)
    else:
        table = read_text(data, file, options, compression)
    fields = field_columns(table, options.columns)
    times = bar_times(table, fields["time"], options)
    places = {field: fields[field][0] for field in FIELDS[1:] if field in fields}
    decimal = options.decimal or decimal_sign(table, places.values())
    value_T = {
        field: numbers(table, place, decimal, EXPECTED[field]) for field, place in places.items()
    }
    volume_T = value_T.get("volume")
    if volume_T is None or np.isnan(volume_T).all():
        volume_T = np.zeros(len(table.row_T))
    return RawBars(
        path=path,
        start_T=times.start_T,
        open_T=value_T["open"],
        high_T=value_T["high"],
        low_T=value_T["low"],
        close_T=value_T["close"],
        volume_T=volume_T,
        row_T=table.row_T,
        format=_format(table, fields, times),
        sha256=sha256,
    )


def described(found: FileFormat) -> str:
    """Return a format in one line, for people."""
    parts = [found.kind, found.separator, found.encoding, found.compression]
    clock = f"times {found.time_format} as {found.time_zone}"
    return ", ".join([part for part in parts if part is not None] + [clock])


def _format(table: CellTable, fields: Fields, times: Times) -> FileFormat:
    used = {column for columns in fields.values() for column in columns}
    everything = range(len(table.columns))
    return FileFormat(
        kind=_kind(table, fields, times.time_format),
        encoding=table.encoding,
        separator=table.separator,
        compression=table.compression,
        has_header=table.names is not None,
        time_format=times.time_format,
        time_zone=times.time_zone,
        columns={
            field: " + ".join(table.label(column) for column in fields[field])
            for field in FIELDS
            if field in fields
        },
        ignored=tuple(table.label(column) for column in everything if column not in used),
    )


def _kind(table: CellTable, fields: Fields, time_format: str) -> str:
    """Return whose format it is, as far as it can be told."""
    if table.encoding is None:
        return "Parquet"
    is_split = len(fields["time"]) == 2
    if table.names is None:
        if is_split and time_format.startswith("%Y.%m.%d"):
            return "MetaTrader without header"
        if time_format == "%Y%m%d %H%M%S" and not is_split:
            return "HistData without header"
        if len(table.columns) in (11, 12) and time_format.endswith("since 1970"):
            return "Binance klines without header"
        return "CSV without header"
    names = {plain(name) for name in table.names}
    noted = re.compile(r"gmttime|localtime|time\(.*")
    if any(map(noted.fullmatch, names)) or time_format == "%d.%m.%Y %H:%M:%S.%f":
        return "Dukascopy"
    if {"tickvolume", "realvolume", "spread"} <= names or time_format.startswith("%Y.%m.%d"):
        return "MetaTrader"
    if re.match(r"https?://|www\.", table.above):
        return "CryptoDataDownload"
    return "CSV"
