"""Answers about entries: from rows of features, or from bars, to BUY, SELL or HOLD.

Axes: N rows, F features.
"""

import difflib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import polars as pl

from live.service.loaded import LoadedManifest, Symbol
from live.service.problems import Problem
from live.service.questions import (
    BarColumns,
    EntryBars,
    EntryQuestion,
    EntryRows,
    NamedEntryRows,
    frame_name,
    frame_seconds,
)
from market.bars import DataError, FloatArray
from market.reading.safe_names import clipped, printable, some
from selection.deployed_files import DeploymentError
from selection.signals import Signal, judged

SELECTED, MEMBER, CANDIDATE = "selected", "member", "candidate"
_NO_EVENT: Final = "the last closed bar is no event"
_CONTEXT_OF: Final = {"features": "context", "named_features": "named_context"}
_COLUMNS: Final = ("open", "high", "low", "close", "volume")


def entry_answer(loaded: LoadedManifest, name: str, question: EntryQuestion) -> dict[str, Any]:
    """Return the answer about one symbol, as it is sent.

    Raises
    ------
    Problem
        404 for a symbol that the manifest does not hold, 409 where rows or bars do not fit its
        model, 422 where they contradict themselves.
    """
    symbol = loaded.symbols.get(name)
    if symbol is None:
        raise Problem(404, f"{clipped(name)} is not in the manifest{_nearest(name, loaded)}")
    if symbol.model is None:
        return _held(loaded, symbol, question)
    if isinstance(question, EntryBars):
        return _from_bars(loaded, symbol, question)
    return _from_rows(loaded, symbol, question)


def _nearest(name: str, loaded: LoadedManifest) -> str:
    folded = {one.casefold(): one for one in loaded.symbols}
    found = difflib.get_close_matches(name.casefold()[:64], folded, n=1)
    if found:
        return f"; did you mean {folded[found[0]]}?"
    return f"; there are: {some(list(loaded.symbols))}"


def _held(loaded: LoadedManifest, symbol: Symbol, question: EntryQuestion) -> dict[str, Any]:
    """Answer for a symbol without a model: nothing is traded, and the manifest says why."""
    n_rows = 1
    if not isinstance(question, EntryBars):
        n_rows = len(_given(question)[1])
        # What no model of the symbol could read is refused all the same.
        if symbol.names_F:
            field, x_NF, _ = _arrays(symbol, question)
            _directions(symbol, field, x_NF, question.directions)
    signal = _signal("HOLD", f"no model: {symbol.reason}", None, None)
    return _answer(loaded, symbol, [signal] * n_rows, _unasked(symbol))


def _from_rows(
    loaded: LoadedManifest, symbol: Symbol, question: EntryRows | NamedEntryRows
) -> dict[str, Any]:
    field, x_NF, context_NF = _arrays(symbol, question)
    if len(context_NF) < symbol.lookback_rows:
        raise Problem(
            409,
            f"{symbol.model} looks back on {symbol.lookback_rows} events, "
            f"{len(context_NF)} were given",
            field=_CONTEXT_OF[field],
        )
    direction_N = _directions(symbol, field, x_NF, question.directions)
    own_N = loaded.deployed.model_proba(symbol.name, x_NF, context_NF)[:, 1]
    if not np.isfinite(own_N).all():
        n = int(np.argmin(np.isfinite(own_N)))
        detail = f"{symbol.model} has no finite answer: a feature is far beyond any that it knows"
        raise Problem(409, detail, field=f"{field}.{n}")
    calibration = loaded.deployed.live_calibration(symbol.name)
    p_N = own_N if calibration is None else calibration(own_N)
    threshold = loaded.deployed.threshold(symbol.name)
    signals = [
        _signal_of(judged(direction, p, threshold))
        for p, direction in zip(p_N.tolist(), direction_N, strict=True)
    ]
    return _answer(loaded, symbol, signals, _candidates(symbol, own_N, x_NF))


def _arrays(
    symbol: Symbol, question: EntryRows | NamedEntryRows
) -> tuple[str, FloatArray, FloatArray]:
    """Return the field of the rows, and rows and context as arrays; raises Problem."""
    field, rows = _given(question)
    context = question.named_context if isinstance(question, NamedEntryRows) else question.context
    x_NF = _rows(symbol, field, rows)
    context_NF = x_NF[:0] if context is None else _rows(symbol, _CONTEXT_OF[field], context)
    return field, x_NF, context_NF


