"""From a composed configuration of calibrate to typed, checked objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipelines.command import ConfigError
from pipelines.deploy_settings import checked_public_key
from pipelines.live_inputs import OfBars, day, source_of_bars
from pipelines.sections import Manifest
from pipelines.typed_conf import chosen, root_values, section
from selection.signing import SigningKey
from tracking.tracker import Tracker

Format = Literal["table", "json"]
GROUPS = ("data", "manifest", "tracking")
SCALARS: dict[str, Any] = {
    "name": str,
    "public_key": str | None,
    "symbols": list[str] | None,
    "publish": bool,
    "alpha": float,
    "until": str | None,
    "seed": int,
    "output_dir": str | None,
    "format": Format,
}


@dataclass(frozen=True, slots=True)
class CalibrateSettings:
    """What `pipelines.calibrate` is told; ``symbols`` None takes all that are deployed.

    Of ``until`` on (UTC) no bar is looked at.
    """

    name: str
    manifest: Path
    key: SigningKey | None
    public_key: Path | None
    source: OfBars
    symbols: list[str] | None
    publish: bool
    alpha: float
    until: np.datetime64 | None
    seed: int
    output_dir: Path | None
    format: Format
    tracker: Tracker


def calibrate_settings(conf: Mapping[str, Any]) -> CalibrateSettings:
    """Check a composed configuration of calibrate; raises ConfigError with one line."""
    values = root_values(conf, SCALARS, group=GROUPS)
    if values["seed"] < 0:
        raise ConfigError(f"seed must be at least 0, was {values['seed']}")
    if not 0 < values["alpha"] < 0.5:
        raise ConfigError(f"alpha must be above 0 and below 0.5, was {values['alpha']:g}")
    if values["symbols"] == []:
        raise ConfigError("symbols: is empty; name at least one, or null for all")
    if values["output_dir"] is not None and not values["output_dir"].strip():
        raise ConfigError("output_dir must name a folder, or be null, was empty")
    manifest: Manifest = section("manifest", conf["manifest"], Manifest)
    return CalibrateSettings(
        name=values["name"],
        manifest=manifest.path,
        key=manifest.key,
        public_key=checked_public_key(values["public_key"]),
        symbols=values["symbols"],
        publish=values["publish"],
        alpha=values["alpha"],
        until=day("until", values["until"]),
        seed=values["seed"],
        output_dir=None if values["output_dir"] is None else Path(values["output_dir"]),
        format=values["format"],
        tracker=chosen("tracking", conf["tracking"]),
        # Last: whatever else is wrong is said before a folder is looked at.
        source=source_of_bars(conf["data"], "to find outcomes in"),
    )
