"""Whether what a study found takes the place of the default: asked once, on blocks it has not seen.

Trials are compared on the first blocks of the walk-forward. The best of them is fitted for the
blocks after those, and compared there with the default procedure: paired by row, one-sided, with
labels that overlap counting for less. Whoever looks at the same blocks again, with another best
trial, is allowed half the error of the look before.

Axes: N rows of development, M rows of the later blocks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from market.bars import FloatArray
from market.samples import IntArray, Samples
from market.splits import Split
from selection.evidence import LEAST_EFFECTIVE_ROWS, advantage
from selection.holdout_ledger import HoldoutLedger, Opening
from selection.metrics import log_losses
from selection.out_of_fold import OutOfFold
from selection.overlap import Overlaps
from selection.tuned_file import Adoption, Compared, Score
from training.fitting import accuracy
from training.task import FoldOutcome, Trained
from training.tuning.trial import objective, pooled


@dataclass(frozen=True, slots=True)
class Later:
    """The blocks that no trial has seen.

    Attributes
    ----------
    rows : int64 array
        Of development.
    block_M : int64 array
        Number of the block of each.
    since_utc : datetime
        Decision time of the first.
    """

    rows: IntArray
    block_M: IntArray
    since_utc: datetime

    @classmethod
    def of(cls, split: Split, n_seen: int) -> "Later":
        """Return the blocks after the first ``n_seen``."""
        blocks = [fold.block for fold in split.folds[n_seen:]]
        rows = np.concatenate([np.arange(block.start, block.stop) for block in blocks])
        lengths = [block.stop - block.start for block in blocks]
        block_M = np.repeat(np.arange(n_seen, n_seen + len(blocks)), lengths)
        return cls(rows, block_M, _utc(split.development, int(rows[0])))


@dataclass(frozen=True, slots=True)
class DefaultScores:
    """What the default procedure is worth on the blocks that trials are compared by.

    Attributes
    ----------
    score : Score
    objective : float
        As of a trial.
    """

    score: Score
    objective: float


def default_scores(
    split: Split, trained: Trained, n_seen: int, gap_penalty: float
) -> DefaultScores:
    """Score the default procedure as a trial is scored, on the same rows.

    Parameters
    ----------
    split : Split
        The whole one, that ``trained`` is of.
    n_seen : int
        Number of blocks that trials see.
    """
    known_N = split.folds[n_seen].train_N
    rows = known_N[known_N >= split.folds[0].block.start]
    y_N, p_N = split.development.y_N[rows], trained.p_N[rows]
    scores = pooled(y_N, p_N, _train_accuracies(trained.folds[:n_seen]))
    score = Score(scores["log_loss"], scores["accuracy"], len(rows))
    return DefaultScores(score, objective(scores, gap_penalty))


def compared(
    development: Samples,
    later: Later,
    *,
    default_N: FloatArray,
    tuned_M: FloatArray,
    alpha: float,
    look: int,
) -> tuple[Compared, Adoption]:
    """Compare the tuned model with the default procedure on the later blocks.

    Parameters
    ----------
    default_N : float64 array, shape (n_development,)
        Out-of-fold probabilities of the default procedure.
    tuned_M : float64 array, shape (n_later,)
        Those of the tuned model.
    alpha : float
        Of the first look.
    look : int
        Which one this is, from 1.
    """
    y_M, default_M = development.y_N[later.rows], default_N[later.rows]
    t0_M, t1_M = development.t0_N[later.rows], development.t1_N[later.rows]
    unused_M = np.full(len(y_M), 0.5)
    tuned, default = (
        OutOfFold(y_M, p_M, unused_M, t0_M, t1_M, later.block_M) for p_M in (tuned_M, default_M)
    )
    found, effective = advantage(tuned, default), Overlaps(t0_M, t1_M).effective_rows
    enough = effective >= LEAST_EFFECTIVE_ROWS and math.isfinite(found.p_value)
    return (
        Compared(default=_score(y_M, default_M), tuned=_score(y_M, tuned_M)),
        Adoption(
            rows=len(y_M),
            effective_rows=float(effective),
            gain=found.gain,
            standard_error=found.standard_error,
            p_value=found.p_value if enough else 1.0,
            alpha=alpha / 2 ** (look - 1),
            look=look,
        ),
    )


def look_number(path: Path, opening: Opening) -> int:
    """Write a look at later blocks down, before it is taken; return which one of its model it is.

    The same look again, as by a sweep that was cut off, keeps its number.

    Parameters
    ----------
    path : Path
        The ledger, which all sweeps of a place share.
    opening : Opening
        Its ``conf_digest`` tells looks apart.

    Raises
    ------
    OSError, ValueError
        If the ledger cannot be written or read: the blocks must stay unseen then.
    """
    ledger = HoldoutLedger(path)
    ledger.record(opening)
    seen: list[tuple[str, str]] = []
    for other in ledger.recorded():
        key = other.conf_digest, other.data_digest
        if other.model == opening.model and other.overlaps(opening) and key not in seen:
            seen.append(key)
    return 1 + seen.index((opening.conf_digest, opening.data_digest))


def _score(y_M: IntArray, p_M: FloatArray) -> Score:
    return Score(float(log_losses(y_M, p_M).mean()), accuracy(p_M, y_M), len(y_M))


def _train_accuracies(folds: Sequence[FoldOutcome]) -> list[float]:
    return [fold.train_accuracy for fold in folds]


def _utc(samples: Samples, row: int) -> datetime:
    moment: datetime = samples.t0_N[row].astype("datetime64[us]").item()
    return moment.replace(tzinfo=UTC)