def _given(question: EntryRows | NamedEntryRows) -> tuple[str, Sequence[Any]]:
    if isinstance(question, EntryRows):
        return "features", question.features
    return "named_features", question.named_features


def _rows(symbol: Symbol, field: str, rows: Sequence[Any]) -> FloatArray:
    """Return rows as an array, columns in the model's order; raises Problem with the row."""
    names_F = symbol.names_F
    if isinstance(rows[0], dict):
        for n, row in enumerate(rows):
            missing = [name for name in names_F if name not in row]
            if missing:
                detail = f"{some(missing)} missing; {symbol.name} takes {len(names_F)} features"
                raise Problem(409, detail, field=f"{field}.{n}")
        rows = [[row[name] for name in names_F] for row in rows]
    for n, row in enumerate(rows):
        if len(row) != len(names_F):
            detail = f"{len(row)} features, {symbol.name} takes {len(names_F)}"
            raise Problem(409, detail, field=f"{field}.{n}")
    return np.array(rows, np.float64)


def _directions(
    symbol: Symbol, field: str, x_NF: FloatArray, given: Sequence[int] | None
) -> list[int]:
    """Return each event's direction, as its feature tells it or, without one, as it was given."""
    if given is not None and len(given) != len(x_NF):
        detail = f"{len(given)} for {len(x_NF)} rows; one each"
        raise Problem(409, detail, field="directions")
    if symbol.direction_f is None:
        if given is None:
            detail = f"is missing: no feature of {symbol.name} tells an event's direction"
            raise Problem(409, detail, field="directions")
        return list(given)
    told_N = x_NF[:, symbol.direction_f].tolist()
    for n, told in enumerate(told_N):
        wanted = (1, -1) if given is None else (given[n],)
        if told not in wanted:
            name = symbol.names_F[symbol.direction_f]
            place = name if field.startswith("named") else str(symbol.direction_f)
            expected = " or ".join(map(str, wanted))
            detail = f"{name}, the event's direction, is {told:g}, expected {expected}"
            raise Problem(409, detail, field=f"{field}.{n}.{place}")
    return [int(told) for told in told_N]


def _from_bars(loaded: LoadedManifest, symbol: Symbol, question: EntryBars) -> dict[str, Any]:
    if symbol.definition is None:
        raise Problem(409, symbol.no_bars, field="frames")
    name, columns = _own_frame(symbol, symbol.definition.bar_length, question)
    place = f"frames.{name}"
    moment = None if question.now is None else datetime.fromtimestamp(question.now, UTC)
    length = timedelta(seconds=frame_seconds(name))
    frame = _frame(place, columns, symbol.definition.features.history_bars)
    try:
        found = loaded.deployed.predict_bars(symbol.name, frame, length=length, now=moment)
    except (DataError, DeploymentError) as error:
        raise Problem(409, printable(str(error)), field=place) from error
    signal = found.signal
    candidates = _unasked(symbol)
    if signal.p_win is not None and found.x_NF is not None:
        row_1F, before_NF = found.x_NF[-1:], found.x_NF[:-1]
        asked = (symbol.name, row_1F, before_NF)
        own_1 = loaded.deployed.model_proba(*asked, allow_cold_start=True)[:, 1]
        candidates = _candidates(symbol, own_1, row_1F)
    closed_at = found.closed_at.astype("datetime64[us]").item().replace(tzinfo=UTC)
    now = moment or datetime.now(UTC)
    calibration = loaded.deployed.live_calibration(symbol.name)
    is_calibrated = calibration is not None and found.closed_at >= calibration.fitted_until
    return _answer(loaded, symbol, [_signal_of(signal)], candidates) | {
        "calibrated": symbol.calibrated if is_calibrated else None,
        "frame": name,
        "closed_at": closed_at.isoformat(),
        "age_s": (now - closed_at).total_seconds(),
        "features": None if signal.p_win is None else found.x_NF[-1].tolist(),  # type: ignore[index]
    }


