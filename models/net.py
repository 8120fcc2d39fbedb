"""What MLP and LSTM share as models: scaling, windows, training, saving.

They differ in their module and in how far a row looks back.

Axes: N rows, L steps of a window, F features, M rows after augmentation.
"""

from abc import abstractmethod
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from market.bars import FloatArray
from market.samples import Samples
from models.base import Augment, FitReport, Model, ModelError, Scaler, augmented_rows, prior_shift
from models.monitor import TrainingMonitor
from models.torch_loop import LoopSettings, Rows, saliency, seeded, train_net

if TYPE_CHECKING:
    import torch

WEIGHTS = "net.safetensors"
PREDICT_ROWS = 4096
SALIENCY_ROWS = 1000


class Net(Model):
    """A neural net on standardised features, trained by the one epoch loop."""

    stronger_when = MappingProxyType(
        {"hidden": "smaller", "dropout": "larger", "weight_decay": "larger"}
    )

    def __init__(self, loop: LoopSettings, **hyperparameters: Any) -> None:
        super().__init__(**hyperparameters)
        self._loop = loop

    @abstractmethod
    def _module(self, n_features: int) -> "torch.nn.Module":
        """Return the module: rows (n, F) or windows (n, L, F) in, log-odds (n,) out."""

    @abstractmethod
    def _inputs(self, x_NF: FloatArray, before_NF: FloatArray) -> FloatArray:
        """Return what the module takes per row, from scaled rows and the scaled rows before."""

    def stops_early(self, n_rows: int) -> bool:
        """Return True: a net always trains until the held-back loss stops falling."""
        del n_rows
        return True

    def _fit(
        self,
        train: Samples,
        valid: Samples | None,
        rng: np.random.Generator,
        monitor: TrainingMonitor,
        augment: Augment | None,
    ) -> FitReport:
        if valid is None or len(valid) == 0:
            raise ModelError(f"{self.name} needs rows for early stopping, was given none")
        self._scaler = Scaler.fitted(train.x_NF)
        train_NF = self._scaled(train.x_NF)
        inputs = self._inputs(train_NF, train_NF[:0])
        x_M, y_M, weight_M = augmented_rows(inputs, train.y_N, train.weight_N, augment)
        fitted = Rows.of(x_M, y_M, weight_M)
        held = Rows.of(self._inputs(self._scaled(valid.x_NF), train_NF), valid.y_N, valid.weight_N)
        with seeded(rng):
            self._net = self._module(len(train.names_F))
            curves = train_net(self._net, fitted, held, self._loop, rng=rng, monitor=monitor)
        smoothing = self._loop.label_smoothing
        fitted_rate = float(np.average(y_M, weights=weight_M)) * (1 - smoothing) + smoothing / 2
        self.log_odds_shift = prior_shift(train, fitted_rate)
        self._saliency_F = saliency(self._net, fitted.x[: len(train)][-SALIENCY_ROWS:])
        return FitReport(len(train), len(y_M), len(curves["val_loss"]), curves)

    def _scaled(self, x_NF: FloatArray) -> FloatArray:
        return self._scaler(x_NF).astype(np.float32)

    def _log_odds(self, x_NF: FloatArray, context_NF: FloatArray | None) -> FloatArray:
        import torch

        context_NF = x_NF[:0] if context_NF is None else context_NF
        inputs = self._inputs(self._scaled(x_NF), self._scaled(context_NF))
        with torch.inference_mode():
            parts = torch.split(torch.as_tensor(inputs), PREDICT_ROWS)
            log_odds_N = torch.cat([self._net(part) for part in parts])
        return np.asarray(log_odds_N.numpy(), dtype=np.float64)

    def _importance(self) -> FloatArray:
        return self._saliency_F

    def _save_weights(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        state = {f"net.{key}": tensor.numpy() for key, tensor in self._net.state_dict().items()}
        state["mean"] = self._scaler.mean_F
        state["scale"] = self._scaler.scale_F
        state["saliency"] = self._saliency_F
        save_file(state, folder / WEIGHTS)

    def _load_weights(self, folder: Path) -> None:
        import torch
        from safetensors.numpy import load_file

        state = load_file(folder / WEIGHTS)
        self._scaler = Scaler(state.pop("mean"), state.pop("scale"))
        self._saliency_F = state.pop("saliency")
        self._net = self._module(len(self.names_F))
        self._net.load_state_dict(
            {key.removeprefix("net."): torch.from_numpy(value) for key, value in state.items()}
        )
        self._net.eval()
