"""Single fields of an experience: numbers, times, names with a number, parameters, lists.

Whoever wrote it, a field is taken for what it plainly is, or refused in one sentence; nothing is
guessed.
"""

import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from pydantic_core import from_json

from exits.feature_table import FEATURES, INDEX
from exits.parameters import ATR, NAMES, ParameterError, defaults, official_name

CATEGORIES: Final = ("regime", "side", "exit_reason", "session")
N_CODES: Final = {name: len(FEATURES[INDEX[name]].codes) for name in CATEGORIES}
_ATR_P: Final = NAMES.index(ATR)
_DEFAULTS: Final = defaults(1.0).tolist()
_SHOWN: Final = 40
_IN_ORDER: Final = tuple(range(len(NAMES)))
_EPOCH, _EPOCH_UTC = datetime(1970, 1, 1), datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
# What records write beside the names of the table.
_OTHER_WORDS: Final = {"side": {"buy": 0, "sell": 1}, "session": {"newyork": 2}}


class RecordError(ValueError):
    """Why a record is set aside: the kind for counting, the sentence for the reader."""

    def __init__(self, kind: str, said: str) -> None:
        super().__init__(said)
        self.kind = kind


def shown(value: object) -> str:
    """Return how a value looks, cut short."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def decoded(value: Any, name: str) -> Any:
    """Return a value that may be JSON written as a text.

    Raises
    ------
    RecordError
        If the text is no JSON.
    """
    if not isinstance(value, str):
        return value
    try:
        return from_json(value)
    except ValueError as error:
        raise RecordError("not JSON", f"{name} is a text that is not JSON: {error}") from None


def part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an object of a record; an empty one where there is none.

    Raises
    ------
    RecordError
        If it is something else.
    """
    value = record.get(name)
    if isinstance(value, dict):
        return value
    value = decoded(value, name) if value else None
    if value is not None and not isinstance(value, dict):
        raise RecordError("not an object", f"{name} must be an object, was {shown(value)}")
    return value or {}


def items(record: Mapping[str, Any], name: str) -> list[Any]:
    """Return a list of a record, in JSON or as a text; an empty one where there is none.

    Raises
    ------
    RecordError
        If it is something else.
    """
    value = record.get(name)
    if not value:
        return []
    value = decoded(value, name)
    if not isinstance(value, list):
        raise RecordError("not a list", f"{name} must be a list, was {shown(value)}")
    return value


def numbers(
    everything: Callable[[Any], Any], names: Sequence[str], given: Mapping[str, Any], within: str
) -> "array[float]":
    """Return the numbers of an object, NaN where there is none; true and false are 1 and 0.

    Parameters
    ----------
    everything : callable
        ``itemgetter`` of the names: what complete objects are read with.
    within : str
        How the object is called before a field's name in sentences.

    Raises
    ------
    RecordError
        If a field is no number.
    """
    try:
        return array("d", everything(given))
    except (KeyError, TypeError, OverflowError):
        return array("d", [_number(given.get(name), f"{within}{name}") for name in names])


def _number(value: Any, name: str) -> float:
    if value is None:
        return math.nan
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            pass
    raise RecordError("not a number", f"{name} must be a number, was {shown(value)}")


def pairs(
    record: Mapping[str, Any], name: str, value: str
) -> tuple["array[float]", "array[float]"]:
    """Return the bars of a list's items and one number of each.

    Raises
    ------
    RecordError
        If it is no list of objects, or one of the two is no number.
    """
    found = items(record, name)
    if not found:
        return array("d"), array("d")
    try:
        bars = array("d", [item["bar"] for item in found])
        return bars, array("d", [item[value] for item in found])
    except (KeyError, TypeError, IndexError, OverflowError):
        pass
    for item in found:
        if not isinstance(item, dict):
            raise RecordError("not an object", f"{name} must hold objects, held {shown(item)}")
    columns = (
        [_number(item.get(one), f"{name}.{one}") for item in found] for one in ("bar", value)
    )
    bars, values = (array("d", column) for column in columns)
    return bars, values


