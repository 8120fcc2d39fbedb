"""One symbol, one model: out-of-fold predictions by walk-forward, then the deployed fit.

Axes: N rows of development.
"""

import hashlib
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from augmentation import DataAugmenter
from market.bars import FloatArray
from market.samples import IntArray
from market.splits import Fold, Split, early_stopping_tail
from models.base import Augment, FitReport, Model, ModelError, StoppedError
from models.monitor import TrainingMonitor


@dataclass(frozen=True, slots=True)
class Task:
    """Everything one worker needs to train one model of one symbol; no holdout is in it.

    Attributes
    ----------
    symbol : str
    model : Model
        Unfitted; each fit starts from a fresh one.
    split : Split
    early_stopping_fraction : float
        Share of each fit's own rows, the latest, that models which stop early are stopped by.
    new_augmenter : callable or None
        Makes an augmenter from a ``seed``; None augments nothing.
    new_monitor : callable
        Makes the monitor that watches one fit.
    seed : int
        The run's; each fit draws from a generator keyed by seed, symbol, model and fold.
    folder : Path
        Where the deployed fit is saved.
    """

    symbol: str
    model: Model
    split: Split
    early_stopping_fraction: float
    new_augmenter: Callable[..., DataAugmenter] | None
    new_monitor: Callable[[], TrainingMonitor]
    seed: int
    folder: Path


@dataclass(frozen=True, slots=True)
class FoldOutcome:
    """What one walk-forward fit gave.

    Attributes
    ----------
    n_train, n_purged : int
    base_rate : float
        Weighted share of wins among the training rows.
    train_accuracy : float
        On the rows the weights were fitted on; NaN where the fit failed.
    p_N : float64 array
        Probabilities of winning for the rows of the block; empty where the fit failed.
    error : str or None
    """

    n_train: int
    n_purged: int
    base_rate: float
    train_accuracy: float
    p_N: FloatArray
    error: str | None


@dataclass(frozen=True, slots=True)
class Cpu:
    """Processor seconds of one task."""

    fit: float
    walk_forward: float
    augmentation: float


@dataclass(frozen=True, slots=True)
class Trained:
    """A task that ended with a deployed fit.

    Attributes
    ----------
    p_N : float64 array, shape (n_development,)
        Out-of-fold probabilities of winning; NaN where no fold predicted.
    base_rate_N : float64 array, shape (n_development,)
        Base rate of the training rows behind each prediction; NaN likewise.
    folds : tuple of FoldOutcome
    final : FitReport
        Of the deployed fit.
    importance : dict or None
    warnings : tuple of str
    duration_s : float
        Wall time.
    cpu : Cpu
    """

    p_N: FloatArray
    base_rate_N: FloatArray
    folds: tuple[FoldOutcome, ...]
    final: FitReport
    importance: dict[str, float] | None
    warnings: tuple[str, ...]
    duration_s: float
    cpu: Cpu


@dataclass(frozen=True, slots=True)
class _Fit:
    model: Model
    report: FitReport
    train_accuracy: float


