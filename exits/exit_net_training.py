"""Training of ExitParamsNet: weighted regression, the best epoch kept, watched as every net is.

Axes: N rows, F the 208 features, P the 132 parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from exits.exit_net import WIDTHS, ExitNet, Float32Array
from models.monitor import TrainingMonitor

if TYPE_CHECKING:
    import torch

OnEpoch = Callable[[int, float, float], None]
N_DROPPED: Final = len(WIDTHS) - 2
# In [0, 1]; a feature that moves less begins with no more weight than that gives it.
_LEAST_SPREAD: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class NetSettings:
    """How the net is trained.

    Attributes
    ----------
    dropout : list of float
        After each hidden layer.
    learning_rate : float
    batch_size : int
    max_epochs : int
    patience : int
        Epochs without a lower held-back loss before the fit ends.
    lr_patience : int
        The same before the learning rate is lowered.
    lr_factor : float
        By which it is.

    Raises
    ------
    ValueError
        If one is out of range.
    """

    dropout: list[float]
    learning_rate: float
    batch_size: int
    max_epochs: int
    patience: int
    lr_patience: int
    lr_factor: float

    def __post_init__(self) -> None:
        if len(self.dropout) != N_DROPPED or not all(0 <= one < 1 for one in self.dropout):
            raise ValueError(f"dropout must be {N_DROPPED} shares in [0, 1), was {self.dropout}")
        if not 0 < self.learning_rate < 1:
            raise ValueError(f"learning_rate must be in (0, 1), was {self.learning_rate}")
        if not 0 < self.lr_factor < 1:
            raise ValueError(f"lr_factor must be in (0, 1), was {self.lr_factor}")
        for name in ("batch_size", "max_epochs", "patience", "lr_patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, was {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """Rows to fit or to stop by.

    Attributes
    ----------
    unit_NF : float32 array, shape (n_rows, 208)
    target_NP : float32 array, shape (n_rows, 132)
        In [0, 1].
    weight_NP : float32 array, shape (n_rows, 132)
        At least 0; 0 where a row says nothing of a parameter.
    """

    unit_NF: Float32Array
    target_NP: Float32Array
    weight_NP: Float32Array


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedNet:
    """The net of the best epoch.

    Attributes
    ----------
    net : ExitNet
    curves : dict
        train_loss, val_loss, learning_rate and grad_norm by epoch.
    best_epoch : int
        Counted from 1.
    val_loss : float
        Of that epoch.
    """

    net: ExitNet
    curves: dict[str, list[float]]
    best_epoch: int
    val_loss: float


def train_exit_net(
    fitted: Lessons,
    held: Lessons,
    settings: NetSettings,
    *,
    seed: int,
    monitor: TrainingMonitor,
    on_epoch: OnEpoch | None = None,
) -> TrainedNet:
    """Fit the net to rows, stop by others; equal arguments give equal weights.

    The loss is the mean over parameters of the weighted squared error.

    Parameters
    ----------
    fitted, held : Lessons
    settings : NetSettings
    seed : int
    monitor : TrainingMonitor
        Told of every epoch; may end the fit.
    on_epoch : callable, optional
        Told epoch (from 1), training loss and held-back loss.

    Raises
    ------
    ValueError
        If the loss is not a number from the first epoch on.
    """
    import torch

    n_threads = torch.get_num_threads()
    # Sums on several threads have no fixed order.
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _Fit(fitted, held, settings, seed).run(monitor, on_epoch)
    finally:
        torch.set_num_threads(n_threads)


def new_net(dropout: list[float]) -> "torch.nn.Sequential":
    """Return an untrained net in PyTorch: 208, three hidden layers, 132 through a sigmoid."""
    from torch import nn

    layers: list[nn.Module] = []
    for n_in, n_out, share in zip(WIDTHS[:-2], WIDTHS[1:-1], dropout, strict=True):
        layers += [nn.Linear(n_in, n_out), nn.ReLU(), nn.Dropout(share)]
    return nn.Sequential(*layers, nn.Linear(*WIDTHS[-2:]), nn.Sigmoid())


def exit_net_of(net: "torch.nn.Sequential") -> ExitNet:
    """Return the weights of a PyTorch net as one that is asked without PyTorch."""
    from torch import nn

    linear = [layer for layer in net if isinstance(layer, nn.Linear)]
    return ExitNet(
        [(one.weight.detach().numpy().T.copy(), one.bias.detach().numpy().copy()) for one in linear]
    )


class _Fit:
    """One fit: net, optimiser, schedule, and what was best so far."""

    def __init__(self, fitted: Lessons, held: Lessons, settings: NetSettings, seed: int) -> None:
        import torch

        self._settings = settings
        self._fitted, self._held = (_tensors(one) for one in (fitted, held))
        self._rng = np.random.default_rng(seed)
        self._net = new_net(settings.dropout)
        _centre(self._net, self._fitted[0])
        self._optimiser = torch.optim.Adam(self._net.parameters(), lr=settings.learning_rate)
        self._schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self._optimiser, factor=settings.lr_factor, patience=settings.lr_patience
        )
        names = ("train_loss", "val_loss", "learning_rate", "grad_norm")
        self._curves: dict[str, list[float]] = {name: [] for name in names}
        self._best, self._best_loss, self._best_epoch = exit_net_of(self._net), np.inf, 0

    def run(self, monitor: TrainingMonitor, on_epoch: OnEpoch | None) -> TrainedNet:
        begun_s = monitor.clock()
        for epoch in range(1, self._settings.max_epochs + 1):
            train_loss, norm = self._pass()
            val_loss = self._held_loss()
            self._note(epoch, train_loss, val_loss, norm)
            _watch(monitor, self._curves, begun_s)
            if on_epoch is not None:
                on_epoch(epoch, train_loss, val_loss)
            if monitor.should_stop or epoch - self._best_epoch >= self._settings.patience:
                break
        if self._best_epoch == 0:
            raise ValueError(f"the loss of the exit net is {self._curves['val_loss'][-1]}")
        return TrainedNet(
            net=self._best,
            curves=self._curves,
            best_epoch=self._best_epoch,
            val_loss=self._best_loss,
        )

    def _note(self, epoch: int, train_loss: float, val_loss: float, norm: float) -> None:
        rate = self._optimiser.param_groups[0]["lr"]
        for name, value in zip(self._curves, (train_loss, val_loss, rate, norm), strict=True):
            self._curves[name].append(value)
        self._schedule.step(val_loss)
        if val_loss < self._best_loss:
            self._best, self._best_loss = exit_net_of(self._net), val_loss
            self._best_epoch = epoch

    def _pass(self) -> tuple[float, float]:
        """Go over all rows once; return the mean loss and the last norm of the gradient."""
        import torch

        self._net.train()
        unit_NF, target_NP, weight_NP = self._fitted
        order_N = torch.from_numpy(self._rng.permutation(len(unit_NF)))
        total, norm = 0.0, 0.0
        size = self._settings.batch_size
        for first in range(0, len(order_N), size):
            batch = order_N[first : first + size]
            self._optimiser.zero_grad()
            loss = _loss(self._net(unit_NF[batch]), target_NP[batch], weight_NP[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            norm = float(torch.nn.utils.get_total_norm(self._gradients()))
            self._optimiser.step()
            total += float(loss.detach()) * len(batch)
        return total / len(unit_NF), norm

    def _gradients(self) -> "list[torch.Tensor]":
        return [one.grad for one in self._net.parameters() if one.grad is not None]

    def _held_loss(self) -> float:
        import torch

        self._net.eval()
        with torch.inference_mode():
            unit_NF, target_NP, weight_NP = self._held
            return float(_loss(self._net(unit_NF), target_NP, weight_NP))


def _centre(net: "torch.nn.Sequential", unit_NF: "torch.Tensor") -> None:
    """Let the first layer begin as if features had mean 0 and standard deviation 1.

    Most features hardly move within [0, 1], and all together shift every unit alike: begun
    otherwise, a net learns what is usual in any state long before it tells states apart.
    """
    import torch
    from torch import nn

    mean_F, spread_F = unit_NF.mean(dim=0), unit_NF.std(dim=0, correction=0)
    varies_F = spread_F > 0
    scale_F = torch.where(varies_F, 1.0 / spread_F.clamp(min=_LEAST_SPREAD), 1.0)
    first = net[0]
    if not isinstance(first, nn.Linear):
        raise TypeError("the first layer of the exit net must be linear")
    with torch.no_grad():
        first.weight.mul_(scale_F)
        first.bias.sub_(first.weight @ mean_F)


def _tensors(lessons: Lessons) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    import torch

    unit_NF, target_NP, weight_NP = (
        torch.from_numpy(np.ascontiguousarray(array, np.float32))
        for array in (lessons.unit_NF, lessons.target_NP, lessons.weight_NP)
    )
    return unit_NF, target_NP, weight_NP


def _loss(
    answer_NP: "torch.Tensor", target_NP: "torch.Tensor", weight_NP: "torch.Tensor"
) -> "torch.Tensor":
    return (weight_NP * (answer_NP - target_NP) ** 2).mean()


def _watch(monitor: TrainingMonitor, curves: dict[str, list[float]], begun_s: float) -> None:
    epoch = len(curves["val_loss"])
    monitor.check_nan_loss(curves["train_loss"][-1], epoch)
    monitor.check_nan_loss(curves["val_loss"][-1], epoch)
    monitor.check_exploding_gradients(curves["grad_norm"][-1], epoch=epoch)
    monitor.check_divergence(curves["val_loss"])
    monitor.check_hopeless(curves["val_loss"])
    monitor.check_timeout(begun_s)
