"""``clm_trades.jsonl``: every closed trade once, as the recorder keeps it and others read it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import polars as pl

from live.events import TradeClosed
from live.line_files import LineFiles, LineFilesError, whole_lines

NAME: Final = "clm_trades"
FILE: Final = f"{NAME}.jsonl"
TIME: Final = pl.Datetime("us", "UTC")
COLUMNS: Final[Mapping[str, pl.DataType | type[pl.DataType]]] = {
    "timestamp": TIME,
    **dict.fromkeys(("symbol", "side", "order_id"), pl.String),
    **dict.fromkeys(("entry_price", "exit_price", "pnl_percent", "pnl_usd"), pl.Float64),
    **dict.fromkeys(("R_net", "confidence"), pl.Float64),
    **dict.fromkeys(("model_id", "reason", "source"), pl.String),
    "quantity": pl.Float64,
    "manifest_sha256": pl.String,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A trade, the id of the event that told it, and what else that event held."""

    trade: TradeClosed
    event_id: str
    unknown: Mapping[str, Any] = field(default_factory=dict)


class TradeLog:
    """The file of trades, open for writing, and where each trade's line stands.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    rotate_bytes : int
        Size from which a file is written no further.

    Raises
    ------
    InUseError
        If another process writes it.
    OSError
        If it cannot be read or written.
    """

    def __init__(self, folder: Path, *, rotate_bytes: int) -> None:
        self._files = LineFiles(folder, NAME, rotate_bytes=rotate_bytes)
        self._positions: dict[str, int] = {}
        for position, line in self._files.lines():
            order_id = line.get("order_id")
            if isinstance(order_id, str):
                self._positions.setdefault(order_id, position)

    def __len__(self) -> int:
        return len(self._positions)

    @property
    def path(self) -> Path:
        """Return the file that is written now."""
        return self._files.path

    def other_than(self, trade: TradeClosed) -> list[str] | None:
        """Return which fields of a trade are recorded otherwise; None if it is not recorded."""
        position = self._positions.get(trade.order_id)
        if position is None:
            return None
        recorded, values = self._files.line_at(position), _values(trade)
        return [name for name, value in values.items() if recorded.get(name) != value]

    def append(self, entries: Sequence[Entry]) -> None:
        """Write trades that are not recorded yet; they are on disk when it returns.

        Raises
        ------
        OSError
            As `LineFiles.append`.
        """
        if not entries:
            return
        positions = self._files.append([_line(one) for one in entries])
        self._positions |= {
            one.trade.order_id: position for one, position in zip(entries, positions, strict=True)
        }

    def close(self) -> None:
        """Let another process write it."""
        self._files.close()


def read_trades(folder: Path) -> pl.DataFrame:
    """Return the recorded trades in the order they were recorded in, rotated files included.

    Parameters
    ----------
    folder : Path
        The recorder's; it may be at work meanwhile.

    Returns
    -------
    DataFrame
        `COLUMNS`; times in UTC. No rows where nothing was recorded.

    Raises
    ------
    LineFilesError
        If a file holds a line that is no trade.
    """
    as_written = {**COLUMNS, "timestamp": pl.String}
    frames = [pl.DataFrame(schema=as_written)]
    for path, lines in whole_lines(folder, NAME):
        if lines:
            frames.append(_frame(path, lines, as_written))
    found = pl.concat(frames).unique("order_id", keep="first", maintain_order=True)
    # As ISO 8601, whatever the first one looks like.
    time = pl.col("timestamp").str.to_datetime("%+", time_unit="us", time_zone="UTC")
    try:
        return found.with_columns(time)
    except pl.exceptions.PolarsError as error:
        raise LineFilesError(f"{folder / FILE}: holds no time: {_first(error)}") from None


def _frame(path: Path, lines: list[bytes], schema: Mapping[str, Any]) -> pl.DataFrame:
    try:
        frame = pl.read_ndjson(BytesIO(b"".join(lines)), schema=dict(schema))
    except pl.exceptions.PolarsError as error:
        raise LineFilesError(f"{path}: cannot be read as trades: {_first(error)}") from None
    if frame["order_id"].has_nulls():
        raise LineFilesError(f"{path}: holds a line without order_id; remove that line")
    return frame


def _first(error: Exception) -> str:
    return str(error).splitlines()[0]


def _values(trade: TradeClosed) -> dict[str, Any]:
    """Return what a line says of a trade."""
    values = trade.model_dump()
    at: datetime = values["timestamp"]
    # Always as long: a reader of the whole column looks at the first one.
    return {**values, "timestamp": at.isoformat(timespec="microseconds")}


def _line(entry: Entry) -> bytes:
    line = {**_values(entry.trade), "event_id": entry.event_id}
    if entry.unknown:
        line["unknown"] = dict(entry.unknown)
    return json.dumps(line, allow_nan=False).encode()
