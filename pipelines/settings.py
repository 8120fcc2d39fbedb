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
from market.splits import FixedFractions, RowsFrom, WalkForward
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
from pipelines.typed_conf import arguments, built, model_of
from pipelines.writable import writable_file
from selection import ModelSelector
from selection.calibration import break_even
from selection.certified import CertifiedSelector
from selection.signing import SigningKey
from tracking.tracker import Tracker
from training.result import Payoff
from training.strength import strength_path
from training.task import Augmentation


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
    split: WalkForward | FixedFractions | RowsFrom
    augmentation: Augmentation
    new_augmenter: Callable[..., DataAugmenter]
    models: list[Model]
    stronger: Mapping[str, tuple[Model, ...]]
    null_models: list[Model]
    new_monitor: Callable[[], TrainingMonitor]
    selector: ModelSelector | CertifiedSelector
    tracker: Tracker
    workers: int | None
    memory_limit_bytes: int | None
    training: Training
    payoff: Payoff
    manifest_path: Path
    signing_key: SigningKey | None
    promotes: bool
    opens_holdout: bool
    symbols: list[str]
    seed: int
    output_dir: Path | None
    resume: bool
    tuned: str | None


def train_settings(conf: Mapping[str, Any]) -> TrainSettings:
    """Check a composed configuration of train_all; raises ConfigError with one line."""
    given = built(conf, {*CHOICES, *SECTIONS, *MODEL_SECTIONS, *TRAIN_SCALARS})
    models = list(given["models"].values())
    if not models:
        raise ConfigError("models: none left to train; keep one of " + ", ".join(MODELS))
    _check_certifiable(given)
    symbols = _chosen_symbols(given["symbols"], given["data"])
    _check_replaceable(given["manifest"].path, given["data"])
    return TrainSettings(
        source=given["data"],
        features=given["features"],
        events=given["events"],
        labels=given["labels"],
        costs=given["costs"],
        split=given["split"],
        augmentation=conf["augmentation"]["kind"],
        new_augmenter=_augmenter(conf["augmentation"]),
        models=models,
        stronger={
            model.name: _path(name, model, given["regularize"].by_model.get(name, []))
            for name, model in given["models"].items()
        },
        null_models=list(given["null_models"].values()),
        new_monitor=partial(TrainingMonitor, **conf["monitor"]),
        selector=given["selection"],
        tracker=given["tracking"],
        workers=given["execution"].workers,
        memory_limit_bytes=given["execution"].memory_limit_bytes,
        training=given["training"],
        payoff=_payoff(given["labels"], given["costs"], given["training"]),
        manifest_path=given["manifest"].path,
        signing_key=given["manifest"].key,
        promotes=given["deploy"].promotes,
        opens_holdout=given["deploy"].opens_holdout,
        symbols=symbols,
        seed=given["seed"],
        output_dir=_output_dir(given["output_dir"]),
        resume=given["resume"],
        tuned=given["tuned"],
    )


def _output_dir(path: str | None) -> Path | None:
    if path is not None and not path.strip():
        raise ConfigError("output_dir must name a folder, or be null, was empty")
    return None if path is None else Path(path)


def _check_certifiable(given: Mapping[str, Any]) -> None:
    """Refuse a certified selection without what it judges by."""
    if not isinstance(given["selection"], CertifiedSelector):
        return
    if "council" not in given["models"]:
        raise ConfigError(
            "models.council is missing: selection=certified judges by it; keep it, or choose "
            "selection=reference"
        )
    if not isinstance(given["split"], WalkForward):
        raise ConfigError(
            "selection=certified needs the out-of-fold predictions of split=walk_forward; with "
            "another split choose selection=reference"
        )


def _payoff(labels: TripleBarrier, costs: Costs, training: Training) -> Payoff:
    """Return what trades pay; they are taken from where costs are met unless another is set."""
    barriers = labels.profit_atr, labels.stop_atr, costs.total_atr
    threshold = training.decision_threshold
    try:
        return Payoff(*barriers, break_even(*barriers) if threshold is None else threshold)
    except ValueError as error:
        raise ConfigError(
            "costs.spread_atr, costs.commission_atr and costs.slippage_atr are "
            f"{costs.total_atr:g} ATR together and leave nothing of labels.profit_atr, "
            f"{labels.profit_atr:g}: no trade could pay; lower the costs or widen the target"
        ) from error


def _augmenter(values: Mapping[str, Any]) -> Callable[..., DataAugmenter]:
    own = {} if values["kind"] == "none" else arguments(values)
    return partial(DataAugmenter, **own)


def _path(name: str, model: Model, steps: list[dict[str, Any]]) -> tuple[Model, ...]:
    """Return a model's strength path beyond its configuration."""
    for number, step in enumerate(steps):
        model_of(f"regularize.{name}.{number}", name, {**model.hyperparameters, **step})
    try:
        path = strength_path(model, steps)
    except ValueError as error:
        raise ConfigError(f"regularize.{name}.{error}") from error
    return tuple(type(model)(**hyperparameters) for hyperparameters in path)


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
