"""The one epoch loop: everything that training a net means, whatever its module or its windows.

Axes: N rows, F features, ... whatever the module takes per row (features, or windows of them).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models.base import check_at_least, check_share
from models.monitor import TrainingMonitor

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows as a net takes them.

    Attributes
    ----------
    x : float32 tensor, shape (n_rows, ...)
        May be a view, such as overlapping windows.
    y : float32 tensor, shape (n_rows,)
        0 or 1.
    weight : float32 tensor, shape (n_rows,)
    """

    x: "torch.Tensor"
    y: "torch.Tensor"
    weight: "torch.Tensor"

    @classmethod
    def of(cls, x: Any, y_N: Any, weight_N: Any) -> "Rows":
        """Wrap arrays or tensors; the weights are normalised to mean 1."""
        import torch

        weight_N = np.asarray(weight_N)
        return cls(
            torch.as_tensor(x, dtype=torch.float32),
            torch.as_tensor(y_N, dtype=torch.float32),
            torch.as_tensor(weight_N / weight_N.mean(), dtype=torch.float32),
        )

    def __len__(self) -> int:
        return len(self.y)


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
    """Draw torch's randomness (weights, dropout) from ``rng``; leave the global state be."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**63)))
        yield


def train_net(
    net: "torch.nn.Module",
    fitted: Rows,
    held: Rows,
    settings: LoopSettings,
    *,
    rng: np.random.Generator,
    monitor: TrainingMonitor,
) -> dict[str, list[float]]:
    """Train until the held-back log-loss has not improved for ``patience`` epochs.

    The net ends with the weights of its best epoch.

    Returns
    -------
    dict of str to list of float
        train_loss, train_accuracy (both as met during the epoch, with dropout), val_loss,
        val_accuracy, grad_norm (of the last batch), one value per epoch.
    """
    import torch

    optimiser = torch.optim.AdamW(
        net.parameters(),
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    curves: dict[str, list[float]] = {}
    best_loss, best_epoch, best_state = math.inf, -1, net.state_dict()
    start_s = monitor.clock()
    for epoch in range(settings.max_epochs):
        measures = _one_epoch(net, fitted, optimiser, settings, rng)
        measures |= _held_back(net, held)
        for name, value in measures.items():
            curves.setdefault(name, []).append(value)
        _watch(monitor, curves, epoch, start_s)
        if measures["val_loss"] < best_loss:
            best_loss, best_epoch = measures["val_loss"], epoch
            best_state = {key: tensor.clone() for key, tensor in net.state_dict().items()}
        if monitor.should_stop or epoch - best_epoch >= settings.patience:
            break
    net.load_state_dict(best_state)
    net.eval()
    return curves


def _one_epoch(
    net: "torch.nn.Module",
    fitted: Rows,
    optimiser: "torch.optim.Optimizer",
    settings: LoopSettings,
    rng: np.random.Generator,
) -> dict[str, float]:
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

    net.train()
    smoothing = settings.label_smoothing
    order = torch.from_numpy(rng.permutation(len(fitted)))
    batches = torch.split(order, settings.batch_size)
    target_N = fitted.y * (1 - smoothing) + smoothing / 2
    loss_sum = torch.zeros(())
    hits = torch.zeros((), dtype=torch.int64)
    for rows in batches:
        logits = net(fitted.x[rows])
        loss = cross_entropy(logits, target_N[rows], weight=fitted.weight[rows])
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        loss_sum += loss.detach() * len(rows)
        hits += ((logits.detach() > 0) == (fitted.y[rows] > 0.5)).sum()
    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    return {
        "train_loss": float(loss_sum) / len(fitted),
        "train_accuracy": float(hits) / len(fitted),
        "grad_norm": float(torch.nn.utils.get_total_norm(gradients)),
    }


def _held_back(net: "torch.nn.Module", held: Rows) -> dict[str, float]:
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

    net.eval()
    with torch.inference_mode():
        logits = net(held.x)
        return {
            "val_loss": float(cross_entropy(logits, held.y, weight=held.weight)),
            "val_accuracy": float(((logits > 0) == (held.y > 0.5)).float().mean()),
        }


def _watch(
    monitor: TrainingMonitor, curves: dict[str, list[float]], epoch: int, start_s: float
) -> None:
    last = {name: values[-1] for name, values in curves.items()}
    monitor.check_nan_loss(last["train_loss"], epoch)
    monitor.check_nan_loss(last["val_loss"], epoch)
    monitor.check_exploding_gradients(last["grad_norm"], epoch=epoch)
    monitor.check_overfitting(last["train_accuracy"], last["val_accuracy"], epoch)
    monitor.check_divergence(curves["val_loss"])
    monitor.check_timeout(start_s)


def saliency(net: "torch.nn.Module", x: "torch.Tensor") -> np.ndarray[Any, np.dtype[np.float64]]:
    """Mean absolute gradient of the log-odds to each standardised feature.

    Simonyan, Vedaldi, Zisserman, Deep Inside Convolutional Networks (2014), section 3; summed over
    the steps of a window.
    """
    import torch

    x = x.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(net(x).sum(), x)
    per_feature = gradient.abs().mean(dim=0)
    if per_feature.ndim == 2:
        per_feature = per_feature.sum(dim=0)
    return per_feature.double().numpy()
