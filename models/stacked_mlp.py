"""Feed-forward nets stacked.

Axes: M nets, L steps of a window (one), B rows of a batch, F features, H units of a layer, D
activations under dropout.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from models.stacked import Stacked

if TYPE_CHECKING:
    import torch


class StackedMLP(Stacked):
    """Hidden layers with ReLU and dropout, then one output; parameters as nn.Sequential has them.

    Parameters
    ----------
    module : torch Module
    dropout : float
    hidden : sequence of int
        Width of each hidden layer.
    """

    def __init__(self, module: "torch.nn.Module", dropout: float, *, hidden: Sequence[int]) -> None:
        super().__init__(module, dropout)
        self._hidden = list(hidden)

    def n_dropped(self, n_rows: int) -> int:
        """Return the number of hidden activations."""
        return n_rows * sum(self._hidden)

    def forward(
        self,
        weights: "list[torch.Tensor]",
        x_MLBF: "torch.Tensor",
        keep_MD: "torch.Tensor | None" = None,
    ) -> "tuple[torch.Tensor, tuple[list[torch.Tensor], list[torch.Tensor]]]":
        """See `Stacked.forward`."""
        import torch

        inputs = [x_MLBF[:, -1]]
        n_rows = x_MLBF.shape[2]
        keeps = [] if keep_MD is None else self._by_layer(keep_MD, n_rows)
        for layer in range(len(self._hidden)):
            weight_MHF, bias_MH = weights[2 * layer : 2 * layer + 2]
            a_MBH = torch.baddbmm(bias_MH[:, None], inputs[-1], weight_MHF.transpose(1, 2)).relu_()
            inputs.append(a_MBH.mul_(keeps[layer]) if keeps else a_MBH)
        log_odds_MB1 = torch.baddbmm(weights[-1][:, None], inputs[-1], weights[-2].transpose(1, 2))
        return log_odds_MB1.squeeze(2), (inputs, keeps)

    def backward(
        self,
        weights: "list[torch.Tensor]",
        gradients: "list[torch.Tensor]",
        known: "tuple[list[torch.Tensor], list[torch.Tensor]]",
        slope_MB: "torch.Tensor",
    ) -> None:
        """See `Stacked.backward`."""
        import torch

        inputs, keeps = known
        slope_MBH = slope_MB.unsqueeze(2)
        for layer in reversed(range(len(inputs))):
            torch.bmm(slope_MBH.transpose(1, 2), inputs[layer], out=gradients[2 * layer])
            torch.sum(slope_MBH, dim=1, out=gradients[2 * layer + 1])
            if layer:
                slope_MBH = torch.bmm(slope_MBH, weights[2 * layer])
                # What was dropped or below zero is zero in the layer's output.
                slope_MBH = torch.ops.aten.threshold_backward(slope_MBH, inputs[layer], 0.0)
                if keeps:
                    slope_MBH.mul_(keeps[layer - 1])

    def _by_layer(self, keep_MD: "torch.Tensor", n_rows: int) -> "list[torch.Tensor]":
        import torch

        parts = torch.split(keep_MD, [n_rows * width for width in self._hidden], dim=1)
        return [
            part.view(-1, n_rows, width) for part, width in zip(parts, self._hidden, strict=True)
        ]
