"""Who decides the exit parameters: the same for every trade, or varied to learn from.

Axes: K decisions, P the 132 parameters.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from exits.parameters import (
    INDEX,
    PARAMETERS,
    ExitParameter,
    defaults,
    denormalize,
    normalize,
    override,
)
from market.bars import FloatArray

ATR_P = INDEX["current_atr"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One decision that is due, with what is known at the close it is made at.

    Attributes
    ----------
    symbol : str
    number : int
        0 at the entry, then 1, 2, ... while the trade is open.
    bar : int
        Position in the symbol's bars.
    time : datetime64[us]
        Start of that bar and its length, UTC: its close, or later where the next bar began before.
    side : int
        +1 long, -1 short.
    atr : float
        Measured ATR of the bar, in price units.
    r : float
        How the trade stands; 0 at the entry.
    in_force_P : float64 array, shape (132,), or None
        Parameters until now; None at the entry.
    """

    symbol: str
    number: int
    bar: int
    time: np.datetime64
    side: int
    atr: float
    r: float
    in_force_P: FloatArray | None


@dataclass(frozen=True, slots=True)
class Decided:
    """The answer to several askings.

    Attributes
    ----------
    values_KP : float64 array, shape (n_asked, 132)
        In real units.
    sources : tuple of str
        Who decided each, for the record.
    """

    values_KP: FloatArray
    sources: tuple[str, ...]


class ExitPolicy(Protocol):
    """Decides exit parameters.

    Attributes
    ----------
    name : str
        What records call it.
    fixed_P : float64 array, shape (132,), or None
        The parameters, where every decision is the same but for `current_atr`, the measured ATR;
        then nobody is asked.
    """

    name: str
    fixed_P: FloatArray | None

    def decide(self, asked: Sequence[Asked]) -> Decided:
        """Return the parameters for each of the askings."""
        ...


class Defaults:
    """The table's defaults, some of them set otherwise.

    Parameters
    ----------
    parameters : mapping
        Name to value in real units.

    Raises
    ------
    ParameterError
        If a name is unknown or a value out of its range.
    """

    name = "defaults"

    def __init__(self, parameters: Mapping[str, float] | None = None) -> None:
        self.fixed_P: FloatArray | None = override(defaults(1.0), parameters or {})

    def decide(self, asked: Sequence[Asked]) -> Decided:
        """Return the same for all, with the ATR measured at each."""
        values_KP = np.tile(np.asarray(self.fixed_P), (len(asked), 1))
        values_KP[:, ATR_P] = [one.atr for one in asked]
        return Decided(values_KP, (self.name,) * len(asked))


class Exploring:
    """Parameters varied at every decision, so that trades differ in what they can teach.

    Each is drawn evenly from its base, as a share of its range, plus and minus ``explore`` (of an
    integer at least one step), and clipped to the range; `current_atr` from the measured ATR
    divided and multiplied by 1 + ``explore``. What is drawn hangs on seed, symbol, time and number
    of the decision alone: not on other symbols, and not on how many bars there are.

    Parameters
    ----------
    explore : float
        In (0, 1].
    seed : int
    parameters : mapping
        What the base has otherwise than the defaults.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    name = "exploration"
    fixed_P: FloatArray | None = None

    def __init__(
        self, *, explore: float, seed: int, parameters: Mapping[str, float] | None = None
    ) -> None:
        if not 0.0 < explore <= 1.0:
            raise ValueError(f"explore must be in (0, 1], was {explore}")
        self.explore = explore
        self.seed = seed
        base_P = override(defaults(1.0), parameters or {})
        self._unit_P = normalize(base_P[None], atr_bounds=(0.5, 2.0))[0]
        self._reach_P = np.array([_reach(one, explore) for one in PARAMETERS])

    def decide(self, asked: Sequence[Asked]) -> Decided:
        """Return parameters drawn for each of the askings."""
        unit_KP = np.array([self._drawn(one) for one in asked]).reshape(len(asked), -1)
        values_KP = denormalize(unit_KP, atr_bounds=(0.5, 2.0))
        ratio_K = (1.0 + self.explore) ** (2.0 * unit_KP[:, ATR_P] - 1.0)
        values_KP[:, ATR_P] = [one.atr for one in asked] * ratio_K
        return Decided(values_KP, (self.name,) * len(asked))

    def _drawn(self, one: Asked) -> FloatArray:
        place = f"{self.seed} {one.symbol} {one.time.astype(np.int64)} {one.number}".encode()
        key = int.from_bytes(hashlib.sha256(place).digest()[:16])
        draw_P = np.random.Generator(np.random.Philox(key=key)).random(len(self._unit_P))
        unit_P: FloatArray = self._unit_P + self._reach_P * (2.0 * draw_P - 1.0)
        unit_P[ATR_P] = draw_P[ATR_P]
        return np.clip(unit_P, 0.0, 1.0)


def _reach(parameter: ExitParameter, explore: float) -> float:
    """Return how far a parameter is varied, as a share of its range."""
    if parameter.kind != "integer":
        return explore
    return max(explore, 1.0 / (parameter.high - parameter.low))
