"""From a composed configuration of drift to typed, checked objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from live.alerts import Alerts
from live.symbol_drift import DriftLimits
from pipelines.alerts import alerts
from pipelines.command import ConfigError
from pipelines.deploy_settings import checked_public_key
from pipelines.live_inputs import OfBars, day, source_of_bars
from pipelines.typed_conf import chosen, root_values, section
from tracking.tracker import Tracker

Format = Literal["table", "json"]
GROUPS = ("alerts", "data", "tracking")
SECTIONS = ("limits",)
SCALARS: dict[str, Any] = {
    "name": str,
    "manifest": str,
    "public_key": str | None,
    "symbols": list[str] | None,
    "until": str | None,
    "seed": int,
    "output_dir": str | None,
    "beside": bool | None,
    "format": Format,
}


@dataclass(frozen=True, slots=True)
class DriftSettings:
    """What `pipelines.drift` is told; ``symbols`` None takes all of the manifest.

    Of ``until`` on (UTC) no bar is looked at. With ``beside`` the report also goes beside the
    manifest.
    """

    name: str
    manifest: Path
    public_key: Path | None
    source: OfBars
    symbols: list[str] | None
    until: np.datetime64 | None
    seed: int
    output_dir: Path | None
    beside: bool
    format: Format
    limits: DriftLimits
    alerts: Alerts
    tracker: Tracker


def drift_settings(conf: Mapping[str, Any]) -> DriftSettings:
    """Check a composed configuration of drift; raises ConfigError with one line."""
    values = root_values(conf, SCALARS, group=(*GROUPS, *SECTIONS))
    if values["seed"] < 0:
        raise ConfigError(f"seed must be at least 0, was {values['seed']}")
    if values["symbols"] == []:
        raise ConfigError("symbols: is empty; name at least one, or null for all")
    if values["output_dir"] is not None and not values["output_dir"].strip():
        raise ConfigError("output_dir must name a folder, or be null, was empty")
    return DriftSettings(
        name=values["name"],
        manifest=Path(values["manifest"]),
        public_key=checked_public_key(values["public_key"]),
        symbols=values["symbols"],
        until=day("until", values["until"]),
        seed=values["seed"],
        output_dir=None if values["output_dir"] is None else Path(values["output_dir"]),
        beside=values["until"] is None if values["beside"] is None else values["beside"],
        format=values["format"],
        limits=section("limits", conf["limits"], DriftLimits),
        tracker=chosen("tracking", conf["tracking"]),
        alerts=alerts(conf),
        # Last: whatever else is wrong is said before a folder is looked at.
        source=source_of_bars(conf["data"], "to find later events in"),
    )
