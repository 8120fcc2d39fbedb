"""Triple-barrier labels: whether the trade wins.

Axes: T bars, N events.
"""

from dataclasses import dataclass

import numpy as np

from market.bars import Bars, FloatArray
from market.compiled import BoolArray, IndexArray, SignArray, compiled
from market.event_table import UNDECIDED
from market.samples import uniqueness


@dataclass(frozen=True, slots=True)
class Labels:
    """Outcome of each event.

    Attributes
    ----------
    label_N : int8 array
        1 where the trade wins, 0 where it loses, -1 where the bars end before it is decided.
    end_bar_N : int64 array
        Position of the bar that decided, -1 where undecided. The label is known at its close.
    timed_out_N : bool array
        Decided by the last bar's close, no barrier having been reached.
    weight_N : float64 array
        Average uniqueness of the label's span among all events, in (0, 1].
    """

    label_N: SignArray
    end_bar_N: IndexArray
    timed_out_N: BoolArray
    weight_N: FloatArray


class TripleBarrier:
    """Profit, stop and time, whichever comes first.

    After López de Prado, Advances in Financial Machine Learning, 2018, section 3.4. The trade is
    entered at the open of the bar after the event, in the event's direction. Its barriers lie at
    multiples of the ATR of the event's bar and count as reached when the price touches them, from
    the entry bar on. A bar that touches both is a stop: which came first cannot be seen. After
    `max_bars` bars, entry bar included, the trade wins if that bar's close lies beyond the entry,
    and loses otherwise.

    Parameters
    ----------
    profit_atr, stop_atr : float
        Distance of the barriers from the entry, in ATR; positive.
    max_bars : int
        Bars the trade may last, at least 1.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    def __init__(self, *, profit_atr: float, stop_atr: float, max_bars: int) -> None:
        for name, value in (("profit_atr", profit_atr), ("stop_atr", stop_atr)):
            if not value > 0:
                raise ValueError(f"{name} must be positive, was {value}")
        if max_bars < 1:
            raise ValueError(f"max_bars must be at least 1, was {max_bars}")
        self.profit_atr = float(profit_atr)
        self.stop_atr = float(stop_atr)
        self.max_bars = max_bars

    def label(
        self, bars: Bars, atr_T: FloatArray, bar_N: IndexArray, direction_N: SignArray
    ) -> Labels:
        """Decide each event as far as the bars reach.

        A label's span, in bars, is [event bar + 1, end bar + 1); undecided ones last to infinity,
        so that no decided row's weight changes when bars are added.

        Parameters
        ----------
        bars : Bars
        atr_T : float64 array, shape (n_bars,)
            In price units, positive.
        bar_N : int64 array, shape (n_events,)
            Positions of the events' bars, ascending.
        direction_N : int8 array, shape (n_events,)
            +1 long, -1 short.
        """
        label_N, end_bar_N, timed_out_N = _first_barrier(
            np.array(bars.open_T),
            np.array(bars.high_T),
            np.array(bars.low_T),
            np.array(bars.close_T),
            np.array(atr_T),
            np.array(bar_N, dtype=np.int64),
            np.array(direction_N, dtype=np.int8),
            self.profit_atr,
            self.stop_atr,
            self.max_bars,
        )
        start_N = bar_N.astype(np.float64) + 1.0
        end_N = np.where(label_N == UNDECIDED, np.inf, end_bar_N.astype(np.float64) + 1.0)
        weight_N = uniqueness(start_N, end_N)
        return Labels(label_N, end_bar_N, timed_out_N, weight_N)


@compiled
def _first_barrier(
    open_T: FloatArray,
    high_T: FloatArray,
    low_T: FloatArray,
    close_T: FloatArray,
    atr_T: FloatArray,
    bar_N: IndexArray,
    direction_N: SignArray,
    profit_atr: float,
    stop_atr: float,
    max_bars: int,
) -> tuple[SignArray, IndexArray, BoolArray]:
    label_N = np.full(len(bar_N), -1, dtype=np.int8)
    end_bar_N = np.full(len(bar_N), -1, dtype=np.int64)
    timed_out_N = np.zeros(len(bar_N), dtype=np.bool_)
    for n in range(len(bar_N)):
        first = bar_N[n] + 1
        if first >= len(open_T):
            continue
        long = direction_N[n] > 0
        entry = open_T[first]
        profit = entry + direction_N[n] * profit_atr * atr_T[bar_N[n]]
        stop = entry - direction_N[n] * stop_atr * atr_T[bar_N[n]]
        for t in range(first, min(first + max_bars, len(open_T))):
            stopped = low_T[t] <= stop if long else high_T[t] >= stop
            reached = high_T[t] >= profit if long else low_T[t] <= profit
            if stopped or reached:
                label_N[n] = 0 if stopped else 1
                end_bar_N[n] = t
                break
            if t == first + max_bars - 1:
                label_N[n] = int(close_T[t] > entry if long else close_T[t] < entry)
                end_bar_N[n] = t
                timed_out_N[n] = True
    return label_N, end_bar_N, timed_out_N
