"""From a composed configuration to typed, checked objects, before any data is read.

Every section is checked against the constructor it feeds: its names, its types, its ranges.
"""

import inspect
import json
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from augmentation import DataAugmenter
from market.bar_files import BarFiles
from market.bars import DataError
from market.events import EveryBar, SmcEvents
from market.features.smc import SmcFeatures
from market.labels import TripleBarrier
from market.simulate import SimulatedMarket
from market.source import Source
from market.splits import FixedFractions, WalkForward
from market.table_files import TableFiles
from models import TrainingMonitor
from models.base import Model
from models.lstm import LSTM
from models.mlp import MLP
from models.null_models import LogisticRegression, MajorityClass
from models.random_forest import RandomForest
from models.xgb import XGBoost
from pipelines.command import ConfigError, nearest
from selection import ModelSelector
from tracking.mlflow_tracker import MlflowTracker
from tracking.tracker import NoTracker, Tracker

MISSING = "???"
# Arguments of constructors that are no settings of theirs.
GIVEN_BY_THE_RUN = ("clock", "seed")


class Costs:
    """Cost of one round trip, as shares of the ATR at entry."""

    def __init__(self, *, spread_atr: float, commission_atr: float, slippage_atr: float) -> None:
        for name, value in (
            ("spread_atr", spread_atr),
            ("commission_atr", commission_atr),
            ("slippage_atr", slippage_atr),
        ):
            if value < 0:
                raise ValueError(f"{name} must be at least 0, was {value}")
        self.total_atr = spread_atr + commission_atr + slippage_atr


class Execution:
    """Where the work is done."""

    def __init__(self, *, workers: int | None) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"workers must be at least 1, was {workers}")
        self.workers = workers


class Training:
    """How fits are judged and stopped."""

    def __init__(
        self, *, early_stopping_fraction: float, decision_threshold: float, max_feature_auc: float
    ) -> None:
        if not 0 < early_stopping_fraction < 0.5:
            raise ValueError(
                f"early_stopping_fraction must be in (0, 0.5), was {early_stopping_fraction}"
            )
        if not 0 < decision_threshold < 1:
            raise ValueError(f"decision_threshold must be in (0, 1), was {decision_threshold}")
        if not 0.5 < max_feature_auc <= 1:
            raise ValueError(f"max_feature_auc must be in (0.5, 1], was {max_feature_auc}")
        self.early_stopping_fraction = early_stopping_fraction
        self.decision_threshold = decision_threshold
        self.max_feature_auc = max_feature_auc


class Manifest:
    """Where the deployment manifest is written."""

    def __init__(self, *, path: str) -> None:
        self.path = Path(path)
        if self.path.suffix != ".json":
            raise ValueError(f"path must end in .json, was {path}")


class NoAugmentation:
    """Fits see their own rows only."""


MODELS: dict[str, type[Model]] = {
    "random_forest": RandomForest,
    "xgboost": XGBoost,
    "mlp": MLP,
    "lstm": LSTM,
}
NULL_MODELS: dict[str, type[Model]] = {"majority": MajorityClass, "logistic": LogisticRegression}
CHOICES: dict[str, dict[str, type]] = {
    "features": {"smc": SmcFeatures},
    "labels": {"triple_barrier": TripleBarrier},
    "data": {"demo": SimulatedMarket, "bars": BarFiles, "table": TableFiles},
    "events": {"smc": SmcEvents, "every_bar": EveryBar},
    "split": {"walk_forward": WalkForward, "reference": FixedFractions},
    "augmentation": {"none": NoAugmentation, "always": DataAugmenter},
    "selection": {"reference": ModelSelector},
    "tracking": {"mlflow": MlflowTracker, "none": NoTracker},
}
SECTIONS: dict[str, type] = {
    "costs": Costs,
    "monitor": TrainingMonitor,
    "execution": Execution,
    "training": Training,
    "manifest": Manifest,
}
SCALARS: dict[str, Any] = {
    "name": str,
    "symbols": list[str] | None,
    "seed": int,
    "output_dir": str | None,
    "features_dir": str,
}
MODEL_SECTIONS = {"models": MODELS, "null_models": NULL_MODELS}


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
    symbols: list[str]
    seed: int
    output_dir: Path | None


