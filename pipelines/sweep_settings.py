"""From a composed configuration of sweep to typed, checked objects."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from market.splits import WalkForward
from models.base import Model
from pipelines.command import ConfigError, nearest
from pipelines.sections import MODELS
from pipelines.settings import TrainSettings, train_settings
from pipelines.typed_conf import section
from selection.certified import COUNCIL
from selection.poor_performers import poor_performers
from selection.strict_json import strict_json
from training.tuning.space import Choices, Range, SearchSpace
from training.tuning.study import Sampling

OWN_KEYS = ("search", "sweep")
# The last blocks, which no trial sees.
N_LATER = 2
MOST_ALPHA = 0.5
TUNED = [name for name, kind in MODELS.items() if kind.name != COUNCIL]
Listed = list[dict[str, Any]]


class Sweep:
    """How studies go about their search; see conf/sweep/default.yaml."""

    def __init__(
        self,
        *,
        n_trials: int,
        models: list[str] | None,
        symbols_from: Literal["data", "manifest"],
        max_test_accuracy: float,
        sampler: Sampling,
        random_trials: int,
        parallel_trials: int,
        unbounded: bool,
        gap_penalty: float,
        alpha: float,
        time_budget_min: float | None,
        timeout_s: float,
        pruner: Literal["percentile", "none"],
        prune_from_trial: int,
        prune_folds_above: float,
        prune_epochs_above: float,
        storage: str | None,
        heartbeat_s: int,
        retrain: bool,
        listed: dict[str, Listed],
    ) -> None:
        _at_least(1, n_trials=n_trials, random_trials=random_trials, heartbeat_s=heartbeat_s)
        _at_least(1, prune_from_trial=prune_from_trial, parallel_trials=parallel_trials)
        _at_least(0, gap_penalty=gap_penalty)
        _above_zero(timeout_s=timeout_s)
        if time_budget_min is not None:
            _above_zero(time_budget_min=time_budget_min)
        _in_unit(prune_folds_above=prune_folds_above)
        if not 0 < alpha < MOST_ALPHA:
            raise ValueError(f"alpha must be in (0, {MOST_ALPHA}), was {alpha}")
        _in_unit(prune_epochs_above=prune_epochs_above, max_test_accuracy=max_test_accuracy)
        self.n_trials, self.models, self.sampler = n_trials, models, sampler
        self.from_manifest = symbols_from == "manifest"
        self.max_test_accuracy = max_test_accuracy
        self.random_trials, self.parallel_trials = random_trials, parallel_trials
        self.unbounded, self.gap_penalty, self.alpha = unbounded, gap_penalty, alpha
        self.budget_s = None if time_budget_min is None else 60 * time_budget_min
        self.timeout_s = timeout_s
        self.fold_share = 1.0 if pruner == "none" else prune_folds_above
        self.epoch_share = 1.0 if pruner == "none" else prune_epochs_above
        self.prune_from = prune_from_trial
        self.storage, self.heartbeat_s = storage, heartbeat_s
        self.retrain, self.listed = retrain, listed


@dataclass(frozen=True, slots=True)
class Searched:
    """A model that is swept.

    Attributes
    ----------
    model : Model
        As configured.
    space : SearchSpace
    starts : list of dict
        Hyperparameters that are tried first.
    """

    model: Model
    space: SearchSpace
    starts: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """What `pipelines.sweep` is told.

    Attributes
    ----------
    train : TrainSettings
        Of the symbols that are swept.
    all_symbols : list of str
        Those that are trained with what was found: what the command names, or the manifest holds.
    sweep : Sweep
    searched : list of Searched
    n_seen : int
        Number of blocks that trials see.
    in_manifest : list of str
        Symbols of the manifest, where it was asked.
    """

    train: TrainSettings
    all_symbols: list[str]
    sweep: Sweep
    searched: list[Searched]
    n_seen: int
    in_manifest: list[str]


def sweep_settings(conf: Mapping[str, Any]) -> SweepSettings:
    """Check a composed configuration of sweep; raises ConfigError with one line."""
    for key in OWN_KEYS:
        if key not in conf:
            raise ConfigError(f"{key} is missing; see --help")
    if "tuned" in conf:
        raise ConfigError("tuned: unknown key; it belongs to python -m pipelines.train_all")
    sweep: Sweep = section("sweep", conf["sweep"], Sweep)
    train = train_settings(training_conf(conf))
    if not isinstance(train.split, WalkForward):
        raise ConfigError(
            "a sweep needs the blocks of split=walk_forward; split=reference has none"
        )
    if train.split.n_blocks <= N_LATER:
        raise ConfigError(
            f"split.n_blocks must be at least {N_LATER + 1} for a sweep, was "
            f"{train.split.n_blocks}: the last {N_LATER} only decide on adoption"
        )
    if sweep.storage is not None and not train.resume:
        raise ConfigError(
            "resume=false would begin studies anew that others may be at work on; give another "
            "seed, or sweep.storage=null"
        )
    n_seen = train.split.n_blocks - N_LATER
    swept, in_manifest = train, list[str]()
    if sweep.from_manifest:
        in_manifest, poor = _poor(train, sweep)
        swept = replace(train, symbols=poor)
        if conf["symbols"] is None:
            # Among as many others as before, and no more.
            train = replace(train, symbols=[one for one in train.symbols if one in in_manifest])
    searched = _searched(conf["search"], conf["models"], train, sweep)
    return SweepSettings(swept, train.symbols, sweep, searched, n_seen, in_manifest)


def training_conf(conf: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of train_all that a sweep's agrees with."""
    return {**{key: one for key, one in conf.items() if key not in OWN_KEYS}, "tuned": None}


