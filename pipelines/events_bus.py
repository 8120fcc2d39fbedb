"""The events bus that a command is configured with, by the group ``events_bus``."""

from collections.abc import Mapping
from typing import Any

from live.bus import EventBus
from live.redis_bus import RedisBus
from live.sqlite_bus import SqliteBus
from pipelines.typed_conf import chosen

BUSES: dict[str, type] = {"redis": RedisBus, "sqlite": SqliteBus}


def events_bus(conf: Mapping[str, Any]) -> EventBus:
    """Return the bus that ``conf["events_bus"]`` says; raises ConfigError with one line.

    Nothing is opened before the bus is used.
    """
    bus: EventBus = chosen("events_bus", conf["events_bus"], BUSES)
    return bus
