"""What a symbol's data turned out to be: its bars, if it came as bars, and its events."""

from dataclasses import dataclass

import numpy as np

from market.checks.bar_report import BarReport
from market.event_table import UNDECIDED, EventTable


@dataclass(frozen=True, slots=True)
class EventReport:
    """The rows that models are trained on.

    Attributes
    ----------
    events, decided : int
        All of them, and those whose label is known.
    wins : float or None
        Share of the decided ones; None without any.
    timed_out : float or None
        Share of the decided ones that reached no barrier; None where labels were made elsewhere.
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


def event_report(table: EventTable) -> EventReport:
    """Count what a table of events holds."""
    decided_N = table.label_N != UNDECIDED
    n_decided = int(decided_N.sum())
    some = len(table) > 0
    constant_F = (table.x_NF == table.x_NF[:1]).all(axis=0) if some else np.zeros(0, dtype=bool)
    timed_out = table.n_timed_out
    return EventReport(
        events=len(table),
        decided=n_decided,
        wins=float(table.label_N[decided_N].mean()) if n_decided else None,
        timed_out=timed_out / n_decided if n_decided and timed_out is not None else None,
        first_utc=table.t0_N[0] if some else None,
        last_utc=table.t0_N[-1] if some else None,
        constant_features=tuple(np.asarray(table.names_F)[constant_F].tolist()) if some else (),
    )
