"""Alarms on later outcomes: that they come, and that they keep quiet."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from live.drift_alarm import detect, unshared
from live.drift_baseline import AccuracyBefore, SlopeBefore, accuracy_before, fitted_slope
from live.drift_expected import expected_events, random_walk_share
from live.outcome_drift import accuracy_bets, outcome_drift, slope_bets

HOUR = np.timedelta64(3_600_000_000, "us")
START = np.datetime64("2020-01-01", "us")
EVERY = {"accuracy": 4_000.0, "log_loss": 4_000.0}
P_OOF = expit(np.random.default_rng(0).normal(0, 0.5, 800))


def later(y_N, p_N, *, length=1):
    """Return outcomes, one decided on each hour and known ``length`` hours later."""
    t0_N = START + np.arange(len(y_N)) * HOUR
    t1_N = t0_N + length * HOUR
    return SimpleNamespace(t0_N=t0_N, t1_N=t1_N, y_N=y_N, p_N=p_N, n_whole=len(y_N))


def drawn(n, *, skill, seed):
    """Return outcomes and probabilities whose log-odds are true by so much."""
    rng = np.random.default_rng(seed)
    p_N = expit(rng.normal(0, 0.5, n))
    return (rng.random(n) < expit(skill * logit(p_N))).astype(np.int64), p_N


def followed(found):
    accuracy = AccuracyBefore("holdout", 0.6, 0.57, 500, 400.0)
    slope = SlopeBefore(1.0, 0.8, 0.5, P_OOF, 1.0)
    return outcome_drift(found, accuracy, slope, false_alarm_every=EVERY)


def test_skill_that_goes_is_found_by_both_tests_and_only_after_it_went():
    (y_N, p_N), (gone_N, q_N) = drawn(400, skill=1.0, seed=1), drawn(2_500, skill=-0.2, seed=2)
    found = followed(later(np.append(y_N, gone_N), np.append(p_N, q_N)))
    assert [one.name for one in found.tests] == ["accuracy", "log_loss"]
    for test in found.tests:
        assert test.detected.alarm > 400
        assert test.tripped_at == found.t1_N[test.detected.alarm]
        assert test.detected.statistic_N[-1] >= test.threshold
        assert abs(test.detected.likely_from - 400) < 250


def test_skill_that_stays_raises_alarms_no_more_often_than_is_allowed():
    found = [followed(later(*drawn(1_000, skill=1.0, seed=seed))) for seed in range(12)]
    # Two tests over 12,000 outcomes, each allowed one in 4,000.
    assert sum(test.detected.alarm is not None for one in found for test in one.tests) <= 6


def test_more_bars_change_nothing_of_an_alarm_that_was_raised():
    y_N, p_N = drawn(2_500, skill=-0.5, seed=3)
    whole = followed(later(y_N, p_N))
    last = max(test.detected.alarm for test in whole.tests) + 1
    cut = followed(later(y_N[:last], p_N[:last]))
    assert [one.tripped_at for one in cut.tests] == [one.tripped_at for one in whole.tests]


def test_outcomes_known_only_because_they_came_quickly_do_not_count():
    found = later(*drawn(100, skill=1.0, seed=4))
    found.n_whole = 60
    assert len(followed(found).t1_N) == 60


def test_an_average_wait_for_a_false_alarm_is_at_least_the_threshold():
    rng, threshold, waits = np.random.default_rng(5), 60.0, []
    for _ in range(150):
        bets_NK = accuracy_bets(rng.random(3_000) < 0.57, 0.57)
        alarm = detect(bets_NK, threshold).alarm
        waits.append(3_000 if alarm is None else alarm + 1)
    assert np.mean(waits) > threshold


@given(st.floats(0.3, 0.95), st.floats(0.0, 0.5))
def test_a_bet_on_accuracy_wins_nothing_on_average_while_accuracy_is_no_less(at_least, more):
    right = min(at_least + more, 1.0)
    if_right_K, if_wrong_K = np.exp(accuracy_bets(np.array([True, False]), at_least))
    assert (right * if_right_K + (1 - right) * if_wrong_K <= 1 + 1e-12).all()


@given(st.floats(0.03, 0.97), st.floats(0.05, 1.0), st.floats(0.0, 2.0), st.floats(0.1, 0.9))
def test_a_bet_on_the_slope_wins_nothing_on_average_while_it_is_no_less(p, least, more, base):
    before = SlopeBefore(1.0, least, base, P_OOF, 1.0)
    p_won = expit(logit(base) + (least + more) * (logit(p) - logit(base)))
    p_N = np.array([p])
    won_K, lost_K = (np.exp(slope_bets(np.array([y]), p_N, before))[0] for y in (1, 0))
    assert (p_won * won_K + (1 - p_won) * lost_K <= 1 + 1e-9).all()


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 30)), max_size=40))
def test_no_two_outcomes_that_count_were_open_at_once(steps):
    t0_N = START + np.cumsum([gap for gap, _ in steps], dtype=np.int64) * HOUR
    t1_N = t0_N + np.array([length for _, length in steps], dtype=np.int64) * HOUR
    kept = unshared(t0_N, t1_N)
    assert (t0_N[kept[1:]] >= t1_N[kept[:-1]]).all()
    assert np.array_equal(unshared(t0_N[:-1], t1_N[:-1]), kept[kept < len(t0_N) - 1])


def test_the_slope_of_probabilities_that_are_true_is_one():
    y_N, p_N = drawn(40_000, skill=1.0, seed=6)
    slope, error = fitted_slope(y_N, p_N, float(y_N.mean()))
    assert abs(slope - 1.0) < 4 * error < 0.2
    assert fitted_slope(y_N, np.full(len(y_N), 0.5), 0.5) is None


def test_the_holdout_is_what_accuracy_is_held_to_and_rows_out_of_fold_where_there_is_none():
    entry = {"out_of_fold": {"accuracy": 0.6, "n": 700}}
    holdout = {"accuracy": 0.58, "n": 200, "effective_rows": 150.0}
    opened = accuracy_before("EURUSD", {**entry, "holdout": holdout}, confidence=0.9)
    sealed = accuracy_before("EURUSD", {**entry, "holdout": "sealed"}, confidence=0.9)
    assert (opened.rows, opened.accuracy, opened.effective) == ("holdout", 0.58, 150.0)
    assert sealed.rows == "out_of_fold"
    assert opened.at_least < 0.58
    assert opened.at_least < accuracy_before("X", entry, confidence=0.6).at_least
    assert "too few" in accuracy_before(
        "X", {"out_of_fold": {"accuracy": 1, "n": 5}}, confidence=0.9
    )


def test_what_cannot_be_known_is_said_and_the_other_test_goes_on():
    accuracy = AccuracyBefore("out_of_fold", 0.6, 0.57, 500, 400.0)
    found = outcome_drift(
        later(*drawn(50, skill=1.0, seed=7)),
        accuracy,
        "no rows",
        false_alarm_every=EVERY,
    )
    assert [one.name for one in found.tests] == ["accuracy"]
    assert found.refused == {"log_loss": "no rows"}


def test_what_is_known_surely_is_expected_to_be_missed_sooner_than_what_is_not():
    surely, hardly = (AccuracyBefore("holdout", 0.6, least, 500, 400.0) for least in (0.59, 0.51))
    slope = SlopeBefore(1.0, 0.8, 0.5, P_OOF, 0.75)
    given = {"slope": slope, "false_alarm_every": EVERY, "chance": 0.5}
    sooner = expected_events(surely, **given)
    assert all(50 < one < 1_500 for one in sooner.values())
    later_on = expected_events(hardly, **given)["accuracy"]
    assert later_on is None or later_on > 2 * sooner["accuracy"]
    nothing = expected_events(surely, "no rows", false_alarm_every=EVERY, chance=0.5)
    assert set(nothing.values()) == {None}


def test_chance_wins_as_often_as_the_stop_is_far():
    assert random_walk_share(profit_atr=3.0, stop_atr=1.0) == pytest.approx(0.25)