def _searched(
    search: Any, configured: Mapping[str, Any], train: TrainSettings, sweep: Sweep
) -> list[Searched]:
    if not isinstance(search, Mapping):
        raise ConfigError(f"search: must hold models, was {search!r}")
    for section_name, given in (("search", search), ("sweep.listed", sweep.listed)):
        for name in given:
            if name not in TUNED:
                raise ConfigError(f"{section_name}.{name}: unknown model{nearest(name, TUNED)}")
    own = {name for name in configured if MODELS[name].name != COUNCIL}
    wanted = sweep.models if sweep.models is not None else sorted(own & set(search))
    by_name = {model.name: model for model in train.models}
    found = []
    for name in dict.fromkeys(wanted):
        _check_searchable(name, own, search)
        model = by_name[MODELS[name].name]
        space = _space(name, search[name], model, unbounded=sweep.unbounded)
        found.append(Searched(model, space, _starts(name, model, space, train, sweep)))
    if not found:
        raise ConfigError("sweep.models: none left to sweep; keep one of " + ", ".join(sorted(own)))
    return found


def _check_searchable(name: str, own: set[str], search: Mapping[str, Any]) -> None:
    if name == "council":
        raise ConfigError("sweep.models: council is never tuned: the evidence gate rests on it")
    if name not in own:
        raise ConfigError(f"sweep.models: {name} is not among models{nearest(name, own)}")
    if name not in search:
        raise ConfigError(f"search.{name} is missing: {name} has no ranges to search")


def _space(name: str, wanted: Any, model: Model, *, unbounded: bool) -> SearchSpace:
    path = f"search.{name}"
    if not isinstance(wanted, Mapping):
        raise ConfigError(f"{path}: must hold hyperparameters, was {wanted!r}")
    ranges: dict[str, Range | Choices] = {}
    for key, values in wanted.items():
        if key not in model.hyperparameters:
            raise ConfigError(
                f"{path}.{key}: unknown hyperparameter{nearest(key, model.hyperparameters)}"
            )
        kind = Choices if isinstance(values, Mapping) and "choices" in values else Range
        ranges[key] = section(f"{path}.{key}", values, kind)
    try:
        return SearchSpace(model, ranges, unbounded=unbounded)
    except ValueError as error:
        raise ConfigError(f"{path}.{error}") from error


def _starts(
    name: str, model: Model, space: SearchSpace, train: TrainSettings, sweep: Sweep
) -> list[dict[str, Any]]:
    """Return what is tried first: the configured model and its strength path, or what is listed."""
    if sweep.sampler != "listed":
        path = train.stronger.get(model.name, ())
        return [model.hyperparameters, *(one.hyperparameters for one in path)]
    if not sweep.listed.get(name):
        raise ConfigError(f"sweep.listed.{name} is missing: sampler=listed tries nothing else")
    starts = []
    for number, given in enumerate(sweep.listed[name]):
        made = {**model.hyperparameters, **given}
        if space.params(made) is None:
            raise ConfigError(
                f"sweep.listed.{name}.{number}: {_outside(given, space, model)}; choose others, or "
                f"change search.{name}"
            )
        starts.append(made)
    return starts


def _outside(given: Mapping[str, Any], space: SearchSpace, model: Model) -> str:
    """Say which of some hyperparameters is not in a space."""
    for key, value in given.items():
        if key not in model.hyperparameters:
            return f"{key} is unknown{nearest(key, model.hyperparameters)}"
        if key not in space.tried:
            return f"{key} is not searched"
        if value not in space.tried[key]:
            return f"{key}={value} is outside the space"
    return "is outside the space"


def _poor(train: TrainSettings, sweep: Sweep) -> tuple[list[str], list[str]]:
    """Return the symbols of the manifest, and of the command's those that need a sweep."""
    path = train.manifest_path
    try:
        manifest = strict_json(path.read_bytes())
        poor = poor_performers(manifest, sweep.max_test_accuracy)
    except FileNotFoundError:
        raise ConfigError(
            f"manifest.path: {path} is not there; run python -m pipelines.train_all first, or "
            "sweep with sweep.symbols_from=data"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"manifest.path: {path}: {error}") from error
    return list(manifest["selections"]), [one for one in poor if one in train.symbols]


def _at_least(least: float, **values: float) -> None:
    for name, value in values.items():
        if not value >= least:
            raise ValueError(f"{name} must be at least {least}, was {value}")


def _above_zero(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be above 0, was {value}")


def _in_unit(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < 1:
            raise ValueError(f"{name} must be in (0, 1), was {value}")
