"""What a caller hands over for a prediction, as the arrays that are predicted from.

Axes: T bars, N rows, F features.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from market.bars import Bars, DataError, FloatArray
from market.checks.bar_checks import usable_bars
from market.data_files import numbers, utc_times
from market.reading.raw_bars import GIVEN, FileFormat, RawBars
from market.reading.safe_names import printable, some

TIME_NAMES = ("timestamp", "time", "datetime", "date")
PRICES = ("open", "high", "low", "close")
# Kinds of NumPy's dtypes: float, signed and unsigned integer.
NUMBERS = "fiu"


def feature_rows(what: str, given: Any, names_F: Sequence[str]) -> FloatArray:
    """Return features as a float64 array, columns in the order of ``names_F``.

    Parameters
    ----------
    what : str
        Begins every message: ``EURUSD`` or ``EURUSD, context``.
    given : array, DataFrame or mapping
        An array has one column per name, in that order. Columns of a polars or pandas frame, or
        of a mapping (one row, where it holds single numbers), are taken by name; others are left.
        Only float and integer are numbers, and boolean in a column of its own: what could be read
        as a number, as a text or a time could, is not.

    Raises
    ------
    DataError
        If the shape does not fit, a column is missing or there twice, holds no numbers, or a value
        is no finite number.
    """
    named = type(given) is not np.ndarray and _is_named(given)
    x_NF = _by_name(what, given, names_F) if named else _numbers(what, given)
    if x_NF.ndim != 2 or x_NF.shape[1] != len(names_F):
        raise DataError(
            f"{what}: features of shape {x_NF.shape} were given, expected (n_rows, {len(names_F)})"
        )
    # A live decision waits for this: counting takes half the time of all() on one row.
    if np.count_nonzero(np.isfinite(x_NF)) < x_NF.size:
        row, column = np.argwhere(~np.isfinite(x_NF))[0]
        raise DataError(
            f"{what}: row {row}, feature {names_F[column]} is {x_NF[row, column]}, "
            "expected a finite number"
        )
    return x_NF


def closed_bars(symbol: str, given: Any, *, length: timedelta | None, now: datetime | None) -> Bars:
    """Return the bars that have closed.

    Parameters
    ----------
    symbol : str
    given : Bars or DataFrame
        A polars or pandas frame has one row per bar: its start in a column timestamp, time,
        datetime or date, or in a pandas index (UTC where no zone is given), open, high, low, close
        and, if there is one, volume; in any case. Others are left. The rows go through the checks
        and repairs of price files (`market.checks.bar_checks.usable_bars`), so that they become the
        bars that training would have made of them; a bad row is refused.
    length : timedelta or None
        Length of a frame's bars; None takes the commonest step between two.
    now : datetime or None
        The moment of the decision, UTC where it has no zone; None asks the clock. A bar that has
        not ended by then is left out: what it says is not what it will have said.

    Raises
    ------
    DataError
        If the bars are another symbol's, cannot be used, or begin in the future.
    """
    now_utc = _moment(datetime.now(UTC) if now is None else now)
    if not isinstance(given, Bars):
        return _bars_of(symbol, given, length, now_utc)
    if given.symbol != symbol:
        raise DataError(f"{symbol}: was given the bars of {given.symbol}")
    if len(given) and given.start_T[-1] > now_utc:
        raise DataError(
            f"{symbol}: the last bar begins at {given.start_T[-1]}, but now is {now_utc}; "
            "give the starts of bars in UTC"
        )
    return given.until(int(np.count_nonzero(given.close_time_T <= now_utc)))


def _is_named(given: Any) -> bool:
    return isinstance(given, Mapping) or hasattr(given, "columns")


def _by_name(what: str, given: Any, names_F: Sequence[str]) -> FloatArray:
    keys = list(given if isinstance(given, Mapping) else given.columns)
    held = [str(key) for key in keys]
    key_of = dict(zip(held, keys, strict=True))
    missing = [name for name in names_F if name not in key_of]
    if missing:
        raise DataError(f"{what}: no column {some(missing)}; found {some(held)}")
    if len(key_of) < len(held):
        twice = [name for name in names_F if held.count(name) > 1]
        if twice:
            raise DataError(f"{what}: column {some(twice)} twice; nobody knows which is meant")
    # A column of yes and no is one of 1 and 0, as it was in the table that was trained on.
    columns = [
        np.atleast_1d(_numbers(f"{what}, column {name}", given[key_of[name]], kinds=f"{NUMBERS}b"))
        for name in names_F
    ]
    for name, column in zip(names_F, columns, strict=True):
        if column.shape != columns[0].shape or column.ndim != 1:
            raise DataError(
                f"{what}: column {name} has shape {column.shape}, {names_F[0]} "
                f"{columns[0].shape}; expected as many rows in each"
            )
    return np.stack(columns, axis=1)


def _numbers(what: str, given: Any, *, kinds: str = NUMBERS) -> FloatArray:
    """Return float64, of numbers only: NumPy would make some of texts, times and objects too."""
    if isinstance(given, pl.Series) and given.dtype.is_numeric():
        # Decimals, which NumPy takes for objects, are trained on as what they come closest to.
        given = given.cast(pl.Float64)
    try:
        found = np.asarray(given)
        if found.dtype.kind in kinds:
            numbers_given = np.asarray(found, dtype=np.float64)
            if isinstance(given, np.ma.MaskedArray):
                numbers_given = np.where(np.ma.getmaskarray(given), np.nan, numbers_given)
            return numbers_given
    except (TypeError, ValueError) as error:
        raise DataError(f"{what}: holds no numbers: {str(error).partition(chr(10))[0]}") from error
    raise DataError(
        f"{what}: holds no numbers: its dtype is {printable(str(found.dtype))}, expected float or "
        "integer"
    )


def _bars_of(symbol: str, given: Any, length: timedelta | None, now_utc: np.datetime64) -> Bars:
    frame = given if isinstance(given, pl.DataFrame) else _from_pandas(symbol, given)
    names = [name.strip().lower() for name in frame.columns]
    twice = [name for name in names if names.count(name) > 1]
    time_name = next((name for name in TIME_NAMES if name in names), TIME_NAMES[0])
    missing = [name for name in (time_name, *PRICES) if name not in names]
    if twice or missing:
        finding = f"column {twice[0]} twice" if twice else f"no column {', '.join(missing)}"
        raise DataError(f"{symbol}: {finding}; found {some(names)}")
    held = dict(zip(names, frame.get_columns(), strict=True))
    place = Path(symbol)
    open_T, high_T, low_T, close_T = (
        numbers(held[name], place, "a price above 0") for name in PRICES
    )
    has_volume = "volume" in held
    raw = RawBars(
        path=place,
        start_T=utc_times(held[time_name], place),
        open_T=open_T,
        high_T=high_T,
        low_T=low_T,
        close_T=close_T,
        volume_T=numbers(held["volume"], place, "a volume") if has_volume else np.zeros(len(frame)),
        row_T=np.arange(1, len(frame) + 1),
        format=_format(time_name, ("volume",) if has_volume else ()),
    )
    step = None if length is None else np.timedelta64(length, "us")
    bars, _ = usable_bars(raw, symbol=symbol, length=step, max_dropped=0.0, now_utc=now_utc)
    return bars


def _format(time_name: str, volume: tuple[str, ...]) -> FileFormat:
    return FileFormat(
        kind=GIVEN,
        encoding=None,
        separator=None,
        compression=None,
        has_header=True,
        time_format="as given",
        time_zone="as given, else UTC",
        columns={"time": time_name} | {name: name for name in (*PRICES, *volume)},
        ignored=(),
    )


def _from_pandas(symbol: str, given: Any) -> pl.DataFrame:
    if not (hasattr(given, "columns") and hasattr(given, "index")):
        raise DataError(
            f"{symbol}: bars must be market.bars.Bars or a polars or pandas DataFrame, "
            f"was {type(given).__name__}"
        )
    columns = {str(name): given[name] for name in given.columns}
    if not {name.strip().lower() for name in columns} & set(TIME_NAMES):
        columns[TIME_NAMES[0]] = given.index.to_series()
    return pl.DataFrame([_series(name, column) for name, column in columns.items()])


def _series(name: str, column: Any) -> pl.Series:
    if getattr(column.dtype, "tz", None) is not None:
        column = column.dt.tz_convert(None)
    values = column.to_numpy()
    return pl.Series(name, values.tolist() if values.dtype.kind == "O" else values, strict=False)


def _moment(moment: datetime) -> np.datetime64:
    zoned = moment if moment.utcoffset() is not None else moment.replace(tzinfo=UTC)
    return np.datetime64(zoned.astimezone(UTC).replace(tzinfo=None), "us")
