"""From a composed configuration of predict to typed, checked objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from market.bar_files import BarFiles
from market.simulate import SimulatedMarket
from market.table_files import TableFiles
from pipelines.command import ConfigError
from pipelines.deploy_settings import checked_public_key
from pipelines.typed_conf import chosen, root_values
from pipelines.writable import writable_file

Format = Literal["table", "json"]
SCALARS: dict[str, Any] = {
    "manifest": str,
    "public_key": str | None,
    "symbols": list[str] | None,
    "seed": int,
    "format": Format,
    "output": str | None,
}


@dataclass(frozen=True, slots=True)
class PredictSettings:
    """What `pipelines.predict` is told; ``symbols`` None takes all of the manifest."""

    manifest: Path
    public_key: Path | None
    source: SimulatedMarket | BarFiles
    symbols: list[str] | None
    seed: int
    format: Format
    output: Path | None


def predict_settings(conf: Mapping[str, Any]) -> PredictSettings:
    """Check a composed configuration of predict; raises ConfigError with one line."""
    values = root_values(conf, SCALARS, group="data")
    if values["seed"] < 0:
        raise ConfigError(f"seed must be at least 0, was {values['seed']}")
    if values["symbols"] == []:
        raise ConfigError("symbols: is empty; name at least one, or null for all")
    source = chosen("data", conf["data"])
    if isinstance(source, TableFiles):
        raise ConfigError("data=table holds no bars to predict from; use data=bars or data=demo")
    return PredictSettings(
        manifest=Path(values["manifest"]),
        public_key=checked_public_key(values["public_key"]),
        source=source,
        symbols=values["symbols"],
        seed=values["seed"],
        format=values["format"],
        output=writable_file("output", values["output"]),
    )
