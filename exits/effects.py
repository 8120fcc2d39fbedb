"""What decided parameters differ from their defaults by, and in which state: for pictures.

Axes: K decisions, P the 132 parameters, I bins of a state, J groups beside each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from exits.conditions import REGIMES
from exits.parameters import ATR, INDEX, NAMES, PARAMETERS
from market.bars import FloatArray

SESSIONS: Final = ("Asia", "London", "NY")
SIDES: Final = ("long", "short")
# In the unit of a parameter's range; less is no move that a reader would see.
LEAST_MOVE: Final = 0.01
_BINS, _FEWEST_BINS = 6, 3
# Of the ratio of `current_atr` to the measured ATR, which is what is shown of it.
_RATIO = (0.5, 2.0, 1.0)

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionStates:
    """The state at each decision, as far as it is shown.

    Attributes
    ----------
    regime_K, session_K : int64 array, shape (n_decisions,)
        Places in `REGIMES` and `SESSIONS`; -1 where unknown.
    side_K : int64 array
        0 long, 1 short.
    numbers : dict of str to float64 array
        Numbers by the words that an axis has for them; NaN where unknown.
    """

    regime_K: IntArray
    session_K: IntArray
    side_K: IntArray
    numbers: dict[str, FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Means of one parameter by a state.

    Attributes
    ----------
    state : str
        What the rows are bins of.
    rows, columns : tuple of str
    at_I : float64 array or None
        Mean of the state in each bin, where it is a number.
    mean_IJ : float64 array
        In real units; NaN where there is no decision.
    n_IJ : int64 array
    """

    state: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    at_I: FloatArray | None
    mean_IJ: FloatArray
    n_IJ: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One parameter: how far it is moved, and where.

    Attributes
    ----------
    name : str
    low, high, default : float
        Of `current_atr` those of its ratio to the measured ATR.
    mean : float
        Over all decisions.
    moved : float
        Mean distance from the default, as a share of the range.
    by : tuple of Means
    """

    name: str
    low: float
    high: float
    default: float
    mean: float
    moved: float
    by: tuple[Means, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain values."""
        by = {
            one.state: {"rows": one.rows, "columns": one.columns, "mean": one.mean_IJ.tolist()}
            for one in self.by
        }
        numbers = {name: getattr(self, name) for name in ("low", "high", "default", "mean")}
        return {"name": self.name, **numbers, "moved": self.moved, "by": by}


def effects(
    decided_KP: FloatArray, atr_K: FloatArray, states: DecisionStates, *, most: int = 6
) -> tuple[Effect, ...]:
    """Return the parameters that are moved most from their defaults, the farthest first.

    Parameters
    ----------
    decided_KP : float64 array, shape (n_decisions, 132)
        In real units.
    atr_K : float64 array, shape (n_decisions,)
        Measured; NaN where unknown.
    states : DecisionStates
    most : int
        At most so many.
    """
    if not len(decided_KP):
        return ()
    moved_P = np.array([_moved(decided_KP, atr_K, p) for p in range(len(NAMES))])
    order = np.argsort(-moved_P, kind="stable")[:most]
    kept = [int(p) for p in order if moved_P[p] >= LEAST_MOVE]
    binned = {name: _Bins.of(number_K) for name, number_K in states.numbers.items()}
    # Of a number that hardly varies there is nothing to see.
    told = {name: one for name, one in binned.items() if len(one.rows) >= _FEWEST_BINS}
    return tuple(_effect(decided_KP, atr_K, states, told, p, float(moved_P[p])) for p in kept)


def _scale(p: int) -> tuple[float, float, float]:
    one = PARAMETERS[p]
    return _RATIO if one.name == ATR else (one.low, one.high, one.default)


def _shown(decided_KP: FloatArray, atr_K: FloatArray, p: int) -> FloatArray:
    value_K: FloatArray = decided_KP[:, p]
    return value_K / atr_K if p == INDEX[ATR] else value_K


def _moved(decided_KP: FloatArray, atr_K: FloatArray, p: int) -> float:
    low, high, default = _scale(p)
    distance_K = np.abs(_shown(decided_KP, atr_K, p) - default) / (high - low)
    known_K = distance_K[np.isfinite(distance_K)]
    return float(known_K.mean()) if known_K.size else 0.0


def _effect(
    decided_KP: FloatArray,
    atr_K: FloatArray,
    states: DecisionStates,
    numbers: Mapping[str, "_Bins"],
    p: int,
    moved: float,
) -> Effect:
    low, high, default = _scale(p)
    value_K = _shown(decided_KP, atr_K, p)
    known_K = np.isfinite(value_K)
    cells = _means(value_K, known_K, states.regime_K, states.session_K, (REGIMES, SESSIONS))
    by = [Means(state="regime", rows=REGIMES, columns=SESSIONS, at_I=None, **cells)]
    for name, bins in numbers.items():
        kept_K = known_K & bins.known_K
        cells = _means(value_K, kept_K, bins.bin_K, states.side_K, (bins.rows, SIDES))
        by.append(Means(state=name, rows=bins.rows, columns=SIDES, at_I=bins.at_I, **cells))
    return Effect(
        name=NAMES[p],
        low=low,
        high=high,
        default=default,
        mean=float(value_K[known_K].mean()),
        moved=moved,
        by=tuple(by),
    )


@dataclass(frozen=True, slots=True)
class _Bins:
    """Decisions in bins of a number."""

    rows: tuple[str, ...]
    bin_K: IntArray
    known_K: NDArray[np.bool_]
    at_I: FloatArray

    @classmethod
    def of(cls, number_K: FloatArray) -> "_Bins":
        known_K = np.isfinite(number_K)
        edges = _edges(number_K[known_K])
        rows = tuple(_span(low, high) for low, high in pairwise((-np.inf, *edges, np.inf)))
        bin_K = np.searchsorted(edges, number_K, side="right")
        n_I = np.bincount(bin_K[known_K], minlength=len(rows))
        with np.errstate(invalid="ignore"):
            at_I = np.bincount(bin_K[known_K], number_K[known_K], len(rows)) / n_I
        return cls(rows, bin_K, known_K, at_I)


def _edges(known_K: FloatArray) -> FloatArray:
    """Return inner edges of bins that hold about as many decisions each."""
    if not known_K.size:
        return np.empty(0)
    inner = np.quantile(known_K, np.linspace(0, 1, _BINS + 1)[1:-1])
    return np.unique(inner)


def _span(low: float, high: float) -> str:
    if np.isinf(low):
        return "all" if np.isinf(high) else f"below {high:.3g}"
    return f"from {low:.3g}" if np.isinf(high) else f"{low:.3g} to {high:.3g}"


def _means(
    value_K: FloatArray,
    known_K: NDArray[np.bool_],
    row_K: IntArray,
    column_K: IntArray,
    names: tuple[Sequence[str], Sequence[str]],
) -> dict[str, Any]:
    shape = (len(names[0]), len(names[1]))
    kept_K = known_K & (row_K >= 0) & (column_K >= 0)
    place_K = row_K[kept_K] * shape[1] + column_K[kept_K]
    n_IJ = np.bincount(place_K, minlength=shape[0] * shape[1]).reshape(shape)
    sum_IJ = np.bincount(place_K, value_K[kept_K], shape[0] * shape[1]).reshape(shape)
    with np.errstate(invalid="ignore"):
        return {"mean_IJ": sum_IJ / n_IJ, "n_IJ": n_IJ}
