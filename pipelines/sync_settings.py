"""From a composed configuration of sync to the store and the queue that it names."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.command import ConfigError
from pipelines.typed_conf import chosen, root_values
from pipelines.writable import writable_file
from tracking.mlflow_tracker import MlflowTracker

Format = Literal["table", "json"]
SCALARS: dict[str, Any] = {"name": str, "format": Format, "output": str | None}


@dataclass(frozen=True, slots=True)
class SyncSettings:
    """What `pipelines.sync` is told; `uri` may hold a password."""

    uri: str
    queue: Path
    format: Format
    output: Path | None


def sync_settings(conf: Mapping[str, Any]) -> SyncSettings:
    """Check a composed configuration of sync; raises ConfigError with one line."""
    values = root_values(conf, SCALARS, group="tracking")
    tracker = chosen("tracking", conf["tracking"])
    if not isinstance(tracker, MlflowTracker):
        raise ConfigError("tracking=none has no store; use tracking=sqlite or tracking=server")
    return SyncSettings(
        uri=tracker.uri,
        queue=tracker.queue,
        format=values["format"],
        output=writable_file("output", values["output"]),
    )
