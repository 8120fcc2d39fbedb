"""Where the alerts of a command go: the group ``alerts``."""

from collections.abc import Mapping
from typing import Any, Final

from live.alerts import Alerts, NoAlerts
from live.webhook import Webhook
from pipelines.typed_conf import chosen

OPTIONS: Final[dict[str, type]] = {"none": NoAlerts, "webhook": Webhook}


def alerts(conf: Mapping[str, Any]) -> Alerts:
    """Return what a composed configuration names; raises ConfigError, never showing an address."""
    found: Alerts = chosen("alerts", conf["alerts"], OPTIONS)
    return found
