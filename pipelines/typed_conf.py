"""Checks configuration against the constructors it feeds: names, types, ranges."""

import dataclasses
import inspect
import types
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

from market.bars import DataError
from models.base import Model
from pipelines.command import ConfigError, nearest
from pipelines.sections import CHOICES, MODEL_SECTIONS, SCALARS, SECTIONS

MISSING = "???"
# Arguments of constructors that are no settings of theirs.
GIVEN_BY_THE_RUN = ("clock", "gives_up", "seed")


def built(conf: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    """Return a value or an object for each of the root keys that a command has.

    Raises
    ------
    ConfigError
        One line naming the key that is unknown, missing, of a wrong type or out of range.
    """
    for key in conf:
        if key not in keys:
            raise ConfigError(f"{key}: unknown key{nearest(key, keys)}")
    given: dict[str, Any] = {}
    # Data last: whatever else is wrong is said before a folder is looked at.
    for key in sorted(keys, key=lambda key: (key == "data", key)):
        if key not in conf and key not in MODEL_SECTIONS:
            raise ConfigError(f"{key} is missing; see --help")
        if key in CHOICES:
            given[key] = chosen(key, conf[key])
        elif key in SECTIONS:
            given[key] = section(key, conf[key], SECTIONS[key])
        elif key in MODEL_SECTIONS:
            given[key] = _models(key, conf.get(key, {}))
        else:
            given[key] = typed(key, conf[key], SCALARS[key])
        if key == "seed" and given[key] < 0:
            raise ConfigError(f"seed must be at least 0, was {given[key]}")
    return given


def root_values(
    conf: Mapping[str, Any], kinds: Mapping[str, Any], *, group: str | Collection[str]
) -> dict[str, Any]:
    """Return the root keys of a command that has groups besides; raises ConfigError as `built`.

    The groups are only seen to be there.
    """
    known = {*kinds, *([group] if isinstance(group, str) else group)}
    for key in conf:
        if key not in known:
            raise ConfigError(f"{key}: unknown key{nearest(key, known)}")
    for key in sorted(known):
        if key not in conf:
            raise ConfigError(f"{key} is missing; see --help")
    return {key: typed(key, conf[key], kind) for key, kind in kinds.items()}


def chosen(group: str, values: Any, options: Mapping[str, type] | None = None) -> Any:
    """Return the object that a group's ``kind`` names; raises ConfigError as `built`.

    ``options`` are those of a group that not every command knows.
    """
    options = options or CHOICES[group]
    kind = values.get("kind") if isinstance(values, Mapping) else None
    if not isinstance(kind, str) or kind not in options:
        raise ConfigError(
            f"{group}.kind: must be one of {', '.join(options)}, was {kind}; choose by {group}=..."
        )
    return section(group, arguments(values), options[kind])


def model_of(path: str, name: str, values: Mapping[str, Any]) -> Model:
    """Return the model of this name with these hyperparameters; raises ConfigError as `built`."""
    model: Model = section(path, values, MODEL_SECTIONS["models"][name])
    return model


def _models(group: str, values: Any) -> dict[str, Model]:
    known = MODEL_SECTIONS[group]
    if not isinstance(values, Mapping):
        raise ConfigError(f"{group}: must hold models, was {values!r}")
    for name in values:
        if name not in known:
            raise ConfigError(f"{group}.{name}: unknown model{nearest(name, known)}")
    return {
        name: section(f"{group}.{name}", values[name], kind)
        for name, kind in known.items()
        if name in values
    }


def section(path: str, values: Any, kind: type) -> Any:
    """Return an object made of a section's keys and values; raises ConfigError as `built`."""
    parameters = _keywords(kind)
    hints = typing.get_type_hints(kind.__init__)  # type: ignore[misc]
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path}: must hold keys ({', '.join(parameters)}), was {values!r}")
    for key in values:
        if key not in parameters:
            raise ConfigError(f"{path}.{key}: unknown key{nearest(key, parameters)}")
    for key, parameter in parameters.items():
        if key not in values and parameter.default is inspect.Parameter.empty:
            raise ConfigError(f"{path}.{key} is missing")
    checked = {key: typed(f"{path}.{key}", value, hints[key]) for key, value in values.items()}
    try:
        return kind(**checked)
    except DataError as error:
        raise ConfigError(f"{path}.dir: {error}") from error
    except ValueError as error:
        raise ConfigError(_located(path, str(error), parameters)) from error


def _located(path: str, sentence: str, parameters: Iterable[str]) -> str:
    """Put a section's path before a constructor's sentence, which may begin with a key."""
    if sentence.startswith(f"{path}."):
        return sentence
    first = sentence.split()[0].partition(".")[0]
    return f"{path}{'.' if first in parameters else ': '}{sentence}"


def _keywords(kind: type) -> dict[str, inspect.Parameter]:
    """Return the named arguments of a constructor that a configuration may set."""
    named = inspect.signature(kind).parameters
    return {
        name: one
        for name, one in named.items()
        if one.kind is not one.VAR_KEYWORD and name not in GIVEN_BY_THE_RUN
    }


def typed(path: str, value: Any, kind: Any) -> Any:
    """Return a value of the type a key has; raises ConfigError as `built`."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    if value == MISSING:
        raise ConfigError(f"{path} is missing: give {path}=...")
    # A group of its own, checked where it was made.
    if dataclasses.is_dataclass(value):
        return value
    try:
        finite = TypeAdapter(kind, config=ConfigDict(allow_inf_nan=False))
        return finite.validate_python(value, strict=True)
    except ValidationError as error:
        key = error.errors()[0]["loc"][:1]
        if isinstance(value, Mapping) and key:
            path, kind, value = f"{path}.{key[0]}", typing.get_args(kind)[1], value[key[0]]
        raise ConfigError(f"{path} must be {_in_words(kind)}, was {value!r}") from None


def _in_words(kind: Any) -> str:
    """Name a type as a person who writes configuration would."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return " or ".join(_in_words(one) for one in typing.get_args(kind))
    if typing.get_origin(kind) in (list, Sequence):
        return _list_in_words(typing.get_args(kind)[0])
    if typing.get_origin(kind) is Literal:
        return f"one of {', '.join(typing.get_args(kind))}"
    if typing.get_origin(kind) is dict:
        return "keys and values"
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return words.get(kind, "null" if kind is types.NoneType else str(kind))


def _list_in_words(item: Any) -> str:
    if typing.get_origin(item) is Literal:
        return f"a list of any of {', '.join(typing.get_args(item))}"
    if typing.get_origin(item) is dict:
        return "a list such as [{key: 1},{key: 2}]"
    return f"a list such as [{'A,B' if item is str else '1,2'}]"


def arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a group's ``kind`` is constructed with."""
    return {key: value for key, value in values.items() if key != "kind"}
