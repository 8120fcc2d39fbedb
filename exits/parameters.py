"""The 132 exit parameters: one table, and values to and from the unit interval, records and conf.

Axes: K rows, P the 132 parameters in the order of the table. Values are in real units (ticks, bars,
R, ATR, shares), units in [0, 1].

Kinds
-----
real
    Any number from low to high.
integer
    A whole number. Updates may leave a fraction: windows are rounded, the rest is read as it is.
flag
    On above 0.5; any number from 0 to 1.
decision
    A probability: of an action, which is taken above 0.7, or of a permission, which holds from 0.5.
forecast
    `current_atr`, the ATR expected until the next decision: its bounds are data's, not the table's.
"""

import csv
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
AtrBounds = tuple[float | FloatArray, float | FloatArray]
Kind = Literal["real", "integer", "flag", "decision", "forecast"]
Patience = Literal["losses", "profits", "targets", "time", ""]

ATR = "current_atr"
# Decisions that act at once, above 0.7; other decisions are permissions.
IMMEDIATE: frozenset[str] = frozenset(
    {
        "should_exit_now",
        "should_take_partial_1",
        "should_take_partial_2",
        "should_take_partial_3",
        "should_exit_dead_trade",
    }
)
# What older records call some of them.
ALIASES: dict[str, str] = {
    "underwater_timeout_minutes": "underwater_max_bars",
    "runner_hold_criteria": "runner_hold_min_r",
    "runner_exit_conditions": "runner_max_drawdown_pct",
    "friday_close_timing": "friday_close_early_threshold_r",
    "overnight_position_handling": "overnight_gap_protection_exit",
    "pre_close_exit_aggressiveness": "pre_market_close_exit_minutes",
    "low_volume_period_exit_rules": "low_volume_period_exit_threshold",
}


class ParameterError(ValueError):
    """Exit parameters that cannot be used; one line naming the parameter and what was found."""


@dataclass(frozen=True, slots=True)
class ExitParameter:
    """One row of the table: the closed range [low, high], the default, and what it does.

    Of `current_atr` low, high and default are NaN. ``patience`` says what it is patient or
    impatient with, and ``patient`` which end of the range holds a trade longer; both are empty
    where neither end does.
    """

    name: str
    group: str
    low: float
    high: float
    default: float
    kind: Kind
    patience: Patience
    patient: Literal["low", "high", ""]
    does: str


def _table() -> tuple[ExitParameter, ...]:
    text = files("exits").joinpath("exit_parameters.csv").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = list(csv.DictReader(text.splitlines()))
    for row in rows:
        row.update({key: float(row[key] or math.nan) for key in ("low", "high", "default")})
    return tuple(ExitParameter(**row) for row in rows)


PARAMETERS: tuple[ExitParameter, ...] = _table()
NAMES: tuple[str, ...] = tuple(parameter.name for parameter in PARAMETERS)
INDEX: dict[str, int] = {name: p for p, name in enumerate(NAMES)}
N_PARAMETERS = len(NAMES)

_ATR = INDEX[ATR]
_LOW_P = np.array([parameter.low for parameter in PARAMETERS])
_HIGH_P = np.array([parameter.high for parameter in PARAMETERS])
_DEFAULT_P = np.array([parameter.default for parameter in PARAMETERS])
_INTEGERS = np.flatnonzero([parameter.kind == "integer" for parameter in PARAMETERS])


def defaults(atr: float | FloatArray) -> FloatArray:
    """Return the table's defaults with `current_atr` at ``atr``.

    Parameters
    ----------
    atr : float or array
        Measured ATR in price units.

    Returns
    -------
    float64 array, shape (*atr.shape, 132)

    Raises
    ------
    ParameterError
        If an ATR is not a positive finite number.
    """
    given = np.asarray(atr, np.float64)
    if not (np.isfinite(given) & (given > 0)).all():
        raise ParameterError(f"{ATR} must be positive and finite, was {atr}")
    values = np.tile(_DEFAULT_P, (*given.shape, 1))
    values[..., _ATR] = given
    return values


