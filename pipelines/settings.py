"""What each command is told: a composed configuration as checked objects, before data is read."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from augmentation import DataAugmenter
from market.bar_files import BarFiles
from market.events import EveryBar, SmcEvents
from market.features.smc import SmcFeatures
from market.labels import TripleBarrier
from market.simulate import SimulatedMarket
from market.source import Source
from market.splits import FixedFractions, WalkForward
from market.table_files import TableFiles
from models import TrainingMonitor
from models.base import Model
from pipelines.command import ConfigError, nearest
from pipelines.sections import (
    CHOICES,
    MODEL_SECTIONS,
    MODELS,
    SECTIONS,
    TRAIN_SCALARS,
    Costs,
    Training,
)
from pipelines.typed_conf import arguments, built
from pipelines.writable import writable_file
from selection import ModelSelector
from tracking.tracker import Tracker


@dataclass(frozen=True, slots=True)
class InspectSettings:
    """What `pipelines.data inspect` is told."""

    source: BarFiles | TableFiles
    symbols: list[str]
    format: Literal["table", "json"]
    output: Path | None


@dataclass(frozen=True, slots=True)
class FeatureSettings:
    """What `pipelines.features` is told."""

    source: SimulatedMarket | BarFiles
    features: SmcFeatures
    events: SmcEvents | EveryBar
    labels: TripleBarrier
    symbols: list[str]
    seed: int
    features_dir: Path


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """What `pipelines.train_all` is told."""

    source: Source
    features: SmcFeatures
    events: SmcEvents | EveryBar
    labels: TripleBarrier
    costs: Costs
    split: WalkForward | FixedFractions
    new_augmenter: Callable[..., DataAugmenter] | None
    models: list[Model]
    null_models: list[Model]
    new_monitor: Callable[[], TrainingMonitor]
    selector: ModelSelector
    tracker: Tracker
    workers: int | None
    training: Training
    manifest_path: Path
    promotes: bool
    symbols: list[str]
    seed: int
    output_dir: Path | None


def train_settings(conf: Mapping[str, Any]) -> TrainSettings:
    """Check a composed configuration of train_all; raises ConfigError with one line."""
    given = built(conf, {*CHOICES, *SECTIONS, *MODEL_SECTIONS, *TRAIN_SCALARS})
    models = list(given["models"].values())
    if not models:
        raise ConfigError("models: none left to train; keep one of " + ", ".join(MODELS))
    augmenter = partial(DataAugmenter, **arguments(conf["augmentation"]))
    augments = isinstance(given["augmentation"], DataAugmenter)
    symbols = _chosen_symbols(given["symbols"], given["data"])
    _check_replaceable(given["manifest"].path, given["data"])
    return TrainSettings(
        source=given["data"],
        features=given["features"],
        events=given["events"],
        labels=given["labels"],
        costs=given["costs"],
        split=given["split"],
        new_augmenter=augmenter if augments else None,
        models=models,
        null_models=list(given["null_models"].values()),
        new_monitor=partial(TrainingMonitor, **conf["monitor"]),
        selector=given["selection"],
        tracker=given["tracking"],
        workers=given["execution"].workers,
        training=given["training"],
        manifest_path=given["manifest"].path,
        promotes=given["deploy"].promotes,
        symbols=symbols,
        seed=given["seed"],
        output_dir=None if given["output_dir"] is None else Path(given["output_dir"]),
    )


def _check_replaceable(path: Path, source: Source) -> None:
    """Refuse to put a simulated market's manifest in the place of a real one."""
    if not isinstance(source, SimulatedMarket) or not path.is_file():
        return
    try:
        provenance = json.loads(path.read_text(encoding="utf-8")).get("provenance", {})
    except (OSError, ValueError, AttributeError):
        return
    if provenance.get("simulated") is False:
        raise ConfigError(
            f"manifest.path: {path} is of real data, and a simulated run would replace it; "
            "give another manifest.path"
        )


def feature_settings(conf: Mapping[str, Any]) -> FeatureSettings:
    """Check a composed configuration of features; raises ConfigError with one line."""
    keys = {"data", "features", "events", "labels", "symbols", "seed", "features_dir"}
    given = built(conf, keys)
    if isinstance(given["data"], TableFiles):
        raise ConfigError("data=table holds features already; use data=bars or data=demo")
    folder = Path(given["features_dir"])
    if isinstance(given["data"], BarFiles) and folder.resolve() == given["data"].folder.resolve():
        raise ConfigError(f"features_dir: {folder} is data.dir, whose files would be lost")
    return FeatureSettings(
        source=given["data"],
        features=given["features"],
        events=given["events"],
        labels=given["labels"],
        symbols=_chosen_symbols(given["symbols"], given["data"]),
        seed=given["seed"],
        features_dir=folder,
    )


def inspect_settings(conf: Mapping[str, Any]) -> InspectSettings:
    """Check a composed configuration of data; raises ConfigError with one line."""
    given = built(conf, {"data", "symbols", "format", "output"})
    if isinstance(given["data"], SimulatedMarket):
        raise ConfigError("data=demo has no files to inspect; use data=bars or data=table")
    return InspectSettings(
        source=given["data"],
        symbols=_chosen_symbols(given["symbols"], given["data"]),
        format=given["format"],
        output=writable_file("output", given["output"]),
    )


def _chosen_symbols(wanted: list[str] | None, source: Source) -> list[str]:
    known = list(source.symbols)
    if wanted is None:
        return known
    for symbol in wanted:
        if symbol not in known:
            raise ConfigError(f"symbols: {symbol} is not in the data{nearest(symbol, known)}")
    if not wanted:
        raise ConfigError("symbols: is empty; name at least one, or null for all")
    return list(dict.fromkeys(wanted))
