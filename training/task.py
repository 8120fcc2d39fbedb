"""What a worker is given to train one model of one symbol, and what it gives back.

Axes: N rows of development.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from augmentation import DataAugmenter
from market.bars import FloatArray
from market.splits import Split
from models.base import FitReport, Model
from models.monitor import TrainingMonitor
from selection.calibration import Calibrated
from selection.tuned_file import TunedModel
from training.choices import AugmentationVerdict, Choice, StrengthVerdict

Augmentation = Literal["none", "always", "adaptive"]


@dataclass(frozen=True, slots=True)
class Keeping:
    """Where the finished fits of one task are kept, and under what key; see `training.units`."""

    folder: Path
    key: str


@dataclass(frozen=True, slots=True)
class Task:
    """Everything one worker needs to train one model of one symbol; no holdout is in it.

    Attributes
    ----------
    symbol : str
    model : Model
        Unfitted, as configured; each fit starts from a fresh one.
    stronger : tuple of Model
        The same, more and more strongly regularised: the further steps of its strength path.
    split : Split
    early_stopping_fraction : float
        Share of each fit's own rows, the latest, that models which stop early are stopped by.
    augmentation : str
        ``none``; ``always``; or ``adaptive``: where it was better on the blocks before.
    new_augmenter : callable
        Makes an augmenter from a ``seed``.
    calibrates : bool
        Whether the deployed fit's probabilities are calibrated by the out-of-fold ones.
    new_monitor : callable
        Makes the monitor that watches one fit.
    seed : int
        The run's; each fit draws from a generator keyed by seed, symbol, model, fold and step.
    folder : Path or None
        Where the deployed fit is saved; None where only its predictions are wanted.
    keeping : Keeping or None
        None keeps no fit for a later start.
    tuning : TunedModel or None
        What a sweep found of this model, adopted or not; adopted, ``model`` has its
        hyperparameters.
    """

    symbol: str
    model: Model
    stronger: tuple[Model, ...]
    split: Split
    early_stopping_fraction: float
    augmentation: Augmentation
    new_augmenter: Callable[..., DataAugmenter]
    calibrates: bool
    new_monitor: Callable[[], TrainingMonitor]
    seed: int
    folder: Path | None
    keeping: Keeping | None = None
    tuning: TunedModel | None = None

    @property
    def judged_from(self) -> np.datetime64 | None:
        """First decision time (UTC) of rows that may speak for the model; None: all may."""
        if self.tuning is None or not self.tuning.adopted:
            return None
        return np.datetime64(self.tuning.tuned_until.replace(tzinfo=None), "us")


@dataclass(frozen=True, slots=True)
class FoldOutcome:
    """What the fit gave that a block is predicted by.

    Attributes
    ----------
    choice : Choice
        How it was made.
    n_train, n_purged : int
    base_rate : float
        Weighted share of wins among the training rows.
    train_accuracy : float
        On the rows the weights were fitted on; NaN where the fit failed.
    p_N : float64 array
        Probabilities of winning for the rows of the block; empty where the fit failed.
    error : str or None
    """

    choice: Choice
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
class FitEnded:
    """What is told of one fit of a task as soon as it has ended.

    Attributes
    ----------
    name : str
        ``fold 1`` and so on, with what it was tried with beyond the configuration, or ``final
        fit``.
    n_train, n_purged : int
    train_accuracy : float
        On the rows the weights were fitted on; NaN where the fit failed.
    accuracy : float
        On the block that was predicted; NaN where the fit failed, and for the final fit.
    wall_s : float
    warnings : tuple of str
        Those of this fit.
    augmentation_failure : str or None
        Why this fit, which was to be augmented, did without.
    error : str or None
    was_kept : bool
        Whether it was made by an earlier start.
    """

    name: str
    n_train: int
    n_purged: int
    train_accuracy: float
    accuracy: float
    wall_s: float
    warnings: tuple[str, ...]
    augmentation_failure: str | None
    error: str | None
    was_kept: bool = False


@dataclass(frozen=True, slots=True)
class Trained:
    """A task that ended with a deployed fit.

    Attributes
    ----------
    p_N : float64 array, shape (n_development,)
        Out-of-fold probabilities of winning; NaN where no fold predicted.
    base_rate_N : float64 array, shape (n_development,)
        Base rate of the training rows behind each prediction; NaN likewise.
    calibrated : Calibrated or None
        The same, calibrated by earlier blocks, and what the deployed fit is calibrated with. Of a
        tuned model only the rows that may speak for it.
    folds : tuple of FoldOutcome
    strength : StrengthVerdict
    augmentation : AugmentationVerdict or None
        None where the configuration has decided.
    hyperparameters : dict
        Of the deployed fit.
    final : FitReport
        Of the deployed fit.
    importance : dict or None
    warnings : tuple of str
        Of the fits that blocks are predicted by, and of any that failed.
    augmentation_failures : tuple of str
        One for each such fit that was to be augmented, could not be, and went on without.
    duration_s : float
        Wall time.
    cpu : Cpu
    """

    p_N: FloatArray
    base_rate_N: FloatArray
    calibrated: Calibrated | None
    folds: tuple[FoldOutcome, ...]
    strength: StrengthVerdict
    augmentation: AugmentationVerdict | None
    hyperparameters: dict[str, Any]
    final: FitReport
    importance: dict[str, float] | None
    warnings: tuple[str, ...]
    augmentation_failures: tuple[str, ...]
    duration_s: float
    cpu: Cpu


@dataclass(frozen=True, slots=True)
class Failure:
    """What is known of a task that ended without a deployed fit.

    Attributes
    ----------
    error : str
        One line; names the fit it happened in, if in one.
    warnings, augmentation_failures : tuple of str
        Those up to the failure, as in `Trained`.
    duration_s : float
        Wall time.
    cpu : Cpu or None
        None where the process that counted is gone.
    repeats : bool
        Whether the same task would fail again; False where its process died.
    """

    error: str
    warnings: tuple[str, ...]
    augmentation_failures: tuple[str, ...]
    duration_s: float
    cpu: Cpu | None
    repeats: bool = True
