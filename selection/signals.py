"""What a deployed model says about a history of bars.

Axes: N events, F features.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from market.bars import FloatArray, TimeArray
from market.compiled import BoolArray, SignArray

Action = Literal["BUY", "SELL", "HOLD"]


@dataclass(frozen=True, slots=True)
class Signal:
    """What to do at the close of the last bar.

    Attributes
    ----------
    action : "BUY", "SELL" or "HOLD"
    reason : str or None
        Why it is HOLD.
    direction : int or None
        +1 or -1 where the last bar is an event.
    p_win : float or None
        Probability that the trade in that direction wins, where the last bar is an event.
    """

    action: Action
    reason: str | None
    direction: int | None
    p_win: float | None


@dataclass(frozen=True, slots=True)
class BarSignals:
    """The events of a history of closed bars, and how each would have been judged at its close.

    Attributes
    ----------
    symbol, model : str
    threshold : float
        A trade is taken where its probability of winning is at least this.
    t0_N : datetime64[us] array, shape (n_events,)
        Decision time, UTC: the close of the event's bar.
    direction_N : int8 array, shape (n_events,)
        +1 long, -1 short.
    p_win_N : float64 array, shape (n_events,)
    settled_N : bool array, shape (n_events,)
        Enough bars and events come before: a longer history would say the same.
    closed_at : datetime64[us]
        Close of the last closed bar, UTC.
    x_NF : float64 array, shape (n_events, n_features), or None
        What the model was asked with, where it was kept.
    """

    symbol: str
    model: str
    threshold: float
    t0_N: TimeArray
    direction_N: SignArray
    p_win_N: FloatArray
    settled_N: BoolArray
    closed_at: np.datetime64
    x_NF: FloatArray | None = None

    def __len__(self) -> int:
        return len(self.t0_N)

    @property
    def signal(self) -> Signal:
        """What to do now, at the close of the last closed bar."""
        if len(self) == 0 or self.t0_N[-1] != self.closed_at:
            return Signal("HOLD", "no event at its close", None, None)
        direction, p_win = int(self.direction_N[-1]), float(self.p_win_N[-1])
        if not self.settled_N[-1]:
            return Signal("HOLD", "the history is too short to be sure", direction, p_win)
        return judged(direction, p_win, self.threshold)


def judged(direction: int, p_win: float, threshold: float) -> Signal:
    """Return what to do about an event of which enough is known."""
    if p_win >= threshold:
        return Signal("BUY" if direction > 0 else "SELL", None, direction, p_win)
    # Reached with NaN on either side too: what is not known to be enough is no trade.
    below = f"probability {shown(p_win, threshold)} is below {threshold}"
    return Signal("HOLD", below, direction, p_win)


def shown(p_win: float, threshold: float) -> str:
    """Return a probability with the digits, three or more, that tell its side of the threshold."""
    for digits in range(3, 17):
        text = f"{p_win:.{digits}f}"
        if (float(text) >= threshold) == (p_win >= threshold):
            return text
    return f"{p_win}"
