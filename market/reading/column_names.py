"""Which column of a price file is the time, the open, ... : by its name, or by its place."""

import re
from collections.abc import Mapping

from market.bars import DataError
from market.reading.cell_numbers import sample_numbers
from market.reading.cell_table import CellTable
from market.reading.safe_names import clipped, some
from market.reading.time_formats import is_clock, is_date, is_time

PRICES = ("open", "high", "low", "close")
SAMPLE_ROWS = 100

TIME_NAMES = (
    *("timestamp", "timestamputc", "datetime", "datetimeutc", "time", "timeutc", "utctime"),
    *("gmttime", "timegmt", "localtime", "opentime", "bartime", "starttime", "dateandtime"),
    *(
        "date",
        "day",
        "dtyyyymmdd",
        "datum",
        "zeit",
        "unix",
        "unixtime",
        "unixtimestamp",
        "epoch",
        "ts",
        "t",
    ),
)
DATE_NAMES = ("date", "day", "dtyyyymmdd", "datum")
# What pandas calls an index without a name, and a spreadsheet a column without one.
INDEX_NAMES = ("", "index", "unnamed:0", "indexlevel0")
SIDES = ("bid", "ask", "mid")
VOLUME_NAMES = (
    ("volume",),
    ("tickvolume", "tickvol", "tickqty", "tickcount"),
    ("vol", "v"),
    ("realvolume", "realvol"),
)

Fields = dict[str, tuple[int, ...]]


def field_columns(table: CellTable, wanted: Mapping[str, str | int | None]) -> Fields:
    """Return the columns (from 0) of time, open, high, low, close and, if any, volume.

    ``time`` has two where date and time of day stand apart. What ``wanted`` names is taken as it
    says, the rest is found by name, or without a header by place.

    Raises
    ------
    DataError
        If a field is missing, could be several columns, or ``wanted`` names what is not there.
    """
    said = {key: _said(table, key, value) for key, value in wanted.items() if value is not None}
    needed = [key for key in PRICES if key not in said]
    if table.names is None:
        found = _by_place(table) if needed or not {"time", "date"} & said.keys() else {}
    else:
        found = _by_name(table, table.names, said)
    for key in (*PRICES, "volume"):
        found.update({key: said[key]} if key in said else {})
    if "time" in said or "date" in said:
        found["time"] = said.get("date", ()) + said.get("time", ())
    missing = [key for key in ("time", *PRICES) if not found.get(key)]
    if missing:
        names = [table.label(column) for column in range(len(table.columns))]
        apart = " (data.columns.date=... too where the date stands apart)"
        raise DataError(
            f"{table.file}: no column {', '.join(missing)}; found {some(names)}; say which it is "
            f"with data.columns.{missing[0]}=...{apart if missing[0] == 'time' else ''}"
        )
    return {key: columns for key, columns in found.items() if columns}


def plain(name: str) -> str:
    """Return a column's name without case, blanks and signs: ``<TICK_VOL>`` is ``tickvol``."""
    return re.sub(r"[\s_./<>*\"'-]+|^\d+\.\s*", "", name.lower())


def as_setting(label: str) -> str:
    """Return what a setting may call a column: its name, without signs that a shell reads."""
    if label.startswith("column "):
        return label.removeprefix("column ")
    return label if re.fullmatch(r"\w+", label) else plain(label) or label


def _said(table: CellTable, key: str, value: str | int) -> tuple[int, ...]:
    if isinstance(value, int):
        if value > len(table.columns):
            raise DataError(
                f"{table.file}: data.columns.{key}={value}, but it has {len(table.columns)} columns"
            )
        return (value - 1,) if value else ()
    names = table.names or ()
    for spelled in (lambda name: name, str.lower, plain):
        at = [i for i, name in enumerate(names) if spelled(name) == spelled(value.strip())]
        if len(at) == 1:
            return (at[0],)
    found = f"found {some(list(names))}" if names else "it has no header; say its position"
    raise DataError(f"{table.file}: data.columns.{key}={clipped(value)} is no one column; {found}")


