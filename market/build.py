"""From bars to the event table of one symbol.

Axes: N events, F features.
"""

from dataclasses import dataclass

import numpy as np

from market.bars import Bars, FloatArray, TimeArray
from market.compiled import IndexArray, SignArray
from market.event_table import UNDECIDED, EventTable
from market.events import EveryBar, SmcEvents
from market.features.smc import SmcFeatures, SmcState
from market.labels import Labels, TripleBarrier


@dataclass(frozen=True, slots=True)
class Events:
    """The events found in bars, and what is known of each at its close.

    Attributes
    ----------
    state : SmcState
    bar_N : int64 array, shape (n_events,)
        Positions of their bars, ascending.
    direction_N : int8 array, shape (n_events,)
        +1 long, -1 short.
    x_NF : float64 array, shape (n_events, n_features)
    """

    state: SmcState
    bar_N: IndexArray
    direction_N: SignArray
    x_NF: FloatArray


def find_events(
    bars: Bars, *, features: SmcFeatures, events: SmcEvents | EveryBar, labels: TripleBarrier
) -> Events:
    """Find every event of one symbol with its features; the labels' barriers are among these."""
    state = features.state(bars)
    bar_N, direction_N = events.find(state)
    x_NF = features.rows(
        state, bar_N, direction_N, stop_atr=labels.stop_atr, profit_atr=labels.profit_atr
    )
    return Events(state, bar_N, direction_N, x_NF)


def build_event_table(
    bars: Bars, *, features: SmcFeatures, events: SmcEvents | EveryBar, labels: TripleBarrier
) -> EventTable:
    """Compute every event of one symbol: features at its close, labels as far as the bars reach.

    Events whose outcome is not known yet are kept, with label -1 and label end NaT. Adding or
    removing later bars changes no feature, direction, decided label or decided weight.

    Returns
    -------
    EventTable
        ``t0_N`` is the close time of the event's bar, ``t1_N`` that of the bar that decided.
    """
    found = find_events(bars, features=features, events=events, labels=labels)
    outcome = labels.label(bars, found.state.atr_T, found.bar_N, found.direction_N)
    return EventTable(
        symbol=bars.symbol,
        t0_N=bars.close_time_T[found.bar_N],
        x_NF=found.x_NF,
        names_F=features.names,
        label_N=outcome.label_N,
        t1_N=_label_ends(bars, outcome),
        weight_N=outcome.weight_N,
        timed_out_N=outcome.timed_out_N,
    )


def _label_ends(bars: Bars, outcome: Labels) -> TimeArray:
    t1_N = np.full(len(outcome.label_N), np.datetime64("NaT"), dtype="datetime64[us]")
    decided_N = outcome.label_N != UNDECIDED
    t1_N[decided_N] = bars.close_time_T[outcome.end_bar_N[decided_N]]
    return t1_N
