"""One set of hyperparameters, tried on the blocks that its task holds and on no others.

Axes: N rows predicted, K folds, C checkpoints.
"""

import time
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from market.bars import FloatArray
from market.samples import IntArray
from market.splits import Fold
from models.base import Model, ModelError, StoppedError
from models.monitor import TrainingMonitor
from models.net import Net
from models.xgb import binned_kept
from selection.atomic import NO_ROOM
from selection.metrics import log_losses
from training.choices import Choice
from training.fitting import Fitting, Planned, accuracy
from training.task import Task
from training.tuning.rivals import Race, Rivals

State = Literal["complete", "pruned", "failed"]
# Whose rows a worker keeps in the form that XGBoost fits on.
STUDIES_KEPT = 2


@dataclass(frozen=True, slots=True)
class Trial:
    """What a worker is given to try hyperparameters once.

    Attributes
    ----------
    task : Task
        Its model has the hyperparameters, its split holds the folds to be fitted and predicted.
    first_fold : int
        Number of the first of them in the walk-forward: a fit draws by its number.
    gap_penalty : float
        Nats per unit of training accuracy above that on the blocks.
    rivals : Rivals
    timeout_s : float
        Wall time after which the trial has failed.
    """

    task: Task
    first_fold: int
    gap_penalty: float
    rivals: Rivals
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of a trial.

    Attributes
    ----------
    state : str
    values : tuple of float
        The objective over the blocks so far, after each of them.
    log_loss, accuracy, gap : float
        Pooled over the blocks predicted; the gap is mean training accuracy less ``accuracy``. NaN
        where there is none.
    p_N : float64 array
        Probabilities of winning, block after block.
    curve_KC : float64 array, shape (n_folds, n_checkpoints)
        See `Rivals`.
    error : str or None
        One line, of a trial that failed.
    wall_s, cpu_s : float
    """

    state: State
    values: tuple[float, ...] = ()
    log_loss: float = np.nan
    accuracy: float = np.nan
    gap: float = np.nan
    p_N: FloatArray = field(default_factory=lambda: np.zeros(0))
    curve_KC: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))
    error: str | None = None
    wall_s: float = 0.0
    cpu_s: float = 0.0


class _PrunedError(Exception):
    """Others did better up to here."""


def attempted(trial: Trial) -> Attempt:
    """Try hyperparameters; whatever a model raises is the trial's failure.

    Raises
    ------
    OSError
        If the disk takes no more.
    """
    return _Attempting(trial).outcome()


class _Attempting:
    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._start_s, self._start_cpu_s = time.monotonic(), time.process_time()
        self._race = Race(trial.rivals, len(trial.task.split.folds), self._new_monitor)
        task = replace(trial.task, new_monitor=self._race.monitor)
        self._planned = [
            Planned(name, name, fold.train_N, Choice(0, task.augmentation == "always"))
            for number, fold in enumerate(task.split.folds, start=trial.first_fold)
            for name in [f"fold {number}"]
        ]
        self._fitting = Fitting(task, self._planned)
        self._y: list[IntArray] = []
        self._p: list[FloatArray] = []
        self._train_accuracies: list[float] = []
        self._values: list[float] = []
        self._pooled = {"log_loss": np.nan, "accuracy": np.nan, "gap": np.nan}

    def outcome(self) -> Attempt:
        state, error = self._state()
        return Attempt(
            state,
            tuple(self._values),
            **self._pooled,
            p_N=np.concatenate(self._p) if self._p else np.zeros(0),
            curve_KC=self._race.curve_KC(),
            error=error,
            wall_s=time.monotonic() - self._start_s,
            cpu_s=time.process_time() - self._start_cpu_s,
        )

    def _state(self) -> tuple[State, str | None]:
        try:
            # The next trial of the study is fitted on the same rows.
            with binned_kept(STUDIES_KEPT * len(self._planned)):
                self._predict()
        except _PrunedError:
            return "pruned", None
        except Exception as error:
            # The boundary that isolates one trial's failure; only a full disk is everybody's.
            if isinstance(error, OSError) and error.errno in NO_ROOM:
                raise
            if isinstance(error, StoppedError) and self._race.given_up:
                return "pruned", None
            return "failed", f"{self._fitting.under_way}: {self._said(error)}"
        return "complete", None

    def _said(self, error: Exception) -> str:
        if isinstance(error, StoppedError) and self._left_s() <= 0:
            return f"timeout: over {self._trial.timeout_s:g} s (sweep.timeout_s)"
        kind = "" if isinstance(error, ModelError) else f"{type(error).__name__}: "
        return kind + " ".join(str(error).split())

    def _predict(self) -> None:
        folds = self._trial.task.split.folds
        for planned, fold in zip(self._planned, folds, strict=True):
            with self._fitting.counted(planned.name, "walk_forward"):
                if self._left_s() <= 0:
                    raise StoppedError
                fit = self._fitting.fit(planned)
                self._take(fold, self._answers(fold, fit.model), fit.train_accuracy)
            if fold is not folds[-1] and self._trial.rivals.outdo(self._values):
                raise _PrunedError

    def _answers(self, fold: Fold, model: Model) -> FloatArray:
        x_NF = self._trial.task.split.development.x_NF
        return model.predict_proba(x_NF[fold.block], x_NF[: fold.block.start])[:, 1]

    def _take(self, fold: Fold, p_N: FloatArray, train_accuracy: float) -> None:
        """Add a block to what is pooled."""
        self._y.append(self._trial.task.split.development.y_N[fold.block])
        self._p.append(p_N)
        self._train_accuracies.append(train_accuracy)
        y_N, p_N = np.concatenate(self._y), np.concatenate(self._p)
        self._pooled = pooled(y_N, p_N, self._train_accuracies)
        self._values.append(objective(self._pooled, self._trial.gap_penalty))

    def _new_monitor(self) -> TrainingMonitor:
        monitor = self._trial.task.new_monitor()
        # Nets of all folds train side by side, each one's clock counting its own part.
        n_beside = len(self._planned) if isinstance(self._trial.task.model, Net) else 1
        left_min = max(self._left_s(), 0.001) / 60 / n_beside
        monitor.max_minutes = min(monitor.max_minutes, left_min)
        return monitor

    def _left_s(self) -> float:
        return self._trial.timeout_s - (time.monotonic() - self._start_s)


def pooled(y_N: IntArray, p_N: FloatArray, train_accuracies: list[float]) -> dict[str, float]:
    """Return log_loss and accuracy over rows, and the gap of the fits that predicted them."""
    right = accuracy(p_N, y_N)
    gap = float(np.mean(train_accuracies)) - right
    return {"log_loss": float(log_losses(y_N, p_N).mean()), "accuracy": right, "gap": gap}


def objective(scores: dict[str, float], gap_penalty: float) -> float:
    """Return what a sweep minimises: log-loss, and a penalty on the train-validation gap."""
    return scores["log_loss"] + gap_penalty * max(0.0, scores["gap"])
