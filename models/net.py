"""What MLP and LSTM share as models: scaling, windows, training, saving.

They differ in their module and in how far a row looks back.

Axes: N rows, T rows of a table with those before, L steps of a window, F features, M rows after
augmentation.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from market.bars import FloatArray
from market.samples import Samples
from models.base import Augment, FitReport, Model, ModelError, Scaler, augmented_rows, prior_shift
from models.monitor import TrainingMonitor
from models.net_rows import Rows, padded, windows
from models.stacked import Stacked
from models.torch_loop import Lane, LoopSettings, saliency, seeded, train_nets

if TYPE_CHECKING:
    import torch

WEIGHTS = "net.safetensors"
PREDICT_ROWS = 4096
SALIENCY_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Begun:
    """A fit that has everything it needs, and waits to be trained with others of its kind."""

    model: "Net"
    train: Samples
    lane: Lane

    @property
    def n_epochs(self) -> int:
        """Epochs it has been trained for."""
        return len(self.lane.curves.get("val_loss", ()))


class Net(Model):
    """A neural net on standardised features, trained by the one epoch loop.

    Nets of the same hyperparameters can be fitted together, which takes less than half the time:
    `begin` each, `train_together`, `finish` each. The answers are those of `fit`, but for rounding.
    """

    stronger_when = MappingProxyType(
        {
            "hidden": "smaller",
            "dropout": "larger",
            "weight_decay": "larger",
            "label_smoothing": "larger",
        }
    )

    def __init__(self, loop: LoopSettings, **hyperparameters: Any) -> None:
        super().__init__(**hyperparameters)
        self._loop = loop

    @abstractmethod
    def _module(self, n_features: int) -> "torch.nn.Module":
        """Return the module: rows (n, F) or windows (n, L, F) in, log-odds (n,) out."""

    @abstractmethod
    def _stacked(self, module: "torch.nn.Module") -> Stacked:
        """Return the arithmetic of many such modules at once."""

    def stops_early(self, n_rows: int) -> bool:
        """Return True: a net always trains until the held-back loss stops falling."""
        del n_rows
        return True

    def begin(
        self,
        train: Samples,
        valid: Samples | None,
        *,
        rng: np.random.Generator,
        monitor: TrainingMonitor,
        augment: Augment | None = None,
    ) -> Begun:
        """Make ready what `fit` with the same arguments would train; raises what it raises."""
        self._open(train)
        return self._begun(train, valid, rng, monitor, augment)

    @staticmethod
    def train_together(begun: Sequence[Begun]) -> None:
        """Train nets of the same kind and hyperparameters side by side.

        Raises
        ------
        ValueError
            If they differ in more than their rows and randomness.
        """
        first = begun[0].model
        for one in begun:
            if (one.model.name, one.model.hyperparameters) != (first.name, first.hyperparameters):
                raise ValueError(
                    f"only nets of the same hyperparameters train together: {one.model.name} "
                    f"{one.model.hyperparameters} is not {first.name} {first.hyperparameters}"
                )
        lanes = [one.lane for one in begun]
        train_nets(first._stacked(lanes[0].net), lanes, first._loop)

    def finish(self, begun: Begun) -> FitReport:
        """Take over what was trained; raises StoppedError as `fit` does."""
        report = self._finished(begun)
        self._close(begun.train, begun.lane.monitor)
        return report

    def _fit(
        self,
        train: Samples,
        valid: Samples | None,
        rng: np.random.Generator,
        monitor: TrainingMonitor,
        augment: Augment | None,
    ) -> FitReport:
        begun = self._begun(train, valid, rng, monitor, augment)
        self.train_together([begun])
        return self._finished(begun)

    def _begun(
        self,
        train: Samples,
        valid: Samples | None,
        rng: np.random.Generator,
        monitor: TrainingMonitor,
        augment: Augment | None,
    ) -> Begun:
        if valid is None or len(valid) == 0:
            raise ModelError(f"{self.name} needs rows for early stopping, was given none")
        self._scaler = Scaler.fitted(train.x_NF)
        train_NF = self._scaled(train.x_NF)
        fitted = self._rows(train_NF, train, augment)
        held_TF = self._table(self._scaled(valid.x_NF), train_NF)
        held = Rows.of(held_TF, valid.y_N, valid.weight_N, steps=self._steps)
        with seeded(rng):
            module = self._module(len(train.names_F))
        return Begun(self, train, Lane(module, fitted, held, rng, monitor))

    def _rows(self, train_NF: FloatArray, train: Samples, augment: Augment | None) -> Rows:
        train_TF = self._table(train_NF, train_NF[:0])
        if augment is None:
            return Rows.of(train_TF, train.y_N, train.weight_N, steps=self._steps)
        inputs = self._inputs(train_TF)
        x_M, y_M, weight_M = augmented_rows(inputs, train.y_N, train.weight_N, augment)
        if len(y_M) == len(train):
            return Rows.of(train_TF, train.y_N, train.weight_N, steps=self._steps)
        x_MLF = x_M if x_M.ndim == 3 else x_M[:, None]
        return Rows.of_windows(x_MLF, y_M, weight_M)

    def _finished(self, begun: Begun) -> FitReport:
        train, lane = begun.train, begun.lane
        fitted, self._net = lane.fitted, lane.net
        smoothing = self._loop.label_smoothing
        rate = float(np.average(fitted.y.numpy(), weights=fitted.weight.numpy().astype(float)))
        self.log_odds_shift = prior_shift(train, rate * (1 - smoothing) + smoothing / 2)
        start = max(0, len(train) - SALIENCY_ROWS)
        train_NF = self._scaled(train.x_NF)
        self._recent_TF = self._table(train_NF[start:], train_NF[:start])
        self._saliency_F: FloatArray | None = None
        return FitReport(len(train), len(fitted), begun.n_epochs, lane.curves)

    @property
    def _steps(self) -> int:
        return self.context_rows + 1

    def _scaled(self, x_NF: FloatArray) -> FloatArray:
        return self._scaler(x_NF).astype(np.float32)

    def _table(self, x_NF: FloatArray, before_NF: FloatArray) -> FloatArray:
        return padded(x_NF, before_NF, self._steps)

    def _inputs(self, table_TF: FloatArray) -> FloatArray:
        """Return what the module takes, from a table with the rows before: windows of it."""
        return windows(table_TF, self._steps)

    def _log_odds(self, x_NF: FloatArray, context_NF: FloatArray | None) -> FloatArray:
        import torch

        context_NF = x_NF[:0] if context_NF is None else context_NF
        table_TF = self._table(self._scaled(x_NF), self._scaled(context_NF))
        inputs = torch.as_tensor(self._inputs(table_TF))
        with torch.inference_mode():
            log_odds_N = torch.cat([self._net(part) for part in torch.split(inputs, PREDICT_ROWS)])
        return np.asarray(log_odds_N.numpy(), dtype=np.float64)

    def _importance(self) -> FloatArray:
        # Most fits are never asked, and it takes as long as an epoch.
        if self._saliency_F is None:
            self._saliency_F = saliency(self._net, self._inputs(self._recent_TF))
        return self._saliency_F

    def _save_weights(self, folder: Path) -> None:
        from safetensors.numpy import save

        state = {f"net.{key}": tensor.numpy() for key, tensor in self._net.state_dict().items()}
        state["mean"] = self._scaler.mean_F
        state["scale"] = self._scaler.scale_F
        state["saliency"] = self._importance()
        (folder / WEIGHTS).write_bytes(save(state))

    def _load_weights(self, folder: Path) -> None:
        import torch
        from safetensors.numpy import load_file

        state = load_file(folder / WEIGHTS)
        self._scaler = Scaler(state.pop("mean"), state.pop("scale"))
        self._saliency_F = state.pop("saliency")
        self._check_layers(len(state))
        # Without memory of its own: it takes as much as the file holds, whatever its sizes claim.
        with torch.device("meta"):
            self._net = self._module(len(self.names_F))
        self._net.load_state_dict(
            {key.removeprefix("net."): torch.from_numpy(value) for key, value in state.items()},
            assign=True,
        )
        self._net.eval()

    def _check_layers(self, n_tensors: int) -> None:
        """Refuse more layers than the file has weights for: making each takes its time."""
        hidden, layers = (self.hyperparameters.get(key, 1) for key in ("hidden", "layers"))
        claimed = max(layers, len(hidden) if isinstance(hidden, list) else 1)
        if claimed > n_tensors:
            raise ModelError(
                f"{self.name}: model.json speaks of {claimed} layers, {WEIGHTS} holds {n_tensors} "
                "tensors"
            )
