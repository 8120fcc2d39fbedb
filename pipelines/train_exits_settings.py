"""From a composed configuration of train_exits to typed, checked objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from exits.exit_net_training import NetSettings
from exits.learning import LearningSettings
from models import TrainingMonitor
from pipelines.command import ConfigError, nearest
from pipelines.experience_paths import experience_files
from pipelines.typed_conf import chosen, section, typed
from tracking.tracker import Tracker

GROUPS = ("exit_learning", "exit_net", "monitor", "tracking")
SECTIONS = ("exits",)
SCALARS: dict[str, Any] = {
    "name": str,
    "experiences": str | list[str],
    "model_dir": str,
    "output_dir": str | None,
    "seed": int,
}


class Hindsight:
    """What is learnt from."""

    def __init__(self, *, allow_hindsight: bool) -> None:
        self.allow_hindsight = allow_hindsight


@dataclass(frozen=True, slots=True)
class TrainExitsSettings:
    """What `pipelines.train_exits` is told."""

    name: str
    files: list[Path]
    model_dir: Path
    output_dir: Path | None
    seed: int
    allow_hindsight: bool
    learning: LearningSettings
    monitor: TrainingMonitor
    tracker: Tracker


def train_exits_settings(conf: Mapping[str, Any]) -> TrainExitsSettings:
    """Check a composed configuration of train_exits; raises ConfigError with one line."""
    values = _values(conf)
    return TrainExitsSettings(
        name=values["name"],
        model_dir=Path(values["model_dir"]),
        output_dir=None if values["output_dir"] is None else Path(values["output_dir"]),
        seed=values["seed"],
        allow_hindsight=section("exits", conf["exits"], Hindsight).allow_hindsight,
        learning=learning_settings(conf),
        monitor=section("monitor", conf["monitor"], TrainingMonitor),
        tracker=chosen("tracking", conf["tracking"]),
        # Last: whatever else is wrong is said before a folder is looked at.
        files=experience_files(values["experiences"]),
    )


def _values(conf: Mapping[str, Any]) -> dict[str, Any]:
    known = {*SCALARS, *GROUPS, *SECTIONS}
    for key in conf:
        if key not in known:
            raise ConfigError(f"{key}: unknown key{nearest(key, known)}")
    for key in sorted(known):
        if key not in conf:
            raise ConfigError(f"{key} is missing; see --help")
    values = {key: typed(key, conf[key], kind) for key, kind in SCALARS.items()}
    if values["seed"] < 0:
        raise ConfigError(f"seed must be at least 0, was {values['seed']}")
    for key in ("model_dir", "output_dir"):
        if values[key] is not None and not values[key].strip():
            raise ConfigError(f"{key} must name a folder, was empty")
    return values


def learning_settings(conf: Mapping[str, Any]) -> LearningSettings:
    """Return how exits are learnt: of two groups, made one."""
    net: NetSettings = section("exit_net", conf["exit_net"], NetSettings)
    values = conf["exit_learning"]
    if not isinstance(values, Mapping):
        raise ConfigError(f"exit_learning: must hold keys, was {values!r}")
    learning: LearningSettings = section("exit_learning", {**values, "net": net}, LearningSettings)
    return learning
