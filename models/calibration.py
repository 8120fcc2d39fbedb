"""From a model's log-odds to the probability that its answers deserve: a monotone map.

It is fitted elsewhere, on rows that the model had not been fitted on; a model carries it, answers
through it and saves it as plain numbers.

Axes: N rows, K knots.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from market.bars import FloatArray

Kind = Literal["none", "platt", "isotonic"]


@dataclass(frozen=True, slots=True)
class Calibration:
    """A map of log-odds, corrected for the base rate, to probabilities; it never decreases.

    Made by `none`, `platt` or `isotonic`. Two that hold the same numbers are equal.

    Attributes
    ----------
    kind : str
        ``none``, ``platt`` or ``isotonic``.
    slope, intercept : float
        Of ``platt``, on the log-odds.
    log_odds_K, p_K : tuple of float
        Knots of ``isotonic``: where they lie, and the probability there.

    Raises
    ------
    ValueError
        If a number is not finite, the slope is negative, or knots do not increase or hold
        something that is no probability.
    """

    kind: Kind
    slope: float = 1.0
    intercept: float = 0.0
    log_odds_K: tuple[float, ...] = ()
    p_K: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in _NUMBERS:
            raise ValueError(f"kind must be one of {', '.join(_NUMBERS)}, was {self.kind}")
        for name in ("slope", "intercept"):
            _check_finite(name, getattr(self, name))
        if self.slope < 0:
            raise ValueError(f"slope must be at least 0, was {self.slope}")
        if self.kind == "isotonic":
            self._check_knots()

    @classmethod
    def none(cls) -> "Calibration":
        """Return the map that takes log-odds at their word: the sigmoid."""
        return cls("none")

    @classmethod
    def platt(cls, slope: float, intercept: float) -> "Calibration":
        """Return sigmoid(slope * log-odds + intercept).

        Platt, Probabilistic Outputs for Support Vector Machines, in Advances in Large Margin
        Classifiers (1999), equation 1.
        """
        return cls("platt", slope=slope, intercept=intercept)

    @classmethod
    def isotonic(cls, log_odds_K: Sequence[float], p_K: Sequence[float]) -> "Calibration":
        """Return straight lines between knots, constant beyond the first and the last.

        Zadrozny and Elkan, Transforming Classifier Scores into Accurate Multiclass Probability
        Estimates, KDD (2002), section 3.
        """
        return cls("isotonic", log_odds_K=tuple(log_odds_K), p_K=tuple(p_K))

    def __call__(self, log_odds_N: FloatArray) -> FloatArray:
        """Return the probability of winning for each row's log-odds."""
        if self.kind == "isotonic":
            return np.interp(log_odds_N, self.log_odds_K, self.p_K)
        with np.errstate(over="ignore"):  # an exponential too large is a probability of 0
            if self.kind == "platt":
                log_odds_N = self.slope * log_odds_N + self.intercept
            p_N: FloatArray = 1.0 / (1.0 + np.exp(-log_odds_N))
        return p_N

    def to_json(self) -> dict[str, Any]:
        """Return the kind and its numbers, as ``json`` writes them without loss."""
        numbers = {name: getattr(self, name) for name in _NUMBERS[self.kind]}
        listed = {name: list(n) if isinstance(n, tuple) else n for name, n in numbers.items()}
        return {"kind": self.kind, **listed}

    @classmethod
    def from_json(cls, description: Any) -> "Calibration":
        """Read what `to_json` returned.

        Raises
        ------
        ValueError
            If it is not that, or the numbers make no calibration.
        """
        kind = description.get("kind") if isinstance(description, Mapping) else None
        if not isinstance(kind, str) or kind not in _NUMBERS:
            raise ValueError(
                f"expected an object whose kind is one of {', '.join(_NUMBERS)}, "
                f"found {description!r:.60}"
            )
        wanted = {"kind", *_NUMBERS[kind]}
        if set(description) != wanted:
            found = ", ".join(sorted(map(repr, description)))
            raise ValueError(f"{kind} holds {', '.join(sorted(wanted))}, found {found:.80}")
        read = {name: read(name, description[name]) for name, read in _NUMBERS[kind].items()}
        return cls(kind, **read)  # type: ignore[arg-type]

    def _check_knots(self) -> None:
        if len(self.log_odds_K) != len(self.p_K) or not self.p_K:
            raise ValueError(
                "isotonic needs a probability at every knot and one knot at least, "
                f"had {len(self.log_odds_K)} log-odds and {len(self.p_K)} probabilities"
            )
        for k, (x, p) in enumerate(zip(self.log_odds_K, self.p_K, strict=True)):
            _check_finite(f"log_odds_K[{k}]", x)
            if not 0 < p < 1:
                raise ValueError(f"p_K[{k}] must be in (0, 1), was {p}")
            if k and x <= self.log_odds_K[k - 1]:
                raise ValueError(f"log_odds_K must increase, [{k}] is {x} after an equal or larger")
            if k and p < self.p_K[k - 1]:
                raise ValueError(f"p_K must never decrease, [{k}] is {p} after {self.p_K[k - 1]}")


def _check_finite(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, was {value}")


def _number(name: str, value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"{name} must be a number, was {value!r:.60}")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(f"{name} must be a finite number, was {value!r:.60}") from error


def _numbers(name: str, values: Any) -> tuple[float, ...]:
    if type(values) is not list:
        raise ValueError(f"{name} must be a list of numbers, was {values!r:.60}")
    return tuple(_number(f"{name}[{k}]", value) for k, value in enumerate(values))


_NUMBERS: dict[str, dict[str, Callable[[str, Any], Any]]] = {
    "none": {},
    "platt": {"slope": _number, "intercept": _number},
    "isotonic": {"log_odds_K": _numbers, "p_K": _numbers},
}