def _own_frame(
    symbol: Symbol, length: np.timedelta64 | None, question: EntryBars
) -> tuple[str, BarColumns]:
    """Return the frame with bars of the model's length; the others are not looked at."""
    frames = question.frames
    if length is None:
        if len(frames) > 1:
            detail = "the manifest does not say which length the model reads; give one alone"
            raise Problem(409, detail, field="frames")
        return next(iter(frames.items()))
    seconds = length / np.timedelta64(1, "s")
    fitting = [name for name in frames if frame_seconds(name) == seconds]
    if len(fitting) > 1:
        raise Problem(409, f"{some(fitting)} are the same length; give one", field="frames")
    if not fitting:
        wanted = frame_name(seconds)
        detail = f"is missing: {symbol.model} of {symbol.name} reads bars of {wanted}; found"
        raise Problem(409, f"{detail} {some(list(frames))}", field=f"frames.{wanted}")
    return fitting[0], frames[fitting[0]]


def _frame(place: str, columns: BarColumns, least: int) -> pl.DataFrame:
    """Return bars as a table; raises Problem where columns or rows do not fit each other."""
    n_bars = len(columns.time)
    if n_bars < least:
        detail = f"{n_bars} bars, at least {least} are needed for the features to settle"
        raise Problem(409, detail, field=place)
    held = {name: getattr(columns, name) for name in _COLUMNS}
    for name, column in held.items():
        if column is not None and len(column) != n_bars:
            detail = f"{len(column)} values, time has {n_bars}"
            raise Problem(422, detail, field=f"{place}.{name}")
    start_T = np.array(columns.time, dtype="datetime64[s]").astype("datetime64[us]")
    early_T = np.flatnonzero(np.diff(start_T) <= np.timedelta64(0, "us"))
    if len(early_T):
        t = int(early_T[0]) + 1
        detail = f"{columns.time[t]} is not later than the bar before; bars ascend in time"
        raise Problem(422, detail, field=f"{place}.time.{t}")
    series = [pl.Series("time", start_T)]
    series += [
        pl.Series(name, column, dtype=pl.Float64)
        for name, column in held.items()
        if column is not None
    ]
    return pl.DataFrame(series)


def _candidates(symbol: Symbol, own_N: FloatArray, x_NF: FloatArray) -> list[dict[str, Any]]:
    """Return what every candidate says by itself: those deployed; of the others, why nothing."""
    found = [_candidate(str(symbol.model), SELECTED, own_N.tolist(), None)]
    if symbol.members is not None:
        p_NM = symbol.members.predict(x_NF)
        found += [
            _candidate(name, MEMBER, p_NM[:, m].tolist(), None)
            for m, name in enumerate(symbol.members.names)
        ]
    return found + [_candidate(one.model, CANDIDATE, None, one.reason) for one in symbol.others]


def _unasked(symbol: Symbol) -> list[dict[str, Any]]:
    """Return the candidates where there is nothing to ask them about."""
    found = []
    if symbol.model is not None:
        found = [_candidate(symbol.model, SELECTED, None, _NO_EVENT)]
    members = () if symbol.members is None else symbol.members.names
    found += [_candidate(name, MEMBER, None, _NO_EVENT) for name in members]
    return found + [_candidate(one.model, CANDIDATE, None, one.reason) for one in symbol.others]


def _candidate(
    model: str, role: str, p_N: list[float] | None, reason: str | None
) -> dict[str, Any]:
    return {"model": model, "role": role, "probabilities": p_N, "reason": reason}


def _signal_of(signal: Signal) -> dict[str, Any]:
    return _signal(signal.action, signal.reason, signal.direction, signal.p_win)


def _signal(
    action: str, reason: str | None, direction: int | None, p: float | None
) -> dict[str, Any]:
    return {"action": action, "reason": reason, "direction": direction, "probability": p}


def _answer(
    loaded: LoadedManifest,
    symbol: Symbol,
    signals: list[dict[str, Any]],
    candidates: list[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "symbol": symbol.name,
        "model": symbol.model,
        "model_version": symbol.version,
        "manifest_sha256": loaded.digest,
        "threshold": symbol.threshold,
        "calibrated": symbol.calibrated,
        "signals": signals,
        "candidates": candidates,
    }
