"""The contract that every model keeps, and the arithmetic all of them share.

Axes: N rows, F features, M rows after augmentation.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Self

import numpy as np

from market.bars import FloatArray
from market.samples import IntArray, Samples
from models.calibration import Calibration
from models.monitor import TrainingMonitor
from models.onnx_graph import FEATURES, OnnxGraph, add_answers

Augment = Callable[[Any, Any], tuple[Any, Any]]
"""Takes features (2-D, or windows 3-D) and labels; returns them followed by synthetic rows."""


class ModelError(RuntimeError):
    """A fit that cannot be used; the message is one line."""


class StoppedError(ModelError):
    """The monitor ended the fit: a loss that is no number, or too long a time."""


class NotFittedError(ModelError):
    """A model was asked for what only a fitted one has."""


@dataclass(frozen=True, slots=True)
class FitReport:
    """What one fit did.

    Attributes
    ----------
    n_rows : int
        Rows the weights were fitted on, before augmentation.
    n_rows_augmented : int
        The same after augmentation.
    n_rounds : int
        Epochs, boosting rounds or trees in the fitted model.
    curves : mapping of str to list of float
        One value per epoch or round, by name.
    """

    n_rows: int
    n_rows_augmented: int
    n_rounds: int
    curves: Mapping[str, list[float]] = field(default_factory=dict)


class Model(ABC):
    """A binary classifier of one symbol's rows.

    A model is constructed from its hyperparameters alone, fitted once or again (a second fit
    forgets the first), and draws all randomness from the generator it is handed.
    """

    name: ClassVar[str]
    context_rows: int = 0
    """Rows before a block that a prediction looks back on."""
    stronger_when: ClassVar[Mapping[str, Literal["larger", "smaller"]]] = MappingProxyType({})
    """Hyperparameters that regularise, and the direction in which they do so more strongly."""

    def __init__(self, **hyperparameters: Any) -> None:
        self.hyperparameters: dict[str, Any] = hyperparameters
        self.names_F: tuple[str, ...] = ()
        self.log_odds_shift = 0.0
        self.calibration = Calibration.none()

    def fresh(self) -> Self:
        """Return an unfitted model with the same hyperparameters."""
        return type(self)(**self.hyperparameters)

    def stops_early(self, n_rows: int) -> bool:
        """Return whether a fit on so many rows wants a tail of them for early stopping."""
        del n_rows
        return False

    def fit(
        self,
        train: Samples,
        valid: Samples | None,
        *,
        rng: np.random.Generator,
        monitor: TrainingMonitor,
        augment: Augment | None = None,
    ) -> FitReport:
        """Fit on ``train``; stop early by ``valid``, which directly follows it in time.

        Parameters
        ----------
        train : Samples
            Rows to fit on; both classes must be present.
        valid : Samples or None
            The purged tail of the fit's own rows, for a model that ``stops_early``.
        rng : numpy Generator
            The only source of randomness.
        monitor : TrainingMonitor
            Called during the fit; what it finds ends up in its warnings.
        augment : callable or None
            Adds synthetic rows to what is fitted on, never to ``valid``.

        Raises
        ------
        ModelError
            If only one class is present.
        StoppedError
            If the monitor ended the fit.
        """
        self._open(train)
        report = self._fit(train, valid, rng, monitor, augment)
        self._close(train, monitor)
        return report

    def _open(self, train: Samples) -> None:
        """Forget an earlier fit, and refuse rows that nothing can be learnt from."""
        self.names_F = ()
        self.calibration = Calibration.none()
        if len(np.unique(train.y_N)) < 2:
            raise ModelError(f"{len(train)} training rows without both classes: nothing to learn")

    def _close(self, train: Samples, monitor: TrainingMonitor) -> None:
        """Make a fit that was not stopped the one that predicts."""
        if monitor.should_stop:
            raise StoppedError(monitor.stop_reason)
        self.names_F = train.names_F

    @abstractmethod
    def _fit(
        self,
        train: Samples,
        valid: Samples | None,
        rng: np.random.Generator,
        monitor: TrainingMonitor,
        augment: Augment | None,
    ) -> FitReport: ...

    def predict_proba(self, x_NF: FloatArray, context_NF: FloatArray | None = None) -> FloatArray:
        """Return the probabilities of losing and winning.

        Parameters
        ----------
        x_NF : float64 array, shape (n_rows, n_features)
        context_NF : float64 array, shape (n_before, n_features), optional
            Features of the rows directly before ``x_NF``, for models that look back.

        Returns
        -------
        float64 array, shape (n_rows, 2)
            Prior-corrected: a fit on reweighted or resampled rows answers for the true base rate;
            then mapped by ``calibration``.

        Raises
        ------
        NotFittedError, ValueError
            As `raw_log_odds`.
        """
        p_N = self.calibration(self.raw_log_odds(x_NF, context_NF))
        return np.column_stack([1.0 - p_N, p_N])

    def raw_log_odds(self, x_NF: FloatArray, context_NF: FloatArray | None = None) -> FloatArray:
        """Return the log-odds of winning, prior-corrected and not calibrated.

        Parameters
        ----------
        x_NF, context_NF
            As `predict_proba`.

        Returns
        -------
        float64 array, shape (n_rows,)
            What a calibration is fitted on, and maps.

        Raises
        ------
        NotFittedError
            Before a fit.
        ValueError
            If the number of features is not the fitted one, or one is not finite.
        """
        self._check_fitted()
        if x_NF.ndim != 2 or x_NF.shape[1] != len(self.names_F):
            raise ValueError(
                f"{self.name} was fitted on {len(self.names_F)} features, was given an array of "
                f"shape {x_NF.shape}"
            )
        if not np.isfinite(x_NF).all():
            row, column = np.argwhere(~np.isfinite(x_NF))[0]
            raise ValueError(
                f"{self.name}: row {row}, feature {self.names_F[column]} is {x_NF[row, column]}, "
                "expected a finite number"
            )
        if len(x_NF) == 0:
            return np.zeros(0)
        return self._log_odds(x_NF, context_NF) + self.log_odds_shift

    @abstractmethod
    def _log_odds(self, x_NF: FloatArray, context_NF: FloatArray | None) -> FloatArray: ...

    def to_onnx(self) -> bytes:
        """Return the model as an ONNX file: raw features in, calibrated probabilities out.

        It takes ``features``, float64 (n_rows, n_features), or, for a model that looks back,
        windows that end with the row asked about (n_rows, context_rows + 1, n_features); it gives
        ``probabilities``, float64 (n_rows, 2), as `predict_proba`.

        Raises
        ------
        NotFittedError
            Before a fit.
        ModelError
            If this kind of model has no ONNX form.
        """
        self._check_fitted()
        graph = OnnxGraph()
        log_odds = self._onnx_log_odds(graph, FEATURES)
        add_answers(graph, log_odds, self.log_odds_shift, self.calibration)
        window = [self.context_rows + 1] if self.context_rows else []
        notes = {"kind": self.name, "features": self.names_F, "lookback_rows": self.context_rows}
        return graph.serialised(shape=["n_rows", *window, len(self.names_F)], notes=notes)

    def _onnx_log_odds(self, graph: OnnxGraph, features: str) -> str:
        """Add what `_log_odds` does; return the name of its result, float64 (n_rows, 1)."""
        del graph, features
        raise ModelError(f"{self.name} has no ONNX form")

    def importance(self) -> dict[str, float] | None:
        """Return each feature's share of what the model uses (sums to 1), or None if undefined."""
        self._check_fitted()
        raw_F = self._importance()
        if raw_F is None:
            return None
        total = float(raw_F.sum())
        shares_F = raw_F / total if total > 0 else raw_F
        return dict(zip(self.names_F, shares_F.tolist(), strict=True))

    def _importance(self) -> FloatArray | None:
        return None

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and the weights beside it; the same fit gives the same bytes."""
        self._check_fitted()
        folder.mkdir(parents=True, exist_ok=True)
        description = {
            "kind": self.name,
            "hyperparameters": self.hyperparameters,
            "features": list(self.names_F),
            "log_odds_shift": self.log_odds_shift,
            "calibration": self.calibration.to_json(),
        }
        text = json.dumps(description, indent=1, sort_keys=True, allow_nan=False)
        (folder / "model.json").write_text(text + "\n", encoding="utf-8")
        self._save_weights(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote; runs no code from the files.

        Raises
        ------
        ModelError
            If the folder holds another kind of model, or a calibration that cannot be one.
        """
        description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if description["kind"] != cls.name:
            raise ModelError(f"{folder}: holds a {description['kind']}, expected a {cls.name}")
        model = cls(**description["hyperparameters"])
        model.names_F = tuple(description["features"])
        model.log_odds_shift = float(description["log_odds_shift"])
        if "calibration" in description:
            try:
                model.calibration = Calibration.from_json(description["calibration"])
            except ValueError as error:
                raise ModelError(f"{folder / 'model.json'}: calibration: {error}") from error
        model._load_weights(folder)
        return model

    @abstractmethod
    def _save_weights(self, folder: Path) -> None: ...

    @abstractmethod
    def _load_weights(self, folder: Path) -> None: ...

    def _check_fitted(self) -> None:
        if not self.names_F:
            raise NotFittedError(f"{self.name} is not fitted yet: call fit first")


