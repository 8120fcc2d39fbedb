"""MLP and LSTM as PyTorch's manual builds and trains them: AdamW with its defaults.

Axes: N rows, L steps of a window, F features.
"""

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.training.trees import mean_one
from benchmarks.training.work import Fit, at_base_rate, base_rate
from market.bars import FloatArray

if TYPE_CHECKING:
    import torch

Batch = tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]
OnEpoch = Callable[[int, float, float], None]


@dataclass(frozen=True, slots=True)
class Tensors:
    """What a net is fitted on, stopped by, and asked for: inputs, labels and weights."""

    fitted: Batch
    held: Batch
    asked: "torch.Tensor"


def fitted_net(
    model: str, fit: Fit, own: Mapping[str, Any], random_state: int
) -> tuple[FloatArray, int]:
    """Fit on slices of tensors; return the block's probabilities of winning, and the epochs."""
    import torch

    torch.manual_seed(random_state)
    data = tensors(model, fit, own, Standardised(fit.train.x_NF))
    net = module(model, own, fit.train.x_NF.shape[1])
    n_epochs = train(net, lambda: slices(data.fitted, own["batch_size"]), data.held, own)
    return probabilities(net, data.asked, fit, own), n_epochs


class Standardised:
    """Centres and scales by the training rows; a constant feature becomes 0."""

    def __init__(self, x_NF: FloatArray) -> None:
        spread_F = x_NF.std(axis=0)
        self.mean_F = x_NF.mean(axis=0)
        self.spread_F = np.where(spread_F > 1e-12, spread_F, np.inf)

    def __call__(self, x_NF: FloatArray) -> FloatArray:
        """Return scaled features."""
        scaled_NF: FloatArray = (x_NF - self.mean_F) / self.spread_F
        return scaled_NF


def tensors(
    model: str, fit: Fit, own: Mapping[str, Any], scaled: Callable[[FloatArray], FloatArray]
) -> Tensors:
    """Return all that one fit reads; an LSTM's windows are made here, once."""
    import torch

    if fit.tail is None:
        raise ValueError(f"{model} {fit.name}: no rows to stop early by")
    lookback = own.get("lookback", 1) if model == "lstm" else 1
    train_NF, tail_NF = scaled(fit.train.x_NF), scaled(fit.tail.x_NF)

    def inputs(x_NF: FloatArray, earlier_NF: FloatArray) -> "torch.Tensor":
        if model == "mlp":
            return torch.as_tensor(x_NF, dtype=torch.float32)
        return torch.as_tensor(windows(x_NF, earlier_NF, lookback), dtype=torch.float32)

    def batch(x: "torch.Tensor", rows: Any) -> Batch:
        y = torch.as_tensor(rows.y_N, dtype=torch.float32)
        return x, y, torch.as_tensor(mean_one(rows.weight_N), dtype=torch.float32)

    asked = torch.zeros(0)
    if len(fit.block_NF):
        asked = inputs(scaled(fit.block_NF), scaled(fit.before_NF))
    fitted = batch(inputs(train_NF, train_NF[:0]), fit.train)
    return Tensors(fitted, batch(inputs(tail_NF, train_NF), fit.tail), asked)


def windows(x_NF: FloatArray, before_NF: FloatArray, lookback: int) -> FloatArray:
    """Return each row with those before it, shape (n_rows, lookback, n_features).

    Where there are fewer before, the first one stands for those missing.
    """
    before_NF = before_NF[max(0, len(before_NF) - lookback + 1) :]
    joined_NF = np.concatenate([before_NF, x_NF])
    last_N = np.arange(len(before_NF), len(joined_NF))
    steps_NL = last_N[:, None] - np.arange(lookback - 1, -1, -1)
    windows_NLF: FloatArray = joined_NF[np.maximum(steps_NL, 0)]
    return windows_NLF


