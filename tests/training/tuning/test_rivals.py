"""A trial is given up where most trials before it had done better at the same point.

Axes: R rivals, K folds, C checkpoints of one fit.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.monitor import TrainingMonitor
from training.tuning.rivals import CHECKPOINTS, Race, Rivals, rivals_of

N_CHECKPOINTS = len(CHECKPOINTS)
falling = st.lists(st.floats(0.3, 1.0), min_size=1, max_size=4).map(
    lambda values: tuple(sorted(values, reverse=True))
)


def pruned_by_optuna(
    values: Sequence[float], others: Sequence[Sequence[float]], share: float, least: int
) -> bool:
    """Ask Optuna's own pruner about a trial beside completed ones."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = optuna.pruners.PercentilePruner(100 * share, n_startup_trials=0, n_min_trials=least)
    study = optuna.create_study(pruner=pruner)
    for other in others:
        steps = dict(enumerate(other, start=1))
        study.add_trial(optuna.create_trial(value=other[-1], intermediate_values=steps))
    trial = study.ask()
    for step, value in enumerate(values, start=1):
        trial.report(value, step)
    return trial.should_prune()


@given(
    values=falling,
    others=st.lists(falling, min_size=1, max_size=9),
    share=st.sampled_from([0.0, 0.25, 0.5, 0.75, 0.9]),
    least=st.integers(1, 6),
)
def test_trials_whose_values_fall_are_pruned_as_by_optunas_percentile_pruner(
    values: tuple[float, ...], others: list[tuple[float, ...]], share: float, least: int
) -> None:
    rivals = Rivals(tuple(others), fold_share=share, least=least)
    assert rivals.outdo(values) == pruned_by_optuna(values, others, share, least)


def test_unlike_optunas_the_last_value_counts_and_not_the_best_so_far() -> None:
    # An objective over more and more blocks is not better for having been good over fewer.
    others = [(0.6, 0.6), (0.6, 0.62), (0.6, 0.64)]
    assert Rivals(tuple(others), fold_share=0.5).outdo((0.5, 0.7))
    assert not pruned_by_optuna((0.5, 0.7), others, 0.5, 1)


@given(value=st.floats(0, 10), others=st.lists(falling, max_size=9), least=st.integers(1, 9))
def test_a_share_of_one_prunes_nothing_and_nor_do_too_few_rivals(
    value: float, others: list[tuple[float, ...]], least: int
) -> None:
    assert not Rivals(tuple(others), fold_share=1.0).outdo((value,))
    worst = Rivals(tuple(others), fold_share=0.0, least=least).outdo((11.0,))
    assert worst == (len(others) >= least)


def test_only_those_that_came_as_far_are_rivals() -> None:
    values = ((0.5,), (0.5, 0.6), (0.9, 0.7, 0.7, 0.7))
    rivals = Rivals(values, fold_share=0.5, least=2)
    assert rivals.outdo((0.51,))
    assert not rivals.outdo((0.9, 0.64))
    assert rivals.outdo((0.9, 0.66))
    # One alone has come to the third fold.
    assert not rivals.outdo((0.9, 0.9, 0.9))


def curves(*losses: float | None, n_folds: int = 1) -> list[list[list[float | None]]]:
    """Return rivals whose fits all had one loss throughout."""
    return [[[loss] * N_CHECKPOINTS] * n_folds for loss in losses]


def test_fits_are_compared_with_those_of_as_many_folds_at_the_same_checkpoint() -> None:
    _, curve_RKC = rivals_of([(0.5,)] * 3, [*curves(0.5, 0.7, n_folds=2), *curves(0.1)])
    rivals = Rivals(curve_RKC=curve_RKC, epoch_share=0.5, least=2)
    assert curve_RKC.shape == (3, 2, N_CHECKPOINTS)
    assert [rivals.outdo_fits(np.array([loss]), 0) for loss in (0.5, 0.51)] == [False, True]
    assert [rivals.outdo_fits(np.array([0.5, loss]), 0) for loss in (0.7, 0.71)] == [False, True]
    assert not rivals.outdo_fits(np.array([9.0, 9.0, 9.0]), 0)
    assert not Rivals(curve_RKC=curve_RKC, epoch_share=1.0).outdo_fits(np.array([9.0]), 0)


def test_what_a_rival_never_came_to_counts_for_nothing() -> None:
    left: list[list[list[float | None]]] = [[[0.5, None]], [], [[0.7, math.nan, 0.4]]]
    values, curve_RKC = rivals_of([(0.5, 0.4), (), (0.7,)], left)
    assert values == ((0.5, 0.4), (), (0.7,))
    assert np.isnan(curve_RKC[1]).all()
    assert np.flatnonzero(np.isfinite(curve_RKC[0, 0])).tolist() == [0]
    rivals = Rivals(values, curve_RKC, epoch_share=0.5, least=2)
    assert rivals.outdo_fits(np.array([0.61]), 0)
    assert not rivals.outdo_fits(np.array([9.0]), 1)
    assert rivals_of([], [])[1].shape == (0, 1, N_CHECKPOINTS)


def race(n_folds: int, *losses: float, share: float = 0.5) -> Race:
    """Return a race against rivals whose fits of all folds had these losses throughout."""
    _, curve_RKC = rivals_of([()] * len(losses), curves(*losses, n_folds=n_folds))
    rivals = Rivals(curve_RKC=curve_RKC, epoch_share=share)
    return Race(rivals, n_folds, TrainingMonitor)


