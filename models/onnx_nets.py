"""Layers of nets as ONNX operators, from PyTorch's weights.

Axes: H hidden units, G gates of every unit one behind another, I inputs and O outputs.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from models.onnx_graph import OnnxGraph

if TYPE_CHECKING:
    from torch import nn

# PyTorch's order is input, forget, cell, output; ONNX's input, output, forget, cell.
GATE_ORDER = (0, 3, 1, 2)


def add_linear(graph: OnnxGraph, x: str, layer: "nn.Linear") -> str:
    """Add a linear layer; return the name of its result."""
    weight_IO = np.ascontiguousarray(layer.weight.detach().numpy().T)
    return graph.linear(x, weight_IO, layer.bias.detach().numpy())


def add_lstm(graph: OnnxGraph, x: str, layers: "nn.LSTM") -> str:
    """Add the layers of an LSTM; return the name of the last one's last state, (n_rows, H).

    Parameters
    ----------
    graph : OnnxGraph
    x : str
        Name of float32 windows (n_steps, n_rows, n_features).
    layers : LSTM module
    """
    weights = {name: tensor.numpy() for name, tensor in layers.state_dict().items()}
    for layer in range(layers.num_layers):
        last = layer == layers.num_layers - 1
        # Results are every state (steps, 1, rows, H) and the last one (1, rows, H).
        states = graph.node(
            "LSTM",
            x,
            *(graph.constant(part) for part in _lstm_weights(weights, layer)),
            attributes={"hidden_size": layers.hidden_size},
            output=1 if last else 0,
        )
        x = graph.node("Squeeze", states, graph.constant([0 if last else 1]))
    return x


def _lstm_weights(weights: Mapping[str, Any], layer: int) -> list[Any]:
    """Return the weights of inputs (1, G, I) and of states (1, G, H), and all biases (1, 2G)."""
    parts = [
        _gates_in_order(weights[f"{name}_l{layer}"])
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]
    return [parts[0][None], parts[1][None], np.concatenate(parts[2:])[None]]


def _gates_in_order(weight: Any) -> Any:
    gates = np.split(weight, len(GATE_ORDER))
    return np.concatenate([gates[gate] for gate in GATE_ORDER])
