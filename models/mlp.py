"""MLP: a feed-forward net with dropout, weight decay and label smoothing."""

from typing import TYPE_CHECKING

from market.bars import FloatArray
from models.base import check_at_least, check_share
from models.net import Net
from models.torch_loop import LoopSettings

if TYPE_CHECKING:
    import torch


class MLP(Net):
    """Feed-forward net.

    Parameters
    ----------
    hidden : list of int
        Width of each hidden layer.
    dropout : float
        After each hidden layer, in [0, 1).
    weight_decay, learning_rate, label_smoothing, batch_size, max_epochs, patience
        See LoopSettings.
    """

    name = "MLP"

    def __init__(
        self,
        *,
        hidden: list[int],
        dropout: float,
        weight_decay: float,
        learning_rate: float,
        label_smoothing: float,
        batch_size: int,
        max_epochs: int,
        patience: int,
    ) -> None:
        loop = LoopSettings(
            learning_rate, weight_decay, label_smoothing, batch_size, max_epochs, patience
        )
        super().__init__(
            loop,
            hidden=hidden,
            dropout=dropout,
            weight_decay=weight_decay,
            learning_rate=learning_rate,
            label_smoothing=label_smoothing,
            batch_size=batch_size,
            max_epochs=max_epochs,
            patience=patience,
        )
        check_at_least("number of hidden layers", len(hidden), 1)
        for width in hidden:
            check_at_least("hidden", width, 1)
        check_share("dropout", dropout)
        self.hidden = hidden
        self.dropout = dropout

    def _module(self, n_features: int) -> "torch.nn.Module":
        from torch import nn

        layers: list[nn.Module] = []
        width_in = n_features
        for width in self.hidden:
            layers += [nn.Linear(width_in, width), nn.ReLU(), nn.Dropout(self.dropout)]
            width_in = width
        return nn.Sequential(*layers, nn.Linear(width_in, 1), nn.Flatten(0))

    def _inputs(self, x_NF: FloatArray, before_NF: FloatArray) -> FloatArray:
        del before_NF
        return x_NF
