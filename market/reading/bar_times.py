"""Times as price files spell them: one format for a whole column, and the clock they show.

Axes: T rows of the file, in its order.
"""

import re
from collections import Counter
from typing import NamedTuple

import polars as pl

from market.bars import TimeArray
from market.reading.cell_table import NARROW, TOO_NARROW, CellTable, text_cells
from market.reading.column_names import SAMPLE_ROWS, as_setting
from market.reading.read_options import ReadOptions, hour_only, polars_format
from market.reading.safe_names import clipped, quoted
from market.reading.time_formats import (
    EPOCH,
    PER_SECOND,
    as_text,
    coarser_counts,
    epoch_unit,
    formats_of,
    is_clock,
    sampled,
    stray_finding,
    stray_times,
)
from market.reading.time_zones import UTC_NAMES, Zone, parse_zone, to_utc

EXAMPLE = "2024-01-31 13:00:00"
# In brackets, or UTC and GMT by themselves: Time (EET), Gmt time, time_utc, TimeUTC.
NOTED_ZONE = re.compile(
    r"\(([^)]*)\)|(?:\b|(?<=time)|(?<=stamp))"
    r"((?:gmt|utc)(?:[+-]\d{1,2}(?::?\d\d)?)?)(?:\b|(?=time))",
    re.I,
)
ZONE = r"(Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"


class Times(NamedTuple):
    """Starts of bars (datetime64[us], UTC), and in words their format and clock."""

    start_T: TimeArray
    time_format: str
    time_zone: str


def bar_times(table: CellTable, columns: tuple[int, ...], options: ReadOptions) -> Times:
    """Return the times of one column, or of a date's and a time's.

    A clock given in the cells wins, then UTC or GMT in the header (``Gmt time``), then
    ``options.time_zone``, then another clock that the header notes (``Time (EET)``), then UTC.
    Counts of seconds follow ``options.time_zone`` too: MetaTrader counts them on the clock of its
    server.

    Raises
    ------
    DataError
        If a cell is no time or not as the others are, if all are empty, if day and month cannot be
        told apart, if the time of day is missing, or if an hour does not exist on the clock.
    """
    label = " + ".join(table.label(column) for column in columns)
    for column in columns:
        _check_years(table, column)
    cells = _joined([as_text(table.columns[column]) for column in columns])
    if cells.dtype == pl.String:
        cells = text_cells(cells)
        _check_cells(table, cells, columns, label)
        local, time_format = _from_text(table, cells, label, options.time_format)
    else:
        local, time_format = _from_typed(table, cells, label)
    if isinstance(local.dtype, pl.Datetime) and local.dtype.time_zone is not None:
        start = local.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        words = f"{_given(cells)} (in the file)"
        return Times(start.cast(pl.Datetime("us")).to_numpy(), time_format, words)
    if local.is_null().all():
        raise table.wrong(label, f"is empty, expected times such as {EXAMPLE}")
    _check_time_of_day(table, local, columns, label)
    zone, words = _clock(table, columns, options.time_zone)
    start_T, never_T = to_utc(local.cast(pl.Datetime("us")), zone)
    if never_T.any():
        hour = local.filter(pl.Series(never_T))[0]
        finding = f"{hour} does not exist on the clock {words}, which skips it"
        raise table.wrong(label, f"{finding}; check data.time_zone", never_T)
    return Times(start_T, time_format, words)


def _check_years(table: CellTable, column: int) -> None:
    times = table.columns[column]
    if isinstance(times.dtype, pl.Date | pl.Datetime):
        stray_T = stray_times(times)
        if stray_T.any():
            raise table.wrong(table.label(column), stray_finding(times, stray_T), stray_T)


def _check_cells(table: CellTable, cells: pl.Series, columns: tuple[int, ...], label: str) -> None:
    """Refuse what programs leave in place of a time: a second header, and Excel's hashes."""
    header = " ".join(table.name(column) for column in columns).strip().lower()
    if header:
        again = (cells.str.strip_chars("\ufeff").str.to_lowercase() == header).fill_null(
            value=False
        )
        if again.any():
            finding = "the header again: files appended to one another? take the line out"
            raise table.wrong(label, finding, again.to_numpy())
    narrow = cells.str.contains(NARROW).fill_null(value=False)
    if narrow.any():
        raise table.wrong(
            label, f"{quoted(cells.filter(narrow)[0])}, {TOO_NARROW}", narrow.to_numpy()
        )


