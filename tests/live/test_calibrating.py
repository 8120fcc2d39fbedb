"""What outcomes speak for, on models whose calibration is known.

Axes: N events.
"""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.made_outcomes import first, made_outcomes
from live.calibrating import LEAST_OUTCOMES, judged
from live.calibration_rows import rows_of
from models.calibration import Calibration
from selection.live_calibration import LiveCalibration
from selection.metrics import log_odds

PLAIN = {"slope": 0.0, "intercept": -2.0}
OVERCONFIDENT = {"slope": 0.3, "intercept": -0.9}


def made(symbol, n_events, seed=0, **truth):
    return made_outcomes(symbol, n_events, np.random.default_rng(seed), **truth)


def alone(outcomes, live=None):
    (one,) = judged([outcomes], {outcomes.symbol: live})
    return one


@settings(max_examples=20, deadline=None)
@given(n_events=st.integers(0, LEAST_OUTCOMES - 1), seed=st.integers(0, 99))
def test_too_few_outcomes_say_how_many_are_missing(n_events, seed):
    found = alone(made("A", n_events, seed, **OVERCONFIDENT))
    assert found.adopted is found.calibration is found.live is None
    assert found.n_missing == LEAST_OUTCOMES - n_events
    assert found.scope == "model"
    missing = f"{found.n_missing} of {LEAST_OUTCOMES} outcomes are missing"
    assert found.why == (missing if n_events else "no outcome is known yet; it takes 50")


def test_fifty_outcomes_are_enough_to_be_judged_by_and_to_repair_what_is_plainly_wrong():
    found = alone(made("A", LEAST_OUTCOMES, 3, slope=0.0, intercept=-2.0))
    assert found.n_missing == 0
    assert found.adopted is not None
    assert found.adopted.scores.log_loss < found.live.log_loss
    assert found.adopted.scores.brier < found.live.brier
    assert found.adopted.scores.calibration_error < found.live.calibration_error


def test_a_wrong_model_is_repaired_on_outcomes_later_than_those_read():
    found = alone(made("A", 800, 1, **OVERCONFIDENT))
    later = made("A", 5000, 2, **OVERCONFIDENT)
    odds_N = log_odds(later.p_N)
    true_N = Calibration.platt(**OVERCONFIDENT)(odds_N)
    assert abs(found.calibration(odds_N) - true_N).mean() < abs(later.p_N - true_N).mean() / 3


def test_an_exactly_calibrated_model_is_mostly_left_alone():
    adopted = [alone(made("A", 300, seed)).adopted is not None for seed in range(40)]
    assert sum(adopted) <= 3


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 999),
    n_events=st.integers(50, 400),
    slope=st.floats(-1.0, 2.0),
    intercept=st.floats(-1.0, 1.0),
)
def test_every_map_never_decreases_and_keeps_off_0_and_1(seed, n_events, slope, intercept):
    rng = np.random.default_rng(seed)
    true = {"slope": abs(slope), "intercept": intercept}
    outcomes = made_outcomes("A", n_events, rng, **true)
    if slope < 0:  # what it calls likely is unlikely
        outcomes = replace(outcomes, y_N=1 - outcomes.y_N)
    found = alone(outcomes)
    if found.calibration is not None:
        p = found.calibration(np.linspace(-14, 14, 2001))
        # But for rounding: exp is not exact to the last digit.
        assert (np.diff(p) >= -1e-15).all()
        own = found.calibration(log_odds(outcomes.p_N))
        assert ((own > 0) & (own < 1)).all()


@settings(max_examples=15, deadline=None)
@given(n_then=st.integers(50, 300), seed=st.integers(0, 99))
def test_what_came_later_changes_nothing_of_what_was_judged_then(n_then, seed):
    outcomes = made("A", 301, seed, **OVERCONFIDENT)
    later = replace(
        outcomes,
        y_N=np.where(np.arange(301) < n_then, outcomes.y_N, 1 - outcomes.y_N),
        complete_until=outcomes.t0_N[n_then - 1],
    )
    then, now = alone(first(outcomes, n_then)), alone(later)
    assert then.calibration == now.calibration
    assert then.why == now.why
    np.testing.assert_array_equal(then.y_N, now.y_N)


