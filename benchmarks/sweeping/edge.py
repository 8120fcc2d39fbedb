"""On the simulated market with its edge: how much a sweep closes of what is left to attain.

For every market (a symbol and a seed) the command sweeps once with each sampler. The best trial's
hyperparameters are fitted on all of development and held, on fresh rows, against what ``train_all``
deploys by default and against the true probabilities.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.honesty.runner import one_core_pool
from benchmarks.sweeping.attainable import FreshRows, fresh_rows
from benchmarks.sweeping.commands import prepared_symbol, run
from benchmarks.training.work import NAMES
from market.simulate import MAX_BARS
from models.base import Model
from selection.tuned_file import TunedModel, read_tuned
from training.task import Task

SAMPLERS = ("tpe", "random")
# Left out of the default's training: the sweep does not touch them.
NULL_MODELS = ("~null_models.logistic", "~null_models.majority")


@dataclass(frozen=True, slots=True)
class Edge:
    """What is swept.

    Attributes
    ----------
    models : tuple of str
        As ``sweep.models`` names them.
    symbols : tuple of str
    n_bars : int
        That the sweep is given; about every 15th is an event.
    n_fresh_bars : int
        After them.
    edge : float
    n_trials : int
        Of each study.
    """

    models: tuple[str, ...]
    symbols: tuple[str, ...]
    n_bars: int
    n_fresh_bars: int
    edge: float
    n_trials: int

    def __post_init__(self) -> None:
        if self.n_bars + self.n_fresh_bars > MAX_BARS:
            raise ValueError(
                f"{self.n_bars} bars and {self.n_fresh_bars} fresh ones are more than the "
                f"simulated market has, {MAX_BARS}"
            )

    @property
    def asked(self) -> dict[str, Any]:
        """What the measurements are known by."""
        return asdict(self)

    def place(self, seed: int, sampler: str) -> str:
        """Return the name of a sweep's folder: the same sweep again goes on where it was."""
        named = json.dumps(self.asked, sort_keys=True)
        return f"{hashlib.sha256(named.encode()).hexdigest()[:8]}-{seed}-{sampler}"

    def overrides(self, seed: int) -> list[str]:
        """Return what makes a command use this market."""
        market = {"n_bars": self.n_bars, "edge": self.edge, "cache": "null"}
        given = {f"data.{key}": value for key, value in market.items()}
        given |= {"symbols": f"[{','.join(self.symbols)}]", "seed": seed, "tracking": "none"}
        # Nothing is to be deployed, nor is what is to be looked at.
        given["manifest.path"] = "unused.json"
        return ["data=demo", *(f"{key}={value}" for key, value in given.items())]


def swept(asked: Edge, seed: int, sampler: str, folder: Path, n_workers: int) -> dict[str, float]:
    """Let the command sweep all symbols of a seed, unless it has; return what that took."""
    if (folder / "tuned.json").exists():
        return {}
    own = {
        "sweep.models": f"[{','.join(asked.models)}]",
        "sweep.n_trials": asked.n_trials,
        "sweep.sampler": sampler,
        "execution.workers": n_workers,
        "output_dir": folder.resolve(),
    }
    overrides = [*asked.overrides(seed), *(f"{key}={value}" for key, value in own.items())]
    usage = run("sweep", overrides, cwd=folder, log=folder / "sweep.log")
    return {"cpu_s": usage.cpu_s, "wall_s": usage.wall_s}


