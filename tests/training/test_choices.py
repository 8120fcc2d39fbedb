"""What is known decides, and only that.

Axes: N rows.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from market.samples import Samples
from selection.evidence import paired_gain
from selection.overlap import Overlaps
from tests.models.planted import HOUR
from tests.training.spies import hinted
from training.choices import AugmentationVerdict, Choice, Choices

BELIEFS = (2.0, 0.1)


def rows_of(n_rows: int, right: float) -> Samples:
    """Return rows of whose hints exactly this share is right."""
    rng = np.random.default_rng(4)
    return hinted(rng.permutation(np.arange(n_rows) < round(right * n_rows)))


def believed(rows: Samples, belief: float, block: slice) -> Any:
    return 1 / (1 + np.exp(-belief * rows.x_NF[block, 0]))


def tried(rows: Samples, *blocks: slice) -> Choices:
    choices = Choices(rows, len(BELIEFS))
    for block in blocks:
        for step, belief in enumerate(BELIEFS):
            choices.tried(step, block, believed(rows, belief, block))
    return choices


def paired(rows: Samples, block: slice, with_belief: float, without: float) -> Choices:
    choices = Choices(rows, 1)
    choices.paired(block, believed(rows, with_belief, block), believed(rows, without, block))
    return choices


def test_before_anything_is_known_it_is_the_strongest_step_without_augmentation() -> None:
    rows = rows_of(100, right=0.9)
    assert Choices(rows, 3).after(np.arange(100)) == Choice(2, augmented=False)
    choices = tried(rows, slice(40, 60))
    # Rows that nobody has predicted teach nothing, nor does what was predicted but is not known.
    assert choices.after(np.arange(40)) == Choice(1, augmented=False)
    assert choices.after(np.arange(60, 100)) == Choice(1, augmented=False)
    assert choices.after(np.arange(60)) == Choice(0, augmented=False)


def test_only_the_rows_whose_label_is_known_teach() -> None:
    rows = rows_of(100, right=0.9)
    choices = tried(rows, slice(40, 80))
    right_N = (rows.x_NF[:, 0] > 0) == (rows.y_N == 1)
    assert choices.after(np.arange(80)).step == 0
    misleading = np.flatnonzero(~right_N[:80])
    assert len(misleading[misleading >= 40]) > 0
    assert choices.after(misleading).step == 1


def test_the_verdict_holds_the_gain_of_the_known_pairs() -> None:
    rows = rows_of(200, right=0.8)
    rows = replace(rows, t1_N=rows.t0_N + 5 * HOUR)
    choices = paired(rows, slice(100, 200), 1.4, 0.3)
    known = np.arange(30, 171)
    verdict = choices.augmentation(known)
    pairs = slice(100, 171)
    overlaps = Overlaps(rows.t0_N[pairs], rows.t1_N[pairs])
    with_N, without_N = (believed(rows, belief, pairs) for belief in (1.4, 0.3))
    gain, error = paired_gain(rows.y_N[pairs], with_N, without_N, overlaps)
    assert (verdict.rows, verdict.gain, verdict.standard_error) == (71, gain, error)
    assert verdict.log_loss_with is not None
    assert verdict.log_loss_without is not None
    assert verdict.log_loss_without - verdict.log_loss_with == pytest.approx(gain)
    assert choices.after(known) == Choice(0, augmented=verdict.adopted)


@pytest.mark.parametrize("n_right", range(60, 100, 2))
def test_the_lower_end_of_the_gains_interval_decides(n_right: int) -> None:
    verdict = paired(rows_of(100, n_right / 100), slice(0, 100), 1.0, 0.5).augmentation(
        np.arange(100)
    )
    assert verdict.gain is not None
    assert verdict.standard_error is not None
    assert verdict.adopted is (verdict.gain - 1.645 * verdict.standard_error > 0)
    # 70 right are hardly better off with more belief, 90 are for certain.
    assert n_right > 70 or not verdict.adopted
    assert n_right < 90 or verdict.adopted


def test_without_pairs_there_is_no_verdict_to_adopt_by() -> None:
    rows = rows_of(100, right=0.9)
    nothing = AugmentationVerdict(adopted=False, rows=0)
    assert tried(rows, slice(0, 100)).augmentation(np.arange(100)) == nothing
    later = paired(rows, slice(50, 100), 2.0, 0.1)
    assert later.augmentation(np.arange(50)) == nothing


def test_each_steps_log_loss_is_over_all_blocks_or_not_told() -> None:
    rows = rows_of(100, right=0.9)
    blocks = slice(40, 60), slice(60, 100)
    choices = tried(rows, *blocks)
    wrong_N = (rows.x_NF[40:, 0] > 0) != (rows.y_N[40:] == 1)
    expected = [np.mean(np.log1p(np.exp(np.where(wrong_N, belief, -belief)))) for belief in BELIEFS]
    assert choices.log_losses(blocks) == pytest.approx(expected)
    assert Choices(rows, 2).log_losses(blocks) == [None, None]
    partly = tried(rows, blocks[0])
    partly.tried(1, blocks[1], believed(rows, 0.1, blocks[1]))
    assert partly.log_losses(blocks) == [None, pytest.approx(expected[1])]
