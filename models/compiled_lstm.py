"""Stacked long short-term memories for a processor: what stands between two products is one pass.

Axes: M nets, L steps of a window, B rows of a batch, H units, G four gates of them.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from market.compiled import vectorised
from models.stacked_lstm import N_GATES, Layer, StackedLSTM

if TYPE_CHECKING:
    import torch

Float32Array = npt.NDArray[np.float32]

_HALF, _ONE = np.float32(0.5), np.float32(1)
# tanh(x) is x P(x^2) / Q(x^2) to 3e-7 up to the limit, and +-1 to as much beyond it. Lowest first.
_LIMIT = np.float32(7.905311)
_P0, _P1, _P2, _P3, _P4, _P5, _P6 = map(
    np.float32,
    (
        4.893525e-3,
        6.372619e-4,
        1.4857224e-5,
        5.122297e-8,
        -8.604672e-11,
        2.000188e-13,
        -2.760768e-16,
    ),
)
_Q0, _Q1, _Q2, _Q3 = map(np.float32, (4.893525e-3, 2.2684346e-3, 1.1853471e-4, 1.1982584e-6))


class CompiledLSTM(StackedLSTM):
    """`StackedLSTM`, in little more than half the time where weights are float32 in main memory.

    Elsewhere, such as on a graphics card, it is the same as ever.
    """

    def _through(self, weights: "list[torch.Tensor]", x_MLBF: "torch.Tensor") -> Layer:
        import torch

        if not _in_reach(x_MLBF):
            return super()._through(weights, x_MLBF)
        input_MGF, recurrent_MGH, *biases = weights
        bias_MG = (biases[0] + biases[1]).numpy()
        # Laid out anew once, for as many products as a window has steps.
        recurrent_MHG = recurrent_MGH.transpose(1, 2).contiguous().numpy()
        n_nets, n_steps, n_rows = x_MLBF.shape[:3]
        gates_MLBG = np.empty((n_nets, n_steps, n_rows, bias_MG.shape[1]), np.float32)
        np.matmul(
            x_MLBF.flatten(1, 2).numpy(),
            input_MGF.transpose(1, 2).numpy(),
            out=gates_MLBG.reshape(n_nets, n_steps * n_rows, -1),
        )
        shape = (3, n_nets, n_steps, n_rows, self._hidden)
        cell_MLBH, tanh_MLBH, state_MLBH = np.empty(shape, np.float32)
        from_before_MBG = np.zeros_like(gates_MLBG[:, 0])
        for step in range(n_steps):
            if step:
                np.matmul(state_MLBH[:, step - 1], recurrent_MHG, out=from_before_MBG)
            _step(gates_MLBG, from_before_MBG, bias_MG, cell_MLBH, tanh_MLBH, state_MLBH, step)
        return Layer(x_MLBF, *map(torch.from_numpy, (gates_MLBG, cell_MLBH, tanh_MLBH, state_MLBH)))

    def _back_through(
        self, recurrent_MGH: "torch.Tensor", layer: Layer, slope_MLBH: "torch.Tensor"
    ) -> "torch.Tensor":
        import torch

        if not _in_reach(slope_MLBH):
            return super()._back_through(recurrent_MGH, layer, slope_MLBH)
        given = (layer.gates_MLBG, layer.cell_MLBH, layer.tanh_MLBH, slope_MLBH)
        gates_MLBG, cell_MLBH, tanh_MLBH, above_MLBH = (one.numpy() for one in given)
        weight_MGH = recurrent_MGH.numpy()
        slope_MLBG = np.empty_like(gates_MLBG)
        from_next_MBH, to_cell_MBH = np.zeros((2, *cell_MLBH[:, 0].shape), np.float32)
        for step in reversed(range(gates_MLBG.shape[1])):
            known = gates_MLBG, cell_MLBH, tanh_MLBH, above_MLBH
            _step_back(*known, from_next_MBH, to_cell_MBH, slope_MLBG, step)
            if step:
                np.matmul(slope_MLBG[:, step], weight_MGH, out=from_next_MBH)
        return torch.from_numpy(slope_MLBG)

    def _product(self, a: "torch.Tensor", b: "torch.Tensor", out: "torch.Tensor") -> None:
        if not _in_reach(a):
            super()._product(a, b, out)
        else:
            np.matmul(a.numpy(), b.numpy(), out=out.numpy())


def _in_reach(tensor: "torch.Tensor") -> bool:
    """Tell whether the kernels below can take it."""
    import torch

    return tensor.device.type == "cpu" and tensor.dtype == torch.float32


@vectorised
def _step(
    gates_MLBG: Float32Array,
    from_before_MBG: Float32Array,
    bias_MG: Float32Array,
    cell_MLBH: Float32Array,
    tanh_MLBH: Float32Array,
    state_MLBH: Float32Array,
    step: int,
) -> None:
    """Turn products into one step's gates, in place, and write cell, its tanh and state."""
    n_nets, _, n_rows, n_gates = gates_MLBG.shape
    hidden = n_gates // N_GATES
    for m in range(n_nets):
        bias_G = bias_MG[m]
        for b in range(n_rows):
            gates_G, from_before_G = gates_MLBG[m, step, b], from_before_MBG[m, b]
            for g in range(n_gates):
                gates_G[g] += from_before_G[g] + bias_G[g]
            _sigmoid(gates_G[: 2 * hidden])
            _tanh(gates_G[2 * hidden : 3 * hidden])
            _sigmoid(gates_G[3 * hidden :])
            put_in_H, forget_H = gates_G[:hidden], gates_G[hidden : 2 * hidden]
            candidate_H, give_out_H = gates_G[2 * hidden : 3 * hidden], gates_G[3 * hidden :]
            cell_H, tanh_H = cell_MLBH[m, step, b], tanh_MLBH[m, step, b]
            state_H, before_H = state_MLBH[m, step, b], cell_MLBH[m, max(step - 1, 0), b]
            for h in range(hidden):
                cell_H[h] = put_in_H[h] * candidate_H[h]
            if step > 0:
                for h in range(hidden):
                    cell_H[h] += forget_H[h] * before_H[h]
            tanh_H[:] = cell_H
            _tanh(tanh_H)
            for h in range(hidden):
                state_H[h] = give_out_H[h] * tanh_H[h]