def test_events_that_are_known_for_being_quick_alone_are_left_out():
    outcomes = made("A", 100)
    cut = replace(outcomes, complete_until=outcomes.t0_N[79])
    assert alone(cut).n_outcomes == 80


def test_no_fold_is_judged_by_a_map_that_read_an_outcome_open_at_the_same_time():
    names = {"A": None, "B": None}
    rows = rows_of([made("A", 60, 1), made("B", 40, 2)], names)
    judged_rows = []
    for fold, rest in rows.folds():
        begin, end = rows.t0_N[fold].min(), rows.t1_N[fold].max()
        assert ((rows.t1_N[rest] <= begin) | (rows.t0_N[rest] >= end)).all()
        assert len(rest) > 50
        judged_rows.extend(fold)
    assert sorted(judged_rows) == list(range(100))


def test_symbols_with_too_few_share_a_map_and_others_have_no_part_in_it():
    outcomes = [
        made(name, n, k, **OVERCONFIDENT)
        for k, (name, n) in enumerate({"A": 400, "B": 40, "C": 45, "D": 30, "E": 49}.items())
    ]
    own, pooled = judged(outcomes, dict.fromkeys("ABCDE"))
    assert (own.symbols, own.scope) == (("A",), "model")
    assert (pooled.symbols, pooled.scope) == (("B", "C", "D", "E"), "pooled")
    assert pooled.n_outcomes == 40 + 45 + 30 + 49
    (again,) = judged(outcomes[1:], dict.fromkeys("BCDE"))
    assert again.calibration == pooled.calibration is not None


def test_a_week_of_ten_symbols_is_a_week_and_no_reason_to_adopt_anything():
    names = [f"S{k}" for k in range(10)]
    found = judged([made(one, 9, 3, **OVERCONFIDENT) for one in names], dict.fromkeys(names))
    assert found[0].n_missing == 0
    assert found[0].adopted is None
    assert "too few outcomes that share no time" in found[0].why


def test_a_symbol_without_an_outcome_has_no_part_in_what_others_share():
    outcomes = [made("A", 45, 0, **PLAIN), made("B", 48, 1, **PLAIN), made("C", 0)]
    pooled, silent = judged(outcomes, dict.fromkeys("ABC"))
    assert pooled.adopted is not None
    assert pooled.symbols == ("A", "B")
    assert (silent.symbols, silent.n_missing, silent.adopted) == (("C",), LEAST_OUTCOMES, None)


def test_nor_has_one_whose_outcomes_have_all_been_read():
    outcomes = [made(name, 45, k, **PLAIN) for k, name in enumerate("ABC")]
    read = LiveCalibration(Calibration.platt(0.5, 0.0), "pooled", outcomes[2].t1_N.max())
    pooled, silent = judged(outcomes, {"A": None, "B": None, "C": read})
    assert (pooled.symbols, silent.symbols) == (("A", "B"), ("C",))


def test_a_pool_that_is_too_small_says_what_it_is_short_of():
    (pooled,) = judged([made("A", 12), made("B", 20, 1)], dict.fromkeys("AB"))
    assert pooled.n_missing == LEAST_OUTCOMES - 32
    assert pooled.adopted is None


def test_symbols_that_move_together_make_a_gain_less_sure():
    rng = np.random.default_rng(5)
    one = made_outcomes("S0", 300, rng, **OVERCONFIDENT)
    same = [replace(one, symbol=f"S{k}") for k in range(8)]
    apart = [made(f"S{k}", 300, k, **OVERCONFIDENT) for k in range(8)]
    errors = []
    for outcomes in (same, apart):
        rows = rows_of(outcomes, {each.symbol: None for each in outcomes})
        mapped_N = Calibration.platt(**OVERCONFIDENT)(rows.log_odds_N)
        errors.append(rows.gain(np.arange(len(rows)), mapped_N, rows.p_live_N)[1])
    assert errors[0] > 1.5 * errors[1]


