"""The bare loop: the fits of a sweep's trials and nothing else.

Axes: N rows.
"""

import importlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from market.bars import FloatArray
from market.samples import IntArray, Samples
from market.splits import Fold, Split, early_stopping_tail, known_before
from models.base import Model
from models.monitor import TrainingMonitor
from training.fitting import generator

LIBRARIES = ("sklearn.ensemble", "torch", "xgboost")
# The walk-forward's last blocks decide on adoption: no trial sees them.
N_LATER_BLOCKS = 2


@dataclass(frozen=True, slots=True)
class Fitted:
    """What the fits of some trials came to.

    Attributes
    ----------
    cpu_s : float
        Of fits, and predictions of the blocks.
    scoring_cpu_s : float
        Of predictions of the training rows, which the objective asks for as well.
    log_losses : list of float
        Of each trial, over the blocks that it predicted.
    """

    cpu_s: float
    scoring_cpu_s: float
    log_losses: list[float]


def fitted_trials(
    symbol: str,
    model: Model,
    split: Split,
    trials: Sequence[Mapping[str, Any]],
    *,
    seed: int,
    early_stopping_fraction: float,
) -> Fitted:
    """Fit each trial's hyperparameters on the walk-forward's first blocks and predict them.

    Parameters
    ----------
    model : Model
        Of the kind that is fitted.
    trials : sequence of mapping
        Hyperparameters, all that the model has.
    seed : int
        The sweep's: each fit draws what the sweep's own drew.
    """
    # Beforehand, so that no fit's time holds an import.
    for library in LIBRARIES:
        importlib.import_module(library)
    known = known_before(split, len(split.folds) - N_LATER_BLOCKS)
    kind = type(model)
    rngs = [(symbol, model.name, f"fold {k}") for k in range(1, len(known.folds) + 1)]
    answers: list[list[FloatArray]] = []
    cpu_s = scoring_cpu_s = 0.0
    for hyperparameters in trials:
        answers.append([])
        for key, fold in zip(rngs, known.folds, strict=True):
            start_s = time.process_time()
            one = kind(**hyperparameters)
            train, tail = _rows(known.development, fold, one, early_stopping_fraction)
            one.fit(train, tail, rng=generator(seed, *key), monitor=TrainingMonitor())
            answers[-1].append(_answers(known.development, fold, one))
            fitted_s = time.process_time()
            one.predict_proba(train.x_NF)
            cpu_s += fitted_s - start_s
            scoring_cpu_s += time.process_time() - fitted_s
    y_N = np.concatenate([known.development.y_N[fold.block] for fold in known.folds])
    losses = [_log_loss(y_N, np.concatenate(blocks)) for blocks in answers]
    return Fitted(cpu_s, scoring_cpu_s, losses)


def _rows(
    development: Samples, fold: Fold, model: Model, early_stopping_fraction: float
) -> tuple[Samples, Samples | None]:
    train = development.take(fold.train_N)
    if model.stops_early(len(train)):
        return early_stopping_tail(train, early_stopping_fraction)
    return train, None


def _answers(development: Samples, fold: Fold, model: Model) -> FloatArray:
    x_NF = development.x_NF
    return model.predict_proba(x_NF[fold.block], x_NF[: fold.block.start])[:, 1]


def _log_loss(y_N: IntArray, p_N: FloatArray) -> float:
    from selection.metrics import log_losses

    return float(log_losses(y_N, p_N).mean())
