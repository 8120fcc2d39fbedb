"""How strongly a model is regularised: the strongest step that costs nothing measurable.

The steps of a path lead from the configured hyperparameters to stronger ones. Out of fold, the
strongest whose log-loss is within one standard error of the best is taken (Breiman, Friedman,
Olshen, Stone, Classification and Regression Trees, 1984, section 3.4.3; the error is that of the
paired difference, labels overlapping as they do).

Axes: N rows out of fold, S steps, weakest first.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from market.bars import FloatArray
from market.samples import IntArray
from models.base import Model
from selection.evidence import LEAST_EFFECTIVE_ROWS, paired_gain
from selection.metrics import log_losses
from selection.overlap import Overlaps


def strongest_within_one_error(y_N: IntArray, p_SN: FloatArray, overlaps: Overlaps) -> int:
    """Return the step to use after these predictions.

    Parameters
    ----------
    y_N : int64 array, shape (n_rows,)
    p_SN : float64 array, shape (n_steps, n_rows)
        Probabilities of winning; NaN where a step could not be fitted, which rules it out.
    overlaps : Overlaps
        Of the same rows.

    Returns
    -------
    int
        The last step where rows without overlap are too few to tell any from the best.
    """
    usable = [s for s, p_N in enumerate(p_SN) if not np.isnan(p_N).any()]
    if overlaps.effective_rows < LEAST_EFFECTIVE_ROWS or not usable:
        return len(p_SN) - 1
    losses = {s: log_losses(y_N, p_SN[s]).mean() for s in usable}
    best = min(usable, key=lambda s: losses[s])
    gains = {s: paired_gain(y_N, p_SN[best], p_SN[s], overlaps) for s in usable}
    return max(s for s, (gain, error) in gains.items() if gain <= error)


def strength_path(model: Model, steps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the hyperparameters of each step of a path, weakest first, the model's own left out.

    A step never weakens what is configured: where the model's own value is the stronger one, it
    stays. A step that changes nothing over the one before is left out.

    Parameters
    ----------
    model : Model
    steps : sequence of dict
        Hyperparameters that each step sets, all of them among ``model.stronger_when``.

    Raises
    ------
    ValueError
        If a step names a hyperparameter that is no measure of strength.
    """
    path = [model.hyperparameters]
    for number, step in enumerate(steps):
        for name in step:
            if name not in model.stronger_when:
                known = ", ".join(model.stronger_when) or "none"
                raise ValueError(
                    f"{number}.{name} is no measure of strength in {model.name}; those are: {known}"
                )
        stronger = {name: _stronger(model, name, value) for name, value in step.items()}
        if {**model.hyperparameters, **stronger} != path[-1]:
            path.append({**model.hyperparameters, **stronger})
    return path[1:]


def _stronger(model: Model, name: str, value: Any) -> Any:
    own = model.hyperparameters[name]
    larger = _size(value) > _size(own)
    return value if larger == (model.stronger_when[name] == "larger") else own


def _size(value: Any) -> float:
    """Return a number to compare by: the widths of all layers together, where it is a list."""
    return float(sum(value)) if isinstance(value, list) else float(value)
