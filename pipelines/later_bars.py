"""Keeps a replay of what was learnt to bars later than anything it was learnt from."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from backtest.period import Period, Window
from market.bars import Bars
from pipelines.backtest_settings import BacktestSettings
from pipelines.command import ConfigError
from pipelines.learned_exits import LearnedExits


def from_learning_on(
    settings: BacktestSettings, exits: LearnedExits, *, simulated: bool
) -> BacktestSettings:
    """Return settings that trade from where the learning ends.

    Raises
    ------
    ConfigError
        If a rung that must answer cannot, the exits were learnt on another kind of market, or
        `replay.start` lies before that end. Explored around, exits may be traded there: that is to
        learn from, and nothing is compared.
    """
    exits.check()
    if exits.simulated is not None and exits.simulated != simulated:
        kinds = ("real prices", "a simulated market")
        raise ConfigError(
            f"exits.model: {exits.folder} has learnt from {kinds[exits.simulated]}, these bars are "
            f"of {kinds[simulated]}"
        )
    until, start = exits.opened.learnt_until, settings.period.start
    if until is None:
        return settings
    if start is None:
        return replace(settings, period=replace(settings.period, start=until), learnt_until=until)
    if start < until and not exits.variation.explore:
        raise ConfigError(
            f"replay.start: {_day(start)} lies before {_minute(until)} UTC, up to when "
            f"{exits.folder} has learnt; give a later day, or null to begin there"
        )
    return settings


def why_not_later(
    settings: BacktestSettings, symbol: str, found: Mapping[str, Any], bars: Bars
) -> str:
    """Return why a symbol cannot be traded where the learning ends; nothing where it can.

    Raises
    ------
    DeploymentError
        If the manifest does not say where its holdout begins.
    """
    until, period = settings.learnt_until, settings.period
    if until is None:
        return ""
    last = _last_close(bars, period, Window.of(symbol, found), until)
    if last is not None and last > until:
        return ""
    ends = "it has none" if last is None else f"they end {_minute(last)}"
    return f"no bar is later than what exits have learnt from, {_minute(until)} UTC; {ends}"


def check_any_later(settings: BacktestSettings, *, traded: bool, not_later: bool) -> None:
    """Raise ConfigError where a replay has nothing left that is later than the learning."""
    until = settings.learnt_until
    if traded or not not_later or until is None:
        return
    period, limits, ways = settings.period, "", ""
    if period.end is not None and period.end <= until:
        limits, ways = " before replay.end", ", or give a later replay.end"
    elif not period.opens_holdout:
        limits, ways = " outside sealed holdouts", ", or give replay.holdout=open"
    if settings.exits.variation is not None and settings.exits.variation.explore:
        ways += ", or replay.start: where exits are varied, it may lie before"
    raise ConfigError(
        f"exits.model: has learnt from trades up to {_minute(until)} UTC, and no bar is later"
        f"{limits}; learn from an earlier part (replay.end of the backtest that explores){ways}"
    )


def _last_close(
    bars: Bars, period: Period, holdout: Window | None, until: np.datetime64
) -> np.datetime64 | None:
    """Return the last close that may be looked at."""
    close_T = bars.close_time_T
    if period.end is not None:
        close_T = close_T[close_T <= period.end]
    if holdout is not None and not period.opens_holdout and until <= holdout.end:
        close_T = close_T[close_T < holdout.start]
    return close_T[-1] if len(close_T) else None


def _day(time: np.datetime64) -> str:
    return str(time.astype("datetime64[D]"))


def _minute(time: np.datetime64) -> str:
    return str(time.astype("datetime64[m]")).replace("T", " ")
