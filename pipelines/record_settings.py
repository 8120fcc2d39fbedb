"""From a composed configuration of record to typed, checked objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from live.alerts import Alerts
from live.bus import EventBus
from live.recorder import Recording
from pipelines.alerts import alerts
from pipelines.command import ConfigError, nearest
from pipelines.events_bus import events_bus
from pipelines.typed_conf import section, typed

SCALARS: dict[str, Any] = {
    "name": str,
    "follow": bool,
    "patience_s": float | None,
    "format": Literal["table", "json"],
}
GROUPS = ("record", "events_bus", "alerts")


@dataclass(frozen=True, slots=True)
class RecordSettings:
    """What `pipelines.record` is told."""

    follow: bool
    patience_s: float | None
    format: Literal["table", "json"]
    rules: Recording
    bus: EventBus
    alerts: Alerts


def record_settings(conf: Mapping[str, Any]) -> RecordSettings:
    """Check a composed configuration of record; raises ConfigError with one line."""
    known = {*SCALARS, *GROUPS}
    for key in conf:
        if key not in known:
            raise ConfigError(f"{key}: unknown key{nearest(key, known)}")
    for key in sorted(known):
        if key not in conf:
            raise ConfigError(f"{key} is missing; see --help")
    values = {key: typed(key, conf[key], kind) for key, kind in SCALARS.items()}
    patience_s = values["patience_s"]
    if patience_s is not None and patience_s < 0:
        raise ConfigError(f"patience_s must be at least 0, or null, was {patience_s}")
    return RecordSettings(
        follow=values["follow"],
        patience_s=patience_s,
        format=values["format"],
        rules=section("record", conf["record"], Recording),
        bus=events_bus(conf),
        # Last: it starts a thread.
        alerts=alerts(conf),
    )
