"""From a composed configuration of paper to typed, checked objects."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from exits.remote_service import RemoteService
from live.alerts import Alerts
from live.bus import EventBus
from pipelines import backtest_settings as backtest
from pipelines.alerts import alerts
from pipelines.api_key import api_key
from pipelines.backtest_settings import BacktestSettings, backtest_settings
from pipelines.command import ConfigError, nearest
from pipelines.events_bus import events_bus
from pipelines.learned_exits import LearnedExits
from pipelines.typed_conf import typed

SCALARS: Final[dict[str, Any]] = {"patience_s": float, "exit_service": str | None}
# What an account is begun with, and goes on with.
TERMS: Final = ("account", "costs", "entries", "evaluator", "exits", "seed")
START: Final = "replay.start"


@dataclass(frozen=True, slots=True)
class PaperSettings:
    """What `pipelines.paper` is told.

    Attributes
    ----------
    backtest : BacktestSettings
        All that a replay is told too.
    bus : EventBus
    alerts : Alerts
    patience_s : float
    terms : dict of str to str
        By key, what must not change while an account goes on.
    """

    backtest: BacktestSettings
    bus: EventBus
    alerts: Alerts
    patience_s: float
    terms: dict[str, str]


def paper_settings(conf: Mapping[str, Any]) -> PaperSettings:
    """Check a composed configuration of paper; raises ConfigError with one line."""
    shared = {*backtest.SCALARS, *backtest.GROUPS, *backtest.SECTIONS} - {"trials"}
    own = {*SCALARS, "events_bus", "alerts"}
    for key in conf:
        if key not in shared | own:
            raise ConfigError(f"{key}: unknown key{nearest(key, shared | own)}")
    for key in sorted(own):
        if key not in conf:
            raise ConfigError(f"{key} is missing; see --help")
    values = {key: typed(key, conf[key], kind) for key, kind in SCALARS.items()}
    if values["patience_s"] < 0:
        raise ConfigError(f"patience_s must be at least 0, was {values['patience_s']}")
    replayed = {key: conf[key] for key in shared if key in conf}
    settings = backtest_settings({**replayed, "trials": 1})
    if settings.exits.draws > 1:
        raise ConfigError("exits.draws: a paper account is traded once; leave it at 1")
    _ask_service_first(settings, values["exit_service"])
    return PaperSettings(
        backtest=settings,
        bus=events_bus(conf),
        alerts=alerts(conf),
        patience_s=values["patience_s"],
        terms={
            **dict(_flat({name: conf[name] for name in TERMS})),
            START: json.dumps(conf["replay"]["start"]),
        },
    )


def _ask_service_first(settings: BacktestSettings, url: str | None) -> None:
    if url is None:
        return
    if not isinstance(settings.exits, LearnedExits):
        raise ConfigError("exit_service goes with exits=learned, whose ladder it is the top of")
    try:
        service = RemoteService(url, api_key=api_key())
    except ValueError as error:
        raise ConfigError(f"exit_service: {error}") from error
    settings.exits.ask_first(service)


def _flat(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the keys of nested mappings by their full names, with their values as text."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", json.dumps(value)
