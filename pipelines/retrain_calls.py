"""Whom a retraining concerns: the symbols that drift names, or those named by hand."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from backtest.period import aware
from live.drift_report import DriftReport, DriftReportError, read_drift
from market.bars import Bars
from pipelines.command import ConfigError
from pipelines.live_inputs import market_of
from pipelines.retrain_settings import RetrainSettings
from selection import DeployedModels
from selection.challenger_state import ChallengerState, files_digest
from selection.deployed_files import DeploymentError
from selection.promotion import named


@dataclass(frozen=True, slots=True)
class Call:
    """One symbol that is to have a challenger.

    Attributes
    ----------
    symbol : str
    alarm : datetime or None
        When drift's alarm was raised, UTC; None where there is none.
    until : datetime or None
        Up to where the challenger may learn, UTC; None takes all bars.
    by_hand : bool
    """

    symbol: str
    alarm: datetime | None
    until: datetime | None
    by_hand: bool


def calls(
    settings: RetrainSettings, deployed: DeployedModels, *, someone_waits: bool
) -> tuple[list[Call], dict[str, str]]:
    """Return who is to be trained, and a sentence on each alarm that concerns nobody any more.

    Raises
    ------
    ConfigError
        If there is no report of drift, or none that can be read, and nobody is named by hand; a
        missing one is none where challengers wait for their judgement.
    """
    report = _report(settings, optional=someone_waits or settings.by_hand is not None)
    if settings.by_hand is not None:
        until = None if settings.until is None else aware(settings.until)
        return [
            Call(symbol, _alarm(report, deployed, settings.manifest, symbol), until, by_hand=True)
            for symbol in settings.by_hand
        ], {}
    found: list[Call] = []
    passed_over: dict[str, str] = {}
    if report is None:
        return found, passed_over
    for symbol in report.tripped:
        alarm = _alarm(report, deployed, settings.manifest, symbol)
        raised_on = report.symbols[symbol].market
        if raised_on not in (None, market_of(settings.source, symbol, settings.train.seed)):
            passed_over[symbol] = (
                "the alarm was raised on the bars of another market than these; run "
                "python -m pipelines.drift on them"
            )
        elif alarm is None:
            passed_over[symbol] = (
                "the alarm was raised on another champion than the one that is live; run "
                "python -m pipelines.drift again"
            )
        else:
            found.append(Call(symbol, alarm, alarm, by_hand=False))
    return found, passed_over


def goes_on(call: Call, state: ChallengerState | None, *, renew: bool) -> bool:
    """Tell whether a training that was cut off is what is asked for again."""
    return (
        state is not None
        and state.status == "training"
        and not renew
        and state.alarm == call.alarm
        and call.until in (None, state.trained_until)
    )


def learns_until(call: Call, state: ChallengerState | None, bars: Bars, *, renew: bool) -> datetime:
    """Return up to where a challenger learns: one that was cut off goes on where it was."""
    last = aware(bars.close_time_T[-1])
    if state is not None and goes_on(call, state, renew=renew):
        return min(state.trained_until, last)
    until = None if renew and not call.by_hand else call.until
    return last if until is None else min(until, last)


def why_not(
    call: Call, state: ChallengerState | None, until: datetime, live: str | None, *, renew: bool
) -> str:
    """Return why a symbol is not trained now; nothing where it is.

    One challenger at a time, and one for an alarm, or by hand for one moment up to which it learns:
    another one on the same later events would be another try.

    Parameters
    ----------
    call : Call
    state : ChallengerState or None
    until : datetime
        Up to where it would learn.
    live : str or None
        Digest of the files of the champion.
    renew : bool
    """
    if state is None or renew or state.status == "training":
        return ""
    if state.status == "waiting":
        return "its challenger waits for later events; renew=true trains another"
    if call.by_hand:
        answered, whose = state.trained_until == until, "the same bars"
    else:
        answered, whose = call.alarm is not None and call.alarm == state.alarm, "this alarm"
    if not answered:
        return ""
    if state.status == "adopted" and live == state.champion:
        return (
            f"the challenger of {whose} was adopted, and was rolled back; renew=true trains another"
        )
    return f"the challenger of {whose} was {state.status}; renew=true trains another"


def naive(moment: datetime) -> np.datetime64:
    """Return a time as arrays hold it, UTC."""
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")


def _report(settings: RetrainSettings, *, optional: bool) -> DriftReport | None:
    if optional and not settings.drift_given and not settings.drift.exists():
        return None
    try:
        return read_drift(settings.drift)
    except DriftReportError as error:
        raise ConfigError(
            f"drift: {error}" + ("" if settings.by_hand else "; or name symbols=[...]")
        ) from error


def _alarm(
    report: DriftReport | None, deployed: DeployedModels, live: Path, symbol: str
) -> datetime | None:
    """Return when the alarm on a symbol's present champion was raised; None if there is none."""
    found = None if report is None else report.symbols.get(symbol)
    if report is None or found is None or found.tripped_at is None:
        return None
    looked_at = _looked_at(report, deployed, live, symbol)
    if looked_at is None or files_digest(looked_at) != files_digest(deployed.selection(symbol)):
        return None
    return found.tripped_at.astimezone(UTC)


def _looked_at(
    report: DriftReport, deployed: DeployedModels, live: Path, symbol: str
) -> Mapping[str, Any] | None:
    """Return a symbol's entry in the manifest that was looked at; None if that is not kept."""
    if symbol not in deployed.manifest["selections"]:
        return None
    if report.manifest_sha256 == deployed.sha256:
        return deployed.selection(symbol)
    try:
        manifest, _ = named(live, report.manifest_sha256)
    except (DeploymentError, OSError):
        return None
    selection: Mapping[str, Any] | None = manifest["selections"].get(symbol)
    return selection