def normalize(values_KP: FloatArray, *, atr_bounds: AtrBounds) -> FloatArray:
    """Return real units as numbers in [0, 1]: 0 at a parameter's low, 1 at its high, clipped.

    Parameters
    ----------
    values_KP : float64 array, shape (K, 132)
    atr_bounds : pair of floats, or of arrays of shape (K,)
        Low and high of `current_atr`, for all rows or for each.

    Raises
    ------
    ParameterError
        If a value is not finite, or the bounds are no range of positive numbers.
    """
    low, high = _bounds(values_KP, "values", atr_bounds)
    unit_KP: FloatArray = np.clip((values_KP - low) / (high - low), 0.0, 1.0)
    return unit_KP


def denormalize(unit_KP: FloatArray, *, atr_bounds: AtrBounds) -> FloatArray:
    """Return numbers in [0, 1] as real units; what lies outside is clipped.

    Integers come out whole, halves rounded up. Flags and decisions stay numbers in [0, 1]: rules
    compare them with their threshold. The ends of a range come out exactly.

    Parameters and errors are those of `normalize`.
    """
    low, high = _bounds(unit_KP, "units", atr_bounds)
    unit_KP = np.clip(unit_KP, 0.0, 1.0)
    values_KP: FloatArray = np.clip(low * (1.0 - unit_KP) + high * unit_KP, low, high)
    values_KP[:, _INTEGERS] = np.floor(values_KP[:, _INTEGERS] + 0.5)
    return values_KP


def _bounds(x_KP: FloatArray, what: str, atr_bounds: AtrBounds) -> tuple[FloatArray, FloatArray]:
    """Return low and high of every cell; raises ParameterError for what cannot be scaled."""
    if x_KP.ndim != 2 or x_KP.shape[1] != N_PARAMETERS:
        raise ParameterError(f"{what} must have shape (K, {N_PARAMETERS}), had {x_KP.shape}")
    if not (finite_KP := np.isfinite(x_KP)).all():
        k, p = (int(place) for place in np.argwhere(~finite_KP)[0])
        raise ParameterError(f"{NAMES[p]} must be finite, was {x_KP[k, p]} in row {k} of {what}")
    low_K, high_K = (
        np.broadcast_to(np.asarray(bound, np.float64), len(x_KP)) for bound in atr_bounds
    )
    if not ((low_K > 0) & (low_K < high_K) & np.isfinite(high_K)).all():
        raise ParameterError(f"bounds of {ATR} must be 0 < low < high, were {atr_bounds}")
    low_KP, high_KP = np.tile(_LOW_P, (len(x_KP), 1)), np.tile(_HIGH_P, (len(x_KP), 1))
    low_KP[:, _ATR], high_KP[:, _ATR] = low_K, high_K
    return low_KP, high_KP


def override(values: FloatArray, given: Mapping[str, float]) -> FloatArray:
    """Return a copy of parameters with some set, as ``exits.parameters`` does.

    Parameters
    ----------
    values : float64 array, shape (132,) or (K, 132)
    given : mapping
        Name (or older name) to value.

    Raises
    ------
    ParameterError
        If a name is unknown, or a value lies outside its range or is no whole number where it must
        be; the sentence begins with ``parameters.<name>``.
    """
    changed = values.copy()
    for name, value in given.items():
        try:
            changed[..., INDEX[official_name(name)]] = _checked(official_name(name), value)
        except ParameterError as error:
            raise ParameterError(f"parameters.{error}") from None
    return changed


def _checked(name: str, value: float) -> float:
    parameter = PARAMETERS[INDEX[name]]
    if name == ATR:
        raise ParameterError(f"{ATR} cannot be set: it is the ATR of each decision")
    if not isinstance(value, int | float) or not parameter.low <= value <= parameter.high:
        span = f"[{parameter.low:g}, {parameter.high:g}]"
        raise ParameterError(f"{name} must be a number in {span}, was {value!r}")
    if parameter.kind == "integer" and value != math.floor(value):
        raise ParameterError(f"{name} must be a whole number, was {value}")
    return value


def official_name(name: str) -> str:
    """Return the table's name for a name or an older one.

    Raises
    ------
    ParameterError
        If there is no such parameter; the nearest name is in the sentence.
    """
    official = ALIASES.get(name, name)
    if official in INDEX:
        return official
    close = difflib.get_close_matches(str(name), [*NAMES, *ALIASES], n=1)
    hint = f", did you mean {close[0]}?" if close else "; docs/exit_parameters.md lists all"
    raise ParameterError(f"{name}: unknown exit parameter{hint}")
