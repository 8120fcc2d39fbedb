"""Which fits a task consists of, and what they are called."""

from market.splits import Fold
from training.task import Task

FINAL = "final fit"
AUGMENTED = " augmented"


def fit_names(task: Task) -> list[str]:
    """Return the name of every fit of a task, in the order in which they are made."""
    names = []
    for number, fold in enumerate(task.split.folds, start=1):
        names += [fit_name(f"fold {number}", step) for step in range(1 + len(task.stronger))]
        names += [f"fold {number}{AUGMENTED}"] if is_paired(task, fold) else []
    return [*names, FINAL] if task.split.refits else names


def fit_name(name: str, step: int) -> str:
    """Return the name of a fold's fit by one step of the strength path."""
    return f"{name} step {step}" if step else name


def is_paired(task: Task, fold: Fold) -> bool:
    """Return whether a block is predicted with and without synthetic rows."""
    return task.augmentation == "adaptive" and is_small(task, len(fold.train_N))


def is_small(task: Task, n_rows: int) -> bool:
    """Return whether a fit on so many rows, less those that stop it early, would be augmented."""
    if task.model.stops_early(n_rows):
        n_rows -= max(1, round(n_rows * task.early_stopping_fraction))
    return n_rows < task.new_augmenter(seed=task.seed).threshold