def module(model: str, own: Mapping[str, Any], n_features: int) -> "torch.nn.Module":
    """Return the net: rows or windows in, log-odds (n,) out."""
    from torch import nn

    if model == "mlp":
        widths = [n_features, *own["hidden"]]
        layers: list[nn.Module] = []
        for width_in, width in itertools.pairwise(widths):
            layers += [nn.Linear(width_in, width), nn.ReLU(), nn.Dropout(own["dropout"])]
        return nn.Sequential(*layers, nn.Linear(widths[-1], 1), nn.Flatten(0))

    class LastState(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            between = own["dropout"] if own["layers"] > 1 else 0.0
            self.lstm = nn.LSTM(
                n_features, own["hidden"], own["layers"], batch_first=True, dropout=between
            )
            self.dropout = nn.Dropout(own["dropout"])
            self.out = nn.Linear(own["hidden"], 1)

        def forward(self, x: "torch.Tensor") -> "torch.Tensor":
            states, _ = self.lstm(x)
            logits: torch.Tensor = self.out(self.dropout(states[:, -1])).squeeze(1)
            return logits

    return LastState()


def slices(fitted: Batch, batch_size: int) -> Iterable[Batch]:
    """Yield the rows in batches, in a new order each time."""
    import torch

    for rows in torch.split(torch.randperm(len(fitted[1])), batch_size):
        yield fitted[0][rows], fitted[1][rows], fitted[2][rows]


def train(
    net: "torch.nn.Module",
    epoch_batches: Callable[[], Iterable[Batch]],
    held: Batch,
    own: Mapping[str, Any],
    on_epoch: OnEpoch | None = None,
) -> int:
    """Train until the held-back log-loss has not improved for ``patience`` epochs.

    Parameters
    ----------
    on_epoch : callable or None
        Told of epoch, training loss and held-back loss; without it no training loss is summed.

    Returns
    -------
    int
        Epochs made; the net has the weights of the best one.
    """
    import torch

    optimiser = torch.optim.AdamW(
        net.parameters(), lr=own["learning_rate"], weight_decay=own["weight_decay"]
    )
    best_loss, best_epoch, best = math.inf, -1, net.state_dict()
    epoch = 0
    for epoch in range(own["max_epochs"]):
        net.train()
        losses = []
        for x, y, weight in epoch_batches():
            optimiser.zero_grad()
            loss = _loss(net(x), y, weight, own["label_smoothing"])
            torch.autograd.backward(loss)
            optimiser.step()
            if on_epoch is not None:
                losses.append(loss.item())
        net.eval()
        with torch.no_grad():
            held_loss = _loss(net(held[0]), held[1], held[2], 0.0).item()
        if on_epoch is not None:
            on_epoch(epoch, float(np.mean(losses)), held_loss)
        if held_loss < best_loss:
            best_loss, best_epoch, best = held_loss, epoch, copy.deepcopy(net.state_dict())
        if epoch - best_epoch >= own["patience"]:
            break
    net.load_state_dict(best)
    return epoch + 1


def probabilities(
    net: "torch.nn.Module", asked: "torch.Tensor", fit: Fit, own: Mapping[str, Any]
) -> FloatArray:
    """Return the block's probabilities of winning, for the true base rate."""
    import torch

    if not len(asked):
        return np.zeros(0)
    net.eval()
    with torch.no_grad():
        log_odds_N = net(asked).double().numpy()
    smoothing = own["label_smoothing"]
    fitted_rate = base_rate(fit.train) * (1 - smoothing) + smoothing / 2
    return at_base_rate(log_odds_N, fit.train, fitted_rate)


def _loss(
    logits: "torch.Tensor", y: "torch.Tensor", weight: "torch.Tensor", smoothing: float
) -> "torch.Tensor":
    from torch.nn.functional import binary_cross_entropy_with_logits

    return binary_cross_entropy_with_logits(
        logits, y * (1 - smoothing) + smoothing / 2, weight=weight
    )
