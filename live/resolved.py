"""What a deployed model said of events that nothing it was made from has read, and what came of it.

Every event counts, traded or not, by the outcome that its label is defined by: trades that were
taken are a choice of the model, and other exits than the barriers end them.

Axes: N events, F features.
"""

from dataclasses import dataclass

import numpy as np

from backtest.entries import answerable, check_same_bars
from backtest.period import Window, moment
from backtest.predictions import predicted
from market.bars import Bars, FloatArray, TimeArray
from market.build import build_event_table
from market.compiled import BoolArray, IndexArray, SignArray
from market.definitions import Decisions
from market.event_table import UNDECIDED, EventTable
from selection import DeployedModels
from selection.challenger import challenged_until
from selection.deployed import check_history
from selection.deployed_files import DeploymentError
from selection.given import closed_bars
from selection.stored_predictions import PREDICTIONS, verified_predictions

_TICK = np.timedelta64(1, "us")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The later events of a deployed symbol whose barrier outcome is known, in time order.

    Attributes
    ----------
    symbol, model : str
    since : datetime64[us]
        Nothing that the model, its choice or its holdout score has read is at or after it, UTC.
    t0_N, t1_N : datetime64[us] arrays, shape (n_events,)
        When each was decided on, and when its outcome was known, UTC.
    direction_N : int8 array, shape (n_events,)
        +1 long, -1 short.
    y_N : int64 array, shape (n_events,)
        1 where the trade hit its target first, 0 where it did not.
    x_NF : float64 array, shape (n_events, n_features)
    weight_N : float64 array, shape (n_events,)
        Average uniqueness of the label's span, in (0, 1].
    p_N : float64 array, shape (n_events,)
        Probability of winning as the model itself says it, before any live calibration.
    p_live_N : float64 array, shape (n_events,)
        As it is acted on: mapped by the manifest's live calibration, if it has one, from the last
        outcome on that this was fitted on; before, as in ``p_N``.
    threshold : float
        What ``p_live_N`` must reach for a trade.
    taken_N : bool array, shape (n_events,)
        Where it does.
    names_F : tuple of str
    complete_until : datetime64[us]
        Of events decided on up to then every one had the bars to be decided. Those after are here
        because they were decided quickly: whoever compares rates leaves them out.
    n_open : int
        Later events whose outcome is not known yet.
    """

    symbol: str
    model: str
    since: np.datetime64
    t0_N: TimeArray
    t1_N: TimeArray
    direction_N: SignArray
    y_N: IndexArray
    x_NF: FloatArray
    weight_N: FloatArray
    p_N: FloatArray
    p_live_N: FloatArray
    threshold: float
    taken_N: BoolArray
    names_F: tuple[str, ...]
    complete_until: np.datetime64
    n_open: int

    def __len__(self) -> int:
        return len(self.t0_N)

    @property
    def n_whole(self) -> int:
        """The first so many had the bars to be decided, however long it took."""
        return int(np.searchsorted(self.t0_N, self.complete_until, side="right"))


def resolved(deployed: DeployedModels, symbol: str, bars: Bars) -> Resolved:
    """Return the events of a symbol that are later than all that its model was made and judged by.

    Features, events and labels are made by the code that made the training table, from the
    definition in the manifest.

    Parameters
    ----------
    deployed : DeployedModels
    symbol : str
    bars : Bars
        A history that began before, as training's did, or late enough for the features to settle.
        What has not closed yet is left out.

    Raises
    ------
    DeploymentError
        If no usable model is deployed, the manifest does not say up to when it has learnt, or the
        bars are not those it was trained on, too few, or of another length.
    DataError
        If the bars cannot be used.
    """
    definition, threshold = deployed.definition(symbol), deployed.threshold(symbol)
    closed = closed_bars(symbol, bars, length=None, now=None)
    check_history(closed, definition)
    found = definition.decisions(closed)
    _check_same_bars(deployed, symbol, found, closed)
    table = build_event_table(
        closed, features=definition.features, events=definition.events, labels=definition.labels
    )
    since = _since(deployed, symbol, table, closed)
    since = max(since, challenged_until(deployed.selection(symbol)) or since)
    later_N = answerable(found, since, deployed.lookback_rows(symbol))
    known_N = later_N & (table.label_N != UNDECIDED)
    p_N = np.full(len(found), np.nan)
    if known_N.any():
        first = int(np.argmax(later_N))
        p_N[first:] = deployed.model_proba(symbol, found.x_NF[first:], found.x_NF[:first])[:, 1]
    calibration = deployed.live_calibration(symbol)
    live_N = p_N if calibration is None else calibration.since_fitted(found.t0_N, p_N)
    # An event is decided max_bars after its own bar at the latest.
    whole = closed.close_time_T[: max(len(closed) - definition.labels.max_bars, 1)][-1]
    return Resolved(
        symbol=symbol,
        model=deployed.selection(symbol)["selected_model"],
        since=since,
        t0_N=found.t0_N[known_N],
        t1_N=table.t1_N[known_N],
        direction_N=found.direction_N[known_N],
        y_N=table.label_N[known_N].astype(np.int64),
        x_NF=found.x_NF[known_N],
        weight_N=table.weight_N[known_N],
        p_N=p_N[known_N],
        p_live_N=live_N[known_N],
        threshold=threshold,
        taken_N=live_N[known_N] >= threshold,
        names_F=tuple(table.names_F),
        complete_until=whole,
        n_open=int((later_N & ~known_N).sum()),
    )


def _check_same_bars(deployed: DeployedModels, symbol: str, found: Decisions, closed: Bars) -> None:
    selection = deployed.selection(symbol)
    if selection.get(PREDICTIONS) is None:
        return
    content = verified_predictions(deployed.folder, symbol, selection)
    known = predicted(f"{symbol}: {selection[PREDICTIONS]['path']}", content)
    check_same_bars(known, found, closed)


def _since(deployed: DeployedModels, symbol: str, table: EventTable, closed: Bars) -> np.datetime64:
    """Return from when on no outcome has been read: behind the last label of the holdout."""
    selection = deployed.selection(symbol)
    holdout = Window.of(symbol, selection)
    if holdout is None:
        try:
            return moment(selection[PREDICTIONS]["development_end"])
        except (LookupError, TypeError, ValueError) as error:
            raise DeploymentError(
                f"{symbol}: the manifest does not say up to when its model has learnt; train again"
            ) from error
    # Both ends of the window are decisions; what decided them came later.
    read_N = (table.t0_N >= holdout.start) & (table.t0_N <= holdout.end)
    if (table.label_N[read_N] == UNDECIDED).any():
        nothing_later: np.datetime64 = closed.close_time_T[-1] + _TICK
        return nothing_later
    behind = holdout.end + _TICK
    known_N = np.append(table.t1_N[read_N], behind)
    latest: np.datetime64 = known_N.max()
    return latest