@pytest.fixture
def live():
    """Return what the first 300 of 700 outcomes spoke for, and all of them under it."""
    rng = np.random.default_rng(8)
    outcomes = made_outcomes("A", 700, rng, **OVERCONFIDENT)
    then = alone(first(outcomes, 300))
    calibration = LiveCalibration(then.calibration, "model", then.fitted_until)
    live_N = calibration.since_fitted(outcomes.t0_N, outcomes.p_N)
    return calibration, replace(outcomes, p_live_N=live_N)


def test_a_second_map_is_judged_on_outcomes_alone_that_the_first_has_not_read(live):
    calibration, outcomes = live
    found = alone(outcomes, calibration)
    assert (found.t0_N >= calibration.fitted_until).all()
    assert found.n_fresh == (outcomes.t0_N >= calibration.fitted_until).sum()
    assert found.n_outcomes == 700
    np.testing.assert_array_equal(
        found.p_live_N, outcomes.p_live_N[outcomes.t0_N >= calibration.fitted_until]
    )


def test_a_second_map_must_beat_the_first_and_not_the_model(live):
    calibration, outcomes = live
    found = alone(outcomes, calibration)
    by_kind = {one.kind: one for one in found.candidates}
    assert by_kind["none"].gain < 0
    assert found.adopted is None
    plain = alone(replace(outcomes, p_live_N=outcomes.p_N))
    assert plain.adopted is not None


def test_a_map_that_does_harm_gives_way_to_the_models_own_probability():
    outcomes = made("A", 400, 4)
    wrong = LiveCalibration(Calibration.platt(0.1, 1.5), "model", outcomes.t1_N[100])
    live_N = wrong.since_fitted(outcomes.t0_N, outcomes.p_N)
    found = alone(replace(outcomes, p_live_N=live_N), wrong)
    assert found.adopted.kind == "none"
    assert found.calibration == Calibration.none()


def test_after_a_map_was_fitted_new_outcomes_are_waited_for(live):
    calibration, outcomes = live
    few = first(outcomes, 320)
    found = alone(few, calibration)
    assert 0 < found.n_missing < LEAST_OUTCOMES
    assert "since the calibration in the manifest was fitted" in found.why


def test_what_was_rolled_back_comes_again_on_outcomes_alone_that_it_has_not_read():
    outcomes = made("A", 400, 2, **PLAIN)
    then = alone(first(outcomes, 120))
    assert then.adopted is not None
    few, enough = (
        judged([first(outcomes, n)], {"A": None}, rolled_back={"A": then.fitted_until})[0]
        for n in (130, 400)
    )
    assert few.adopted is None
    assert f"{few.n_missing} of 50 outcomes since the calibration that was rolled" in few.why
    assert enough.adopted is not None
    assert (enough.t0_N >= then.fitted_until).all()


def test_a_map_is_adopted_where_its_p_value_is_below_the_level_and_never_elsewhere():
    outcomes = [made("A", 150, seed, slope=0.4, intercept=-0.25) for seed in range(12)]
    for alpha in (0.02, 0.2):
        for one in outcomes:
            (found,) = judged([one], {"A": None}, alpha=alpha)
            likely = [each.p_value < alpha for each in found.candidates]
            assert (found.adopted is not None) == any(likely)
    strict, lax = (
        sum(judged([one], {"A": None}, alpha=alpha)[0].adopted is not None for one in outcomes)
        for alpha in (0.02, 0.4)
    )
    assert strict < lax


@pytest.mark.parametrize("label", [0, 1])
def test_outcomes_that_are_all_alike_are_no_reason_to_fail(label):
    outcomes = made("A", 80)
    found = alone(replace(outcomes, y_N=np.full(80, label)))
    assert found.adopted is None
    assert "all of one kind" in found.why


def test_a_part_of_the_outcomes_has_every_field_cut_alike():
    cut = first(made("A", 90), 30)
    lengths = {len(getattr(cut, one.name)) for one in fields(cut) if one.name.endswith("_N")}
    assert lengths == {30}
