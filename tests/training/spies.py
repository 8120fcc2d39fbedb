"""Models that remember what they were shown, and the tasks that train them.

Worker processes import this file.

Axes: N rows, F features.
"""

import errno
import functools
import os
import signal
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from augmentation import DataAugmenter
from market.bars import FloatArray
from market.samples import Samples
from market.splits import FixedFractions, Split, WalkForward
from models.base import Augment, FitReport, Model, ModelError
from models.monitor import TrainingMonitor
from tests.models.planted import HOUR, samples
from training.task import Augmentation, Task, Trained
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


@dataclass(frozen=True, slots=True)
class Believed:
    """One fit of a `Believer`; what it drew tells its generator from any other."""

    belief: float
    train: Samples
    valid: Samples | None
    synthetic_NF: FloatArray | None
    draw: int


class Believer(Model):
    """Answers as many nats as ``belief`` for or against by the sign of its hint, feature 0.

    What it costs is known beforehand: it learns nothing, except that synthetic rows multiply its
    belief by their mean hint. Every fit is kept in ``fits`` and warns of its belief; those for
    which ``fails`` is true fail.
    """

    name = "Believer"
    stronger_when = MappingProxyType({"belief": "smaller"})
    fits: ClassVar[list[Believed]] = []
    fails: ClassVar[Callable[[Believed], bool] | None] = None

    def __init__(self, *, belief: float, holds_back: bool = False) -> None:
        super().__init__(belief=belief, holds_back=holds_back)

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
        del monitor
        self._belief, n_rows, synthetic_NF = self.hyperparameters["belief"], len(train), None
        if augment is not None:
            x_MF, _ = augment(train.x_NF, train.y_N)
            synthetic_NF, n_rows = x_MF[n_rows:], len(x_MF)
            self._belief *= synthetic_NF[:, 0].mean() if len(synthetic_NF) else 1.0
        belief, draw = self.hyperparameters["belief"], int(rng.integers(2**62))
        fit = Believed(belief, train, valid, synthetic_NF, draw)
        self.fits.append(fit)
        warnings.warn(f"believes {belief}", stacklevel=1)
        if Believer.fails is not None and Believer.fails(fit):
            raise ModelError(f"lost belief {belief}")
        return FitReport(len(train), n_rows, 1)

    def _log_odds(self, x_NF: FloatArray, context_NF: FloatArray | None) -> FloatArray:
        del context_NF
        log_odds_N: FloatArray = self._belief * x_NF[:, 0]
        return log_odds_N

    def _save_weights(self, folder: Path) -> None:
        """Nothing: a spy is never loaded."""

    def _load_weights(self, folder: Path) -> None:
        """Nothing: a spy is never loaded."""


def hinted(right_N: npt.ArrayLike, seed: int = 0) -> Samples:
    """Return rows with random labels whose hint is right where told; each ends as the next begins.

    Feature 0 is the hint, 1 or -1, feature 1 the number of the row.
    """
    right_N = np.asarray(right_N, dtype=np.bool_)
    y_N = np.random.default_rng(seed).permutation(np.arange(len(right_N)) % 2)
    hint_N = np.where(right_N == (y_N == 1), 1.0, -1.0)
    return samples(np.column_stack([hint_N, np.arange(len(y_N))]), y_N, label_bars=1)


def drifting(seed: int) -> Samples:
    """Return rows whose hints are right for stretches, with labels of 2 to 5 bars."""
    rng = np.random.default_rng(seed)
    right = np.repeat(rng.uniform(0.4, 1.2, 5), 40)
    rows = hinted(rng.random(200) < right, seed=seed)
    t1_N = rows.t0_N + rng.integers(2, 6, 200) * HOUR
    return replace(rows, t1_N=t1_N)


class Hinting:
    """An augmenter that adds one synthetic row per row, all with the same hint."""

    def __init__(self, *, hint: float, threshold: int = 10_000, seed: int) -> None:
        self.hint, self.threshold, self.seed = hint, threshold, seed

    def augment(self, x: Any, y: Any) -> tuple[Any, Any]:
        return np.concatenate([x, np.full_like(x, self.hint)]), np.concatenate([y, y])


def believers(*beliefs: float, **more: Any) -> dict[str, Any]:
    """Return a model and its strength path, weakest first, as a task takes them."""
    model, *stronger = (Believer(belief=belief, **more) for belief in beliefs)
    return {"model": model, "stronger": tuple(stronger)}


def adaptive(hint: float, threshold: int = 10_000) -> dict[str, Any]:
    """Return adaptive augmentation by synthetic rows of one hint, as a task takes it."""
    augmenter = functools.partial(Hinting, hint=hint, threshold=threshold)
    return {"augmentation": "adaptive", "new_augmenter": augmenter}


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


class DiesOnce(Nearest):
    """Takes its worker process with it in the second fit, unless the file ``mark`` is there."""

    name = "DiesOnce"
    seen: ClassVar[list[tuple[Samples, Samples | None, Any]]] = []

    def __init__(self, *, mark: str) -> None:
        Model.__init__(self, mark=mark)

    def stops_early(self, n_rows: int) -> bool:
        del n_rows
        return False

    def _fit(self, *given: Any) -> FitReport:
        mark = Path(self.hyperparameters["mark"])
        if len(self.seen) == 1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._fit(*given)


class Takes(Nearest):
    """Fills so much memory in every fit, and holds much of it for a while."""

    name = "Takes"

    def __init__(self, *, megabytes: int) -> None:
        Model.__init__(self, megabytes=megabytes)

    def stops_early(self, n_rows: int) -> bool:
        del n_rows
        return False

    def _fit(self, *given: Any) -> FitReport:
        held = np.ones(self.hyperparameters["megabytes"] << 20, dtype=np.uint8)
        time.sleep(5.0 if held.nbytes > 100 << 20 else 0.0)
        return super()._fit(*given)


class FillsTheDisk(Nearest):
    """Meets a full disk."""

    name = "FillsTheDisk"

    def _fit(self, *given: Any) -> FitReport:
        del given
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "units/a")


class Sleeps(Nearest):
    """Takes far longer than any test; leaves its process's number in the file ``mark``."""

    name = "Sleeps"

    def __init__(self, *, mark: str | None = None) -> None:
        Model.__init__(self, mark=mark)

    def stops_early(self, n_rows: int) -> bool:
        del n_rows
        return False

    def _fit(self, *given: Any) -> FitReport:
        del given
        if self.hyperparameters["mark"]:
            Path(self.hyperparameters["mark"]).write_text(str(os.getpid()), encoding="utf-8")
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
    stronger: tuple[Model, ...] = (),
    augmentation: Augmentation = "none",
    new_augmenter: Callable[..., Any] = DataAugmenter,
    calibrates: bool = False,
    symbol: str = "EURUSD",
    seed: int = 7,
) -> Task:
    """Return a task, of the memoriser unless another model is given."""
    model = Nearest() if model is None else model
    return Task(
        symbol=symbol,
        model=model,
        stronger=stronger,
        split=split,
        early_stopping_fraction=0.15,
        augmentation=augmentation,
        new_augmenter=new_augmenter,
        calibrates=calibrates,
        new_monitor=TrainingMonitor,
        seed=seed,
        folder=folder / model.name,
    )


def train_task(work: Task) -> Trained:
    """Train a task from beginning to end; raises what a fit raises."""
    *_, trained = Training(work).fits()
    assert isinstance(trained, Trained)
    return trained
