"""How a cell may spell a time: the formats it fits, and whether cells are times at all."""

import re

import numpy as np
import numpy.typing as npt
import polars as pl

from market.reading.cell_table import text_cells

SAMPLE_CELLS = 200
MONTH_NAME = r"[A-Za-z]{3}"
# A date with its day or month in front may be either; with dots the day is in front.
DATES = {
    r"\d{4}-\d{1,2}-\d{1,2}": ("%Y-%m-%d",),
    r"\d{4}\.\d{1,2}\.\d{1,2}": ("%Y.%m.%d",),
    r"\d{4}/\d{1,2}/\d{1,2}": ("%Y/%m/%d",),
    r"(?:19|20)\d\d(?:0[1-9]|1[0-2])[0-3]\d": ("%Y%m%d",),
    r"\d{1,2}\.\d{1,2}\.\d{4}": ("%d.%m.%Y",),
    r"\d{1,2}/\d{1,2}/\d{4}": ("%d/%m/%Y", "%m/%d/%Y"),
    r"\d{1,2}/\d{1,2}/\d{2}": ("%d/%m/%y", "%m/%d/%y"),
    r"\d{1,2}-\d{1,2}-\d{4}": ("%d-%m-%Y", "%m-%d-%Y"),
    rf"\d{{1,2}}-{MONTH_NAME}-\d{{4}}": ("%d-%b-%Y",),
    rf"\d{{1,2}} {MONTH_NAME} \d{{4}}": ("%d %b %Y",),
    rf"{MONTH_NAME} \d{{1,2}}, \d{{4}}": ("%b %d, %Y",),
}
CLOCKS = {
    r"\d{1,2}:\d\d:\d\d\.\d+": "%H:%M:%S%.f",
    r"\d{1,2}:\d\d:\d\d": "%H:%M:%S",
    r"\d{1,2}:\d\d": "%H:%M",
    r"\d{6}": "%H%M%S",
    r"\d{4}": "%H%M",
    r"\d{1,2}": "%H",
}
CELL = re.compile(
    rf"(?P<date>{'|'.join(DATES)})"
    rf"(?:(?P<gap>T|,? +|,|)(?P<clock>{'|'.join(CLOCKS)})(?P<half>[ -]?(?i:[AP]M))?"
    r"(?P<zone> ?(?:UTC|GMT)?(?:Z|[+-]\d\d(?::?\d\d)?)?))?"
)
NUMBER = re.compile(r"-?\d+(?:\.\d*)?(?:[eE]\+?\d+)?")
CLOCK = re.compile(rf"(?:{'|'.join(CLOCKS)}|\d{{1,6}})(?:[ -]?[AaPp][Mm])?")
EPOCH = "since 1970"
PER_SECOND = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
PER_DAY = 86_400
UNITS = {"ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
EPOCH_1900_S, EPOCH_1990_S, EPOCH_2100_S = -2_208_988_800, 631_152_000, 4_102_444_800
EPOCH_2200_S = 7_258_118_400
MOST_COARSER = 0.05


def formats_of(cell: str) -> tuple[str, ...]:
    """Return the formats a cell may be written in; none if it is no time."""
    found = CELL.fullmatch(cell)
    if found is None or (found["gap"] == "" and not re.fullmatch(r"\d{12}|\d{14}", cell)):
        return (EPOCH,) if NUMBER.fullmatch(cell) else ()
    dates = next(codes for shape, codes in DATES.items() if re.fullmatch(shape, found["date"]))
    if found["clock"] is None:
        return dates
    clock = next(code for shape, code in CLOCKS.items() if re.fullmatch(shape, found["clock"]))
    if found["half"]:
        clock = clock.replace("%H", "%I") + found["half"][:-2] + "%p"
    zone = re.sub(r"(?:Z|[+-]\d\d(?::?\d\d)?)$", "%z", found["zone"])
    return tuple(f"{date}{found['gap']}{clock}{zone}" for date in dates)


def is_time(cells: pl.Series) -> bool:
    """Tell whether cells are times of any kind: dates, or counts of seconds."""
    if cells.dtype.is_temporal():
        return cells.dtype != pl.Time
    shapes = [formats_of(cell) for cell in sampled(cells)]
    if not shapes or not all(shapes):
        return False
    return (EPOCH,) not in shapes or _unit(sampled(cells)) is not None


def is_date(cells: pl.Series) -> bool:
    """Tell whether cells are dates without a time of day."""
    if cells.dtype.is_temporal():
        return cells.dtype == pl.Date
    sample = sampled(cells)
    return bool(sample) and not any("%H" in "".join(formats_of(cell)) for cell in sample)


def is_clock(cells: pl.Series) -> bool:
    """Tell whether cells are times of day without a date."""
    if cells.dtype.is_temporal():
        return cells.dtype == pl.Time
    sample = sampled(cells)
    return bool(sample) and all(CLOCK.fullmatch(cell) for cell in sample)


def sampled(cells: pl.Series) -> list[str]:
    """Return the first few cells that are not empty, as text."""
    return text_cells(as_text(cells).cast(pl.String)).drop_nulls().head(SAMPLE_CELLS).to_list()


def as_text(column: pl.Series) -> pl.Series:
    """Return whole numbers and categories as text; other columns as they are."""
    if column.dtype.is_integer() or column.dtype in (pl.Categorical, pl.Enum):
        return column.cast(pl.String)
    return column


def stray_times(column: pl.Series) -> npt.NDArray[np.bool_]:
    """Return which dates or times lie outside 1900 to 2199; an empty one does not.

    Their counts are compared, for polars panics where it is to convert or to print far times.
    """
    per_second = _per_second(column)
    first, end = (round(second * per_second) for second in (EPOCH_1900_S, EPOCH_2200_S))
    inside = column.to_physical().cast(pl.Int64).is_between(first, end, closed="left")
    return (~inside).fill_null(value=False).to_numpy()


def stray_finding(column: pl.Series, stray_T: npt.NDArray[np.bool_]) -> str:
    """Return what to say of the first of ``stray_T``."""
    count = column.to_physical()[int(np.argmax(stray_T))]
    unit = UNITS[column.dtype.time_unit] if isinstance(column.dtype, pl.Datetime) else "days"
    return f"{count} {unit} {EPOCH} is outside the years 1900 to 2199"


def epoch_unit(counts: pl.Series) -> str | None:
    """Return the unit that puts the last time between 1990 and 2100, and none before 1900."""
    least, most = counts.min(), counts.max()
    if not (isinstance(least, int | float) and isinstance(most, int | float)):
        return None
    for unit, per_second in PER_SECOND.items():
        if EPOCH_1990_S * per_second <= most <= EPOCH_2100_S * per_second:
            return unit if least >= EPOCH_1900_S * per_second else None
    return None


def coarser_counts(counts: pl.Series, unit: str) -> npt.NDArray[np.bool_] | None:
    """Return which counts are of a unit a thousand times as long or more; None where few seem so.

    What was counted in seconds looks, as milliseconds, like January 1970: a few days of a long
    history may be just that.
    """
    thousandth = EPOCH_2100_S * PER_SECOND[unit] / 1000
    coarser = counts.is_between(EPOCH_1990_S, thousandth).fill_null(value=False)
    is_many = int(coarser.sum()) > MOST_COARSER * len(counts)
    return coarser.to_numpy() if is_many and unit != "seconds" else None


def _per_second(column: pl.Series) -> float:
    if isinstance(column.dtype, pl.Datetime):
        return PER_SECOND[UNITS[column.dtype.time_unit]]
    return 1 / PER_DAY


def _unit(sample: list[str]) -> str | None:
    return epoch_unit(pl.Series(sample).cast(pl.Float64, strict=False))
