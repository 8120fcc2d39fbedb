"""What a real model must beat: the majority class, and a regularised logistic regression.

They stand on every leaderboard and are never deployed.
"""

from pathlib import Path

import numpy as np

from market.bars import FloatArray
from market.samples import Samples
from models.base import (
    Augment,
    FitReport,
    Model,
    Scaler,
    augmented_rows,
    log_odds,
    prior_shift,
)
from models.monitor import TrainingMonitor
from models.onnx_graph import OnnxGraph

WEIGHTS = "linear.safetensors"


class MajorityClass(Model):
    """Answers the training base rate, whatever the features: no skill at all."""

    name = "MajorityClass"

    def __init__(self) -> None:
        super().__init__()

    def _fit(
        self,
        train: Samples,
        valid: Samples | None,
        rng: np.random.Generator,
        monitor: TrainingMonitor,
        augment: Augment | None,
    ) -> FitReport:
        del valid, rng, monitor, augment
        self.log_odds_shift = log_odds(float(np.average(train.y_N, weights=train.weight_N)))
        return FitReport(len(train), len(train), 1)

    def _log_odds(self, x_NF: FloatArray, context_NF: FloatArray | None) -> FloatArray:
        del context_NF
        return np.zeros(len(x_NF))

    def _onnx_log_odds(self, graph: OnnxGraph, features: str) -> str:
        return graph.linear(features, np.zeros((len(self.names_F), 1)), np.zeros(1))

    def _save_weights(self, folder: Path) -> None:
        """Nothing beyond the log-odds that ``model.json`` holds."""

    def _load_weights(self, folder: Path) -> None:
        """Nothing beyond the log-odds that ``model.json`` holds."""


class LogisticRegression(Model):
    """L2-penalised logistic regression on standardised features.

    Parameters
    ----------
    c_rows : float
        The penalty is C = ``c_rows`` / number of training rows: as strong in small as in large
        data.
    """

    name = "LogisticRegression"

    def __init__(self, *, c_rows: float) -> None:
        super().__init__(c_rows=c_rows)
        if not c_rows > 0:
            raise ValueError(f"c_rows must be above 0, was {c_rows}")

    def _fit(
        self,
        train: Samples,
        valid: Samples | None,
        rng: np.random.Generator,
        monitor: TrainingMonitor,
        augment: Augment | None,
    ) -> FitReport:
        from sklearn.linear_model import LogisticRegression as Logistic

        del valid, rng
        start_s = monitor.clock()
        x_MF, y_M, weight_M = augmented_rows(train.x_NF, train.y_N, train.weight_N, augment)
        scaler = Scaler.fitted(train.x_NF)
        fitted = Logistic(C=self.hyperparameters["c_rows"] / len(train), max_iter=1000)
        fitted.fit(scaler(x_MF), y_M, sample_weight=weight_M)
        self._linear = {
            "mean": scaler.mean_F,
            "scale": scaler.scale_F,
            "slope": fitted.coef_[0],
            "intercept": fitted.intercept_,
        }
        self.log_odds_shift = prior_shift(train, float(np.average(y_M, weights=weight_M)))
        monitor.check_timeout(start_s)
        return FitReport(len(train), len(y_M), int(fitted.n_iter_[0]))

    def _log_odds(self, x_NF: FloatArray, context_NF: FloatArray | None) -> FloatArray:
        del context_NF
        linear = self._linear
        scaled_NF = Scaler(linear["mean"], linear["scale"])(x_NF)
        log_odds_N: FloatArray = scaled_NF @ linear["slope"] + linear["intercept"][0]
        return log_odds_N

    def _onnx_log_odds(self, graph: OnnxGraph, features: str) -> str:
        linear = self._linear
        scaled = graph.standardised(features, linear["mean"], linear["scale"])
        return graph.linear(scaled, linear["slope"][:, None], linear["intercept"])

    def _importance(self) -> FloatArray:
        size_F: FloatArray = np.abs(self._linear["slope"])
        return size_F

    def _save_weights(self, folder: Path) -> None:
        from safetensors.numpy import save

        (folder / WEIGHTS).write_bytes(save(self._linear))

    def _load_weights(self, folder: Path) -> None:
        from safetensors.numpy import load_file

        self._linear = load_file(folder / WEIGHTS)
