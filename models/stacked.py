"""Several nets of one architecture as one: the model axis leads, and one product serves them all.

A fit of a few thousand rows spends most of its time on the overhead of small operations. Stacked,
the nets share it; and written out by hand, forward and backward need no record of every step.

Axes: M nets, P parameters of one, L steps of a window, B rows of a batch, F features,
D activations under dropout.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

DRAWS, DRAWN_AT_ONCE = 1 << 16, 4
ALL_BITS = (1 << 64) - 1


class Stacked(ABC):
    """The arithmetic of one architecture for any number of nets at once; holds no weights.

    Parameters
    ----------
    module : torch Module
        Any net of the architecture; only the shapes of its parameters are read.
    dropout : float
        Share of what layers hand on that training leaves out, in [0, 1).
    """

    def __init__(self, module: "torch.nn.Module", dropout: float) -> None:
        self._shapes = [tuple(one.shape) for one in module.parameters()]
        self.dropout = dropout

    def views(self, flat_MP: "torch.Tensor") -> "list[torch.Tensor]":
        """Return each parameter of all nets, shape (M, ...), as a view of their flat vectors."""
        import torch

        parts = torch.split(flat_MP, [math.prod(shape) for shape in self._shapes], dim=1)
        return [
            part.view(len(part), *shape) for part, shape in zip(parts, self._shapes, strict=True)
        ]

    def drawn(self, rngs: Sequence[np.random.Generator], n_rows: int) -> "torch.Tensor | None":
        """Draw what dropout multiplies each activation by, each net from its own generator.

        Returns
        -------
        float32 tensor, shape (n_nets, `n_dropped`), or None
            0, or what keeps the mean as it is; None where nothing is ever dropped. The share
            dropped is kept to 1/65536: four are drawn from one number of the generator.
        """
        import torch

        if self.dropout == 0:
            return None
        n_dropped = self.n_dropped(n_rows)
        limit = min(round(self.dropout * DRAWS), DRAWS - 1)
        n_numbers = math.ceil(n_dropped / DRAWN_AT_ONCE)
        drawn_MD = np.stack(
            [rng.integers(0, ALL_BITS, n_numbers, np.uint64, endpoint=True) for rng in rngs]
        )
        kept_MD = drawn_MD.view(np.uint16)[:, :n_dropped] >= limit
        scale = np.float32(DRAWS / (DRAWS - limit))
        return torch.from_numpy(np.multiply(kept_MD, scale, dtype=np.float32))

    @abstractmethod
    def n_dropped(self, n_rows: int) -> int:
        """Return how many activations of one net dropout decides on in a batch of so many rows."""

    @abstractmethod
    def forward(
        self,
        weights: "list[torch.Tensor]",
        x_MLBF: "torch.Tensor",
        keep_MD: "torch.Tensor | None" = None,
    ) -> "tuple[torch.Tensor, Any]":
        """Return log-odds, and what `backward` needs to know.

        Parameters
        ----------
        weights : list of tensor
            As `views` returns them.
        x_MLBF : float32 tensor, shape (n_nets, n_steps, n_rows, n_features)
        keep_MD : float32 tensor, shape (n_nets, `n_dropped`), optional
            What each activation is multiplied by under dropout; None drops nothing.

        Returns
        -------
        (float32 tensor of shape (n_nets, n_rows), Any)
        """

    @abstractmethod
    def backward(
        self,
        weights: "list[torch.Tensor]",
        gradients: "list[torch.Tensor]",
        known: Any,
        slope_MB: "torch.Tensor",
    ) -> None:
        """Write the gradients of the loss to every parameter.

        Parameters
        ----------
        weights : list of tensor
            As given to `forward`.
        gradients : list of tensor
            Of the same shapes; overwritten.
        known : Any
            What `forward` returned.
        slope_MB : float32 tensor, shape (n_nets, n_rows)
            Derivative of the loss to each log-odds.
        """
