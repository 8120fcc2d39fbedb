"""What is replayed of one symbol: its bars, and what the entry model says at their closes.

Axes: T bars.
"""

from dataclasses import dataclass

import numpy as np

from market.bars import Bars, FloatArray
from market.compiled import SignArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """One symbol's bars with the signals on them.

    Attributes
    ----------
    symbol : str
    bars : Bars
    signal_T : int8 array, shape (n_bars,)
        Direction of the event at each bar's close: +1 long, -1 short, 0 where there is none. Events
        below the threshold are held too: they may close a position that goes the other way.
    confidence_T : float64 array, shape (n_bars,)
        Probability that the trade in that direction wins; NaN where there is no event.
    threshold : float
        Probability from which an entry is taken.
    model : str
        Whose probabilities these are.
    seen_until : datetime64[us] or None
        Signals before have been read by the choice of the model (UTC); None: none have.
    holdout : pair of datetime64[us] or None
        First and last decision time of an opened holdout.
    tick_size : float or None
        In price units; None takes a share of the ATR instead.

    Raises
    ------
    ValueError
        If an array is not as long as the bars, a signal is none of 1, 0 and -1, or an event has no
        probability.
    """

    symbol: str
    bars: Bars
    signal_T: SignArray
    confidence_T: FloatArray
    threshold: float
    model: str = ""
    seen_until: np.datetime64 | None = None
    holdout: tuple[np.datetime64, np.datetime64] | None = None
    tick_size: float | None = None

    def __post_init__(self) -> None:
        for name, found in (("signal_T", self.signal_T), ("confidence_T", self.confidence_T)):
            if found.shape != (len(self.bars),):
                raise ValueError(
                    f"{self.symbol}: {name} must hold one value for each of {len(self.bars)} bars, "
                    f"was of shape {found.shape}"
                )
        for name in ("open", "high", "low", "close", "volume"):
            price_T = getattr(self.bars, f"{name}_T")
            if not np.isfinite(price_T).all():
                bar = int(np.argmin(np.isfinite(price_T)))
                raise ValueError(f"{self.symbol}: bar {bar}: {name} is {price_T[bar]}, no number")
        if not np.isin(self.signal_T, (-1, 0, 1)).all():
            raise ValueError(f"{self.symbol}: each of signal_T must be 1, -1 or 0")
        if np.isnan(self.confidence_T[self.signal_T != 0]).any():
            raise ValueError(f"{self.symbol}: a signal has no probability in confidence_T")
        if self.tick_size is not None and not 0 < self.tick_size < np.inf:
            raise ValueError(f"{self.symbol}: tick_size must be above 0, was {self.tick_size}")