def measured(
    asked: Edge, seed: int, sweeps: Mapping[str, Path], n_workers: int
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield symbol, model and what was found, as soon as it is known.

    Parameters
    ----------
    sweeps : mapping of str to Path
        The folder of each sampler's sweep.
    """
    with one_core_pool(n_workers) as pool:
        jobs = [pool.submit(found, asked, seed, symbol, sweeps) for symbol in asked.symbols]
        for job in as_completed(jobs):
            for model, one in job.result().items():
                yield one["symbol"], model, one


def found(
    asked: Edge, seed: int, symbol: str, sweeps: Mapping[str, Path]
) -> dict[str, dict[str, Any]]:
    """Return log-losses on one symbol's fresh rows, by model: default, tuned and attainable."""
    settings, prepared = prepared_symbol(_default_overrides(asked, seed), symbol)
    fresh = fresh_rows(settings, symbol, n_bars=asked.n_bars + asked.n_fresh_bars)
    studies = {sampler: read_tuned(path / "tuned.json") for sampler, path in sweeps.items()}
    one: dict[str, dict[str, Any]] = {}
    for task in _tasks(settings, {symbol: prepared}):
        tuned = {sampler: file.found(symbol, task.model.name) for sampler, file in studies.items()}
        if any(tuned.values()):
            one[task.model.name] = {"symbol": symbol, "seed": seed, **_held(task, tuned, fresh)}
    return one


def _held(task: Task, tuned: Mapping[str, TunedModel | None], fresh: FreshRows) -> dict[str, Any]:
    """Hold the default and each sampler's best trial against the truth."""
    development = task.split.development
    rate = float(np.average(development.y_N, weights=development.weight_N))
    default, chosen = _default(task)
    held: dict[str, Any] = {
        "rows": len(development),
        "fresh_rows": len(fresh.truth_N),
        "no_skill": fresh.constant_log_loss(rate),
        "configured": fresh.log_loss(_fitted(task, task.model.hyperparameters)),
        "default": fresh.log_loss(default),
        "default_step": chosen,
        "attainable": fresh.attainable_log_loss,
        "samplers": {},
    }
    for sampler, one in tuned.items():
        if one is None:
            continue
        if one.development_digest != development.digest():
            raise ValueError(f"{task.symbol}: the sweep's rows are not those of the default")
        held["samplers"][sampler] = {
            "tuned": fresh.log_loss(_fitted(task, one.hyperparameters)),
            **_told(one),
        }
    return held


def _told(one: TunedModel) -> dict[str, Any]:
    """Return what the sweep itself says of a study."""
    found = {"cross_validated": one.cross_validated, "later": one.later}
    return {
        "hyperparameters": one.hyperparameters,
        "adopted": one.adopted,
        "looked": one.adoption is not None,
        "p_value": one.adoption.p_value if one.adoption else None,
        "trials": one.trials,
        "best_trial": one.best_trial,
        **{name: asdict(compared) if compared else None for name, compared in found.items()},
    }


def _default(task: Task) -> tuple[Model, int]:
    """Return what ``train_all`` would deploy by default, and its step of the strength path."""
    from models.store import load_model
    from training.task import Trained
    from training.walk_forward import Training

    with tempfile.TemporaryDirectory(prefix="sweeping-") as name:
        folder = Path(name) / "model"
        *_, ended = Training(replace(task, folder=folder)).fits()
        assert isinstance(ended, Trained)  # noqa: S101 - what a training ends with
        return load_model(folder), ended.strength.chosen


def _fitted(task: Task, hyperparameters: Mapping[str, Any]) -> Model:
    """Fit a model on all of development, just as these hyperparameters say."""
    from training.choices import Choice
    from training.fit_plan import FINAL
    from training.fitting import Fitting, Planned

    model = type(task.model)(**hyperparameters)
    alone = replace(task, model=model, stronger=(), augmentation="none")
    everything = np.arange(len(task.split.development))
    return Fitting(alone).fit(Planned(FINAL, FINAL, everything, Choice(0, augmented=False))).model


def _tasks(settings: Any, prepared: Mapping[str, Any]) -> list[Task]:
    """Return the tasks of ``train_all``, which keep nothing and save nothing."""
    from pipelines.tasks import make_tasks

    tasks = make_tasks(settings, prepared, Path("unused"))
    return [replace(task, keeping=None, folder=None) for task in tasks]


def _default_overrides(asked: Edge, seed: int) -> Sequence[str]:
    dropped = [f"~models.{name}" for name in NAMES if name not in asked.models]
    return [*asked.overrides(seed), *dropped, *NULL_MODELS]
