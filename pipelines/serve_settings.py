"""From a composed configuration of serve to typed, checked objects."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from live.alerts import Alerts
from live.service.limits import Limits
from pipelines.alerts import alerts
from pipelines.api_key import API_KEY, api_key
from pipelines.command import ConfigError
from pipelines.deploy_settings import checked_public_key
from pipelines.typed_conf import root_values

SCALARS: dict[str, Any] = {
    "manifest": str,
    "public_key": str | None,
    "exit_model": str | None,
    "host": str,
    "port": int,
    "poll_s": float,
    "threads": int,
    "most_waiting": int,
    "most_body_bytes": int,
    "body_timeout_s": float,
    "shutdown_s": float,
}
_LEAST: dict[str, float] = {
    "poll_s": 0.01,
    "threads": 1,
    "most_waiting": 1,
    "most_body_bytes": 1024,
    "body_timeout_s": 0.1,
    "shutdown_s": 1.0,
}
_PACKAGES = ("fastapi", "httptools", "prometheus_client", "uvicorn")


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """What `pipelines.serve` is told; ``exit_model`` None serves none."""

    manifest: Path
    public_key: Path | None
    exit_model: Path | None
    host: str
    port: int
    limits: Limits
    shutdown_s: float
    alerts: Alerts
    api_key: str | None = field(repr=False)


def serve_settings(conf: Mapping[str, Any]) -> ServeSettings:
    """Check a composed configuration of serve; raises ConfigError with one line."""
    values = root_values(conf, SCALARS, group="alerts")
    for key, least in _LEAST.items():
        if values[key] < least:
            raise ConfigError(f"{key} must be at least {least:g}, was {values[key]}")
    if not 0 <= values["port"] <= 65_535:
        raise ConfigError(f"port must be in [0, 65535], was {values['port']}")
    for name in _PACKAGES:
        if importlib.util.find_spec(name) is None:
            raise ConfigError(f'{name} is not installed: pip install -c constraints.txt ".[serve]"')
    service_key = _checked_key(values["host"])
    return ServeSettings(
        manifest=Path(values["manifest"]),
        public_key=checked_public_key(values["public_key"]),
        exit_model=None if values["exit_model"] is None else Path(values["exit_model"]),
        host=values["host"],
        port=values["port"],
        limits=Limits(**{name: values[name] for name in Limits.__dataclass_fields__}),
        shutdown_s=values["shutdown_s"],
        alerts=alerts(conf),
        api_key=service_key,
    )


def _checked_key(host: str) -> str | None:
    """Return the key of the environment; without one nobody but this machine may ask."""
    from live.service.limits import is_loopback

    key = api_key()
    if key is None:
        if not is_loopback(host):
            raise ConfigError(
                f"host: {host} can be reached from other machines, and there is no key; set "
                f"{API_KEY}, or use host=127.0.0.1"
            )
        return None
    if not (key and key.isascii() and key.isprintable()):
        raise ConfigError(f"{API_KEY} must be printable ASCII without a line's end, was not")
    return key
