"""Nets that were chosen, run again from other seeds: one lucky seed must not decide."""

import logging
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace

from selection.out_of_fold import OutOfFold
from training.engine import Finished, run_tasks
from training.predictions import out_of_fold
from training.task import Failure, Task
from training.units import keeping

_log = logging.getLogger(__name__)


def reseeded(
    finalists: Iterable[Task],
    n_seeds: int,
    n_workers: int,
    memory_limit_bytes: int | None = None,
    passing: Callable[[], None] = lambda: None,
) -> dict[tuple[str, str], list[OutOfFold]]:
    """Predict out of fold again, with the seeds that follow each task's own.

    ``passing`` is called where one failed for what may pass, such as its process's death.

    Parameters
    ----------
    finalists : iterable of Task
    n_seeds : int
        In all, the one that is known included.
    n_workers, memory_limit_bytes : int
        As `run_tasks` takes them.

    Returns
    -------
    dict
        By symbol and model, the predictions of each further seed that did not fail, in the order
        of the seeds.
    """
    tasks = [_from_other_seed(task, further) for task in finalists for further in range(1, n_seeds)]
    found: dict[tuple[str, str], dict[int, OutOfFold]] = {
        (task.symbol, task.model.name): {} for task in tasks
    }
    for symbol, name in found:
        _log.info("%s %s was chosen: it runs from %d other seeds", symbol, name, n_seeds - 1)
    with closing(run_tasks(tasks, n_workers, memory_limit_bytes)) as events:
        for event in events:
            if not isinstance(event, Finished):
                continue
            task, ended = event.task, event.outcome
            where = f"{task.symbol} {task.model.name} from seed {task.seed}"
            if isinstance(ended, Failure):
                _log.warning("%s failed: %s", where, ended.error)
                if not ended.repeats:
                    passing()
            else:
                _log.info("%s: %.1f s", where, ended.duration_s)
                predicted = out_of_fold(task.split, ended, task.judged_from)
                found[task.symbol, task.model.name][task.seed] = predicted
    # Not in the order in which they happened to end: the manifest lists them.
    return {one: [by_seed[seed] for seed in sorted(by_seed)] for one, by_seed in found.items()}


def _from_other_seed(task: Task, further: int) -> Task:
    """Return a task that only predicts, from another seed; its fits are kept beside the task's."""
    other = replace(
        task,
        split=replace(task.split, refits=False),
        calibrates=False,
        seed=task.seed + further,
        folder=None,
    )
    if task.keeping is None:
        return other
    place = task.keeping.folder.with_name(f"{task.keeping.folder.name}_seed{other.seed}")
    return keeping(other, place, task.split.development.digest())