def train_settings(conf: Mapping[str, Any]) -> TrainSettings:
    """Check a composed configuration of train_all; raises ConfigError with one line."""
    built = _built(conf, {*CHOICES, *SECTIONS, *MODEL_SECTIONS, *SCALARS} - {"features_dir"})
    models = list(built["models"].values())
    if not models:
        raise ConfigError("models: none left to train; keep one of " + ", ".join(MODELS))
    _check_replaceable(built["manifest"].path, built["data"])
    augmenter = partial(DataAugmenter, **_arguments(conf["augmentation"]))
    augments = isinstance(built["augmentation"], DataAugmenter)
    return TrainSettings(
        source=built["data"],
        features=built["features"],
        events=built["events"],
        labels=built["labels"],
        costs=built["costs"],
        split=built["split"],
        new_augmenter=augmenter if augments else None,
        models=models,
        null_models=list(built["null_models"].values()),
        new_monitor=partial(TrainingMonitor, **conf["monitor"]),
        selector=built["selection"],
        tracker=built["tracking"],
        workers=built["execution"].workers,
        training=built["training"],
        manifest_path=built["manifest"].path,
        symbols=_chosen_symbols(built["symbols"], built["data"]),
        seed=built["seed"],
        output_dir=None if built["output_dir"] is None else Path(built["output_dir"]),
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
    built = _built(conf, keys)
    if isinstance(built["data"], TableFiles):
        raise ConfigError("data=table holds features already; use data=bars or data=demo")
    folder = Path(built["features_dir"])
    if isinstance(built["data"], BarFiles) and folder.resolve() == built["data"].folder.resolve():
        raise ConfigError(f"features_dir: {folder} is data.dir, whose files would be lost")
    return FeatureSettings(
        source=built["data"],
        features=built["features"],
        events=built["events"],
        labels=built["labels"],
        symbols=_chosen_symbols(built["symbols"], built["data"]),
        seed=built["seed"],
        features_dir=folder,
    )


def _built(conf: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    for key in conf:
        if key not in keys:
            raise ConfigError(f"{key}: unknown key{nearest(key, keys)}")
    built: dict[str, Any] = {}
    # Data last: whatever else is wrong is said before a folder is looked at.
    for key in sorted(keys, key=lambda key: (key == "data", key)):
        if key not in conf and key not in MODEL_SECTIONS:
            raise ConfigError(f"{key} is missing; see --help")
        if key in CHOICES:
            built[key] = _chosen(key, conf[key])
        elif key in SECTIONS:
            built[key] = _section(key, conf[key], SECTIONS[key])
        elif key in MODEL_SECTIONS:
            built[key] = _models(key, conf.get(key, {}))
        else:
            built[key] = _typed(key, conf[key], SCALARS[key])
        if key == "seed" and built[key] < 0:
            raise ConfigError(f"seed must be at least 0, was {built[key]}")
    return built


def _chosen(group: str, values: Any) -> Any:
    options = CHOICES[group]
    kind = values.get("kind") if isinstance(values, Mapping) else None
    if kind not in options:
        raise ConfigError(
            f"{group}.kind: must be one of {', '.join(options)}, was {kind}; choose by {group}=..."
        )
    return _section(group, _arguments(values), options[kind])


def _models(group: str, values: Any) -> dict[str, Model]:
    known = MODEL_SECTIONS[group]
    if not isinstance(values, Mapping):
        raise ConfigError(f"{group}: must hold models, was {values!r}")
    for name in values:
        if name not in known:
            raise ConfigError(f"{group}.{name}: unknown model{nearest(name, known)}")
    return {
        name: _section(f"{group}.{name}", values[name], kind)
        for name, kind in known.items()
        if name in values
    }


def _section(path: str, values: Any, kind: type) -> Any:
    parameters = _keywords(kind)
    hints = typing.get_type_hints(kind.__init__)  # type: ignore[misc]
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path}: must hold keys ({', '.join(parameters)}), was {values!r}")
    for key in values:
        if key not in parameters:
            raise ConfigError(f"{path}.{key}: unknown key{nearest(key, parameters)}")
    for key, parameter in parameters.items():
        if key not in values and parameter.default is inspect.Parameter.empty:
            raise ConfigError(f"{path}.{key} is missing")
    checked = {key: _typed(f"{path}.{key}", value, hints[key]) for key, value in values.items()}
    try:
        return kind(**checked)
    except DataError as error:
        raise ConfigError(f"{path}.dir: {error}") from error
    except ValueError as error:
        raise ConfigError(_located(path, str(error), parameters)) from error


def _located(path: str, sentence: str, parameters: Iterable[str]) -> str:
    """Put a section's path before a constructor's sentence, which may begin with a key."""
    if sentence.startswith(f"{path}."):
        return sentence
    return f"{path}{'.' if sentence.split()[0] in parameters else ': '}{sentence}"


def _keywords(kind: type) -> dict[str, inspect.Parameter]:
    """Return the named arguments of a constructor that a configuration may set."""
    named = inspect.signature(kind).parameters
    return {
        name: one
        for name, one in named.items()
        if one.kind is not one.VAR_KEYWORD and name not in GIVEN_BY_THE_RUN
    }


def _typed(path: str, value: Any, kind: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    if value == MISSING:
        raise ConfigError(f"{path} is missing: give {path}=...")
    try:
        finite = TypeAdapter(kind, config=ConfigDict(allow_inf_nan=False))
        return finite.validate_python(value, strict=True)
    except ValidationError:
        raise ConfigError(f"{path} must be {_in_words(kind)}, was {value!r}") from None


def _in_words(kind: Any) -> str:
    """Name a type as a person who writes configuration would."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return " or ".join(_in_words(one) for one in typing.get_args(kind))
    if typing.get_origin(kind) in (list, Sequence):
        return f"a list such as [{'A,B' if typing.get_args(kind) == (str,) else '1,2'}]"
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return words.get(kind, "null" if kind is types.NoneType else str(kind))


def _arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != "kind"}


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
