"""A run's tasks: every model of every symbol, and how many are worked on at a time."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from models.base import Model
from pipelines.run_folder import UNITS
from pipelines.settings import TrainSettings
from pipelines.tuned import Tuning
from selection.certified import COUNCIL
from training.engine import available_cores, prepare_workers
from training.fit_plan import fit_names
from training.memory import affordable_workers
from training.prepare import Prepared
from training.task import Augmentation, Task
from training.units import keeping, kept_units

_log = logging.getLogger(__name__)


def prepare(settings: TrainSettings) -> None:
    """Let workers begin to import what they need, while data is read."""
    augments = settings.augmentation != "none"
    prepare_workers(settings.workers or available_cores(), augments=augments)


def make_tasks(
    settings: TrainSettings,
    prepared: Mapping[str, Prepared],
    folder: Path,
    tuning: Tuning | None = None,
) -> list[Task]:
    """Return the tasks of a run, by symbol and model in the order of the configuration.

    Models are saved in ``folder``, and every finished fit is kept there for a later start. What a
    sweep has tuned and adopted is fitted with what it found, as it was judged: without a strength
    path, and without augmentation where that is adaptive.
    """
    tasks = []
    tuning = tuning or Tuning()
    for symbol, one in prepared.items():
        digest = one.split.development.digest()
        for model in (*settings.models, *settings.null_models):
            name = f"{symbol}_{model.name}"
            task = _task(settings, one, symbol, model, folder / "models" / name)
            task = _tuned(task, tuning)
            tasks.append(keeping(task, folder / UNITS / name, digest))
    return tasks


def taken_over(tasks: Sequence[Task], folder: Path) -> int:
    """Copy the finished fits of another run's folder that are these tasks' too; return how many.

    They are known by their key, and checked by their digests when they are read. What cannot be
    copied is fitted again.
    """
    n_fits = 0
    for task in tasks:
        kept = task.keeping
        if kept is None or (made := folder / UNITS / kept.folder.name) == kept.folder:
            continue
        before = kept_units(kept.folder, kept.key).keys()
        new = kept_units(made, kept.key).keys() - before
        if not new:
            continue
        try:
            kept.folder.mkdir(parents=True, exist_ok=True)
            for path in made.glob(f"{kept.key}.*"):
                shutil.copyfile(path, kept.folder / path.name)
            saved = folder / "models" / kept.folder.name
            if task.folder is not None and saved.is_dir() and not task.folder.exists():
                shutil.copytree(saved, task.folder)
        except OSError as error:
            _log.info("%s: not all finished fits were taken over: %s", made, error)
        n_fits += len(kept_units(kept.folder, kept.key).keys() - before)
    return n_fits


def fits_made(tasks: Sequence[Task]) -> tuple[int, int]:
    """Return how many fits of tasks have been made by earlier starts, and how many there are."""
    n_made = n_fits = 0
    for task in tasks:
        names = fit_names(task)
        n_fits += len(names)
        if task.keeping is not None:
            n_made += len(kept_units(task.keeping.folder, task.keeping.key).keys() & set(names))
    return n_made, n_fits


def n_workers(settings: TrainSettings, prepared: Mapping[str, Prepared]) -> int:
    """Return how many tasks are worked on at a time: as configured, else as memory allows."""
    largest_bytes = max((one.split.development.x_NF.nbytes for one in prepared.values()), default=0)
    wanted = settings.workers or available_cores()
    limit_bytes = settings.memory_limit_bytes
    if settings.workers and limit_bytes is None:
        return settings.workers
    affordable = affordable_workers(wanted, largest_bytes, limit_bytes)
    if affordable < wanted:
        told = "%d workers instead of %d: there is no memory for more (execution.%s)"
        _log.warning(told, affordable, wanted, "memory_limit" if limit_bytes else "workers")
    return affordable


def _task(
    settings: TrainSettings, prepared: Prepared, symbol: str, model: Model, folder: Path
) -> Task:
    return Task(
        symbol=symbol,
        model=model,
        stronger=settings.stronger.get(model.name, ()),
        split=prepared.split,
        early_stopping_fraction=settings.training.early_stopping_fraction,
        augmentation=_augmentation(settings, model),
        new_augmenter=settings.new_augmenter,
        calibrates=settings.training.calibrates and model not in settings.null_models,
        new_monitor=settings.new_monitor,
        seed=settings.seed,
        folder=folder,
    )


def _tuned(task: Task, tuning: Tuning) -> Task:
    one = task.symbol, task.model.name
    task = replace(task, tuning=tuning.found.get(one))
    if one not in tuning.models:
        return task
    augmentation: Augmentation = "none" if task.augmentation == "adaptive" else task.augmentation
    return replace(task, model=tuning.models[one], stronger=(), augmentation=augmentation)


def _augmentation(settings: TrainSettings, model: Model) -> Augmentation:
    """Return how a model is augmented: the council never, null models as configured."""
    adaptive = settings.augmentation == "adaptive"
    if model.name == COUNCIL or (adaptive and model in settings.null_models):
        return "none"
    return settings.augmentation
