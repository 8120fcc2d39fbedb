"""One trial: its rows, its draws, its objective, and every way in which it may end.

Axes: N rows, R rivals, K folds, C checkpoints of one fit.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from market.samples import Samples
from market.splits import Split, known_before
from models.base import Model
from selection.metrics import log_losses
from tests.models.planted import HOUR, make_model, signal
from tests.training.spies import (
    Believer,
    FillsTheDisk,
    Nearest,
    Raises,
    adaptive,
    drifting,
    hinted,
    task,
    train_task,
    walked,
)
from training.tuning.campaign import task_with
from training.tuning.rivals import CHECKPOINTS, Rivals
from training.tuning.trial import Attempt, Trial, attempted

BELIEF = 0.8
QUICK: dict[str, dict[str, Any]] = {"lstm": {"max_epochs": 3}, "mlp": {"max_epochs": 8}}


def spread(rows: Samples, longest_bars: int = 9) -> Samples:
    """Return rows with labels of different lengths."""
    spans_N = np.random.default_rng(5).integers(1, longest_bars + 1, len(rows))
    return replace(rows, t1_N=rows.t0_N + spans_N * HOUR)


def attempt(
    split: Split,
    model: Model,
    *,
    gap_penalty: float = 0.02,
    timeout_s: float = 600.0,
    rivals: Rivals | None = None,
    n_seen: int = 4,
    **changes: Any,
) -> Attempt:
    """Try a model on the first blocks of a split."""
    work = task(split, Path("nowhere"), model, **changes)
    work = task_with(work, model.hyperparameters, known_before(split, n_seen))
    return attempted(Trial(work, 1, gap_penalty, rivals or Rivals(), timeout_s))


def same(one: Attempt, other: Attempt) -> bool:
    """Return whether two trials came to the very same."""
    figures = ("state", "values", "log_loss", "accuracy", "gap", "error")
    return (
        all(repr(getattr(one, name)) == repr(getattr(other, name)) for name in figures)
        and np.array_equal(one.p_N, other.p_N)
        and np.array_equal(one.curve_KC, other.curve_KC, equal_nan=True)
    )


def changed_from(rows: Samples, first: int) -> Samples:
    """Return the rows with everything different from one of them on."""
    later_N = np.arange(len(rows)) >= first
    return replace(
        rows,
        x_NF=np.where(later_N[:, None], 3 * rows.x_NF + 1, rows.x_NF),
        y_N=np.where(later_N, 1 - rows.y_N, rows.y_N),
        weight_N=np.where(later_N, 5.0, rows.weight_N),
    )


@pytest.mark.parametrize("file", ["random_forest", "xgboost", "mlp", "lstm"])
def test_a_trial_is_the_very_same_whatever_the_rows_after_its_blocks_are(file: str) -> None:
    rows = spread(signal(200, seed=3))
    first = walked(rows).folds[4].block.start
    model = make_model(file, **QUICK.get(file, {}))
    one, other, earlier = (
        attempt(walked(changed), model)
        for changed in (rows, changed_from(rows, first), changed_from(rows, first - 12))
    )
    assert one.state == "complete"
    assert len(one.values) == 4
    assert same(one, other)
    assert not same(one, earlier)


def test_labels_still_open_when_its_blocks_end_are_nowhere_in_a_trial() -> None:
    rows = spread(drifting(1))
    split = walked(rows)
    begins = rows.t0_N[split.folds[4].block.start]
    open_N = (rows.t1_N > begins) & (rows.t0_N < begins)
    assert open_N.sum() > 2
    flipped = walked(replace(rows, y_N=np.where(open_N, 1 - rows.y_N, rows.y_N)))
    one, other = (attempt(each, Believer(belief=BELIEF)) for each in (split, flipped))
    assert same(one, other)
    shown = np.concatenate([fit.train.t1_N for fit in Believer.fits])
    assert shown.max() <= begins
    assert len(one.p_N) == 80 - open_N.sum()


def test_a_fit_of_a_trial_sees_what_had_ended_before_its_block_and_its_tail_stops_it() -> None:
    rows = spread(drifting(2))
    split = walked(rows)
    attempt(split, Believer(belief=BELIEF, holds_back=True))
    assert len(Believer.fits) == 4
    for fold, fit in zip(split.folds, Believer.fits, strict=False):
        assert fit.valid is not None
        decided_N = rows.t1_N[: fold.block.start] <= rows.t0_N[fold.block.start]
        tail = fit.valid.t0_N
        assert np.array_equal(tail, rows.t0_N[: fold.block.start][decided_N][-len(tail) :])
        assert fit.train.t1_N.max() <= tail[0]


@pytest.mark.parametrize("file", ["random_forest", "xgboost", "logistic", "mlp", "lstm"])
def test_what_is_configured_predicts_its_blocks_as_the_default_procedure_does(
    file: str, tmp_path: Path
) -> None:
    split = walked(spread(signal(200, seed=3)))
    model = make_model(file, **QUICK.get(file, {}))
    one, trained = attempt(split, model), train_task(task(split, tmp_path, model))
    known_N = split.folds[4].train_N
    by_default_N = trained.p_N[known_N[known_N >= split.folds[0].block.start]]
    if file == "lstm":
        # Rows that are left out at the end of a block are context to the ones after them.
        assert np.mean(np.isclose(one.p_N, by_default_N, rtol=1e-4)) > 0.8
    else:
        assert one.p_N == pytest.approx(by_default_N, rel=1e-5 if file == "mlp" else 0)


def test_a_fit_of_a_trial_draws_as_the_walk_forwards_fit_of_its_number(tmp_path: Path) -> None:
    split = walked(drifting(1))
    train_task(task(split, tmp_path, Believer(belief=BELIEF)))
    draws = [fit.draw for fit in Believer.fits]
    Believer.fits.clear()
    attempt(split, Believer(belief=BELIEF))
    later = replace(split, folds=split.folds[4:], refits=False)
    work = task_with(task(split, tmp_path, Believer(belief=BELIEF)), {"belief": BELIEF}, later)
    attempted(Trial(work, 5, 0.0, Rivals(), np.inf))
    assert [fit.draw for fit in Believer.fits] == draws[:6]


def test_the_objective_is_the_log_loss_over_the_blocks_so_far_and_a_penalty_on_the_gap() -> None:
    # Right 9 times of 10 in the first 80 rows, which are only trained on, then 6 times of 10.
    right = np.concatenate([np.arange(80) % 10 != 0, np.arange(120) % 10 >= 4])
    one = attempt(walked(hinted(right)), Believer(belief=BELIEF), gap_penalty=0.5)
    loss_right, loss_wrong = np.log1p(np.exp(-BELIEF)), np.log1p(np.exp(BELIEF))
    log_loss = 0.6 * loss_right + 0.4 * loss_wrong
    # Each fit has 20 more of the rows that are right 6 times of 10.
    trained = [(72 + 12 * k) / (80 + 20 * k) for k in range(4)]
    # The label of the last row before a block ends as that begins, and so it is known.
    values = [log_loss + 0.5 * (np.mean(trained[: k + 1]) - 0.6) for k in range(4)]
    assert one.values == pytest.approx(values)
    assert (one.log_loss, one.accuracy) == pytest.approx((log_loss, 0.6))
    assert one.gap == pytest.approx(np.mean(trained) - 0.6)


def test_what_is_better_on_its_blocks_than_in_training_is_not_paid_for_it() -> None:
    right = np.concatenate([np.arange(80) % 10 >= 4, np.arange(120) % 10 != 0])
    split = walked(hinted(right))
    one = attempt(split, Believer(belief=BELIEF), gap_penalty=0.5)
    y_N = split.development.y_N[80:160]
    assert one.gap < -0.1
    assert one.values[-1] == one.log_loss == pytest.approx(log_losses(y_N, one.p_N).mean())


def test_a_trial_never_chooses_between_steps_nor_between_augmented_and_plain() -> None:
    split, weaker = walked(drifting(1)), Believer(belief=2 * BELIEF)
    attempt(split, Believer(belief=BELIEF), stronger=(weaker,), **adaptive(2.0))
    assert [fit.belief for fit in Believer.fits] == [BELIEF] * 4
    assert all(fit.synthetic_NF is None for fit in Believer.fits)
    always = {**adaptive(2.0), "augmentation": "always"}
    attempt(split, Believer(belief=BELIEF), **always)
    assert [fit.synthetic_NF is None for fit in Believer.fits[4:]] == [False] * 4


@pytest.mark.parametrize("file", ["random_forest", "xgboost", "mlp", "lstm"])
def test_the_same_trial_comes_to_the_same_again_and_tells_what_it_took(file: str) -> None:
    split, model = walked(signal(200, seed=4)), make_model(file, **QUICK.get(file, {}))
    one, again = (attempt(split, model) for _ in range(2))
    assert same(one, again)
    assert one.state == "complete"
    assert one.wall_s > 0
    assert one.cpu_s > 0
    assert one.values[-1] < np.log(2)
    assert np.isfinite(one.curve_KC).all() == (file in ("mlp", "lstm"))


def test_a_trial_that_is_worse_after_a_block_than_others_were_then_is_pruned_there() -> None:
    split = walked(drifting(1))
    whole = attempt(split, Believer(belief=BELIEF)).values
    better = (whole[0], whole[1] - 0.01, 0.1, 0.1)
    rivals = Rivals((better, better), fold_share=0.5, least=2)
    one = attempt(split, Believer(belief=BELIEF), rivals=rivals)
    assert (one.state, one.values, one.error) == ("pruned", whole[:2], None)
    assert len(Believer.fits) == 4 + 2
    # Once all is done there is nothing left to save.
    last = (*whole[:3], whole[3] - 0.01)
    assert attempt(
        split, Believer(belief=BELIEF), rivals=Rivals((last,), fold_share=0.5)
    ).state == ("complete")


def far_better(n_folds: int) -> Rivals:
    """Return rivals whose fits had a held-back loss of next to nothing."""
    curve_RKC = np.full((3, n_folds, len(CHECKPOINTS)), 0.01)
    return Rivals((), curve_RKC, epoch_share=0.75, least=3)


@pytest.mark.parametrize("file", ["mlp", "lstm"])
def test_nets_that_are_far_worse_than_others_were_are_given_up_after_a_few_epochs(
    file: str,
) -> None:
    split = walked(signal(200, seed=4))
    one = attempt(split, make_model(file), rivals=far_better(4))
    assert (one.state, one.values, one.error) == ("pruned", (), None)
    reached = np.isfinite(one.curve_KC)
    assert reached[:, 0].all()
    assert not reached[:, 1:].any()
    assert attempt(split, make_model(file), rivals=far_better(3)).state == "complete"


def test_rounds_of_xgboost_are_given_up_likewise_once_it_has_rows_to_stop_by() -> None:
    split = walked(signal(400, seed=4))
    model = make_model("xgboost", early_stopping_min_rows=190)
    one = attempt(split, model, rivals=far_better(4))
    # The first fold is too small to hold a tail back.
    assert (one.state, len(one.values)) == ("pruned", 1)
    assert np.isnan(one.curve_KC[0]).all()
    assert np.isfinite(one.curve_KC[1]).tolist() == [True, *[False] * (len(CHECKPOINTS) - 1)]


class Slow(Nearest):
    """Takes its time over each fit, and never looks at the clock."""

    name = "Slow"

    def _fit(self, *given: Any) -> Any:
        self.wait()
        return super()._fit(*given)

    wait: Callable[..., None] = staticmethod(lambda: None)


def test_a_trial_whose_time_is_out_has_failed_and_says_in_which_fold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr("training.tuning.trial.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(Slow, "wait", lambda self: clock.__setitem__(0, clock[0] + 4))
    split = walked(signal(200, seed=1))
    one = attempt(split, Slow(), timeout_s=7)
    assert (one.state, one.error) == ("failed", "fold 3: timeout: over 7 s (sweep.timeout_s)")
    assert len(one.values) == 2
    assert attempt(split, Slow(), timeout_s=17).state == "complete"


@pytest.mark.parametrize("file", ["random_forest", "xgboost", "mlp", "lstm"])
def test_a_fit_in_which_time_runs_out_is_ended(file: str) -> None:
    one = attempt(walked(signal(200, seed=1)), make_model(file), timeout_s=1e-6)
    assert (one.state, one.error) == ("failed", "fold 1: timeout: over 1e-06 s (sweep.timeout_s)")
    assert (one.values, len(one.p_N)) == ((), 0)


def test_a_model_with_a_fault_fails_its_trial_and_leaves_no_objective() -> None:
    one = attempt(walked(signal(200, seed=1)), Raises())
    assert (one.state, one.values) == ("failed", ())
    assert one.error == "fold 1: ZeroDivisionError: two lines"
    assert np.isnan([one.log_loss, one.accuracy, one.gap]).all()
    Nearest.fails_at = frozenset({3})
    later = attempt(walked(signal(200, seed=1)), Nearest())
    assert (later.state, later.error) == ("failed", "fold 3: fit 3 fails")
    assert len(later.values) == 2


def test_a_full_disk_is_no_fault_of_a_trial() -> None:
    with pytest.raises(OSError, match="units/a"):
        attempt(walked(signal(200, seed=1)), FillsTheDisk())