@vectorised
def _step_back(
    gates_MLBG: Float32Array,
    cell_MLBH: Float32Array,
    tanh_MLBH: Float32Array,
    above_MLBH: Float32Array,
    from_next_MBH: Float32Array,
    to_cell_MBH: Float32Array,
    slope_MLBG: Float32Array,
    step: int,
) -> None:
    """Write the loss's slope to one step's gates before activation; move that of the cell on."""
    n_nets, _, n_rows, n_gates = gates_MLBG.shape
    hidden = n_gates // N_GATES
    for m in range(n_nets):
        for b in range(n_rows):
            gates_G, slope_G = gates_MLBG[m, step, b], slope_MLBG[m, step, b]
            put_in_H, forget_H = gates_G[:hidden], gates_G[hidden : 2 * hidden]
            candidate_H, give_out_H = gates_G[2 * hidden : 3 * hidden], gates_G[3 * hidden :]
            tanh_H, before_H = tanh_MLBH[m, step, b], cell_MLBH[m, max(step - 1, 0), b]
            state_H, cell_H = from_next_MBH[m, b], to_cell_MBH[m, b]
            above_H = above_MLBH[m, step, b]
            for h in range(hidden):
                state_H[h] += above_H[h]
            # A sigmoid's own slope is s (1 - s), that of a tanh 1 - t^2.
            to_put_in_H, to_forget_H = slope_G[:hidden], slope_G[hidden : 2 * hidden]
            to_candidate_H, to_give_out_H = slope_G[2 * hidden : 3 * hidden], slope_G[3 * hidden :]
            for h in range(hidden):
                to_give_out_H[h] = state_H[h] * tanh_H[h] * give_out_H[h] * (_ONE - give_out_H[h])
            for h in range(hidden):
                cell_H[h] += state_H[h] * give_out_H[h] * (_ONE - tanh_H[h] * tanh_H[h])
            for h in range(hidden):
                to_put_in_H[h] = cell_H[h] * candidate_H[h] * put_in_H[h] * (_ONE - put_in_H[h])
            for h in range(hidden):
                to_candidate_H[h] = (
                    cell_H[h] * put_in_H[h] * (_ONE - candidate_H[h] * candidate_H[h])
                )
            if step == 0:
                to_forget_H[:] = 0
                continue
            for h in range(hidden):
                to_forget_H[h] = cell_H[h] * before_H[h] * forget_H[h] * (_ONE - forget_H[h])
            for h in range(hidden):
                cell_H[h] *= forget_H[h]


@vectorised
def _sigmoid(x_K: Float32Array) -> None:
    for k in range(len(x_K)):
        x_K[k] = _HALF * _tanh_of(_HALF * x_K[k]) + _HALF


@vectorised
def _tanh(x_K: Float32Array) -> None:
    for k in range(len(x_K)):
        x_K[k] = _tanh_of(x_K[k])


@vectorised
def _tanh_of(x: np.float32) -> np.float32:
    # Compared this way round, what is not a number stays what it is.
    x = _LIMIT if x > _LIMIT else (-_LIMIT if x < -_LIMIT else x)
    square = x * x
    p = _P4 + square * (_P5 + square * _P6)
    p = _P0 + square * (_P1 + square * (_P2 + square * (_P3 + square * p)))
    return x * p / (_Q0 + square * (_Q1 + square * (_Q2 + square * _Q3)))
