"""When a trial is pruned: by what the trials before it had shown at the same point.

The rule is that of percentile pruning (as in Optuna's `PercentilePruner`), decided in the worker
against the trials that were known when this one was asked for: no worker waits for the storage, and
what becomes of a trial does not depend on which other happened to end first.

Axes: R rivals, K folds, C checkpoints of one fit.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from market.bars import FloatArray
from models.monitor import TrainingMonitor

# Epochs or rounds after which a fit's held-back loss is compared.
CHECKPOINTS = (5, 10, 20, 40, 80, 160)


def _no_curves() -> FloatArray:
    return np.zeros((0, 1, len(CHECKPOINTS)))


@dataclass(frozen=True, slots=True)
class Rivals:
    """What earlier trials of a study had shown on their way.

    Attributes
    ----------
    values : tuple of tuple of float
        Of each trial the objective so far after each of its folds.
    curve_RKC : float64 array, shape (n_rivals, n_folds, n_checkpoints)
        The best held-back loss of each fit up to a checkpoint; NaN where there is none.
    fold_share, epoch_share : float
        A trial goes on while it is no worse than this share of them; 1 prunes nothing.
    least : int
        Fewer rivals than this prune nothing.
    """

    values: tuple[tuple[float, ...], ...] = ()
    curve_RKC: FloatArray = field(default_factory=_no_curves)
    fold_share: float = 1.0
    epoch_share: float = 1.0
    least: int = 1

    def outdo(self, values: Sequence[float]) -> bool:
        """Return whether a trial with these values after its folds so far is pruned."""
        step = len(values) - 1
        others = [one[step] for one in self.values if len(one) > step]
        return self._is_worse(values[-1], np.array(others), self.fold_share)

    def outdo_fits(self, best_K: FloatArray, checkpoint: int) -> bool:
        """Return whether fits with these best losses up to a checkpoint are given up.

        Parameters
        ----------
        best_K : float64 array, shape (n_fits,)
            Of the first folds, as many as have been begun; NaN where nothing is held back.
        checkpoint : int
            Number of it.
        """
        folds = np.flatnonzero(np.isfinite(best_K))
        if self.curve_RKC.shape[1] < len(best_K) or not len(folds):
            return False
        others_R = self.curve_RKC[:, folds, checkpoint].mean(axis=1)
        usable_R = others_R[np.isfinite(others_R)]
        return self._is_worse(float(best_K[folds].mean()), usable_R, self.epoch_share)

    def _is_worse(self, value: float, others_R: FloatArray, share: float) -> bool:
        if len(others_R) < self.least or share >= 1:
            return False
        return bool(value > np.quantile(others_R, share))


class Race:
    """Watches the fits of one trial, one after another or side by side, and gives them up together.

    Parameters
    ----------
    rivals : Rivals
    n_folds : int
    new_monitor : callable
        Makes the monitor of one fit; called here in the order of the folds.
    """

    def __init__(
        self, rivals: Rivals, n_folds: int, new_monitor: Callable[[], TrainingMonitor]
    ) -> None:
        self.given_up = False
        self._rivals = rivals
        self._new_monitor = new_monitor
        self._curve_KC = np.full((n_folds, len(CHECKPOINTS)), np.nan)
        self._best_K: list[float] = []
        self._judged: set[tuple[int, int]] = set()

    def monitor(self) -> TrainingMonitor:
        """Return the monitor of the next fold's fit."""
        monitor = self._new_monitor()
        monitor.gives_up = partial(self._look, len(self._best_K))
        self._best_K.append(math.nan)
        return monitor

    def curve_KC(self) -> FloatArray:
        """Return each fit's best loss up to each checkpoint; one that ended before has its last."""
        curve_KC = self._curve_KC.copy()
        for fold, best in enumerate(self._best_K):
            missing_C = np.isnan(curve_KC[fold])
            if math.isfinite(best) and not self.given_up:
                curve_KC[fold, missing_C] = best
        return curve_KC

    def _look(self, fold: int, losses: Sequence[float]) -> bool:
        if self.given_up:
            return True
        n_epochs = len(losses)
        self._best_K[fold] = float(np.fmin(self._best_K[fold], losses[-1]))
        if n_epochs in CHECKPOINTS:
            self._curve_KC[fold, CHECKPOINTS.index(n_epochs)] = self._best_K[fold]
        elif n_epochs - 1 in CHECKPOINTS:
            # By now all fits that are side by side have been there, or have ended before.
            self.given_up = self._judge(CHECKPOINTS.index(n_epochs - 1))
        return self.given_up

    def _judge(self, checkpoint: int) -> bool:
        known = len(self._best_K), checkpoint
        if known in self._judged:
            return False
        self._judged.add(known)
        at_K = self._curve_KC[: len(self._best_K), checkpoint]
        best_K = np.where(np.isnan(at_K), self._best_K, at_K)
        return self._rivals.outdo_fits(best_K, checkpoint)


def rivals_of(
    values: Sequence[Sequence[float]], curves: Sequence[Sequence[Sequence[float | None]]]
) -> tuple[tuple[tuple[float, ...], ...], FloatArray]:
    """Return what trials have left behind in the form that `Rivals` has it."""
    n_folds = max((len(one) for one in curves), default=1)
    curve_RKC = np.full((len(curves), n_folds, len(CHECKPOINTS)), np.nan)
    for curve_KC, one in zip(curve_RKC, curves, strict=True):
        for (fold, fit), checkpoint in itertools.product(enumerate(one), range(len(CHECKPOINTS))):
            if checkpoint < len(fit) and (value := fit[checkpoint]) is not None:
                curve_KC[fold, checkpoint] = value
    return tuple(tuple(one) for one in values), curve_RKC