def time_us(value: object, name: str) -> int:
    """Return a time in microseconds since 1970, UTC; one without a zone is UTC.

    Raises
    ------
    RecordError
        If it is no time.
    """
    try:
        moment = datetime.fromisoformat(value)  # type: ignore[arg-type]
        return (moment - (_EPOCH if moment.tzinfo is None else _EPOCH_UTC)) // _MICROSECOND
    except (TypeError, ValueError, OverflowError):
        said = f"{name} must be a time such as 2024-03-01T13:00:00Z, was {shown(value)}"
        raise RecordError("bad timestamp", said) from None


def first_time_us(record: Mapping[str, Any], names: Sequence[str]) -> int | None:
    """Return the first of some times that a record has, see `time_us`; None if it has none."""
    for name in names:
        if (value := record.get(name)) is not None:
            return time_us(value, name)
    return None


def code(name: str, value: Any, told: list[tuple[str, ...]]) -> int:
    """Return the number of a category's name in any case, or the number itself.

    What is missing or unknown is the table's ``other``, and told. A side is known by its name
    alone: whether 1 is long or short is not agreed.
    """
    known = _CODES[name]
    if type(value) is str:
        found = known.get(value)
        if found is None:
            found = known.get(value.lower().translate(_FILLERS))
        if found is not None:
            return found
    elif isinstance(value, int | float) and name != "side" and value in range(N_CODES[name]):
        return int(value)
    told.append(("missing", name) if value is None else ("unknown", name, shown(value)))
    return N_CODES[name] - 1


_FILLERS = str.maketrans("", "", " _-")


def _codes(name: str) -> dict[str, int]:
    names = {one: number for number, one in enumerate(FEATURES[INDEX[name]].codes)}
    if name != "exit_reason":
        # Nobody means the table's own word for what it does not know.
        del names["other"]
    plain = {one.lower().translate(_FILLERS): number for one, number in names.items()}
    return names | plain | _OTHER_WORDS.get(name, {})


_CODES = {name: _codes(name) for name in CATEGORIES}


@lru_cache(maxsize=1024)
def places(names: tuple[str, ...]) -> tuple[int, ...]:
    """Return where parameters stand in the table, by their names or older ones.

    Raises
    ------
    RecordError
        If one is unknown, or given twice.
    """
    try:
        found = [official_name(name) for name in names]
    except ParameterError as error:
        raise RecordError("unknown parameter", str(error)) from None
    if twice := [name for name in found if found.count(name) > 1]:
        raise RecordError("parameter given twice", f"{twice[0]} is given twice under two names")
    where = tuple(NAMES.index(name) for name in found)
    return _IN_ORDER if where == _IN_ORDER else where


def parameter_row(
    values: Sequence[Any], names: tuple[str, ...], where: tuple[int, ...], atr: float, said: str
) -> "array[float]":
    """Return all 132 parameters; those not given are the defaults, `current_atr` is ``atr``.

    Parameters
    ----------
    values : sequence
        As they stand in the record, in the order of ``names``.
    where : tuple of int
        The `places` of the names.
    said : str
        How the sequence is called in sentences.

    Raises
    ------
    RecordError
        If there are more or fewer values than names, or one is no finite number.
    """
    try:
        row = array("d", values)
    except (TypeError, OverflowError):
        row = array("d", [math.nan])
    if len(row) != len(names) or not math.isfinite(sum(row)):
        _check(values, names, said)
    if where is _IN_ORDER:
        return row
    full = array("d", _DEFAULTS)
    full[_ATR_P] = atr
    for place, value in zip(where, row, strict=True):
        full[place] = value
    return full


def _check(values: Sequence[Any], names: tuple[str, ...], said: str) -> None:
    if not isinstance(values, list | tuple) or len(values) != len(names):
        raise RecordError(
            "not the parameters", f"{said} must be a list of {len(names)}, was {shown(values)}"
        )
    for name, value in zip(names, values, strict=True):
        if not math.isfinite(_number(value, f"{said}.{name}")):
            raise RecordError(
                "not a number", f"{said}.{name} must be a finite number, was {shown(value)}"
            )
