"""A run's tasks: every model of every symbol, and how many are worked on at a time."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from models.base import Model
from pipelines.run_folder import UNITS
from pipelines.settings import TrainSettings
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
    settings: TrainSettings, prepared: Mapping[str, Prepared], folder: Path
) -> list[Task]:
    """Return the tasks of a run, by symbol and model in the order of the configuration.

    Models are saved in ``folder``, and every finished fit is kept there for a later start.
    """
    tasks = []
    for symbol, one in prepared.items():
        digest = one.split.development.digest()
        for model in (*settings.models, *settings.null_models):
            name = f"{symbol}_{model.name}"
            task = _task(settings, one, symbol, model, folder / "models" / name)
            tasks.append(keeping(task, folder / UNITS / name, digest))
    return tasks


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


def _augmentation(settings: TrainSettings, model: Model) -> Augmentation:
    """Return how a model is augmented: the council never, null models as configured."""
    adaptive = settings.augmentation == "adaptive"
    if model.name == COUNCIL or (adaptive and model in settings.null_models):
        return "none"
    return settings.augmentation
