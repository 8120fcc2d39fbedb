"""The least that training a net can take: its matrix products alone, all fits of it at once.

Nothing element by element is in here, no optimiser and no batch being gathered: what is left of a
net's training above this floor is what one may hope to save.

Axes: G fits side by side, B rows of a batch, L steps of a window.
"""

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.training.work import Fit

if TYPE_CHECKING:
    import torch

TRIES, REPETITIONS = 5, 40
Product = tuple["torch.Tensor", "torch.Tensor"]


def products_s(
    model: str, own: Mapping[str, Any], fits: Sequence[Fit], epochs: Sequence[int]
) -> float:
    """Return the CPU seconds of the products of these fits, by so many epochs each."""
    n_features, n_fits = fits[0].train.x_NF.shape[1], len(fits)
    steps: int = sum(
        made * math.ceil(len(fit.train) / own["batch_size"])
        for fit, made in zip(fits, epochs, strict=True)
    )
    held = sum(
        made * len(fit.tail) for fit, made in zip(fits, epochs, strict=True) if fit.tail is not None
    )
    shapes = _mlp if model == "mlp" else _lstm
    step_s = _seconds(shapes(own, n_features, n_fits, own["batch_size"], backward=True)) / n_fits
    # Held-back rows are predicted together, in batches of any size.
    at_once = 256
    row_s = _seconds(shapes(own, n_features, n_fits, at_once, backward=False)) / n_fits / at_once
    return float(steps * step_s + held * row_s)


def _mlp(
    own: Mapping[str, Any], n_features: int, n_fits: int, batch: int, *, backward: bool
) -> list[Product]:
    widths = [n_features, *own["hidden"], 1]
    products = []
    for layer, (width_in, width) in enumerate(itertools.pairwise(widths)):
        products.append(_pair(n_fits, batch, width_in, width))
        if backward:
            products.append(_pair(n_fits, width_in, batch, width))
        if backward and layer:
            products.append(_pair(n_fits, batch, width, width_in))
    return products


def _lstm(
    own: Mapping[str, Any], n_features: int, n_fits: int, batch: int, *, backward: bool
) -> list[Product]:
    hidden, lookback = own["hidden"], own["lookback"]
    products = []
    for layer in range(own["layers"]):
        width_in = hidden if layer else n_features
        products.append(_pair(n_fits, batch * lookback, width_in, 4 * hidden))
        products += [_pair(n_fits, batch, hidden, 4 * hidden)] * (lookback - 1)
        if not backward:
            continue
        products.append(_pair(n_fits, width_in, batch * lookback, 4 * hidden))
        products.append(_pair(n_fits, hidden, batch * lookback, 4 * hidden))
        products += [_pair(n_fits, batch, 4 * hidden, hidden)] * (lookback - 1)
        if layer:
            products.append(_pair(n_fits, batch * lookback, 4 * hidden, width_in))
    return products


def _pair(n_fits: int, rows: int, inner: int, columns: int) -> Product:
    import torch

    return torch.ones(n_fits, rows, inner), torch.ones(n_fits, inner, columns)


def _seconds(products: Sequence[Product]) -> float:
    """Return the least CPU seconds that all of them took, once each."""
    import torch

    def once() -> None:
        for left, right in products:
            torch.bmm(left, right)

    return least_s(once, TRIES, REPETITIONS)


def least_s(once: Callable[[], object], tries: int, repetitions: int = 1) -> float:
    """Return the least CPU seconds of one call, over several tries."""
    taken = []
    for _ in range(tries):
        start_s = time.process_time()
        for _ in range(repetitions):
            once()
        taken.append((time.process_time() - start_s) / repetitions)
    return min(taken)
