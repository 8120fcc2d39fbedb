"""Times as price files spell them: one format for a whole column, and the clock they show.

Axes: T rows of the file, in its order.
"""

import re
from collections import Counter
from typing import NamedTuple

import polars as pl

from market.bars import TimeArray
from market.reading.cell_table import CellTable, text_cells
from market.reading.read_options import ReadOptions, hour_only, polars_format
from market.reading.time_formats import EPOCH, PER_SECOND, as_text, epoch_unit, formats_of, sampled
from market.reading.time_zones import Zone, parse_zone, to_utc

FIRST_YEAR, LAST_YEAR = 1900, 2199
EXAMPLE = "2024-01-31 13:00:00"
ZONE = r"(Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"


class Times(NamedTuple):
    """Starts of bars (datetime64[us], UTC), and in words their format and clock."""

    start_T: TimeArray
    time_format: str
    time_zone: str


def bar_times(table: CellTable, columns: tuple[int, ...], options: ReadOptions) -> Times:
    """Return the times of one column, or of a date's and a time's.

    A clock given in the cells wins, then ``options.time_zone``, then one that the header notes, as
    ``Gmt time`` or ``Time (EET)``, then UTC. Counts of seconds follow ``options.time_zone`` too:
    MetaTrader counts them on the clock of its server.

    Raises
    ------
    DataError
        If a cell is no time or not as the others are, if day and month cannot be told apart, or if
        an hour does not exist on the clock.
    """
    label = " + ".join(table.label(column) for column in columns)
    cells = _joined([as_text(table.columns[column]) for column in columns])
    if cells.dtype == pl.String:
        cells = text_cells(cells)
        local, time_format = _from_text(table, cells, label, options.time_format)
    else:
        local, time_format = _from_typed(table, cells, label)
    if isinstance(local.dtype, pl.Datetime) and local.dtype.time_zone is not None:
        start = local.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        words = f"{_given(cells)} (in the file)"
        return Times(start.cast(pl.Datetime("us")).to_numpy(), time_format, words)
    zone, words = _clock(table, label, options.time_zone)
    start_T, never_T = to_utc(local.cast(pl.Datetime("us")), zone)
    if never_T.any():
        hour = local.filter(pl.Series(never_T))[0]
        finding = f"{hour} does not exist on the clock {words}, which skips it"
        raise table.wrong(label, f"{finding}; check data.time_zone", never_T)
    return Times(start_T, time_format, words)


def _joined(parts: list[pl.Series]) -> pl.Series:
    if len(parts) == 1:
        return parts[0]
    date, clock = (text_cells(part.cast(pl.String)) for part in parts)
    # 90000 is 9 o'clock: what was once written as a number has lost its zeros.
    digits = clock.str.len_chars().max() or 0
    if isinstance(digits, int) and 2 < digits <= 6 and not clock.str.contains(r"\D").any():
        clock = clock.str.zfill(6 if digits > 4 else 4)
    elif clock.str.contains("^0+$").all():
        clock = clock.str.zfill(4)
    return date + " " + clock


def _from_text(
    table: CellTable, cells: pl.Series, label: str, wanted: str | None
) -> tuple[pl.Series, str]:
    sample = sampled(cells)
    if not sample:
        return pl.Series([None] * len(cells), dtype=pl.Datetime("us")), "none"
    shapes = Counter(shape for cell in sample if (shape := formats_of(cell)))
    if wanted is None and not shapes:
        finding = f"{sample[0]!r} is not a time such as {EXAMPLE}; see data.time_format"
        raise table.wrong(label, finding, cells.is_not_null().to_numpy())
    formats = (wanted,) if wanted is not None else shapes.most_common(1)[0][0]
    if formats == (EPOCH,):
        return _from_epoch(table, cells, label)
    read = {code: _parsed(cells, code) for code in formats}
    misfits = {
        code: int((times.is_null() & cells.is_not_null()).sum()) for code, times in read.items()
    }
    if len(formats) > 1 and not any(misfits.values()):
        raise table.wrong(
            label,
            f"{sample[0]!r} may be day or month first, and no row "
            f"tells; say which with data.time_format='{formats[0]}' or '{formats[1]}'",
        )
    best = min(formats, key=lambda code: misfits[code])
    if misfits[best]:
        unread = read[best].is_null() & cells.is_not_null()
        fitting = cells.filter(read[best].is_not_null()).head(1).to_list()
        finding = (
            f"{cells.filter(unread)[0]!r} is not a time such as {(fitting or [EXAMPLE])[0]}, "
            f"written {_shown(best)}; see data.time_format"
        )
        raise table.wrong(label, finding, unread.to_numpy())
    return read[best], _shown(best)


