"""Long short-term memories stacked.

Axes: M nets, L steps of a window, B rows of a batch, F features, H units, G four gates of them, in
PyTorch's order (input, forget, cell, output), D activations under dropout.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.stacked import Stacked

if TYPE_CHECKING:
    import torch

N_GATES = 4
PER_LAYER = 4


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer did with a batch: inputs, gates, cell, its tanh, and state."""

    x_MLBF: "torch.Tensor"
    gates_MLBG: "torch.Tensor"
    cell_MLBH: "torch.Tensor"
    tanh_MLBH: "torch.Tensor"
    state_MLBH: "torch.Tensor"


@dataclass(frozen=True, slots=True)
class _Known:
    layers: "list[Layer]"
    keeps: "list[torch.Tensor]"
    last_MBH: "torch.Tensor"


class StackedLSTM(Stacked):
    """Layers of nn.LSTM, dropout on what each hands on, and one output from the last state.

    Parameters
    ----------
    module : torch Module
    dropout : float
    hidden, layers, steps : int
        Units of a layer, layers, and steps of a window.
    """

    def __init__(
        self,
        module: "torch.nn.Module",
        dropout: float,
        *,
        hidden: int,
        layers: int,
        steps: int,
    ) -> None:
        super().__init__(module, dropout)
        self._hidden = hidden
        self._layers = layers
        self._steps = steps

    def n_dropped(self, n_rows: int) -> int:
        """Return the number of states handed on: all steps between layers, then the last one."""
        return n_rows * self._hidden * ((self._layers - 1) * self._steps + 1)

    def forward(
        self,
        weights: "list[torch.Tensor]",
        x_MLBF: "torch.Tensor",
        keep_MD: "torch.Tensor | None" = None,
    ) -> "tuple[torch.Tensor, _Known]":
        """See `Stacked.forward`."""
        import torch

        keeps = [] if keep_MD is None else self._by_layer(keep_MD, x_MLBF.shape[2])
        layers: list[Layer] = []
        for number in range(self._layers):
            if number:
                state_MLBH = layers[-1].state_MLBH
                x_MLBF = state_MLBH * keeps[number - 1] if keeps else state_MLBH
            first = PER_LAYER * number
            layers.append(self._through(weights[first : first + PER_LAYER], x_MLBF))
        last_MBH = layers[-1].state_MLBH[:, -1]
        last_MBH = last_MBH * keeps[-1].squeeze(1) if keeps else last_MBH
        log_odds_MB1 = torch.baddbmm(weights[-1][:, None], last_MBH, weights[-2].transpose(1, 2))
        return log_odds_MB1.squeeze(2), _Known(layers, keeps, last_MBH)

    def backward(
        self,
        weights: "list[torch.Tensor]",
        gradients: "list[torch.Tensor]",
        known: _Known,
        slope_MB: "torch.Tensor",
    ) -> None:
        """See `Stacked.backward`."""
        import torch

        torch.bmm(slope_MB.unsqueeze(1), known.last_MBH, out=gradients[-2])
        torch.sum(slope_MB.unsqueeze(2), dim=1, out=gradients[-1])
        slope_MBH = torch.bmm(slope_MB.unsqueeze(2), weights[-2])
        if known.keeps:
            slope_MBH.mul_(known.keeps[-1].squeeze(1))
        slope_MLBH = torch.zeros_like(known.layers[-1].state_MLBH)
        slope_MLBH[:, -1] = slope_MBH
        for number in reversed(range(self._layers)):
            parts = slice(PER_LAYER * number, PER_LAYER * (number + 1))
            layer = known.layers[number]
            slope_MLBG = self._back_through(weights[parts][1], layer, slope_MLBH)
            self._write(gradients[parts], layer, slope_MLBG)
            if number:
                flat = torch.bmm(slope_MLBG.flatten(1, 2), weights[parts][0])
                slope_MLBH = flat.view_as(layer.x_MLBF)
                if known.keeps:
                    slope_MLBH.mul_(known.keeps[number - 1])

    def _through(self, weights: "list[torch.Tensor]", x_MLBF: "torch.Tensor") -> Layer:
        import torch

        input_MGF, recurrent_MGH, *biases = weights
        bias_M1G = (biases[0] + biases[1])[:, None]
        # The inputs of all steps in one product; what comes from the step before is added below.
        gates_MLBG = torch.baddbmm(bias_M1G, x_MLBF.flatten(1, 2), input_MGF.transpose(1, 2))
        gates_MLBG = gates_MLBG.view(*x_MLBF.shape[:3], -1)
        recurrent_MHG = recurrent_MGH.transpose(1, 2)
        cell_MLBH = gates_MLBG.new_empty(*gates_MLBG.shape[:3], self._hidden)
        tanh_MLBH, state_MLBH = torch.empty_like(cell_MLBH), torch.empty_like(cell_MLBH)
        before: tuple[torch.Tensor, torch.Tensor] | None = None
        parts = (gates_MLBG, *gates_MLBG.chunk(N_GATES, dim=3), cell_MLBH, tanh_MLBH, state_MLBH)
        # fmt: off
        for (
            gates_MBG, put_in, forget, candidate, give_out, cell_MBH, tanh_MBH, state_MBH
        ) in zip(*(part.unbind(1) for part in parts), strict=True):
            # fmt: on
            if before is not None:
                gates_MBG.baddbmm_(before[1], recurrent_MHG)
            # tanh(x) = 2 sigmoid(2 x) - 1, and the sigmoid is several times quicker than tanh.
            candidate.mul_(2.0)
            gates_MBG.sigmoid_()
            candidate.mul_(2.0).sub_(1.0)
            torch.mul(put_in, candidate, out=cell_MBH)
            if before is not None:
                cell_MBH.addcmul_(forget, before[0])
            torch.mul(cell_MBH, 2.0, out=tanh_MBH).sigmoid_().mul_(2.0).sub_(1.0)
            torch.mul(give_out, tanh_MBH, out=state_MBH)
            before = cell_MBH, state_MBH
        return Layer(x_MLBF, gates_MLBG, cell_MLBH, tanh_MLBH, state_MLBH)

    def _back_through(
        self, recurrent_MGH: "torch.Tensor", layer: Layer, slope_MLBH: "torch.Tensor"
    ) -> "torch.Tensor":
        """Return the loss's slope to the gates before their activation."""
        import torch

        factor_MLB4H, to_cell_MLBH = _factors(layer)
        slope_MLB4H = torch.empty_like(factor_MLB4H)
        forget_MLBH = layer.gates_MLBG.chunk(N_GATES, dim=3)[1]
        cell_MBH = torch.zeros_like(slope_MLBH[:, 0])
        from_next: torch.Tensor | float = 0.0
        slope_MLBG = slope_MLB4H.flatten(3)
        parts = (
            slope_MLBH,
            to_cell_MLBH,
            forget_MLBH,
            # What goes through the cell (input, forget, candidate), and the output gate.
            *torch.split(factor_MLB4H, 3, dim=3),
            *torch.split(slope_MLB4H, 3, dim=3),
            slope_MLBG,
        )
        steps = zip(*(part.unbind(1) for part in parts), strict=True)
        for above, to_cell, forget, by_cell, by_state, cell_to, state_to, slope_MBG in reversed(
            list(steps)
        ):
            state_MBH = above + from_next
            cell_MBH.addcmul_(state_MBH, to_cell)
            torch.mul(by_cell, cell_MBH.unsqueeze(2), out=cell_to)
            torch.mul(by_state, state_MBH.unsqueeze(2), out=state_to)
            cell_MBH.mul_(forget)
            from_next = torch.bmm(slope_MBG, recurrent_MGH)
        return slope_MLBG

    def _write(
        self, gradients: "list[torch.Tensor]", layer: Layer, slope_MLBG: "torch.Tensor"
    ) -> None:
        import torch

        to_input, to_recurrent, *to_biases = gradients
        flat_MNG = slope_MLBG.flatten(1, 2)
        self._product(flat_MNG.transpose(1, 2), layer.x_MLBF.flatten(1, 2), to_input)
        later_MNG = slope_MLBG[:, 1:].flatten(1, 2)
        earlier_MNH = layer.state_MLBH[:, :-1].flatten(1, 2)
        self._product(later_MNG.transpose(1, 2), earlier_MNH, to_recurrent)
        torch.sum(flat_MNG, dim=1, out=to_biases[0])
        to_biases[1].copy_(to_biases[0])

    def _product(self, a: "torch.Tensor", b: "torch.Tensor", out: "torch.Tensor") -> None:
        """Multiply each net's matrices."""
        import torch

        torch.bmm(a, b, out=out)

    def _by_layer(self, keep_MD: "torch.Tensor", n_rows: int) -> "list[torch.Tensor]":
        import torch

        shapes = [(self._steps, n_rows, self._hidden)] * (self._layers - 1)
        shapes.append((1, n_rows, self._hidden))
        parts = torch.split(keep_MD, [steps * rows * units for steps, rows, units in shapes], dim=1)
        return [part.view(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]


def _factors(layer: Layer) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return, of all steps at once, what the slopes of cell and state are multiplied by.

    Returns
    -------
    (float32 tensor of shape (M, L, B, 4, H), float32 tensor of shape (M, L, B, H))
        From the cell (input, forget, candidate) and the state (output) to each gate before its
        activation; and from the state to the cell.
    """
    import torch

    shape = (*layer.gates_MLBG.shape[:3], N_GATES, -1)
    gates = layer.gates_MLBG.view(shape)
    put_in, _, candidate, give_out = gates.unbind(3)
    # A sigmoid's own slope is s (1 - s), that of the candidate's tanh 1 - t^2.
    factor = torch.addcmul(gates, gates, gates, value=-1.0)
    factor[:, :, :, 2] = put_in * (1.0 - candidate * candidate)
    factor[:, :, :, 0].mul_(candidate)
    factor[:, 1:, :, 1].mul_(layer.cell_MLBH[:, :-1])
    factor[:, 0, :, 1] = 0.0
    factor[:, :, :, 3].mul_(layer.tanh_MLBH)
    to_cell = (1.0 - layer.tanh_MLBH * layer.tanh_MLBH).mul_(give_out)
    return factor, to_cell
