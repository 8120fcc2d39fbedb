"""A study tries what is configured first, and the same trials however and whenever they end."""

import math
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.planted import shipped_model
from tests.training.tuning.studies import (
    PATH,
    ended,
    failed_now_and_then,
    hyperparameters,
    kept,
    made,
    objective,
    space,
    study,
)
from training.tuning.storage import StorageError
from training.tuning.study import CURVE, MADE
from training.tuning.trial import Attempt

OWN = shipped_model("xgboost").hyperparameters
STARTS = [OWN, *({**OWN, **step} for step in PATH)]


def test_what_is_configured_is_tried_first_then_its_path_then_what_is_searched(
    tmp_path: Path,
) -> None:
    one = study(tmp_path)
    assert (one.n_left, one.is_exhausted) == (14, False)
    tried = hyperparameters(made(one))
    assert tried[:3] == STARTS
    assert len(tried) == 14
    assert all(set(each) == set(OWN) for each in tried)
    assert len({str(each) for each in tried}) == 14
    assert (one.n_left, one.is_exhausted, one.n_under_way) == (0, True, 0)
    assert one.counts() == {"complete": 14, "pruned": 0, "failed": 0}


def test_the_best_trial_is_the_first_of_the_least_and_its_gain_is_over_the_best_start(
    tmp_path: Path,
) -> None:
    one = study(tmp_path)
    assert (one.best(), one.gain()) == (None, 0.0)
    assert math.isnan(one.start_value())
    tried = hyperparameters(made(one))
    values = [objective(each) for each in tried]
    best = one.best()
    assert best is not None
    assert (best.number, best.value) == (np.argmin(values), min(values))
    assert best.user_attrs[MADE] == tried[best.number]
    assert one.start_value() == min(values[:3])
    assert one.gain() == pytest.approx(min(values[:3]) - min(values)) != 0


def test_a_study_that_found_nothing_better_has_gained_nothing(tmp_path: Path) -> None:
    one = study(tmp_path, n_trials=3)
    made(one, end=lambda asked: Attempt("complete", (0.5 + asked.number,)))
    assert one.gain() == 0.0
    two = study(tmp_path / "other", n_trials=3) if (tmp_path / "other").mkdir() is None else one
    made(two, end=lambda _: Attempt("failed", error="fold 1: lost"))
    assert (two.best(), two.gain()) == (None, 0.0)


