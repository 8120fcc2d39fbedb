"""What a sweep may try of one model: ranges of its hyperparameters, inside the regularised region.

The configured hyperparameters are the weakest allowed: of a range, what would regularise less than
they do is cut off. Where a range does not hold what is configured, that is not tried.
"""

import inspect
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.base import Model

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Number = int | float


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; whole ones where both are.

    With ``log`` by orders of magnitude. Raises ValueError where there are none, or no end.
    """

    low: Number
    high: Number
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"low must not be above high ({self.high}), was {self.low}")
        if not math.isfinite(self.high - self.low):
            raise ValueError(f"low and high must be finite, were {self.low} and {self.high}")
        if self.log and not self.low > 0:
            raise ValueError(f"low must be above 0 with log: true, was {self.low}")

    @property
    def whole(self) -> bool:
        """Return whether only whole numbers are tried."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def __contains__(self, value: object) -> bool:
        """Return whether a value may be tried."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high and (not self.whole or value == int(value))


@dataclass(frozen=True, slots=True)
class Choices:
    """Some values, of which lists are known by their JSON; raises ValueError without any."""

    choices: list[Any]

    def __post_init__(self) -> None:
        if not self.choices:
            raise ValueError("choices must hold a value, was empty")

    def __contains__(self, value: object) -> bool:
        """Return whether a value may be tried."""
        return value in self.choices


class SearchSpace:
    """The ranges of one model.

    Parameters
    ----------
    model : Model
        As configured.
    wanted : mapping
        A range or choices, by hyperparameter.
    unbounded : bool
        Whether what regularises less than the model as configured may be tried too.

    Raises
    ------
    ValueError
        One line that begins with the hyperparameter.
    """

    def __init__(
        self, model: Model, wanted: Mapping[str, Range | Choices], *, unbounded: bool
    ) -> None:
        self._model = model
        self.asked = dict(wanted)
        self.tried: dict[str, Range | Choices] = {}
        # All that is not searched, and what it is in every trial.
        self._fixed = dict(model.hyperparameters)
        for name in self.asked:
            asked = self._typed(name)
            inside = asked if unbounded else self._inside(name, asked)
            if inside is None:
                continue
            if len(set(map(str, _ends(inside)))) > 1:
                self.tried[name] = inside
                del self._fixed[name]
            else:
                self._fixed[name] = _ends(inside)[0]
        if not self.tried:
            raise ValueError("nothing is left to be tried; give a range that is wider")
        for name, tried in self.tried.items():
            self._check(name, tried)

    def distributions(self) -> "dict[str, BaseDistribution]":
        """Return the space as Optuna has it."""
        return {name: _distribution(one) for name, one in self.tried.items()}

    def hyperparameters(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return all hyperparameters of a model that is tried with Optuna's parameters."""
        decoded = {name: _decoded(self.tried[name], value) for name, value in params.items()}
        return {**self._fixed, **decoded}

    def params(self, hyperparameters: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return Optuna's parameters for hyperparameters; None where the space has them not."""
        for name, value in hyperparameters.items():
            if name not in self._model.hyperparameters:
                return None
            if not (
                value in self.tried[name] if name in self.tried else value == self._fixed[name]
            ):
                return None
        return {name: _encoded(self.tried[name], hyperparameters[name]) for name in self.tried}

    def in_words(self) -> list[tuple[str, str, str]]:
        """Return of each hyperparameter its name, what is tried, and what is cut off."""
        lines = []
        for name, asked in self.asked.items():
            tried = self.tried.get(name)
            shown = _shown(tried) if tried else f"{self._fixed[name]} only"
            lines.append((name, shown, "" if _shown(asked) == shown else f"of {_shown(asked)}"))
        return lines

    def _typed(self, name: str) -> Range | Choices:
        """Return what is asked for as the model takes it: whole numbers, or any."""
        asked, own = self.asked[name], self._model.hyperparameters[name]
        may_be_none = isinstance(asked, Choices) and name not in self._model.stronger_when
        for value in _ends(asked):
            if _kind(value) != _kind(own) and not (may_be_none and None in (value, own)):
                raise ValueError(f"{name}: {value} cannot be tried: must be {_kind(own)}, as {own}")
        if inspect.signature(type(self._model)).parameters[name].annotation is int:
            parts = [value for value in _ends(asked) if isinstance(value, float)]
            if parts:
                raise ValueError(f"{name}: must be whole numbers, was {parts[0]}")
        elif isinstance(asked, Range):
            return Range(float(asked.low), float(asked.high), asked.log)
        return asked

    def _inside(self, name: str, asked: Range | Choices) -> Range | Choices | None:
        """Cut off what regularises less than the model as configured; None where that is all."""
        stronger = self._model.stronger_when.get(name)
        own = self._model.hyperparameters[name]
        if stronger is None:
            return asked
        if isinstance(asked, Range):
            low = max(asked.low, own) if stronger == "larger" else asked.low
            high = min(asked.high, own) if stronger == "smaller" else asked.high
            return Range(low, high, asked.log) if low <= high else None
        sign = 1 if stronger == "larger" else -1
        kept = [one for one in asked.choices if sign * _size(one) >= sign * _size(own)]
        return Choices(kept) if kept else None

    def _check(self, name: str, tried: Range | Choices) -> None:
        """Build the model with the ends of a range; raises ValueError with its sentence."""
        for value in _ends(tried):
            try:
                type(self._model)(**{**self._model.hyperparameters, name: value})
            except ValueError as error:
                raise ValueError(f"{name}: {value} cannot be tried: {error}") from error


def _ends(asked: Range | Choices) -> Sequence[Any]:
    return asked.choices if isinstance(asked, Choices) else (asked.low, asked.high)


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return f"a list of {' and '.join(sorted({_kind(one) for one in value}))}"
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "text"}
    return kinds.get(type(value), "null")


def _distribution(tried: Range | Choices) -> "BaseDistribution":
    from optuna import distributions

    if isinstance(tried, Choices):
        values = [_encoded(tried, one) for one in tried.choices]
        return distributions.CategoricalDistribution(values)
    if tried.whole:
        return distributions.IntDistribution(int(tried.low), int(tried.high), log=tried.log)
    return distributions.FloatDistribution(float(tried.low), float(tried.high), log=tried.log)


def _encoded(tried: Range | Choices, value: Any) -> Any:
    """Return a value as Optuna takes it, who knows no lists."""
    if isinstance(tried, Choices):
        return json.dumps(value) if isinstance(value, list) else value
    return int(value) if tried.whole else float(value)


def _decoded(tried: Range | Choices, value: Any) -> Any:
    if isinstance(tried, Choices):
        return next(one for one in tried.choices if _encoded(tried, one) == value)
    return value


def _shown(tried: Range | Choices) -> str:
    if isinstance(tried, Choices):
        return ", ".join(str(one) for one in tried.choices)
    return f"{tried.low:g} to {tried.high:g}" + (" (log)" if tried.log else "")


def _size(value: Any) -> float:
    return float(sum(value)) if isinstance(value, list) else float(value)
