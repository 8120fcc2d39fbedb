"""Studies in a journal, and trials that end without a fit.

Worker processes import this file.
"""

import errno
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from models.base import FitReport, Model
from tests.models.planted import shipped_model
from tests.training.spies import Believer
from training.tuning.space import Choices, Range, SearchSpace
from training.tuning.storage import open_journal
from training.tuning.study import Asked, Search, Study
from training.tuning.trial import Attempt

PATH: list[dict[str, Any]] = [
    {"max_depth": 3, "learning_rate": 0.05},
    {"max_depth": 1, "learning_rate": 0.05},
]
# Where the made-up objective is least.
BEST = {"max_depth": 2, "learning_rate": 0.03, "subsample": 0.5}


def space(**changes: Range | Choices) -> SearchSpace:
    ranges: dict[str, Range | Choices] = {
        "max_depth": Range(1, 8),
        "learning_rate": Range(0.01, 0.3, log=True),
        "subsample": Range(0.4, 1.0),
    }
    return SearchSpace(shipped_model("xgboost"), {**ranges, **changes}, unbounded=False)


def study(folder: Path | None, *, seed: int = 7, starts: Any = None, **changes: Any) -> Study:
    """Return a study of XGBoost, opened again where the folder has one; None: held in memory."""
    from optuna.storages import InMemoryStorage

    own = shipped_model("xgboost").hyperparameters
    starts = [{}, *PATH] if starts is None else starts
    rules: dict[str, Any] = {
        "sampler": "tpe",
        "n_trials": 14,
        "n_random": 5,
        "at_once": 1,
        "fold_share": 1.0,
        "epoch_share": 1.0,
        "prune_from": 3,
    }
    return Study(
        InMemoryStorage() if folder is None else open_journal(folder / "journal.log"),
        "EURUSD XGBoost 1f2e",
        symbol="EURUSD",
        model="XGBoost",
        space=space(),
        search=Search(**{**rules, **changes}),
        starts=[{**own, **start} for start in starts],
        seed=seed,
    )


def objective(made: dict[str, Any]) -> float:
    """Return what a trial of these hyperparameters is worth."""
    steps = math.log(made["learning_rate"] / BEST["learning_rate"])
    depths = made["max_depth"] - BEST["max_depth"]
    return 0.6 + 0.01 * (steps**2 + depths**2) + 0.1 * (made["subsample"] - BEST["subsample"]) ** 2


def ended(asked: Asked) -> Attempt:
    """Return what became of a trial: after two folds the better ones of those before go on."""
    value = objective(asked.hyperparameters)
    if asked.rivals.outdo((value + 0.1, value)):
        return Attempt("pruned", (value + 0.1, value), log_loss=value)
    return Attempt("complete", (value + 0.1, value, value), log_loss=value, accuracy=0.6, gap=0.1)


def failed_now_and_then(asked: Asked) -> Attempt:
    """Return what became of a trial, of which those of some depth have failed."""
    if asked.hyperparameters["max_depth"] == 2:
        return Attempt("failed", (0.7,), error="fold 2: lost")
    return ended(asked)


def in_turn(n_under_way: int) -> int:
    del n_under_way
    return 0


def made(
    one: Study,
    *,
    picks: Callable[[int], int] = in_turn,
    most: float = math.inf,
    end: Callable[[Asked], Attempt] = ended,
) -> list[Asked]:
    """Make trials, of those under way the picked one ending next; return what was asked for.

    With ``most`` so many end, and whatever else is under way is left there.
    """
    asked: list[Asked] = []
    under_way: list[Asked] = []
    n_ended = 0
    while True:
        while (new := one.ask()) is not None:
            asked.append(new)
            under_way.append(new)
        if not under_way or n_ended >= most:
            break
        first = under_way.pop(picks(len(under_way)))
        one.told(first.number, end(first))
        n_ended += 1
    if not under_way:
        one.settle()
    return asked


def kept(one: Study) -> list[tuple[Any, ...]]:
    """Return all that trials have left, one that took the place of another in that place."""
    trials = one.optuna_study.get_trials(deepcopy=False)
    trials.sort(key=lambda trial: trial.system_attrs.get("failed_trial", trial.number))
    again = {number for trial in trials for number in trial.system_attrs.get("retry_history", ())}
    return [
        (trial.state.name, trial.params, trial.values, trial.intermediate_values, trial.user_attrs)
        for trial in trials
        if trial.number not in again
    ]


def hyperparameters(asked: Sequence[Asked]) -> list[dict[str, Any]]:
    return [one.hyperparameters for one in asked]


class Frail(Believer):
    """Takes its worker process with it, or meets a full disk, where it believes too little."""

    name = "Frail"

    def __init__(self, *, belief: float, dies_below: float = 0.0, full_below: float = 0.0) -> None:
        Model.__init__(self, belief=belief, dies_below=dies_below, full_below=full_below)

    def stops_early(self, n_rows: int) -> bool:
        del n_rows
        return False

    def _fit(self, *given: Any) -> FitReport:
        if self.hyperparameters["belief"] < self.hyperparameters["dies_below"]:
            os._exit(1)
        if self.hyperparameters["belief"] < self.hyperparameters["full_below"]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "units/a")
        return super()._fit(*given)
