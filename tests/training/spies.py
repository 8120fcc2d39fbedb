"""Models that remember what they were shown, and the tasks that train them.

Worker processes import this file.

Axes: N rows, F features.
"""

import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from market.bars import FloatArray
from market.samples import Samples
from market.splits import FixedFractions, Split, WalkForward
from models.base import Augment, FitReport, Model, ModelError
from models.monitor import TrainingMonitor
from training.task import Task, Trained
from training.walk_forward import Training


class Nearest(Model):
    """Answers 0.9 or 0.1 by the label of the nearest training row: a memoriser.

    Every fit's training rows, held-back rows and augmented rows are kept in ``seen``; the fits
    numbered in ``fails_at`` (from 1) fail.
    """

    name = "Nearest"
    seen: ClassVar[list[tuple[Samples, Samples | None, Any]]] = []
    fails_at: ClassVar[frozenset[int]] = frozenset()

    def __init__(self, *, holds_back: bool = False) -> None:
        super().__init__(holds_back=holds_back)

    def stops_early(self, n_rows: int) -> bool:
        del n_rows
        return bool(self.hyperparameters["holds_back"])

    def _fit(
        self,
        train: Samples,
        valid: Samples | None,
        rng: np.random.Generator,
        monitor: TrainingMonitor,
        augment: Augment | None,
    ) -> FitReport:
        augmented = (train.x_NF, train.y_N) if augment is None else augment(train.x_NF, train.y_N)
        self.seen.append((train, valid, augmented))
        if len(self.seen) in self.fails_at:
            raise ModelError(f"fit {len(self.seen)} fails")
        warnings.warn(f"{len(train)} rows\n  seen", stacklevel=1)
        monitor.check_exploding_gradients(10.0 + len(self.seen))
        self._x_NF, self._y_N = train.x_NF, train.y_N
        return FitReport(len(train), len(augmented[1]), 1, {"loss": [0.5, 0.25]})

    def _log_odds(self, x_NF: FloatArray, context_NF: FloatArray | None) -> FloatArray:
        del context_NF
        distance_NN = np.abs(x_NF[:, None, :] - self._x_NF[None]).sum(axis=2)
        wins_N = self._y_N[distance_NN.argmin(axis=1)] == 1
        return np.asarray(np.where(wins_N, np.log(9.0), -np.log(9.0)))

    def _save_weights(self, folder: Path) -> None:
        """Nothing: a spy is never loaded."""

    def _load_weights(self, folder: Path) -> None:
        """Nothing: a spy is never loaded."""


class Raises(Nearest):
    """Has a fault of its own in every fit."""

    name = "Raises"

    def _fit(self, *given: Any) -> FitReport:
        del given
        warnings.warn("cannot divide", stacklevel=1)
        raise ZeroDivisionError("two\nlines")


class Dies(Nearest):
    """Takes its worker process with it, after so many fits."""

    name = "Dies"
    seen: ClassVar[list[tuple[Samples, Samples | None, Any]]] = []

    def __init__(self, *, after_fits: int = 0) -> None:
        Model.__init__(self, after_fits=after_fits)

    def stops_early(self, n_rows: int) -> bool:
        del n_rows
        return False

    def _fit(self, *given: Any) -> FitReport:
        if len(self.seen) == self.hyperparameters["after_fits"]:
            os._exit(1)
        return super()._fit(*given)


class Sleeps(Nearest):
    """Takes far longer than any test."""

    name = "Sleeps"

    def _fit(self, *given: Any) -> FitReport:
        del given
        time.sleep(60.0)
        raise AssertionError


def walked(rows: Samples, **changes: Any) -> Split:
    """Return a walk-forward split without a holdout."""
    settings: dict[str, Any] = {
        "first_train": 0.4,
        "n_blocks": 6,
        "holdout_fraction": 0.0,
        "min_development_rows": 1,
        "embargo_bars": 0,
        "min_rows": 20,
    }
    return WalkForward(**{**settings, **changes}).divide(rows)[0]


def by_fractions(rows: Samples) -> Split:
    """Return the reference's split."""
    split, _ = FixedFractions(
        train_fraction=0.6, validation_fraction=0.2, n_folds=5, embargo_bars=0, min_rows=20
    ).divide(rows)
    return split


def task(
    split: Split,
    folder: Path,
    model: Model | None = None,
    *,
    symbol: str = "EURUSD",
    seed: int = 7,
    new_augmenter: Callable[..., Any] | None = None,
) -> Task:
    """Return a task, of the memoriser unless another model is given."""
    model = Nearest() if model is None else model
    return Task(
        symbol, model, split, 0.15, new_augmenter, TrainingMonitor, seed, folder / model.name
    )


def train_task(work: Task) -> Trained:
    """Train a task from beginning to end; raises what a fit raises."""
    *_, trained = Training(work).fits()
    assert isinstance(trained, Trained)
    return trained
