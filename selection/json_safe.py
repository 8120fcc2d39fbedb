"""Results as JSON-ready objects: what cannot be written is named and left out, the rest is kept."""

import json
import math
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt

# Python refuses to print integers of more than 4,300 digits; far fewer are already no measurement.
_MAX_INTEGER_BITS = 4096
# The JSON encoder recurses, and so does every reader.
_MAX_DEPTH = 100
_LEFT_OUT = object()

_Path = tuple[str, ...]


class UnserialisableFieldWarning(UserWarning):
    """Fields were left out of a JSON document; the message names each by its dotted path."""


def to_json_safe(obj: object) -> Any:
    """Return an object made of dicts with string keys, lists, strings, numbers, booleans and None.

    ``json.dumps(to_json_safe(obj), allow_nan=False)`` works for every object. NaN and infinities
    become None; NumPy scalars and arrays become numbers and nested lists; dataclasses become dicts;
    tuples become lists, sets sorted lists; paths become POSIX text. Times become ISO 8601 text:
    naive ones (``np.datetime64`` too) are UTC, aware ones keep their offset. Keys that are not text
    become their JSON text.

    What has no JSON form (bytes, time differences, models, an object inside itself, nesting beyond
    100 levels, an element of a list too) is left out; an unserialisable ``obj`` gives None.

    Warns
    -----
    UnserialisableFieldWarning
        Once, naming by dotted path everything that was left out.
    """
    converter = _Converter()
    safe = converter.convert(obj, ())
    if converter.left_out:
        names = ", ".join(converter.left_out)
        message = f"left out of the JSON document, as it cannot be written there: {names}"
        warnings.warn(message, UnserialisableFieldWarning, stacklevel=2)
    return None if safe is _LEFT_OUT else safe


class _Converter:
    """One conversion: what was left out so far, and the containers it is inside of."""

    def __init__(self) -> None:
        self.left_out: list[str] = []
        self._open_ids: set[int] = set()

    def convert(self, obj: object, path: _Path) -> Any:
        if isinstance(obj, Enum):
            return self.convert(obj.value, path)
        for types, to_json in _SCALARS:
            if isinstance(obj, types):
                value = to_json(obj)
                return self._leave_out(path, obj) if value is _LEFT_OUT else value
        if id(obj) in self._open_ids:
            return self._leave_out(path, obj, "inside itself")
        if len(path) >= _MAX_DEPTH:
            return self._leave_out(path, obj, "nested too deeply")
        self._open_ids.add(id(obj))
        try:
            return self._container(obj, path)
        finally:
            self._open_ids.discard(id(obj))

    def _container(self, obj: object, path: _Path) -> Any:
        if is_dataclass(obj) and not isinstance(obj, type):
            values = {field.name: getattr(obj, field.name, _LEFT_OUT) for field in fields(obj)}
            return self._mapping(values, path)
        if isinstance(obj, Mapping):
            return self._mapping(obj, path)
        if isinstance(obj, np.ndarray):
            return self._array(obj, path)
        if isinstance(obj, list | tuple | deque):
            return self._items(obj, path)
        if isinstance(obj, set | frozenset):
            return sorted(self._items(obj, path), key=lambda v: json.dumps(v, sort_keys=True))
        return self._leave_out(path, obj)

    def _mapping(self, mapping: Mapping[Any, object], path: _Path) -> dict[str, Any]:
        safe: dict[str, Any] = {}
        for key, value in mapping.items():
            name = key if type(key) is str else self._key(key, path)
            if name is None:
                continue
            if name in safe:
                self._leave_out((*path, name), value, "a second key of that name")
                continue
            converted = self.convert(value, (*path, name))
            if converted is not _LEFT_OUT:
                safe[name] = converted
        return safe

    def _key(self, key: object, path: _Path) -> str | None:
        safe = self.convert(key, (*path, f"<{type(key).__name__} key>"))
        if safe is _LEFT_OUT:
            return None
        return safe if isinstance(safe, str) else json.dumps(safe)

    def _items(self, items: Iterable[object], path: _Path) -> list[Any]:
        converted = (self.convert(item, (*path, str(i))) for i, item in enumerate(items))
        return [item for item in converted if item is not _LEFT_OUT]

    def _array(self, array: npt.NDArray[Any], path: _Path) -> Any:
        kind = array.dtype.kind
        if kind in "biu":
            return array.tolist()
        if kind == "f":
            return _finite_list(array)
        if kind not in "OUM":
            return self._leave_out(path, array, f"array of {array.dtype.name}")
        return self._items(array, path) if array.ndim else self.convert(array[()], path)

    def _leave_out(self, path: _Path, obj: object, why: str | None = None) -> object:
        self.left_out.append(f"{'.'.join(path) or 'everything'} ({why or type(obj).__name__})")
        return _LEFT_OUT


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _finite_list(array: npt.NDArray[Any]) -> Any:
    with np.errstate(over="ignore"):  # a long double beyond float64 becomes infinite, so None
        values = np.ma.filled(array, np.nan).astype(np.float64)
    finite = np.isfinite(values)
    if finite.all():
        return values.tolist()
    safe = values.astype(object)
    safe[~finite] = None
    return safe.tolist()


def _integer(value: Any) -> object:
    number = int(value)
    return number if number.bit_length() <= _MAX_INTEGER_BITS else _LEFT_OUT


def _iso_datetime(value: datetime) -> str:
    aware = value if value.utcoffset() is not None else value.replace(tzinfo=UTC)
    return aware.isoformat()


def _iso_datetime64(value: np.datetime64) -> str | None:
    if np.isnat(value):
        return None
    unit = np.datetime_data(value.dtype)[0]
    if unit in ("Y", "M", "W", "D"):
        return str(np.datetime_as_string(value, unit="D"))
    text = np.datetime_as_string(value, unit="s" if unit in ("h", "m") else None)
    return f"{text}+00:00"


# In this order: a timedelta64 is an np.integer, a datetime is a date.
_SCALARS: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    (str, str),
    ((type(None), bool), lambda value: value),
    (np.bool_, bool),
    (np.timedelta64, lambda value: _LEFT_OUT),
    ((int, np.integer), _integer),
    ((float, np.floating), _finite),
    (PurePath, PurePath.as_posix),
    (datetime, _iso_datetime),
    (date, date.isoformat),
    (np.datetime64, _iso_datetime64),
)
