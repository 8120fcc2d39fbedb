"""One symbol, one model: out-of-fold predictions by walk-forward, then the deployed fit.

Axes: N rows of development.
"""

import hashlib
import shutil
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from augmentation import NotAugmentedWarning
from market.bars import FloatArray
from market.samples import IntArray
from market.splits import Fold, early_stopping_tail
from models.base import Augment, FitReport, Model, ModelError, StoppedError
from models.monitor import TrainingMonitor
from training.task import Cpu, Failure, FitEnded, FoldOutcome, Task, Trained

NOTHING = np.zeros(0)


@dataclass(frozen=True, slots=True)
class _Fit:
    model: Model
    report: FitReport
    train_accuracy: float


@dataclass(frozen=True, slots=True)
class _Before:
    """What was known before a fit."""

    wall_s: float
    n_warnings: int


class Training:
    """One task under way: its fits one after another, and what is known of them so far."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._under_way: str | None = None
        self._warnings: dict[str, None] = {}
        self._augmentation_failures: dict[str, str] = {}
        self._wall_s = 0.0
        self._cpu_s = {"fit": 0.0, "walk_forward": 0.0, "augmentation": 0.0}

    def fits(self) -> Iterator[FitEnded | Trained]:
        """Predict every block out of fold, fit the deployed model, and save it.

        Yields
        ------
        FitEnded or Trained
            The former after each fit, the latter last. No time is counted between two of them.

        Raises
        ------
        ModelError
            If validation or test could not be predicted, or the deployed fit failed.
        """
        split, development = self._task.split, self._task.split.development
        p_N = np.full(len(development), np.nan)
        base_rate_N = p_N.copy()
        outcomes = []
        last: _Fit | None = None
        for number, fold in enumerate(split.folds, start=1):
            with self._counted(f"fold {number}", "walk_forward") as before:
                outcome, last = self._outcome(fold, f"fold {number}")
            outcomes.append(outcome)
            if outcome.error is None:
                p_N[fold.block] = outcome.p_N
                base_rate_N[fold.block] = outcome.base_rate
            yield self._ended(f"fold {number}", outcome, development.y_N[fold.block], before)
        if last is None or np.isnan(p_N[split.validation]).any():
            errors = [f"fold {k}: {one.error}" for k, one in enumerate(outcomes, 1) if one.error]
            raise ModelError(f"validation or test could not be predicted: {errors[-1]}")
        deployed = last
        if split.refits:
            with self._counted("final fit", "fit") as before:
                deployed = self._fit(np.arange(len(development)), "final fit")
            whole = FoldOutcome(len(development), 0, np.nan, deployed.train_accuracy, NOTHING, None)
            yield self._ended("final fit", whole, development.y_N[:0], before)
        with self._counted("saving", "fit"):
            # Whatever an earlier run left there would be deployed along.
            shutil.rmtree(self._task.folder, ignore_errors=True)
            deployed.model.save(self._task.folder)
            importance = deployed.model.importance()
        yield Trained(
            p_N=p_N,
            base_rate_N=base_rate_N,
            folds=tuple(outcomes),
            final=deployed.report,
            importance=importance,
            warnings=tuple(self._warnings),
            augmentation_failures=tuple(self._augmentation_failures.values()),
            duration_s=self._wall_s,
            cpu=Cpu(**self._cpu_s),
        )

    def failure(self, error: Exception) -> Failure:
        """Return what is known after ``fits`` raised."""
        sentence = " ".join(str(error).split())
        kind = "" if isinstance(error, ModelError) else f"{type(error).__name__}: "
        where = "" if self._under_way is None else f"{self._under_way}: "
        return Failure(
            error=f"{where}{kind}{sentence}",
            warnings=tuple(self._warnings),
            augmentation_failures=tuple(self._augmentation_failures.values()),
            duration_s=self._wall_s,
            cpu=Cpu(**self._cpu_s),
        )

    @contextmanager
    def _counted(self, name: str, part: Literal["fit", "walk_forward"]) -> Iterator[_Before]:
        """Count the time of a fit; one that raises stays the one under way."""
        start_s, start_cpu_s = time.monotonic(), time.process_time()
        augmented_s = self._cpu_s["augmentation"]
        self._under_way = name
        try:
            yield _Before(self._wall_s, len(self._warnings))
            self._under_way = None
        finally:
            self._wall_s += time.monotonic() - start_s
            spent_s = time.process_time() - start_cpu_s
            self._cpu_s[part] += spent_s - (self._cpu_s["augmentation"] - augmented_s)

    def _outcome(self, fold: Fold, name: str) -> tuple[FoldOutcome, _Fit | None]:
        """Fit on a fold's training rows and predict its block; a fit that cannot be is told."""
        development = self._task.split.development
        train = development.take(fold.train_N)
        rate = float(np.average(train.y_N, weights=train.weight_N)) if len(train) else np.nan
        try:
            fit = self._fit(fold.train_N, name)
        except StoppedError:
            raise
        except ModelError as error:
            sentence = " ".join(str(error).split())
            self._warnings[f"{name}: {sentence}"] = None
            failed = FoldOutcome(len(train), fold.n_purged, rate, np.nan, NOTHING, sentence)
            return failed, None
        before = development.x_NF[: fold.block.start]
        p_N = fit.model.predict_proba(development.x_NF[fold.block], before)[:, 1]
        outcome = FoldOutcome(len(train), fold.n_purged, rate, fit.train_accuracy, p_N, None)
        return outcome, fit

    def _fit(self, rows: IntArray, name: str) -> _Fit:
        """Fit a fresh model on rows of development."""
        task = self._task
        train, tail = task.split.development.take(rows), None
        if len(train) and task.model.stops_early(len(train)):
            train, tail = early_stopping_tail(train, task.early_stopping_fraction)
        rng = generator(task.seed, task.symbol, task.model.name, name)
        monitor = task.new_monitor()
        model = task.model.fresh()
        with self._warnings_kept(name, monitor):
            report = model.fit(train, tail, rng=rng, monitor=monitor, augment=self._augment(rng))
        p_N = model.predict_proba(train.x_NF)[:, 1]
        return _Fit(model, report, _accuracy(p_N, train.y_N))

    def _augment(self, rng: np.random.Generator) -> Augment | None:
        if self._task.new_augmenter is None:
            return None
        new_augmenter, seed = self._task.new_augmenter, int(rng.integers(2**31))

        def timed(x: Any, y: Any) -> tuple[Any, Any]:
            start_s = time.process_time()
            try:
                return new_augmenter(seed=seed).augment(x, y)
            except Exception as error:  # noqa: BLE001 - a fit can do without its augmentation
                reason = f"{type(error).__name__}: {error}"
                warnings.warn(NotAugmentedWarning(len(x), reason), stacklevel=2)
                return x, y
            finally:
                self._cpu_s["augmentation"] += time.process_time() - start_s

        return timed

    @contextmanager
    def _warnings_kept(self, name: str, monitor: TrainingMonitor) -> Iterator[None]:
        """Keep what is warned of during a fit, one that fails included."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                yield
            finally:
                for one in caught:
                    sentence = f"{name}: {' '.join(str(one.message).split())}"
                    self._warnings[sentence] = None
                    if issubclass(one.category, NotAugmentedWarning):
                        self._augmentation_failures.setdefault(name, sentence)
                for sentence in monitor.get_warnings():
                    self._warnings[f"{name}: {sentence}"] = None

    def _ended(self, name: str, outcome: FoldOutcome, y_N: IntArray, before: _Before) -> FitEnded:
        return FitEnded(
            name=name,
            n_train=outcome.n_train,
            n_purged=outcome.n_purged,
            train_accuracy=outcome.train_accuracy,
            accuracy=_accuracy(outcome.p_N, y_N) if len(outcome.p_N) else np.nan,
            wall_s=self._wall_s - before.wall_s,
            warnings=tuple(self._warnings)[before.n_warnings :],
            augmentation_failure=self._augmentation_failures.get(name),
            error=outcome.error,
        )


def _accuracy(p_N: FloatArray, y_N: IntArray) -> float:
    return float(np.mean((p_N >= 0.5) == (y_N == 1)))


def generator(seed: int, *key: str) -> np.random.Generator:
    """Return the random generator of one fit: the same wherever and whenever it runs."""
    digest = hashlib.sha256("\n".join([str(seed), *key]).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16]))