def test_what_is_learnt_is_put_to_use(tmp_path: Path) -> None:
    (tmp_path / "random").mkdir()
    learnt, random = study(tmp_path, n_trials=40), study(tmp_path / "random", sampler="random")
    late = [objective(each) for each in hyperparameters(made(learnt))[20:]]
    drawn = [objective(each) for each in hyperparameters(made(random))[3:]]
    assert np.median(late) < np.median(drawn)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_same_study_has_the_same_trials_and_another_seed_has_others(
    sampler: str, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    one, again, other = (
        study(folder, sampler=sampler, seed=seed, fold_share=0.5)
        for folder, seed in zip(folders, (1, 1, 2), strict=True)
    )
    for each in (one, again, other):
        made(each)
    assert kept(one) == kept(again)
    assert {state for state, *_ in kept(one)} == {"COMPLETE", "PRUNED"}
    assert kept(one)[:3] == kept(other)[:3]
    assert not {str(each) for each in kept(one)[3:]} & {str(each) for each in kept(other)[3:]}


@settings(max_examples=12, deadline=None)
@given(order=st.lists(st.integers(0, 2), min_size=1, max_size=12), at_once=st.integers(2, 3))
def test_trials_side_by_side_are_the_same_whichever_of_them_ends_first(
    order: list[int], at_once: int
) -> None:
    found = []
    for picks in ([0], order):
        with TemporaryDirectory() as folder:
            one, pick = study(Path(folder), at_once=at_once, fold_share=0.5), cycle(picks)
            made(one, picks=lambda n_under_way, pick=pick: next(pick) % n_under_way)  # type: ignore[misc]
            found.append(kept(one))
    assert found[0] == found[1]
    assert len(found[0]) == 14


def test_no_more_trials_are_under_way_than_may_be_and_all_are_told_in_turn(tmp_path: Path) -> None:
    one = study(tmp_path, at_once=2, fold_share=0.5)
    first, second = one.ask(), one.ask()
    assert first is not None
    assert second is not None
    assert (one.ask(), one.n_under_way, one.is_exhausted) == (None, 2, False)
    one.told(second.number, ended(second))
    # The first is still to end: what the second came to is not known to any other.
    assert (one.ask(), one.n_under_way) == (None, 1)
    assert one.counts()["complete"] == 0
    one.told(first.number, ended(first))
    third = one.ask()
    assert third is not None
    assert third.rivals.values == ((*ended(first).values,),)
    one.settle()
    assert one.counts()["complete"] == 2


@settings(max_examples=10, deadline=None)
@given(
    killed_after=st.lists(st.integers(0, 6), min_size=1, max_size=3),
    at_once=st.integers(1, 3),
    last_first=st.booleans(),
)
def test_a_study_whose_process_was_killed_goes_on_as_if_it_had_not_been(
    killed_after: list[int], at_once: int, last_first: bool
) -> None:
    rules = {"at_once": at_once, "n_trials": 12, "fold_share": 0.5}
    with TemporaryDirectory() as undisturbed, TemporaryDirectory() as disturbed:
        made(whole := study(Path(undisturbed), **rules))
        for n_ended in killed_after:
            one = study(Path(disturbed), **rules)
            one.take_back()
            made(one, most=n_ended, picks=lambda n: n - 1 if last_first else 0)
        last = study(Path(disturbed), **rules)
        n_gone = last.take_back()
        made(last)
        assert kept(last) == kept(whole)
        assert last.counts() == whole.counts()
        assert last.n_left == 0
        assert n_gone <= at_once


def test_trials_of_a_process_that_is_gone_are_tried_again_and_counted_once(tmp_path: Path) -> None:
    cut_off = study(tmp_path, at_once=2, n_trials=6)
    asked = made(cut_off, most=2)
    assert [one.number for one in asked] == [0, 1, 2, 3]
    one = study(tmp_path, at_once=2, n_trials=6)
    assert (one.n_left, one.n_elsewhere, one.n_under_way) == (2, 2, 0)
    assert one.take_back() == 2
    assert (one.n_left, one.n_elsewhere) == (4, 0)
    assert one.counts() == {"complete": 2, "pruned": 0, "failed": 0}
    again = made(one)
    assert hyperparameters(again)[:2] == hyperparameters(asked)[2:]
    assert len(again) == 4
    assert one.counts() == {"complete": 6, "pruned": 0, "failed": 0}
    assert one.take_back() == 0


def test_a_journal_that_was_cut_off_in_a_line_goes_on_for_good(tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"
    for n_trials in (3, 5, 7):
        one = study(tmp_path, n_trials=n_trials)
        one.take_back()
        made(one)
        assert one.counts()["complete"] == n_trials
        journal.write_bytes(journal.read_bytes()[:-9])
    # The last of it told the end of the last trial, which is made again.
    assert study(tmp_path).n_elsewhere == 1


@pytest.mark.parametrize("content", [b"no journal\nat all\n", b"\xfd\x00\n{}\n", b"{}\n"])
def test_what_is_no_journal_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "journal.log").write_bytes(content)
    with pytest.raises(StorageError, match=r"journal\.log cannot be read; resume=false"):
        study(tmp_path)


def test_a_trial_that_is_this_processs_own_is_not_gone(tmp_path: Path) -> None:
    one = study(tmp_path)
    asked = one.ask()
    assert asked is not None
    assert one.take_back() == 0
    one.told(asked.number, ended(asked))
    one.settle()
    assert one.ended() == {0}


def test_what_is_given_back_is_queued_again_and_what_had_ended_is_kept(tmp_path: Path) -> None:
    one = study(tmp_path, at_once=3, n_trials=8)
    asked = [one.ask() for _ in range(3)]
    assert asked[1] is not None
    one.told(asked[1].number, ended(asked[1]))
    one.give_back()
    assert (one.n_under_way, one.counts()["complete"], one.n_left) == (0, 1, 7)
    other = study(tmp_path, at_once=3, n_trials=8)
    assert other.take_back() == 0
    again = hyperparameters(made(other))
    assert again[:2] == [STARTS[0], STARTS[2]]
    assert len(again) == 7
    assert other.counts() == {"complete": 8, "pruned": 0, "failed": 0}


def test_a_failed_trial_is_recorded_as_failed_without_a_value_and_is_nobodys_rival(
    tmp_path: Path,
) -> None:
    one = study(tmp_path, at_once=2, fold_share=0.5, prune_from=99)
    asked = made(one, end=failed_now_and_then)
    trials = one.optuna_study.get_trials(deepcopy=False)
    failed = [trial for trial in trials if trial.params["max_depth"] == 2]
    assert {trial.state.name for trial in failed} == {"FAIL"}
    assert {trial.value for trial in failed} == {None}
    assert {trial.user_attrs["error"] for trial in failed} == {"fold 2: lost"}
    assert one.counts() == {"complete": 14 - len(failed), "pruned": 0, "failed": len(failed)}
    assert all(trial.user_attrs[MADE] == asked[trial.number].hyperparameters for trial in trials)
    assert len(asked[-1].rivals.values) == sum(t.state.name == "COMPLETE" for t in trials[:12])
    assert 0 < len(failed) < 11


def test_a_pruned_trial_keeps_what_it_came_to_and_is_a_rival_as_far_as_it_came(
    tmp_path: Path,
) -> None:
    one = study(tmp_path, fold_share=0.5)
    asked = made(one)
    pruned = [t for t in one.optuna_study.get_trials(deepcopy=False) if t.state.name == "PRUNED"]
    assert len(pruned) == one.counts()["pruned"] > 0
    value = objective(pruned[0].user_attrs[MADE])
    assert pruned[0].intermediate_values == {1: value + 0.1, 2: value}
    assert asked[-1].rivals.values[pruned[0].number] == (value + 0.1, value)
    assert min(trial.number for trial in pruned) >= 3
    rivals = asked[5].rivals
    assert (rivals.fold_share, rivals.epoch_share, rivals.least) == (0.5, 1.0, 3)


def test_what_fits_had_lost_on_the_way_is_known_to_the_trials_after_them(tmp_path: Path) -> None:
    curve_KC = np.array([[0.7, 0.6, np.nan], [0.5, np.nan, np.nan]])
    one = study(tmp_path, n_trials=3, epoch_share=0.5)
    asked = made(one, end=lambda _: Attempt("complete", (0.6,), curve_KC=curve_KC))
    first = asked[1].rivals.curve_RKC
    assert np.array_equal(first[0, :, :3], curve_KC, equal_nan=True)
    assert np.isnan(first[0, :, 3:]).all()
    (trial, *_) = one.optuna_study.get_trials(deepcopy=False)
    assert trial.user_attrs[CURVE] == [[0.7, 0.6, None], [0.5, None, None]]
    assert "gap" not in trial.user_attrs


def test_listed_hyperparameters_are_tried_and_nothing_else(tmp_path: Path) -> None:
    listed = [{}, {"max_depth": 2}, {"max_depth": 1, "subsample": 0.5}]
    one = study(tmp_path, sampler="listed", starts=listed, n_trials=1, at_once=2)
    assert one.n_left == 3
    assert hyperparameters(made(one)) == [{**OWN, **each} for each in listed]
    assert (one.n_left, one.is_exhausted) == (0, True)
    assert one.counts()["complete"] == 3
    # Opened again it has nothing to do.
    assert made(study(tmp_path, sampler="listed", starts=listed)) == []


def test_starts_that_the_space_has_not_are_left_out_and_equal_ones_tried_once(
    tmp_path: Path,
) -> None:
    one = study(tmp_path, starts=[{}, {"reg_lambda": 50.0}, {}, {"max_depth": 2}], n_trials=4)
    tried = hyperparameters(made(one))
    assert tried[:2] == [OWN, {**OWN, "max_depth": 2}]
    assert all(each["reg_lambda"] == OWN["reg_lambda"] for each in tried)
    assert len({str(each) for each in tried}) == 4


def test_a_study_goes_on_with_more_trials_and_ends_at_once_with_fewer(tmp_path: Path) -> None:
    short = made(study(tmp_path, n_trials=6))
    assert made(study(tmp_path, n_trials=5)) == []
    longer = made(study(tmp_path, n_trials=9))
    assert [one.number for one in longer] == [6, 7, 8]
    (tmp_path / "whole").mkdir()
    whole = made(study(tmp_path / "whole", n_trials=9))
    assert hyperparameters(short + longer) == hyperparameters(whole)


def test_every_trial_is_inside_the_space(tmp_path: Path) -> None:
    one = space()
    for each in hyperparameters(made(study(tmp_path, n_trials=30))):
        assert one.params(each) is not None
        assert each["max_depth"] <= 4
        assert each["subsample"] <= 0.7
