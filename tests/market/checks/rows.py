"""Rows of price files made by hand, and what checking them gives."""

from pathlib import Path

import numpy as np
import pytest

from market.bars import DataError
from market.checks.bar_checks import checked
from market.reading.raw_bars import FIELDS, FileFormat, RawBars

HOUR = np.timedelta64(3_600_000_000, "us")
MINUTE = np.timedelta64(60_000_000, "us")
NOW = np.datetime64("2026-01-01", "us")
MONDAY = np.datetime64("2024-01-01", "us")
FORMAT = FileFormat(
    "CSV", "utf-8", "comma", None, True, "ISO", "UTC (none is given)",
    {"time": "Date + Time", "open": "Open", "high": "High", "low": "Low", "close": "Close"}, (),
)  # fmt: skip


def raw(rows):
    """A file whose rows are (start, open, high, low, close, volume)."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * 6
    start_T = np.array(columns[0], dtype="datetime64[us]")
    values = [np.array(column, dtype=float) for column in columns[1:]]
    return RawBars(Path("EURUSD.csv"), start_T, *values, np.arange(1, len(rows) + 1), FORMAT)


def rows_of(bars):
    columns = (getattr(bars, "start_T" if f == "time" else f"{f}_T") for f in FIELDS)
    return list(zip(*columns, strict=True))


def walk(seed, n_bars=360):
    """Hourly bars, Monday to Friday, with volume; high and low are those of open and close."""
    rng = np.random.default_rng(seed)
    close_T = 100.0 + np.cumsum(rng.normal(0, 0.1, n_bars))
    open_T = np.concatenate([[100.0], close_T[:-1]]) + 0.01
    t = np.arange(n_bars)
    start_T = MONDAY + (t + t // 120 * 48) * HOUR
    top_T, bottom_T = np.maximum(open_T, close_T), np.minimum(open_T, close_T)
    return list(zip(start_T, open_T, top_T, bottom_T, close_T, 1.0 + t, strict=True))


def check(rows, length=HOUR, max_dropped=0.02, now_utc=NOW, **more):
    file = rows if isinstance(rows, RawBars) else raw(rows)
    return checked(
        file, symbol="EURUSD", length=length, max_dropped=max_dropped, now_utc=now_utc, **more
    )


def refusal(rows, **more):
    with pytest.raises(DataError) as error:
        check(rows, **more)
    assert "\n" not in str(error.value)
    return str(error.value)