def _by_name(
    table: CellTable, names: tuple[str, ...], said: Mapping[str, tuple[int, ...]]
) -> Fields:
    keys = [_without_note(plain(name)) for name in names]
    found: Fields = {}
    if "time" not in said and "date" not in said:
        found["time"] = _time(table, keys)
    for field in PRICES:
        if field not in said:
            found[field] = _one(table, keys, field, _price_names(field))
    if "volume" not in said:
        found["volume"] = _volume(table, keys)
    return found


def _price_names(field: str) -> tuple[tuple[str, ...], ...]:
    letter = field[0]
    spelled = (letter, f"{field}price", f"price{field}")
    sided = [(side + x, x + side) for side in SIDES for x in (field, letter)]
    closing = ("closelast",) if field == "close" else ()
    last = (("last",),) if field == "close" else ()
    return (field,), (*spelled, *closing), tuple(name for pair in sided for name in pair), *last


def _one(
    table: CellTable, keys: list[str], field: str, ranks: tuple[tuple[str, ...], ...]
) -> tuple[int, ...]:
    for rank in ranks:
        at = [column for column, key in enumerate(keys) if key in rank]
        if len(at) > 1:
            first, second = (table.label(column) for column in at[:2])
            raise DataError(
                f"{table.file}: columns {first} and {second} (positions {at[0] + 1} and "
                f"{at[1] + 1}) could both be {field}; say which with data.columns.{field}="
                f"{at[0] + 1}"
            )
        if at:
            return (at[0],)
    return ()


def _volume(table: CellTable, keys: list[str]) -> tuple[int, ...]:
    found = _one(table, keys, "volume", VOLUME_NAMES)
    in_units = [column for column, key in enumerate(keys) if re.fullmatch(r"volume[a-z(].*", key)]
    return found or tuple(in_units[:1])


def _time(table: CellTable, keys: list[str]) -> tuple[int, ...]:
    times = [column for column, key in enumerate(keys) if key in TIME_NAMES]
    dates = [column for column in times if keys[column] in DATE_NAMES]
    if len(dates) == 1:
        for column in times:
            if column not in dates and is_clock(table.columns[column].head(SAMPLE_ROWS)):
                return (dates[0], column)
    if times:
        return _one(table, keys, "time", tuple((name,) for name in TIME_NAMES))
    index = [column for column, key in enumerate(keys) if key in INDEX_NAMES]
    return tuple(column for column in index if is_time(table.columns[column].head(SAMPLE_ROWS)))[:1]


def _without_note(key: str) -> str:
    """Drop the clock a name notes, as in ``Time (EET)``."""
    return re.sub(r"^((?:date)?(?:time|date|timestamp))\([^)]*\)$", r"\1", key)


def _by_place(table: CellTable) -> Fields:
    heads = [column.head(SAMPLE_ROWS) for column in table.columns]
    for at, head in enumerate(heads[:4]):
        if not is_time(head):
            continue
        layouts: list[tuple[int, ...]] = [(at,)]
        if is_date(head) and at + 1 < len(heads) and is_clock(heads[at + 1]):
            layouts.insert(0, (at, at + 1))
        for time in layouts:
            first = time[-1] + 1
            numbers = [sample_numbers(head) for head in heads[first : first + 5]]
            if len(numbers) >= 4 and _are_prices(numbers[:4]):
                places = {key: (first + i,) for i, key in enumerate(PRICES)}
                has_volume = len(numbers) == 5 and numbers[4] is not None
                return {"time": time, **places, "volume": (first + 4,) if has_volume else ()}
    raise DataError(
        f"{table.file}: has no header, and its {len(heads)} columns are not time, open, high, low, "
        "close; say which they are with data.columns.time=1 and so on, or data.header=true"
    )


def _are_prices(numbers: list[list[float] | None]) -> bool:
    """Tell whether four columns are open, high, low, close in most rows."""
    if any(column is None for column in numbers):
        return False
    rows = list(zip(*(column or [] for column in numbers), strict=False))
    fitting: int = sum(
        high >= max(open_, close) and low <= min(open_, close) for open_, high, low, close in rows
    )
    return bool(2 * fitting > len(rows))
