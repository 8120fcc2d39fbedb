"""Event tables as files: one file an entry, whole or not at all, verified before it is believed.

A file holds the SHA-256 of all that follows (hexadecimal, a line), an index (JSON, a line) and the
arrays as they lie in memory. There is nothing in it that could run.

Axes: N events, F features.
"""

import hashlib
import json
import math
import secrets
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from market.checks.bar_report import BarReport
from market.event_table import EventTable
from market.restored import restored, time_text

# Longest items first, so that each array begins where its items may.
DTYPES = {
    "x_NF": "<f8",
    "t0_N": "<M8[us]",
    "t1_N": "<M8[us]",
    "weight_N": "<f8",
    "label_N": "|i1",
    "timed_out_N": "|b1",
}
_DIGEST_CHARS = 64
_ALIGNED = 64


class BrokenEntryError(ValueError):
    """A file that is not what was written; the message says in what."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What was made of one symbol's bars.

    Attributes
    ----------
    table : EventTable
    report : BarReport
    since_utc : datetime or None
        When it was made, where it holds only from then on: before, the same bars would have lain
        in the future. None where it always holds.
    """

    table: EventTable
    report: BarReport
    since_utc: datetime | None


def packed(key: str, kept: Kept) -> bytes:
    """Return an entry as the content of its file.

    Raises
    ------
    TypeError, ValueError
        If an array is not of its declared type, or the report holds what JSON cannot give back.
    """
    arrays = {name: getattr(kept.table, name) for name in DTYPES}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    for name, array in arrays.items():
        if array.dtype != np.dtype(DTYPES[name]):
            raise TypeError(f"{name} is {array.dtype}, expected {DTYPES[name]}")
    index = {
        "key": key,
        "symbol": kept.table.symbol,
        "names_F": kept.table.names_F,
        "shapes": {name: array.shape for name, array in arrays.items()},
        "report": asdict(kept.report),
        "since_utc": None if kept.since_utc is None else kept.since_utc.isoformat(),
    }
    line = json.dumps(index, allow_nan=False, default=time_text).encode()
    if restored(BarReport, json.loads(line)["report"]) != kept.report:
        raise TypeError("the report does not come back from JSON as it was")
    # The index ends where the arrays may begin.
    width = math.ceil((_DIGEST_CHARS + 1 + len(line) + 1) / _ALIGNED) * _ALIGNED
    line = line.ljust(width - _DIGEST_CHARS - 2) + b"\n"
    body = b"".join([line, *(array.tobytes() for array in arrays.values())])
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def unpacked(key: str, content: bytes) -> Kept:
    """Return the entry that a file holds; its arrays cannot be written to.

    Raises
    ------
    BrokenEntryError
        If the file was changed or cut, or is another entry's.
    """
    first = _DIGEST_CHARS + 1
    digest = hashlib.sha256(memoryview(content)[first:]).hexdigest().encode() + b"\n"
    if content[:first] != digest:
        raise BrokenEntryError("its SHA-256 does not fit")
    try:
        end = content.index(b"\n", first) + 1
        index = json.loads(content[first:end])
        if index["key"] != key:
            raise BrokenEntryError("it was written under another name")
        since = index["since_utc"]
        return Kept(
            table=_table(index, content, end),
            report=_report(index["report"]),
            since_utc=None if since is None else datetime.fromisoformat(since),
        )
    except (
        ArithmeticError,
        AttributeError,
        KeyError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise BrokenEntryError(f"it holds something else ({error})") from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that a reader meets whole or not at all; raises OSError where it cannot be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _table(index: dict[str, Any], content: bytes, offset: int) -> EventTable:
    arrays: dict[str, Any] = dict.fromkeys(DTYPES)
    for name, shape in index["shapes"].items():
        array = np.frombuffer(content, DTYPES[name], count=math.prod(shape), offset=offset)
        arrays[name] = array.reshape(shape)
        offset += array.nbytes
    table = EventTable(symbol=index["symbol"], names_F=tuple(index["names_F"]), **arrays)
    _check_whole(table)
    return table


def _report(plain: Any) -> BarReport:
    report = restored(BarReport, plain)
    if not isinstance(report, BarReport):
        raise BrokenEntryError("it holds no report")
    return report


def _check_whole(table: EventTable) -> None:
    """Raise BrokenEntryError where an array is missing or of another length, or a name is none."""
    n_events = len(table.t0_N)
    for name in DTYPES:
        array = getattr(table, name)
        if array is None and name == "timed_out_N":  # as tables made elsewhere have it
            continue
        shape = (n_events, len(table.names_F)) if name == "x_NF" else (n_events,)
        if array is None or array.shape != shape:
            raise BrokenEntryError(f"it holds no whole {name}")
    if not all(isinstance(name, str) for name in (table.symbol, *table.names_F)):
        raise BrokenEntryError("it holds names that are no text")