def _parsed(cells: pl.Series, code: str) -> pl.Series:
    """Return times, null where a cell does not fit; with fractions of seconds or without."""
    polars_code = polars_format(code)
    if hour_only(code):
        cells, polars_code = cells + "|00", f"{polars_code}|%M"
    times = cells.str.strptime(pl.Datetime("us"), polars_code, strict=False)
    if times.null_count() > cells.null_count() and "%S" in code and "%.f" not in polars_code:
        return _parsed(cells, code.replace("%S", "%S%.f"))
    stray = ~times.dt.year().is_between(FIRST_YEAR, LAST_YEAR)
    return times.set(stray.fill_null(value=False), None)


def _shown(code: str) -> str:
    return code.replace("%.f", ".%f")


def _from_epoch(table: CellTable, cells: pl.Series, label: str) -> tuple[pl.Series, str]:
    has_fraction = cells.str.contains(r"[.eE]").any()
    counts = cells.cast(pl.Float64 if has_fraction else pl.Int64, strict=False)
    unread = counts.is_null() & cells.is_not_null()
    if unread.any():
        cell = cells.filter(unread)[0]
        finding = f"{cell!r} is not a time such as {EXAMPLE}, nor seconds {EPOCH} as the others"
        raise table.wrong(label, finding, unread.to_numpy())
    return _counted(table, counts, label)


def _counted(table: CellTable, counts: pl.Series, label: str) -> tuple[pl.Series, str]:
    unit = epoch_unit(counts)
    if unit is None:
        raise table.wrong(
            label,
            f"holds {counts.min()!r} to {counts.max()!r}, "
            f"expected times such as {EXAMPLE}, or seconds {EPOCH}",
        )
    per_second = PER_SECOND[unit]
    if counts.dtype == pl.Int64 and per_second > 10**6:
        microseconds = counts // (per_second // 10**6)
    else:
        microseconds = counts * (10**6 / per_second if per_second > 10**6 else 10**6 // per_second)
    whole = microseconds.round() if microseconds.dtype == pl.Float64 else microseconds
    return whole.cast(pl.Int64).cast(pl.Datetime("us")), f"{unit} {EPOCH}"


def _from_typed(table: CellTable, column: pl.Series, label: str) -> tuple[pl.Series, str]:
    if column.dtype in (pl.Date, pl.Null):
        return column.cast(pl.Datetime("us")), "dates" if column.dtype == pl.Date else "none"
    if column.dtype.is_float():
        finite = column.cast(pl.Float64)
        return _counted(table, finite.set(~finite.is_finite(), None), label)
    if not isinstance(column.dtype, pl.Datetime):
        raise table.wrong(label, f"holds {column.dtype}, expected times such as {EXAMPLE}")
    return column, "timestamps"


def _given(cells: pl.Series) -> str:
    """Return the clocks that cells carry, in words."""
    if isinstance(cells.dtype, pl.Datetime):
        return str(cells.dtype.time_zone)
    zones = cells.str.extract(ZONE).drop_nulls().unique()
    if len(zones) != 1:
        return "several offsets"
    return "UTC" if zones[0] in ("Z", "UTC", "GMT") else str(zones[0])


def _clock(table: CellTable, label: str, wanted: str | None) -> tuple[Zone, str]:
    if wanted is not None:
        return parse_zone(wanted), f"{wanted} (set)"
    noted = re.search(r"\(([^)]*)\)|\b(gmt|utc)\b", label.replace("_", " "), re.I)
    if noted is None:
        return Zone(None, 0), "UTC (none is given)"
    name = (noted[1] or noted[2]).strip()
    try:
        return parse_zone(name), f"{name.upper() if noted[2] else name} (in the header)"
    except ValueError:
        raise table.wrong(
            label, f"{name!r} is no clock that is known; set data.time_zone"
        ) from None