class _Trainer:
    """Fits one task's model again and again, and keeps its warnings and its augmentation time."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.warnings: dict[str, None] = {}
        self.augmentation_s = 0.0

    def fit(self, rows: IntArray, key: str) -> _Fit:
        """Fit a fresh model on rows of development."""
        task = self.task
        train, tail = task.split.development.take(rows), None
        if len(train) and task.model.stops_early(len(train)):
            train, tail = early_stopping_tail(train, task.early_stopping_fraction)
        rng = generator(task.seed, task.symbol, task.model.name, key)
        monitor = task.new_monitor()
        model = task.model.fresh()
        with self._warnings_kept(key):
            report = model.fit(train, tail, rng=rng, monitor=monitor, augment=self._augment(rng))
        for sentence in monitor.get_warnings():
            self.warnings[f"{key}: {sentence}"] = None
        p_N = model.predict_proba(train.x_NF)[:, 1]
        return _Fit(model, report, float(np.mean((p_N >= 0.5) == (train.y_N == 1))))

    def outcome(self, fold: Fold, key: str) -> tuple[FoldOutcome, _Fit | None]:
        """Fit on a fold's training rows and predict its block; a fit that cannot be is told."""
        development = self.task.split.development
        train = development.take(fold.train_N)
        rate = float(np.average(train.y_N, weights=train.weight_N)) if len(train) else np.nan
        try:
            fit = self.fit(fold.train_N, key)
        except StoppedError:
            raise
        except ModelError as error:
            self.warnings[f"{key}: {error}"] = None
            nothing = np.zeros(0)
            failed = FoldOutcome(len(train), fold.n_purged, rate, np.nan, nothing, str(error))
            return failed, None
        before = development.x_NF[: fold.block.start]
        p_N = fit.model.predict_proba(development.x_NF[fold.block], before)[:, 1]
        outcome = FoldOutcome(len(train), fold.n_purged, rate, fit.train_accuracy, p_N, None)
        return outcome, fit

    def _augment(self, rng: np.random.Generator) -> Augment | None:
        if self.task.new_augmenter is None:
            return None
        augmenter = self.task.new_augmenter(seed=int(rng.integers(2**31)))

        def timed(x: Any, y: Any) -> tuple[Any, Any]:
            start_s = time.process_time()
            try:
                return augmenter.augment(x, y)
            finally:
                self.augmentation_s += time.process_time() - start_s

        return timed

    @contextmanager
    def _warnings_kept(self, key: str) -> Iterator[None]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        for one in caught:
            self.warnings[f"{key}: {' '.join(str(one.message).split())}"] = None


def train_task(task: Task) -> Trained:
    """Predict every block out of fold, fit the deployed model, and save it.

    Raises
    ------
    ModelError
        If validation or test could not be predicted, or the deployed fit failed.
    """
    start_s, start_cpu_s = time.monotonic(), time.process_time()
    trainer = _Trainer(task)
    split = task.split
    p_N = np.full(len(split.development), np.nan)
    base_rate_N = p_N.copy()
    outcomes = []
    last: _Fit | None = None
    for number, fold in enumerate(split.folds, start=1):
        outcome, last = trainer.outcome(fold, f"fold {number}")
        outcomes.append(outcome)
        if outcome.error is None:
            p_N[fold.block] = outcome.p_N
            base_rate_N[fold.block] = outcome.base_rate
    if last is None or np.isnan(p_N[split.validation]).any():
        errors = [outcome.error for outcome in outcomes if outcome.error]
        raise ModelError(f"validation or test could not be predicted: {errors[-1]}")
    augmented_s = trainer.augmentation_s
    walked_cpu_s = time.process_time()
    all_N = np.arange(len(split.development))
    deployed = trainer.fit(all_N, "final fit") if split.refits else last
    # Whatever an earlier run left there would be deployed along.
    shutil.rmtree(task.folder, ignore_errors=True)
    deployed.model.save(task.folder)
    ended_cpu_s = time.process_time()
    final_augmented_s = trainer.augmentation_s - augmented_s
    return Trained(
        p_N=p_N,
        base_rate_N=base_rate_N,
        folds=tuple(outcomes),
        final=deployed.report,
        importance=deployed.model.importance(),
        warnings=tuple(trainer.warnings),
        duration_s=time.monotonic() - start_s,
        cpu=Cpu(
            fit=ended_cpu_s - walked_cpu_s - final_augmented_s,
            walk_forward=walked_cpu_s - start_cpu_s - augmented_s,
            augmentation=trainer.augmentation_s,
        ),
    )


def generator(seed: int, *key: str) -> np.random.Generator:
    """Return the random generator of one fit: the same wherever and whenever it runs."""
    digest = hashlib.sha256("\n".join([str(seed), *key]).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16]))
