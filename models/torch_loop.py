"""The one epoch loop: everything that training nets means, whatever their module or windows.

Nets of one architecture and the same settings are trained side by side, as one product (`Stacked`):
each in a lane of its own, with its own rows, randomness, monitor and early end, and with the result
that it would have alone.

Axes: M lanes, P parameters of one net, C columns (the rows of an epoch in the order of its batches;
fewer where a lane has fewer rows), B columns of one batch.
"""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from models.base import check_at_least, check_share
from models.monitor import TrainingMonitor
from models.net_rows import JoinedRows, Rows
from models.stacked import Stacked

if TYPE_CHECKING:
    import torch

BETAS = (0.9, 0.999)
EPSILON = 1e-8
HELD_COLUMNS = 128


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """How a net is trained: AdamW (Loshchilov and Hutter, ICLR 2019) with label smoothing.

    Attributes
    ----------
    learning_rate : float
        In (0, 1].
    weight_decay : float
        At least 0.
    label_smoothing : float
        In [0, 1): labels 0 and 1 are fitted as half of it and 1 less half of it.
    batch_size, max_epochs : int
    patience : int
        Epochs without a better held-back log-loss before the fit ends.
    """

    learning_rate: float
    weight_decay: float
    label_smoothing: float
    batch_size: int
    max_epochs: int
    patience: int

    def __post_init__(self) -> None:
        check_share("learning_rate", self.learning_rate, closed=True)
        check_at_least("weight_decay", self.weight_decay, 0)
        check_share("label_smoothing", self.label_smoothing)
        check_at_least("batch_size", self.batch_size, 1)
        check_at_least("max_epochs", self.max_epochs, 1)
        check_at_least("patience", self.patience, 1)


