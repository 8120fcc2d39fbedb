"""From a manifest and bars to what is replayed: events, directions, and how likely they win.

What a model says of rows that it has learnt from tells nothing. Decisions of development are
therefore judged by the stored predictions of fits that had not seen them, and by nothing else;
the deployed model judges what was decided when the last label it has learnt from was known.

Axes: T bars, N events, F features.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from backtest.markets import Market
from backtest.period import WARM_UP_BARS, Period, Window, moment
from backtest.predictions import Predicted, predicted
from market.bars import Bars, FloatArray
from market.definitions import Decisions, Definition, DefinitionError, definition_of
from selection import DeployedModels
from selection.challenger import challenged_until
from selection.deployed_files import DeploymentError
from selection.stored_predictions import PREDICTIONS, verified_predictions

NOT_DEPLOYED = "not deployed, chosen by nobody"
DEPLOYED = "deployed, by what was said out of fold alone"
EVENTS_MODEL = "events"
NO_MODEL = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """What one symbol is replayed with.

    Attributes
    ----------
    market : Market
    touched : Window or None
        Part of the symbol's holdout that the replay will show.
    n_out_of_fold, n_later : int
        Decisions judged out of fold, and by the deployed model.
    """

    market: Market
    touched: Window | None
    n_out_of_fold: int
    n_later: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    """Probabilities of events (NaN: may not be traded), by whom, and from when on."""

    p_N: FloatArray
    threshold: float
    model: str
    seen_until: np.datetime64 | None
    n_later: int = 0


def deployed_entries(deployed: DeployedModels, symbol: str, bars: Bars, period: Period) -> Entries:
    """Return the entries of a symbol's deployed model.

    Raises
    ------
    DeploymentError
        If no model is deployed, its files are refused, or the bars are not those it was trained on.
    DataError
        If no bars are left to replay.
    """
    selection = deployed.selection(symbol)
    model = selection["selected_model"]
    if model is None:
        raise DeploymentError(f"{symbol}: no model is deployed: {selection['reason']}")
    if symbol in deployed.refused:
        raise DeploymentError(deployed.refused[symbol])
    content = verified_predictions(deployed.folder, symbol, selection)
    known = predicted(f"{symbol}: {selection[PREDICTIONS]['path']}", content)
    kept, touched, found = _found(symbol, selection, bars, period)
    check_same_bars(known, found, kept)
    learnt_until = _stated_time(symbol, selection, "development_end")
    if len(known) and known.t0_N[-1] >= learnt_until:
        raise DeploymentError(
            f"{symbol}: predictions.development_end, {learnt_until} UTC, is not behind the last "
            "decision that was predicted out of fold; train again"
        )
    p_N = np.where(found.t0_N < learnt_until, known.at(found.t0_N), np.nan)
    later_N = answerable(found, learnt_until, deployed.lookback_rows(symbol))
    if later_N.any():
        first = int(np.argmax(later_N))
        rows_NF, before_NF = found.x_NF[first:], found.x_NF[:first]
        p_N[first:] = deployed.model_proba(symbol, rows_NF, before_NF)[:, 1]
    calibration = deployed.live_calibration(symbol)
    if calibration is not None:
        # Of earlier decisions it has read the outcomes: they stay as the model said them.
        p_N = calibration.since_fitted(found.t0_N, p_N)
    judged = _Judged(
        p_N=p_N,
        threshold=deployed.threshold(symbol),
        model=model,
        # What gave it its place has been read too.
        seen_until=max(learnt_until, challenged_until(selection) or learnt_until),
        n_later=int(later_N.sum()),
    )
    return _entries(kept, found, judged, period, touched)


def predicted_entries(
    deployed: DeployedModels,
    symbol: str,
    bars: Bars,
    period: Period,
    *,
    known: Predicted,
    model: str,
    threshold: float,
) -> Entries:
    """Return the entries of any model of a run: what was predicted out of fold, no more.

    The bars end where the holdout begins: of it these predictions say nothing.

    Raises
    ------
    DeploymentError, DataError
        As `deployed_entries`.
    """
    sealed = replace(period, opens_holdout=False)
    kept, _, found = _found(symbol, deployed.selection(symbol), bars, sealed)
    check_same_bars(known, found, kept)
    seen_until = kept.close_time_T[-1] + np.timedelta64(1, "us")
    judged = _Judged(
        p_N=known.at(found.t0_N), threshold=threshold, model=model, seen_until=seen_until
    )
    return _entries(kept, found, judged, sealed, None)


def event_entries(deployed: DeployedModels, symbol: str, bars: Bars, period: Period) -> Entries:
    """Return every event of a symbol as an entry, with no model: the baseline of every model.

    It begins with the first out-of-fold prediction that the manifest speaks of, of the deployed
    model or, where none is deployed, of any: so both trade the same bars. `begins` tells which.

    Raises
    ------
    DeploymentError, DataError
        As `deployed_entries`.
    """
    selection = deployed.selection(symbol)
    kept, touched, found = _found(symbol, selection, bars, period)
    first = begins(symbol, selection)
    if first is None:
        first = kept.start_T[0]
    p_N = np.where(found.settled_N & (found.t0_N >= first), NO_MODEL, np.nan)
    judged = _Judged(p_N=p_N, threshold=NO_MODEL, model=EVENTS_MODEL, seen_until=None)
    return _entries(kept, found, judged, period, touched)


def begins(symbol: str, selection: Mapping[str, Any]) -> np.datetime64 | None:
    """Return the first decision (UTC) predicted out of fold; None where the manifest is silent.

    Raises
    ------
    DeploymentError
        If what it says is no time.
    """
    if selection.get(PREDICTIONS) is not None:
        return _stated_time(symbol, selection, "first_decision")
    try:
        return moment(selection["windows"]["out_of_fold"]["start"])
    except (LookupError, TypeError):
        return None
    except ValueError as error:
        raise DeploymentError(f"{symbol}: windows.out_of_fold: {error}; train again") from error


def check_same_bars(known: Predicted, found: Decisions, bars: Bars) -> None:
    """Refuse bars in which the decisions that were predicted are not found again.

    Only those can be missed that any longer history would show too, and that were decided before
    the last bar, whose time may depend on the bar after it.

    Raises
    ------
    DeploymentError
        One line with the first decision that is missing.
    """
    if not found.settled_N.any() or len(bars) < 2:
        return
    first, last = found.t0_N[np.argmax(found.settled_N)], bars.close_time_T[-2]
    expected_N = known.t0_N[(known.t0_N >= first) & (known.t0_N <= last)]
    missing_N = expected_N[~np.isin(expected_N, found.t0_N)]
    if len(missing_N):
        raise DeploymentError(
            f"{bars.symbol}: these are not the bars that it was trained on: of {len(expected_N)} "
            f"decisions that were predicted {len(missing_N)} are no events in them, the first at "
            f"{missing_N[0].astype('datetime64[s]')} UTC; give the same data, or train again"
        )


def _stated_time(symbol: str, selection: Mapping[str, Any], name: str) -> np.datetime64:
    try:
        return moment(selection[PREDICTIONS][name])
    except (TypeError, ValueError) as error:
        raise DeploymentError(f"{symbol}: predictions.{name}: {error}; train again") from error


def _found(
    symbol: str, selection: Mapping[str, Any], bars: Bars, period: Period
) -> tuple[Bars, Window | None, Decisions]:
    """Return the bars to look at, the part of the holdout among them, and the events in them."""
    definition = _definition(symbol, selection)
    kept, touched = period.cut(bars, Window.of(symbol, selection))
    history = definition.features.history_bars
    if len(kept) < history:
        raise DeploymentError(
            f"{symbol}: {len(kept)} bars, at least {history} are needed for its features to settle"
        )
    if definition.bar_length not in (None, kept.length):
        raise DeploymentError(
            f"{symbol}: bars of {_minutes(kept.length)} minutes were given, the model was trained "
            f"on {_minutes(definition.bar_length)}"
        )
    return kept, touched, definition.decisions(kept)


def _definition(symbol: str, selection: Mapping[str, Any]) -> Definition:
    features = selection.get("features", {})
    if features.get("definition") is None:
        why = "its features were made elsewhere" if features else str(selection["reason"])
        raise DeploymentError(f"{symbol}: there are no events to find: {why}")
    try:
        definition = definition_of(features["definition"], selection.get("label") or {})
    except DefinitionError as error:
        raise DeploymentError(f"{symbol}: this version cannot build {error}") from error
    if list(definition.features.names) != features["names"]:
        raise DeploymentError(f"{symbol}: this version makes other features than the model's")
    return definition


def answerable(
    found: Decisions, learnt_until: np.datetime64, lookback_rows: int
) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """Return which events the deployed model may be asked about: a tail of them.

    Parameters
    ----------
    found : Decisions
    learnt_until : datetime64
        Decisions before are not answered.
    lookback_rows : int
        Events that the model looks back on, which must be settled too.
    """
    first_settled = int(np.argmax(found.settled_N)) if found.settled_N.any() else len(found)
    enough_N = np.arange(len(found)) >= first_settled + lookback_rows
    return (found.t0_N >= learnt_until) & enough_N


def _entries(
    bars: Bars, found: Decisions, judged: _Judged, period: Period, touched: Window | None
) -> Entries:
    """Put probabilities on their bars, and leave out the bars before the first, but for warm-up."""
    tradable_N = ~np.isnan(judged.p_N)
    if period.start is not None:
        tradable_N &= found.t0_N >= period.start
    close_time_T = bars.close_time_T
    bar_N = np.searchsorted(close_time_T, found.t0_N[tradable_N])
    signal_T = np.zeros(len(bars), dtype=np.int8)
    confidence_T = np.full(len(bars), np.nan)
    signal_T[bar_N] = found.direction_N[tradable_N]
    confidence_T[bar_N] = judged.p_N[tradable_N]
    first = int(bar_N[0]) if len(bar_N) else len(bars) - 1
    if period.start is not None:
        first = int(np.searchsorted(close_time_T, period.start))
    first = max(first - WARM_UP_BARS, 0)
    market = Market(
        symbol=bars.symbol,
        bars=bars_from(bars, first),
        signal_T=signal_T[first:],
        confidence_T=confidence_T[first:],
        threshold=judged.threshold,
        model=judged.model,
        seen_until=judged.seen_until,
        holdout=None if touched is None else (touched.start, touched.end),
    )
    n_later = min(judged.n_later, len(bar_N))
    return Entries(
        market=market,
        touched=touched,
        n_out_of_fold=0 if judged.model == EVENTS_MODEL else len(bar_N) - n_later,
        n_later=n_later,
    )


def bars_from(bars: Bars, first: int) -> Bars:
    """Return the bars from a position on."""
    return Bars(
        bars.symbol,
        bars.start_T[first:],
        bars.open_T[first:],
        bars.high_T[first:],
        bars.low_T[first:],
        bars.close_T[first:],
        bars.volume_T[first:],
        bars.length,
    )


def _minutes(length: np.timedelta64 | None) -> str:
    return f"{np.timedelta64(length, 'us') / np.timedelta64(60_000_000, 'us'):g}"
