"""From bars to the event table of one symbol."""

import numpy as np

from market.bars import Bars, TimeArray
from market.event_table import UNDECIDED, EventTable
from market.events import EveryBar, SmcEvents
from market.features.smc import SmcFeatures
from market.labels import Labels, TripleBarrier


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
    state = features.state(bars)
    bar_N, direction_N = events.find(state)
    x_NF = features.rows(
        state, bar_N, direction_N, stop_atr=labels.stop_atr, profit_atr=labels.profit_atr
    )
    outcome = labels.label(bars, state.atr_T, bar_N, direction_N)
    return EventTable(
        symbol=bars.symbol,
        t0_N=bars.close_time_T[bar_N],
        x_NF=x_NF,
        names_F=features.names,
        label_N=outcome.label_N,
        t1_N=_label_ends(bars, outcome),
        weight_N=outcome.weight_N,
    )


def _label_ends(bars: Bars, outcome: Labels) -> TimeArray:
    t1_N = np.full(len(outcome.label_N), np.datetime64("NaT"), dtype="datetime64[us]")
    decided_N = outcome.label_N != UNDECIDED
    t1_N[decided_N] = bars.close_time_T[outcome.end_bar_N[decided_N]]
    return t1_N
