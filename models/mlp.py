"""MLP: a feed-forward net with dropout, weight decay and label smoothing."""

from typing import TYPE_CHECKING

from market.bars import FloatArray
from models.base import check_at_least, check_share
from models.net import Net
from models.onnx_graph import OnnxGraph
from models.onnx_nets import add_linear
from models.stacked import Stacked
from models.stacked_mlp import StackedMLP
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

    def _inputs(self, table_TF: FloatArray) -> FloatArray:
        return table_TF

    def _stacked(self, module: "torch.nn.Module") -> Stacked:
        return StackedMLP(module, self.dropout, hidden=self.hidden)

    def _onnx_log_odds(self, graph: OnnxGraph, features: str) -> str:
        from torch import nn

        scaler = self._scaler
        x = graph.float32(graph.standardised(features, scaler.mean_F, scaler.scale_F))
        layers = [one for one in self._net.children() if isinstance(one, nn.Linear)]
        for layer in layers[:-1]:
            x = graph.node("Relu", add_linear(graph, x, layer))
        return graph.float64(add_linear(graph, x, layers[-1]))