@contextmanager
def seeded(rng: np.random.Generator) -> Iterator[None]:
    """Draw torch's randomness (the first weights) from ``rng``; leave the global state be."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**63)))
        yield


@dataclass(slots=True)
class Lane:
    """One net in training.

    Attributes
    ----------
    net : torch Module
        Training begins with its weights, and leaves it with those of its best epoch.
    fitted, held : Rows
        What is fitted on, and what decides when to stop.
    rng : numpy Generator
        Orders the rows of each epoch, and draws dropout.
    monitor : TrainingMonitor
        May end this lane; the others go on.
    curves : dict of str to list of float
        Filled by training: train_loss, train_accuracy (both as met during the epoch, with
        dropout), val_loss, val_accuracy, grad_norm (of the last batch), one value per epoch.
    """

    net: "torch.nn.Module"
    fitted: Rows
    held: Rows
    rng: np.random.Generator
    monitor: TrainingMonitor
    curves: dict[str, list[float]] = field(default_factory=dict)


def train_nets(stacked: Stacked, lanes: Sequence[Lane], settings: LoopSettings) -> None:
    """Train each lane until its held-back log-loss has not improved for ``patience`` epochs.

    A monitor's time limit is held against a lane's own part of the time, which goes by its rows.

    Parameters
    ----------
    stacked : Stacked
        Of the architecture that all lanes share.
    lanes : sequence of Lane
    settings : LoopSettings
    """
    import torch

    running = [_Running(lane, lane.monitor.clock()) for lane in lanes]
    # The most rows first: those with a batch left are then always the first ones.
    running.sort(key=lambda one: -len(one.lane.fitted))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with torch.no_grad():
        state = _State.of([one.lane.net for one in running], device)
        side_by_side = _SideBySide(stacked, settings, [one.lane for one in running], state)
        for epoch in range(settings.max_epochs):
            _one_epoch(side_by_side, running, epoch)
            is_last = epoch == settings.max_epochs - 1
            over = [is_last or one.is_over(epoch, settings.patience) for one in running]
            if not any(over):
                continue
            _hand_over(running, state, over)
            going_on = [m for m, ends in enumerate(over) if not ends]
            if not going_on:
                return
            running, state = [running[m] for m in going_on], state.of_lanes(going_on)
            side_by_side = _SideBySide(stacked, settings, [one.lane for one in running], state)


@dataclass(slots=True)
class _Running:
    """A lane that has not ended, and its best epoch so far."""

    lane: Lane
    start_s: float
    best_loss: float = math.inf
    best_epoch: int = -1

    def improved(self, measures: dict[str, float], epoch: int) -> bool:
        """Take note of an epoch, show it to the monitor, and tell whether it was the best."""
        for name, value in measures.items():
            self.lane.curves.setdefault(name, []).append(value)
        _watch(self.lane.monitor, self.lane.curves, epoch, self.start_s)
        found = measures["val_loss"] < self.best_loss
        if found:
            self.best_loss, self.best_epoch = measures["val_loss"], epoch
        return found

    def is_over(self, epoch: int, patience: int) -> bool:
        return self.lane.monitor.should_stop or epoch - self.best_epoch >= patience


def _one_epoch(side_by_side: "_SideBySide", running: Sequence[_Running], epoch: int) -> None:
    begun_s = time.monotonic()
    fitted, held = side_by_side.train(), side_by_side.held_back()
    spent_s = time.monotonic() - begun_s
    n_rows = sum(len(one.lane.fitted) for one in running)
    for m, one in enumerate(running):
        # The others' part of the time is not this lane's.
        one.start_s += spent_s * (1 - len(one.lane.fitted) / n_rows)
        if one.improved({**fitted[m], **held[m]}, epoch):
            side_by_side.state.best_MP[m] = side_by_side.state.weight_MP[m]


def _hand_over(running: Sequence[_Running], state: "_State", over: Sequence[bool]) -> None:
    """Give the nets whose lane is over the weights of their best epoch."""
    import torch

    for one, best_P, ends in zip(running, state.best_MP, over, strict=True):
        if ends:
            torch.nn.utils.vector_to_parameters(best_P.cpu().clone(), one.lane.net.parameters())
            one.lane.net.eval()


@dataclass(frozen=True, slots=True)
class _State:
    """The weights of all lanes, their gradients, and what AdamW remembers of each lane."""

    weight_MP: "torch.Tensor"
    gradient_MP: "torch.Tensor"
    mean_MP: "torch.Tensor"
    square_MP: "torch.Tensor"
    best_MP: "torch.Tensor"
    n_updates: "list[torch.Tensor]"

    @classmethod
    def of(cls, nets: "Sequence[torch.nn.Module]", device: "torch.device") -> "_State":
        import torch

        vectors = [torch.nn.utils.parameters_to_vector(net.parameters()) for net in nets]
        weight_MP = torch.stack(vectors).to(device)
        return cls(
            weight_MP,
            gradient_MP=torch.zeros_like(weight_MP),
            mean_MP=torch.zeros_like(weight_MP),
            square_MP=torch.zeros_like(weight_MP),
            best_MP=weight_MP.clone(),
            n_updates=[torch.zeros((), device=device) for _ in nets],
        )

    def of_lanes(self, kept: list[int]) -> "_State":
        """Return a copy for these lanes alone."""
        return _State(
            self.weight_MP[kept],
            gradient_MP=self.gradient_MP[kept],
            mean_MP=self.mean_MP[kept],
            square_MP=self.square_MP[kept],
            best_MP=self.best_MP[kept],
            n_updates=[self.n_updates[m] for m in kept],
        )

    def update(self, n_lanes: int, settings: LoopSettings) -> None:
        """Make one step of AdamW in each of the first lanes."""
        from torch.optim.adamw import adamw

        # Lane by lane, because each has made a number of steps of its own.
        adamw(
            params=list(self.weight_MP[:n_lanes]),
            grads=list(self.gradient_MP[:n_lanes]),
            exp_avgs=list(self.mean_MP[:n_lanes]),
            exp_avg_sqs=list(self.square_MP[:n_lanes]),
            max_exp_avg_sqs=[],
            state_steps=self.n_updates[:n_lanes],
            fused=True,
            amsgrad=False,
            maximize=False,
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            eps=EPSILON,
        )


class _SideBySide:
    """A number of lanes as one, from one that ends to the next."""

    def __init__(
        self, stacked: Stacked, settings: LoopSettings, lanes: Sequence[Lane], state: _State
    ) -> None:
        self.state = state
        self._stacked, self._settings, self._lanes = stacked, settings, lanes
        self._device = state.weight_MP.device
        self._fitted = JoinedRows([lane.fitted for lane in lanes], self._device)
        self._held = JoinedRows([lane.held for lane in lanes], self._device)
        self._n_rows = [len(lane.fitted) for lane in lanes]
        self._n_batches = [math.ceil(n / settings.batch_size) for n in self._n_rows]
        firsts = range(1, len(lanes) + 1)
        self._views = {k: stacked.views(state.weight_MP[:k]) for k in firsts}
        self._gradients = {k: stacked.views(state.gradient_MP[:k]) for k in firsts}

    def train(self) -> list[dict[str, float]]:
        """Pass over the rows once; return train_loss, train_accuracy and grad_norm by lane."""
        import torch

        order_MC, n_in_batch_MC = self._order()
        y_MC, weight_MC = self._fitted.labels(order_MC)
        smoothing = self._settings.label_smoothing
        target_MC = y_MC * (1 - smoothing) + smoothing / 2
        share_MC = weight_MC / n_in_batch_MC
        log_odds_MC = torch.zeros_like(y_MC)
        norms = [0.0] * len(self._lanes)
        size = self._settings.batch_size
        for batch in range(self._n_batches[0]):
            n_lanes = sum(n > batch for n in self._n_batches)
            columns = (slice(n_lanes), slice(batch * size, (batch + 1) * size))
            log_odds_MC[columns] = self._gradients_of(
                order_MC[columns], target_MC[columns], share_MC[columns]
            )
            for m in range(n_lanes):
                if self._n_batches[m] == batch + 1:
                    norms[m] = float(self.state.gradient_MP[m].norm())
            self.state.update(n_lanes, self._settings)
        measured = _measured("train", log_odds_MC, y_MC, target_MC, weight_MC, self._n_rows)
        return [one | {"grad_norm": norm} for one, norm in zip(measured, norms, strict=True)]

    def held_back(self) -> list[dict[str, float]]:
        """Return val_loss and val_accuracy of each lane."""
        import torch

        n_rows = [len(lane.held) for lane in self._lanes]
        log_odds_MC = torch.zeros(len(n_rows), max(n_rows), device=self._device)
        column_C = torch.arange(max(n_rows), device=self._device)
        n_rows_M1 = torch.tensor(n_rows, device=self._device).unsqueeze(1)
        order_MC = torch.where(column_C < n_rows_M1, column_C, -1)
        for start in range(0, max(n_rows), HELD_COLUMNS):
            # Those with the most rows come first, about: few are looked at in vain.
            n_lanes = 1 + max(m for m, n in enumerate(n_rows) if n > start)
            columns = (slice(n_lanes), slice(start, start + HELD_COLUMNS))
            x_MLBF = self._held.windows(order_MC[columns])
            log_odds_MC[columns] = self._stacked.forward(self._views[n_lanes], x_MLBF)[0]
        y_MC, weight_MC = self._held.labels(order_MC)
        return _measured("val", log_odds_MC, y_MC, y_MC, weight_MC, n_rows)

    def _order(self) -> "tuple[torch.Tensor, torch.Tensor]":
        """Draw an order of each lane's rows, and tell how many rows each one's batch has."""
        import torch

        size = self._settings.batch_size
        order_MC = np.full((len(self._lanes), self._n_batches[0] * size), -1)
        n_in_batch_MC = np.ones(order_MC.shape, np.float32)
        for m, (lane, n) in enumerate(zip(self._lanes, self._n_rows, strict=True)):
            order_MC[m, :n] = lane.rng.permutation(n)
            n_in_batch_MC[m, :n] = size
            n_in_batch_MC[m, n - n % size : n] = n % size
        tensors = torch.from_numpy(order_MC), torch.from_numpy(n_in_batch_MC)
        return tensors[0].to(self._device), tensors[1].to(self._device)

    def _gradients_of(
        self, order_MB: "torch.Tensor", target_MB: "torch.Tensor", share_MB: "torch.Tensor"
    ) -> "torch.Tensor":
        """Leave the gradients of one batch in the state; return its log-odds."""
        import torch

        n_lanes, size = order_MB.shape
        weights = self._views[n_lanes]
        keep_MD = self._stacked.drawn([lane.rng for lane in self._lanes[:n_lanes]], size)
        keep_MD = None if keep_MD is None else keep_MD.to(self._device)
        log_odds_MB, known = self._stacked.forward(weights, self._fitted.windows(order_MB), keep_MD)
        slope_MB = (torch.sigmoid(log_odds_MB) - target_MB) * share_MB
        self._stacked.backward(weights, self._gradients[n_lanes], known, slope_MB)
        return log_odds_MB


def _measured(
    part: str,
    log_odds_MC: "torch.Tensor",
    y_MC: "torch.Tensor",
    target_MC: "torch.Tensor",
    weight_MC: "torch.Tensor",
    n_rows: Sequence[int],
) -> list[dict[str, float]]:
    from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

    loss_MC = cross_entropy(log_odds_MC, target_MC, weight=weight_MC, reduction="none")
    hit_MC = (log_odds_MC > 0) == (y_MC > 0.5)
    sums = zip(loss_MC, hit_MC, n_rows, strict=True)
    return [
        {
            f"{part}_loss": float(loss_C[:n].sum()) / n,
            f"{part}_accuracy": float(hit_C[:n].sum()) / n,
        }
        for loss_C, hit_C, n in sums
    ]


def _watch(
    monitor: TrainingMonitor, curves: dict[str, list[float]], epoch: int, start_s: float
) -> None:
    last = {name: values[-1] for name, values in curves.items()}
    monitor.check_nan_loss(last["train_loss"], epoch)
    monitor.check_nan_loss(last["val_loss"], epoch)
    monitor.check_exploding_gradients(last["grad_norm"], epoch=epoch)
    monitor.check_overfitting(last["train_accuracy"], last["val_accuracy"], epoch)
    monitor.check_divergence(curves["val_loss"])
    monitor.check_hopeless(curves["val_loss"])
    monitor.check_timeout(start_s)


def saliency(net: "torch.nn.Module", inputs: Any) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Mean absolute gradient of the log-odds to each standardised feature.

    Simonyan, Vedaldi, Zisserman, Deep Inside Convolutional Networks (2014), section 3; summed over
    the steps of a window.
    """
    import torch

    x = torch.tensor(inputs, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(x).sum(), x)
    per_feature = gradient.abs().mean(dim=0)
    if per_feature.ndim == 2:
        per_feature = per_feature.sum(dim=0)
    return per_feature.double().numpy()
