"""Frozen dataclasses from the JSON that `dataclasses.asdict` leads to, equal to what they were."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np


def time_text(value: object) -> str:
    """Return a time as JSON has it, for ``json.dumps(..., default=time_text)``.

    Raises
    ------
    TypeError
        If it is anything but a datetime64[us].
    """
    if isinstance(value, np.datetime64) and np.datetime_data(value.dtype) == ("us", 1):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def restored(kind: Any, plain: Any) -> Any:
    """Return what JSON values were before, by the type that they are declared to have.

    Parameters
    ----------
    kind : type
        A dataclass whose fields are dataclasses, tuples of one type, mappings by str, times
        (datetime64[us]), text, numbers and None, or one of these.
    plain : JSON value
        What ``json.loads`` makes of ``json.dumps(asdict(...), default=time_text)``.

    Raises
    ------
    KeyError
        If a field is missing.
    """
    if plain is None:
        return None
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        (kind,) = (one for one in inner if one is not types.NoneType)
        return restored(kind, plain)
    if origin is tuple:
        return tuple(restored(inner[0], one) for one in plain)
    if origin is Mapping:
        return {name: restored(inner[1], one) for name, one in plain.items()}
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, plain)
    return np.datetime64(plain, "us") if kind is np.datetime64 else plain


def _dataclass(kind: Any, plain: Mapping[str, Any]) -> Any:
    types_by_name = _fields(kind)
    return kind(**{name: restored(types_by_name[name], plain[name]) for name in types_by_name})


@cache
def _fields(kind: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields, by name."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
