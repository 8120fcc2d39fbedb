"""Rows as a net takes them: one table, and windows that are places in it.

Axes: N rows that are fitted or predicted, T rows of the table, L steps of a window, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from market.bars import FloatArray

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Rows:
    """Windows over a table, with labels and weights.

    Attributes
    ----------
    table : float32 tensor, shape (n_table, n_features)
    first : int64 tensor, shape (n_rows,)
        Row of the table that each window begins with.
    steps : int
        Rows of a window; 1 where a net looks at its own row alone.
    y : float32 tensor, shape (n_rows,)
        0 or 1.
    weight : float32 tensor, shape (n_rows,)
        Of mean 1.
    """

    table: "torch.Tensor"
    first: "torch.Tensor"
    steps: int
    y: "torch.Tensor"
    weight: "torch.Tensor"

    @classmethod
    def of(cls, table_TF: Any, y_N: Any, weight_N: Any, *, steps: int = 1) -> "Rows":
        """Take every run of ``steps`` consecutive rows of a table for a window.

        Parameters
        ----------
        table_TF : array, shape (n_rows + steps - 1, n_features)
        y_N, weight_N : array, shape (n_rows,)
            The weights are normalised to mean 1.
        """
        return cls._with(table_TF, np.arange(len(y_N)), steps, y_N, weight_N)

    @classmethod
    def of_windows(cls, x_NLF: Any, y_N: Any, weight_N: Any) -> "Rows":
        """Take windows that share nothing, such as synthetic ones, shape (n_rows, steps, F)."""
        n_rows, steps, n_features = x_NLF.shape
        table_TF = np.ascontiguousarray(x_NLF).reshape(n_rows * steps, n_features)
        return cls._with(table_TF, np.arange(n_rows) * steps, steps, y_N, weight_N)

    @classmethod
    def _with(cls, table_TF: Any, first_N: Any, steps: int, y_N: Any, weight_N: Any) -> "Rows":
        import torch

        weight_N = np.asarray(weight_N)
        return cls(
            torch.as_tensor(table_TF, dtype=torch.float32),
            torch.as_tensor(first_N, dtype=torch.int64),
            steps,
            torch.as_tensor(y_N, dtype=torch.float32),
            torch.as_tensor(weight_N / weight_N.mean(), dtype=torch.float32),
        )

    def __len__(self) -> int:
        return len(self.y)


def padded(x_NF: FloatArray, before_NF: FloatArray, steps: int) -> FloatArray:
    """Return the rows with the ``steps - 1`` before them; the first stands for those missing.

    Parameters
    ----------
    x_NF : array, shape (n_rows, n_features)
    before_NF : array, shape (n_before, n_features)
        Rows directly before; only the last ``steps - 1`` count.
    steps : int

    Returns
    -------
    array, shape (n_rows + steps - 1, n_features)
    """
    before_NF = before_NF[max(0, len(before_NF) - steps + 1) :]
    joined_NF = np.concatenate([before_NF, x_NF])
    n_missing = steps - 1 - len(before_NF)
    return np.concatenate([np.repeat(joined_NF[:1], n_missing, axis=0), joined_NF])


def windows(table_TF: FloatArray, steps: int) -> FloatArray:
    """Return every run of ``steps`` consecutive rows, shape (n_rows, steps, F): a view."""
    # Marked writeable because torch warns of arrays that are not.
    windows_NFL = np.lib.stride_tricks.sliding_window_view(table_TF, steps, axis=0, writeable=True)
    return windows_NFL.transpose(0, 2, 1)


class JoinedRows:
    """The rows of several nets behind one another in one table: one look-up serves them all.

    Axes: M nets, C columns (places in some order of each net's rows; -1 where it has no row).
    """

    def __init__(self, parts: Sequence[Rows], device: "torch.device") -> None:
        import torch

        self._steps = torch.arange(parts[0].steps, device=device)
        self._table = torch.cat([one.table for one in parts]).to(device)
        table_starts = np.cumsum([0, *(len(one.table) for one in parts[:-1])])
        firsts = (one.first + int(start) for one, start in zip(parts, table_starts, strict=True))
        self._first = torch.cat(list(firsts)).to(device)
        self._y = torch.cat([one.y for one in parts]).to(device)
        self._weight = torch.cat([one.weight for one in parts]).to(device)
        starts = np.cumsum([0, *(len(one) for one in parts[:-1])])
        self._start_M1 = torch.from_numpy(starts).to(device).unsqueeze(1)

    def windows(self, order_MC: "torch.Tensor") -> "torch.Tensor":
        """Return the windows of these rows, shape (M, n_steps, C, n_features).

        Where a net has no row stands its first.
        """
        first_MC = self._first[self._places(order_MC)]
        places_MLC = first_MC.unsqueeze(1) + self._steps.unsqueeze(1)
        rows = self._table.index_select(0, places_MLC.flatten())
        return rows.view(*places_MLC.shape, -1)

    def labels(self, order_MC: "torch.Tensor") -> "tuple[torch.Tensor, torch.Tensor]":
        """Return labels and weights of these rows, of weight 0 where a net has no row."""
        places_MC = self._places(order_MC)
        return self._y[places_MC], self._weight[places_MC] * (order_MC >= 0)

    def _places(self, order_MC: "torch.Tensor") -> "torch.Tensor":
        return order_MC.clamp(min=0) + self._start_M1[: len(order_MC)]