def augmented_rows(
    x: Any, y_N: IntArray, weight_N: FloatArray, augment: Augment | None
) -> tuple[Any, IntArray, FloatArray]:
    """Return rows, labels and weights to fit on, synthetic rows last.

    A synthetic row carries the mean weight of its class. Weights come back with mean 1: a forest's
    ``max_samples`` is relative to their sum.
    """
    if augment is None:
        return x, y_N, weight_N / weight_N.mean()
    x_M, y_M = augment(x, y_N)
    by_class = [weight_N[y_N == label].mean() for label in (0, 1)]
    synthetic = np.take(by_class, y_M[len(y_N) :])
    weight_M = np.concatenate([weight_N, synthetic])
    return x_M, y_M, weight_M / weight_M.mean()


def prior_shift(train: Samples, fitted_rate: float) -> float:
    """Log-odds to add so that a fit at ``fitted_rate`` answers for the rows' true base rate.

    Saerens, Latinne, Decaestecker, Adjusting the Outputs of a Classifier to New a Priori
    Probabilities, Neural Computation 14 (2002), equation 2.4.
    """
    true_rate = float(np.average(train.y_N, weights=train.weight_N))
    return log_odds(true_rate) - log_odds(fitted_rate)


def log_odds(p: float) -> float:
    """Return log(p / (1 - p))."""
    return float(np.log(p) - np.log1p(-p))


