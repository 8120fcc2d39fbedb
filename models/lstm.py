"""LSTM: a recurrent net over the last rows, its windows views of the rows themselves."""

from typing import TYPE_CHECKING, Any

from models.base import check_at_least, check_share
from models.compiled_lstm import CompiledLSTM
from models.net import Net
from models.onnx_graph import OnnxGraph
from models.onnx_nets import add_linear, add_lstm
from models.stacked import Stacked
from models.torch_loop import LoopSettings

if TYPE_CHECKING:
    import torch


class LSTM(Net):
    """Long short-term memory (Hochreiter and Schmidhuber, Neural Computation 9, 1997).

    Parameters
    ----------
    hidden : int
        Width of the recurrent state.
    layers : int
    lookback : int
        Rows a prediction reads: its own and the ``lookback - 1`` before it. Where fewer exist, the
        first one stands for those missing.
    dropout : float
        On the last state, and between layers where there are several, in [0, 1).
    weight_decay, learning_rate, label_smoothing, batch_size, max_epochs, patience
        See LoopSettings.
    """

    name = "LSTM"

    def __init__(
        self,
        *,
        hidden: int,
        layers: int,
        lookback: int,
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
            layers=layers,
            lookback=lookback,
            dropout=dropout,
            weight_decay=weight_decay,
            learning_rate=learning_rate,
            label_smoothing=label_smoothing,
            batch_size=batch_size,
            max_epochs=max_epochs,
            patience=patience,
        )
        check_at_least("hidden", hidden, 1)
        check_at_least("layers", layers, 1)
        check_at_least("lookback", lookback, 1)
        check_share("dropout", dropout)
        self.hidden = hidden
        self.layers = layers
        self.dropout = dropout
        self.context_rows = lookback - 1

    def _module(self, n_features: int) -> "torch.nn.Module":
        from torch import nn

        hidden, layers, dropout = self.hidden, self.layers, self.dropout

        class LastState(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                between = dropout if layers > 1 else 0.0
                self.lstm = nn.LSTM(
                    n_features, hidden, num_layers=layers, dropout=between, batch_first=True
                )
                self.dropout = nn.Dropout(dropout)
                self.out = nn.Linear(hidden, 1)

            def forward(self, x: "torch.Tensor") -> "torch.Tensor":
                states, _ = self.lstm(x)
                logits: torch.Tensor = self.out(self.dropout(states[:, -1])).squeeze(1)
                return logits

        return LastState()

    def _stacked(self, module: "torch.nn.Module") -> Stacked:
        return CompiledLSTM(
            module, self.dropout, hidden=self.hidden, layers=self.layers, steps=self._steps
        )

    def _onnx_log_odds(self, graph: OnnxGraph, features: str) -> str:
        scaler = self._scaler
        x = graph.float32(graph.standardised(features, scaler.mean_F, scaler.scale_F))
        # ONNX takes windows as (steps, rows, features).
        if self.context_rows:
            x = graph.node("Transpose", x, attributes={"perm": [1, 0, 2]})
        else:
            x = graph.node("Unsqueeze", x, graph.constant([0]))
        net: Any = self._net
        return graph.float64(add_linear(graph, add_lstm(graph, x, net.lstm), net.out))
