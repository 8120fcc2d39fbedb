"""Who decides the exit parameters: what is asked, what is answered, and the same for every trade.

Axes: K decisions, P the 132 parameters.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from exits.parameters import INDEX, defaults, override
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
    confidence : float
        The entry model's, at the signal.
    state_F : float64 array, shape (208,), or None
        What is known, by ``exits.feature_table``; for a policy that reads it alone.
    """

    symbol: str
    number: int
    bar: int
    time: np.datetime64
    side: int
    atr: float
    r: float
    in_force_P: FloatArray | None
    confidence: float = math.nan
    state_F: FloatArray | None = None


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
    reads_state : bool
        Whether an asking must come with its `state_F`: it costs time to put together.
    """

    name: str
    fixed_P: FloatArray | None
    reads_state: bool

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
    reads_state = False

    def __init__(self, parameters: Mapping[str, float] | None = None) -> None:
        self.fixed_P: FloatArray | None = override(defaults(1.0), parameters or {})

    def decide(self, asked: Sequence[Asked]) -> Decided:
        """Return the same for all, with the ATR measured at each."""
        values_KP = np.tile(np.asarray(self.fixed_P), (len(asked), 1))
        values_KP[:, ATR_P] = [one.atr for one in asked]
        return Decided(values_KP, (self.name,) * len(asked))


class HoldToBarrier:
    """No exit parameters at all: a stop, a target and a limit of time, as labels are made.

    A replay then knows no other rule (docs/replay_rules.md). Records show the defaults, which
    nothing has read.

    Parameters
    ----------
    profit_atr, stop_atr : float
        Distance of target and stop from the entry, in ATR of the signal bar; positive.
    max_bars : int
        Closes after which the next open ends the trade, that of the entry bar included.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    name = "hold_to_barrier"
    reads_state = False

    def __init__(self, *, profit_atr: float, stop_atr: float, max_bars: int) -> None:
        for name, value in (("profit_atr", profit_atr), ("stop_atr", stop_atr)):
            if not 0.0 < value < math.inf:
                raise ValueError(f"{name} must be above 0, was {value}")
        if max_bars < 1:
            raise ValueError(f"max_bars must be at least 1, was {max_bars}")
        self.profit_atr, self.stop_atr, self.max_bars = profit_atr, stop_atr, max_bars
        self.fixed_P: FloatArray | None = defaults(1.0)

    def decide(self, asked: Sequence[Asked]) -> Decided:
        """Return the defaults, with the ATR measured at each."""
        return Decided(defaults(np.array([one.atr for one in asked])), (self.name,) * len(asked))
