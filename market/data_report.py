"""What a symbol's data turned out to be: its bars, if it came as bars, and its events."""

from dataclasses import dataclass

import numpy as np

from market.checks.bar_report import BarReport
from market.compiled import BoolArray
from market.event_table import UNDECIDED, EventTable


@dataclass(frozen=True, slots=True)
class EventReport:
    """The rows that models are trained on.

    Attributes
    ----------
    events, decided : int
        All of them, and those whose label is known.
    wins : float or None
        Share of the labels that may be looked at; None without any.
    timed_out : float or None
        Share of the same that reached no barrier; None also where labels were made elsewhere.
    first_utc, last_utc : datetime64[us] or None
        Decision times; None without events.
    constant_features : tuple of str
        Features with one value in every row: they teach a model nothing. With the same barriers
        for every event, TBM_Risk_Per_Trade_ATR, TBM_Reward_Per_Trade_ATR and
        Distance_to_Entry_ATR are constant by construction.
    """

    events: int
    decided: int
    wins: float | None
    timed_out: float | None
    first_utc: np.datetime64 | None
    last_utc: np.datetime64 | None
    constant_features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DataReport:
    """One symbol's data.

    Attributes
    ----------
    symbol : str
    bars : BarReport or None
        None where features and labels were made elsewhere.
    events : EventReport
    """

    symbol: str
    bars: BarReport | None
    events: EventReport


def event_report(table: EventTable, *, labels_until: np.datetime64 | None) -> EventReport:
    """Count what a table of events holds.

    Parameters
    ----------
    table : EventTable
    labels_until : datetime64 or None
        When the last label of development was known: later ones are sealed, or were decided by
        sealed bars, and nothing is said of them. None where that is not known: nothing is said of
        any.
    """
    decided_N = table.label_N != UNDECIDED
    open_N = decided_N & (table.t1_N <= (labels_until or np.datetime64("NaT", "us")))
    some, timed_out_N = len(table) > 0, table.timed_out_N
    constant_F = (table.x_NF == table.x_NF[:1]).all(axis=0) & some
    return EventReport(
        events=len(table),
        decided=int(decided_N.sum()),
        wins=_share(table.label_N[open_N] == 1),
        timed_out=None if timed_out_N is None else _share(timed_out_N[open_N]),
        first_utc=table.t0_N[0] if some else None,
        last_utc=table.t0_N[-1] if some else None,
        constant_features=tuple(np.asarray(table.names_F)[constant_F].tolist()),
    )


def _share(is_N: BoolArray) -> float | None:
    return float(is_N.mean()) if len(is_N) else None