def run_alone(monitor: TrainingMonitor, loss: Callable[[int], float], n_epochs: int) -> int:
    """Return after how many epochs a fit has ended."""
    losses: list[float] = []
    while len(losses) < n_epochs and not monitor.should_stop:
        losses.append(loss(len(losses) + 1))
        monitor.check_hopeless(losses)
    return len(losses)


def run_together(monitors: Sequence[TrainingMonitor], losses_K: Sequence[float]) -> list[int]:
    """Return after how many epochs each of several fits has ended."""
    said: list[list[float]] = [[] for _ in monitors]
    for _ in range(50):
        for monitor, one, loss in zip(monitors, said, losses_K, strict=True):
            if not monitor.should_stop:
                one.append(loss)
                monitor.check_hopeless(one)
    return [len(one) for one in said]


def test_fits_side_by_side_are_given_up_together_once_all_have_been_at_a_checkpoint() -> None:
    hopeless = race(3, 0.5, 0.5, 0.5)
    monitors = [hopeless.monitor() for _ in range(3)]
    assert run_together(monitors, [0.4, 0.4, 0.9]) == [6, 6, 6]
    assert hopeless.given_up
    assert monitors[2].stop_reason == "given up at epoch 5: others did better"
    hopeful = race(3, 0.5, 0.5, 0.5)
    assert run_together([hopeful.monitor() for _ in range(3)], [0.4, 0.4, 0.7]) == [50] * 3
    assert not hopeful.given_up


def test_fits_one_after_another_are_judged_with_the_folds_before_them() -> None:
    one = race(3, 0.5, 0.5, 0.5)
    assert run_alone(one.monitor(), lambda _: 0.3, 30) == 30
    # By itself 0.65 would be too much; with the fold before it is not.
    assert run_alone(one.monitor(), lambda _: 0.65, 30) == 30
    assert run_alone(one.monitor(), lambda n: 0.5 if n < 9 else 0.9, 30) == 30
    assert run_alone(race(1, 0.5).monitor(), lambda _: 0.65, 30) == 6
    spoilt = race(3, 0.5, 0.5, 0.5)
    assert run_alone(spoilt.monitor(), lambda _: 0.3, 30) == 30
    assert run_alone(spoilt.monitor(), lambda _: 0.8, 30) == 6


def test_a_fit_that_ended_early_is_compared_by_its_best_loss_from_then_on() -> None:
    ended = race(2, 0.5, 0.5)
    assert run_alone(ended.monitor(), lambda n: 0.3 + n / 100, 3) == 3
    assert run_alone(ended.monitor(), lambda _: 0.6, 12) == 12
    curve_KC = ended.curve_KC()
    assert curve_KC[0] == pytest.approx([0.31] * N_CHECKPOINTS)
    assert curve_KC[1] == pytest.approx([0.6] * N_CHECKPOINTS)
    assert not ended.given_up
    worse = race(2, 0.5, 0.5)
    assert run_alone(worse.monitor(), lambda n: 0.5 + n / 100, 3) == 3
    assert run_alone(worse.monitor(), lambda _: 0.6, 12) == 6


def test_the_curve_holds_best_losses_and_ends_where_fits_were_given_up() -> None:
    seen = [0.9, 0.8, 0.3, 0.7, 0.6, 0.5, 0.4, 0.2, 0.6, 0.7, 0.7]
    going = race(1)
    run_alone(going.monitor(), lambda n: seen[n - 1], len(seen))
    assert going.curve_KC()[0, :2].tolist() == [0.3, 0.2]
    given_up = race(2, 0.1)
    run_alone(given_up.monitor(), lambda _: 0.9, 30)
    curve_KC = given_up.curve_KC()
    assert curve_KC[0, 0] == 0.9
    assert np.isnan(curve_KC[0, 1:]).all()
    assert np.isnan(curve_KC[1]).all()


@pytest.mark.parametrize(("loss", "n_epochs"), [(0.4, 12), (0.6, 6)])
def test_folds_without_a_held_back_loss_count_for_nothing(loss: float, n_epochs: int) -> None:
    small = race(3, 0.5, 0.5)
    # Too few rows to hold any back, then a loss that is no number.
    assert run_alone(small.monitor(), lambda _: 0.0, 0) == 0
    assert run_alone(small.monitor(), lambda _: math.nan, 12) == 12
    assert run_alone(small.monitor(), lambda _: loss, 12) == n_epochs
    assert np.isnan(small.curve_KC()[:2]).all()
    assert small.given_up == (n_epochs < 12)


def test_a_rival_that_held_back_nothing_in_a_fold_is_none_where_this_one_did() -> None:
    left = [[[None] * N_CHECKPOINTS, [0.1] * N_CHECKPOINTS], *curves(0.5, 0.5, n_folds=2)]
    _, curve_RKC = rivals_of([()] * 3, left)
    rivals = Rivals(curve_RKC=curve_RKC, epoch_share=0.0, least=1)
    assert not rivals.outdo_fits(np.array([0.5, 0.5]), 0)
    assert rivals.outdo_fits(np.array([math.nan, 0.5]), 0)
    assert not rivals.outdo_fits(np.array([math.nan, math.nan]), 0)
