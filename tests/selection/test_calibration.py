"""Calibration repairs what is bent, leaves alone what is not, and never looks ahead."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from models.calibration import Calibration
from selection.calibration import break_even, fitted, walk_forward_calibration
from selection.metrics import classification_metrics, expectancy_r

HOUR = np.timedelta64(3600, "s")
START = np.datetime64("2020-01-01", "us")
N_BLOCKS = 6


def sigmoid(log_odds_N):
    return 1 / (1 + np.exp(-log_odds_N))


def log_loss(y_N, p_N):
    return classification_metrics(y_N, p_N)["log_loss"]


def spanning(n_rows, label_bars=1):
    """Return the blocks and times of hourly rows whose labels last so many bars."""
    t0_N = START + np.arange(n_rows) * HOUR
    return {
        "weight_N": np.ones(n_rows),
        "block_N": np.arange(n_rows) * N_BLOCKS // n_rows,
        "t0_N": t0_N,
        "t1_N": t0_N + label_bars * HOUR,
    }


def planted(n_rows, seed, bend=lambda true_N: true_N):
    """Return scores that are a bent copy of the true log-odds, and outcomes."""
    rng = np.random.default_rng(seed)
    true_N = rng.normal(size=n_rows)
    return bend(true_N), (rng.random(n_rows) < sigmoid(true_N)).astype(np.int64)


def over_confident(true_N):
    return 2.5 * true_N


def kinked(true_N):
    """Flat for losers, steep for winners: no sigmoid undoes it."""
    return np.where(true_N < 0, 0.2 * true_N, 4 * true_N)


def made(n_rows=600, seed=0, bend=over_confident, label_bars=1):
    log_odds_N, y_N = planted(n_rows, seed, bend)
    return {"log_odds_N": log_odds_N, "y_N": y_N, **spanning(n_rows, label_bars)}


@pytest.mark.parametrize("label_bars", [1, 4])
@pytest.mark.parametrize("block", [2, 3, 5])
def test_a_block_knows_nothing_of_labels_that_end_after_its_first_decision(block, label_bars):
    rows = made(1200, label_bars=label_bars)
    first = rows["t0_N"][rows["block_N"] == block][0]
    unknown_N = rows["t1_N"] > first
    rng, changed = np.random.default_rng(9), {name: column.copy() for name, column in rows.items()}
    changed["y_N"][unknown_N] = 1 - rows["y_N"][unknown_N]
    later_N = rows["block_N"] > block
    changed["log_odds_N"][later_N] = rng.normal(size=later_N.sum())
    changed["weight_N"][unknown_N] = rng.uniform(0.1, 5.0, unknown_N.sum())
    once, again = (walk_forward_calibration(**one) for one in (rows, changed))
    up_to_N = rows["block_N"] <= block
    assert np.array_equal(once.p_N[up_to_N], again.p_N[up_to_N])
    numbers = range(block + 1)
    assert [once.kind_by_block[k] for k in numbers] == [again.kind_by_block[k] for k in numbers]
    assert once.kind_by_block[block] == "platt"
    assert once.final != again.final


@pytest.mark.parametrize("seed", [5, 7])
def test_a_choice_on_the_edge_is_not_tipped_by_labels_that_have_not_ended(seed):
    rows = made(600, seed, bend=lambda true_N: 1.6 * true_N, label_bars=12)
    unknown_N = rows["t1_N"] > rows["t0_N"][rows["block_N"] == 5][0]
    flipped_N = np.where(unknown_N, 1 - rows["y_N"], rows["y_N"])
    once, again = (walk_forward_calibration(**{**rows, "y_N": y}) for y in (rows["y_N"], flipped_N))
    assert once.kind_by_block == again.kind_by_block


def test_what_a_block_is_answered_with_is_fitted_on_all_that_was_known_before_it():
    rows = made(1200, label_bars=4)
    found = walk_forward_calibration(**rows)
    assert found.kind_by_block == {0: "none", 1: "none", **dict.fromkeys(range(2, 6), "platt")}
    now_N = rows["block_N"] == 4
    known_N = rows["t1_N"] <= rows["t0_N"][now_N][0]
    assert known_N.sum() == 4 * 200 - 3
    columns = [rows[name][known_N] for name in ("log_odds_N", "y_N", "weight_N")]
    expected_N = fitted("platt", *columns)(rows["log_odds_N"][now_N])
    assert np.array_equal(found.p_N[now_N], expected_N)
    assert found.final == fitted("platt", rows["log_odds_N"], rows["y_N"], rows["weight_N"])


def test_an_over_confident_score_is_repaired_by_platt():
    found = walk_forward_calibration(**made(1200))
    assert found.final.kind == "platt"
    assert found.final.slope == pytest.approx(1 / 2.5, rel=0.2)
    log_odds_N, y_N = planted(20_000, seed=99, bend=over_confident)
    truth = log_loss(y_N, sigmoid(log_odds_N / 2.5))
    assert log_loss(y_N, found.final(log_odds_N)) < truth + 0.003
    assert log_loss(y_N, sigmoid(log_odds_N)) > truth + 0.1


def test_a_bend_that_no_sigmoid_undoes_is_repaired_by_isotonic_where_rows_are_many():
    found = walk_forward_calibration(**made(6000, bend=kinked))
    assert found.final.kind == "isotonic"
    assert found.kind_by_block[5] == "isotonic"
    log_odds_N, y_N = planted(20_000, seed=99, bend=kinked)
    truth = log_loss(y_N, sigmoid(np.where(log_odds_N < 0, log_odds_N / 0.2, log_odds_N / 4)))
    platt = fitted("platt", *planted(6000, seed=0, bend=kinked), np.ones(6000))
    assert log_loss(y_N, found.final(log_odds_N)) < truth + 0.003
    assert log_loss(y_N, platt(log_odds_N)) > truth + 0.006


@pytest.mark.parametrize(("n_rows", "label_bars"), [(300, 1), (1200, 1), (1200, 24)])
def test_a_calibrated_score_is_left_alone(n_rows, label_bars):
    kinds = []
    for seed in range(25):
        rows = made(n_rows, seed, bend=lambda true_N: true_N, label_bars=label_bars)
        kinds.append(walk_forward_calibration(**rows).final.kind)
    assert kinds.count("none") >= 22


def test_labels_that_repeat_each_other_are_not_taken_for_many():
    # Every outcome stands in 40 rows: what 300 rows seem to teach is what eight do.
    rows = made(300, label_bars=40)
    rows["y_N"] = np.repeat(np.random.default_rng(1).integers(0, 2, 8), 40)[:300]
    found = walk_forward_calibration(**rows)
    assert found.judged["platt"] is None
    assert set(found.kind_by_block.values()) == {found.final.kind} == {"none"}


def lasting(lengths):
    """Return rows of three blocks whose hourly labels last so many bars, by block."""
    n_by_block, bars_by_block = zip(*lengths, strict=True)
    log_odds_N, y_N = planted(sum(n_by_block), seed=0, bend=lambda true_N: 6 * true_N)
    rows = spanning(len(y_N))
    rows["block_N"] = np.repeat(np.arange(3), n_by_block)
    # A pause between the blocks, so that each knows all labels of those before it.
    rows["t0_N"] = rows["t0_N"] + rows["block_N"] * 1000 * HOUR
    rows["t1_N"] = rows["t0_N"] + np.repeat(bars_by_block, n_by_block) * HOUR
    return {"log_odds_N": log_odds_N, "y_N": y_N, **rows}


def test_rows_to_judge_by_must_amount_to_ten_without_overlap():
    kinds = [
        walk_forward_calibration(**lasting([(200, 1), (100, bars), (100, 1)])).kind_by_block
        for bars in (5, 30)
    ]
    assert kinds == [{0: "none", 1: "none", 2: "platt"}, dict.fromkeys(range(3), "none")]


def test_a_kind_that_was_chosen_is_withheld_where_the_rows_to_fit_it_on_overlap_too_much():
    lengths = [(50, 1), (500, 41), (50, 1)]
    found = walk_forward_calibration(**lasting(lengths))
    assert found.final.kind == "platt"
    assert found.kind_by_block == dict.fromkeys(range(3), "none")
    assert np.isfinite(found.p_N).all()


def test_each_kind_is_judged_on_the_rows_after_those_it_was_fitted_on():
    rows = made(600)
    found = walk_forward_calibration(**rows)
    assert {kind: one.rows for kind, one in found.judged.items()} == {
        "none": 600,
        "platt": 500,
        "isotonic": 400,
    }
    later_N = rows["block_N"] >= 1
    uncalibrated = log_loss(rows["y_N"][later_N], sigmoid(rows["log_odds_N"][later_N]))
    assert found.judged["platt"].log_loss_of_none == pytest.approx(uncalibrated)
    assert found.judged["platt"].log_loss < uncalibrated - 0.05
    assert found.judged["none"].log_loss == found.judged["none"].log_loss_of_none


def test_blocks_may_be_missing_or_too_short_to_teach():
    rows = made(600)
    kept_N = rows["block_N"] != 3
    found = walk_forward_calibration(**{name: column[kept_N] for name, column in rows.items()})
    assert list(found.kind_by_block) == [0, 1, 2, 4, 5]
    assert np.isfinite(found.p_N).all()
    short = walk_forward_calibration(**made(12))
    assert short.final == Calibration.none()
    assert short.judged["platt"] is short.judged["isotonic"] is None


def test_one_class_teaches_nothing():
    for kind in ("platt", "isotonic"):
        assert fitted(kind, np.arange(300.0), np.ones(300, int), np.ones(300)).kind == "none"
    rows = made(600)
    rows["y_N"][:] = 1
    assert walk_forward_calibration(**rows).final == Calibration.none()


def test_few_rows_are_offered_no_step_function():
    rows = [*planted(199, seed=0), np.ones(199)]
    assert fitted("isotonic", *rows).kind == "none"
    assert fitted("platt", *rows).kind == "platt"


def test_a_score_that_points_the_wrong_way_is_answered_by_the_base_rate():
    log_odds_N, y_N = planted(500, seed=3, bend=lambda true_N: -true_N)
    for constant_N in (log_odds_N, np.full(500, 0.3)):
        found = fitted("platt", constant_N, y_N, np.ones(500))
        assert found.slope == 0
        assert sigmoid(found.intercept) == pytest.approx(y_N.mean(), abs=0.002)


def test_platt_is_the_likeliest_sigmoid_for_smoothed_targets():
    log_odds_N, y_N = planted(300, seed=4, bend=over_confident)
    weight_N = np.random.default_rng(5).uniform(0.2, 2.0, 300)
    weight_N /= weight_N.mean()
    wins, losses = weight_N[y_N == 1].sum(), weight_N[y_N == 0].sum()
    target_N = np.where(y_N == 1, (wins + 1) / (wins + 2), 1 / (losses + 2))

    def cost(line):
        s_N = line[0] * log_odds_N + line[1]
        return weight_N @ (np.logaddexp(0, s_N) - target_N * s_N)

    found = fitted("platt", log_odds_N, y_N, 7 * weight_N)
    assert [found.slope, found.intercept] == pytest.approx(minimize(cost, [1, 0]).x, abs=1e-4)


def test_weights_count_as_copies_do():
    log_odds_N, y_N = planted(400, seed=6)
    twice_N = np.where(np.arange(400) % 3 == 0, 2, 1)
    weighted = fitted("isotonic", log_odds_N, y_N, twice_N.astype(float))
    copied = fitted("isotonic", *(np.repeat(a, twice_N) for a in (log_odds_N, y_N, np.ones(400))))
    assert weighted(log_odds_N) == pytest.approx(copied(log_odds_N), abs=0.03)
    assert weighted != fitted("isotonic", log_odds_N, y_N, np.ones(400))


def test_what_always_won_is_not_certain_to_win():
    y_N = (np.arange(300) >= 100).astype(np.int64)
    steps = fitted("isotonic", np.linspace(-4, 4, 300), y_N, np.ones(300))
    assert steps(np.array([-9.0, 9.0])) == pytest.approx([1 / 102, 201 / 202])


@given(
    st.sampled_from(["none", "platt", "isotonic"]),
    st.integers(0, 10_000),
    st.floats(0.001, 300),
    st.booleans(),
)
def test_every_fit_is_a_rising_map_to_probabilities(kind, seed, size, ties):
    rng = np.random.default_rng(seed)
    log_odds_N = size * rng.standard_t(2, 250)
    log_odds_N = np.round(log_odds_N / size) if ties else log_odds_N
    y_N = (rng.random(250) < sigmoid(np.clip(rng.uniform(-1, 3) * log_odds_N, -9, 9))).astype(int)
    p_N = fitted(kind, log_odds_N, y_N, rng.uniform(0.01, 3, 250))(np.sort(log_odds_N))
    assert ((p_N >= 0) & (p_N <= 1)).all()
    assert (np.diff(p_N) >= -1e-15).all()
    assert kind != "isotonic" or 0.0005 < p_N[0] <= p_N[-1] < 0.9995


@pytest.mark.parametrize(
    ("column", "value", "finding"),
    [
        ("log_odds_N", math.nan, "row 7: log-odds must be finite, was nan"),
        ("y_N", 2, "row 7: label must be 0 or 1, was 2"),
        ("weight_N", 0.0, "row 7: weight must be positive, was 0.0"),
        ("block_N", 5, "block numbers must not decrease"),
    ],
)
def test_rows_that_cannot_be_used_are_named(column, value, finding):
    rows = made(60)
    rows[column][7] = value
    with pytest.raises(ValueError, match=f"^{finding}"):
        walk_forward_calibration(**rows)


def test_columns_of_different_length_are_refused():
    rows = made(60)
    with pytest.raises(ValueError, match=r"equally long rows, were \(60,\), \(59,\)"):
        walk_forward_calibration(**{**rows, "y_N": rows["y_N"][1:]})
    with pytest.raises(ValueError, match="60 log-odds, 60 blocks, 60 and 59 times"):
        walk_forward_calibration(**{**rows, "t1_N": rows["t1_N"][1:]})


@given(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(0, 0.99))
def test_at_break_even_a_trade_earns_nothing(profit, stop, share):
    cost = share * profit
    p = break_even(profit, stop, cost)
    assert p * (profit - cost) - (1 - p) * (stop + cost) == pytest.approx(0, abs=1e-9)


def test_break_even_agrees_with_the_expectancy_of_trades():
    assert break_even(2.0, 2.0, 0.0) == 0.5
    assert break_even(3.0, 1.0, 0.2) == pytest.approx(0.3)
    y_N = np.repeat([1, 0], [3, 7])
    assert expectancy_r(y_N, np.ones(10), 0.5, 3.0, 1.0, 0.2)["expectancy_r"] == pytest.approx(0)


@pytest.mark.parametrize("cost", [2.0, 2.5])
def test_costs_beyond_the_target_leave_no_probability_that_pays(cost):
    sentence = f"costs of {cost} ATR reach or exceed the target of 2.0 ATR"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        break_even(2.0, 2.0, cost)


@pytest.mark.parametrize("distances", [(0.0, 2.0, 0.1), (2.0, -1.0, 0.1), (2.0, 2.0, -0.1)])
def test_distances_that_are_none_are_refused(distances):
    with pytest.raises(ValueError, match="must be above 0 and cost_atr at least 0"):
        break_even(*distances)