def _check_time_of_day(
    table: CellTable, local: pl.Series, columns: tuple[int, ...], label: str
) -> None:
    """Refuse dates of which most stand there more than once: the time of day is elsewhere."""
    times = local.drop_nulls().cast(pl.Datetime("us"))
    if len(columns) > 1 or 2 * times.n_unique() >= len(times):
        return
    if (times.dt.truncate("1d") != times).any():
        return
    others = (at for at in range(len(table.columns)) if at not in columns)
    clocks = (
        as_setting(table.label(at))
        for at in others
        if _has_clock(table.columns[at].head(SAMPLE_ROWS))
    )
    raise table.wrong(
        label,
        "holds only dates, and most rows repeat one; say where the time of day is with "
        f"data.columns.date={as_setting(label)} data.columns.time={next(clocks, '...')}, or keep "
        "a file per symbol",
    )


def _has_clock(head: pl.Series) -> bool:
    return is_clock(head) and (
        head.dtype == pl.Time or head.cast(pl.String).str.contains(":").any()
    )


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
        return cells, "none"
    shapes = Counter(shape for cell in sample if (shape := formats_of(cell)))
    if wanted is None and not shapes:
        finding = f"{quoted(sample[0])} is not a time such as {EXAMPLE}; see data.time_format"
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
            f"{quoted(sample[0])} may be day or month first, and no row "
            f"tells; say which with data.time_format='{formats[0]}' or '{formats[1]}'",
        )
    best = min(formats, key=lambda code: misfits[code])
    if misfits[best]:
        unread = read[best].is_null() & cells.is_not_null()
        fitting = cells.filter(read[best].is_not_null()).head(1).to_list()
        finding = (
            f"{quoted(cells.filter(unread)[0])} is not a time such as "
            f"{clipped((fitting or [EXAMPLE])[0])}, written {_shown(best)}; see data.time_format"
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
    return times.set(pl.Series(stray_times(times)), None)


def _shown(code: str) -> str:
    return code.replace("%.f", ".%f")


def _from_epoch(table: CellTable, cells: pl.Series, label: str) -> tuple[pl.Series, str]:
    has_fraction = cells.str.contains(r"[.eE]").any()
    counts = cells.cast(pl.Float64 if has_fraction else pl.Int64, strict=False)
    unread = counts.is_null() & cells.is_not_null()
    if unread.any():
        cell = cells.filter(unread)[0]
        finding = (
            f"{quoted(cell)} is not a time such as {EXAMPLE}, nor seconds {EPOCH} as the others"
        )
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
    coarser_T = coarser_counts(counts, unit)
    if coarser_T is not None:
        finding = f"{counts.filter(pl.Series(coarser_T))[0]!r} seems not to count {unit} {EPOCH}, "
        raise table.wrong(label, f"{finding}as others do; write all in one unit", coarser_T)
    if counts.dtype == pl.Int64 and per_second > 10**6:
        microseconds = counts // (per_second // 10**6)
    else:
        microseconds = counts * (10**6 / per_second if per_second > 10**6 else 10**6 // per_second)
    whole = microseconds.round() if microseconds.dtype == pl.Float64 else microseconds
    return whole.cast(pl.Int64).cast(pl.Datetime("us")), f"{unit} {EPOCH}"


def _from_typed(table: CellTable, column: pl.Series, label: str) -> tuple[pl.Series, str]:
    if column.dtype == pl.Null:
        return column, "none"
    if column.dtype == pl.Date:
        return column.cast(pl.Datetime("us")), "dates"
    if column.dtype.is_float():
        counts = column.cast(pl.Float64)
        counts = counts.set(~counts.is_finite(), None)
        return (counts, "none") if counts.is_null().all() else _counted(table, counts, label)
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


def _clock(table: CellTable, columns: tuple[int, ...], wanted: str | None) -> tuple[Zone, str]:
    header = " + ".join(table.name(column) for column in columns)
    noted = NOTED_ZONE.search(header.replace("_", " "))
    name = "" if noted is None else (noted[1] or noted[2]).strip()
    if wanted is not None and name.lower() not in UTC_NAMES:
        return parse_zone(wanted), f"{wanted} (set)"
    if noted is None:
        return Zone(None, 0), "UTC (none is given)"
    try:
        zone = parse_zone(name)
        return zone, f"{clipped(name.upper() if noted[2] else name)} (in the header)"
    except ValueError:
        label = " + ".join(table.label(column) for column in columns)
        raise table.wrong(
            label, f"{quoted(name)} is no clock that is known; set data.time_zone"
        ) from None