@dataclass(frozen=True, slots=True)
class Scaler:
    """Centres and scales features by training rows; a constant feature becomes 0."""

    mean_F: FloatArray
    scale_F: FloatArray

    @classmethod
    def fitted(cls, x_NF: FloatArray) -> "Scaler":
        """Measure the training rows."""
        scale_F = x_NF.std(axis=0)
        constant_F = scale_F <= 1e-12 * np.maximum(np.abs(x_NF).max(axis=0), 1e-300)
        return cls(x_NF.mean(axis=0), np.where(constant_F, np.inf, scale_F))

    def __call__(self, x_NF: FloatArray) -> FloatArray:
        """Return standardised features."""
        return (x_NF - self.mean_F) / self.scale_F


def check_at_least(name: str, value: float, least: float) -> None:
    """Raise ValueError where a hyperparameter is below its least value."""
    if not value >= least:
        raise ValueError(f"{name} must be at least {least}, was {value}")


def check_share(name: str, value: float, *, closed: bool = False) -> None:
    """Raise ValueError where a hyperparameter is not in (0, 1], or [0, 1) if not ``closed``."""
    inside = 0 < value <= 1 if closed else 0 <= value < 1
    if not inside:
        raise ValueError(f"{name} must be in {'(0, 1]' if closed else '[0, 1)'}, was {value}")
