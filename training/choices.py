"""What earlier blocks teach about how to fit: how strongly, and whether with synthetic rows.

Block 1 is predicted by the strongest step and without augmentation, block k by what the blocks
before it taught (their rows whose label had ended), the final fit by what all of them taught: no
row is predicted by a procedure that has seen its label.

Axes: N rows of development, S steps of the strength path, weakest first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from market.bars import FloatArray
from market.samples import IntArray, Samples
from selection.evidence import LEAST_EFFECTIVE_ROWS, paired_gain
from selection.metrics import log_losses
from selection.overlap import Overlaps
from training.strength import strongest_within_one_error

# One-sided: 95 times in 100 a recipe that does nothing is not adopted.
ADOPTED_FROM_ERRORS = 1.645
# Nats: nets that train side by side differ from the same ones alone by rounding.
ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Choice:
    """How one fit is made.

    Attributes
    ----------
    step : int
        Of the strength path; 0 is the configured model.
    augmented : bool
    """

    step: int
    augmented: bool


@dataclass(frozen=True, slots=True)
class AugmentationVerdict:
    """Whether synthetic rows earned their place, from pairs of fits that share everything else.

    Attributes
    ----------
    adopted : bool
        Whether the deployed fit was to be augmented: the lower end of the gain's one-sided 95%
        interval is above zero, and the fit has few enough rows.
    rows : int
        Out-of-fold rows that were predicted with and without; 0 where every fit had too many rows
        to be augmented.
    log_loss_with, log_loss_without, gain, standard_error : float or None
        Nats per row; None without rows.
    """

    adopted: bool
    rows: int
    log_loss_with: float | None = None
    log_loss_without: float | None = None
    gain: float | None = None
    standard_error: float | None = None


class Choices:
    """Keeps what was predicted how, and answers how to fit next.

    Parameters
    ----------
    development : Samples
    n_steps : int
        Steps of the strength path, the configured model included.
    """

    def __init__(self, development: Samples, n_steps: int) -> None:
        self._development = development
        self._p_SN = np.full((n_steps, len(development)), np.nan)
        self._with_N = np.full(len(development), np.nan)
        self._without_N = np.full(len(development), np.nan)
        self._seen_N = np.zeros(len(development), dtype=np.bool_)

    def after(self, known_N: IntArray) -> Choice:
        """Return how to fit when the labels of these rows are known, and no others."""
        rows = known_N[self._seen_N[known_N]]
        y_N, overlaps = self._development.y_N[rows], self._overlaps(rows)
        step = strongest_within_one_error(y_N, self._p_SN[:, rows], overlaps)
        return Choice(step, self.augmentation(known_N).adopted)

    def tried(self, step: int, block: slice, p_N: FloatArray) -> None:
        """Take note of what a step said of a block."""
        self._seen_N[block] = True
        self._p_SN[step, block] = p_N

    def paired(self, block: slice, with_N: FloatArray, without_N: FloatArray) -> None:
        """Take note of what two fits, one of them augmented, said of a block."""
        self._with_N[block], self._without_N[block] = with_N, without_N

    def augmentation(self, known_N: IntArray) -> AugmentationVerdict:
        """Return the verdict on augmentation when the labels of these rows are known."""
        rows = known_N[~np.isnan(self._with_N[known_N])]
        if len(rows) == 0:
            return AugmentationVerdict(adopted=False, rows=0)
        y_N, with_N, without_N = (
            column_N[rows] for column_N in (self._development.y_N, self._with_N, self._without_N)
        )
        overlaps = self._overlaps(rows)
        gain, error = paired_gain(y_N, with_N, without_N, overlaps)
        enough = overlaps.effective_rows >= LEAST_EFFECTIVE_ROWS
        adopted = enough and gain > max(ADOPTED_FROM_ERRORS * error, ROUNDING)
        return AugmentationVerdict(
            adopted=adopted,
            rows=len(rows),
            log_loss_with=float(log_losses(y_N, with_N).mean()),
            log_loss_without=float(log_losses(y_N, without_N).mean()),
            gain=gain,
            standard_error=error,
        )

    def log_losses(self, blocks: Sequence[slice]) -> list[float | None]:
        """Return each step's log-loss over the blocks; None for one that missed any."""
        rows = np.concatenate([np.arange(block.start, block.stop) for block in blocks])
        rows = rows[self._seen_N[rows]]
        return [
            None if len(rows) == 0 or np.isnan(p_N).any() else float(log_losses(y_N, p_N).mean())
            for y_N, p_N in ((self._development.y_N[rows], p_N[rows]) for p_N in self._p_SN)
        ]

    def _overlaps(self, rows: IntArray) -> Overlaps:
        return Overlaps(self._development.t0_N[rows], self._development.t1_N[rows])


@dataclass(frozen=True, slots=True)
class StrengthVerdict:
    """Which step of the strength path the deployed fit was made with, and what each cost.

    Attributes
    ----------
    chosen : int
    steps : tuple of dict
        Of each step what it changes of the configured hyperparameters.
    log_losses : tuple of float or None
        Over all out-of-fold rows; None where a step could not be fitted for some block.
    """

    chosen: int
    steps: tuple[dict[str, Any], ...]
    log_losses: tuple[float | None, ...]
