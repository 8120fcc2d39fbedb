import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from selection.metrics import (
    classification_metrics,
    expectancy_r,
    log_losses,
    no_skill_metrics,
    reliability_bins,
)

# A coarse grid makes ties, certainties and probabilities at the threshold common.
PROBABILITY = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.floats(0, 1))
ROWS = st.lists(st.tuples(st.integers(0, 1), PROBABILITY), min_size=1, max_size=30)
THRESHOLD = st.sampled_from([0.0, 0.25, 0.5, 0.6, 1.0])


@given(ROWS, THRESHOLD)
def test_scores_agree_with_scikit_learn(rows: list[tuple[int, float]], threshold: float) -> None:
    y_N, p_N = np.array([y for y, _ in rows]), np.array([p for _, p in rows])
    ours = classification_metrics(y_N, p_N, threshold)
    guess_N = (p_N >= threshold).astype(int)
    clipped_N = np.clip(p_N, 1e-6, 1 - 1e-6)
    assert ours["accuracy"] == pytest.approx(sk.accuracy_score(y_N, guess_N))
    assert ours["precision"] == pytest.approx(sk.precision_score(y_N, guess_N, zero_division=0))
    assert ours["recall"] == pytest.approx(sk.recall_score(y_N, guess_N, zero_division=0))
    assert ours["f1_score"] == pytest.approx(sk.f1_score(y_N, guess_N, zero_division=0))
    assert ours["confusion_matrix"] == sk.confusion_matrix(y_N, guess_N, labels=[0, 1]).tolist()
    assert ours["log_loss"] == pytest.approx(sk.log_loss(y_N, clipped_N, labels=[0, 1]))
    assert ours["brier"] == pytest.approx(sk.brier_score_loss(y_N, p_N, labels=[0, 1]))
    assert ours["n"] == len(rows)


@given(ROWS.filter(lambda rows: len({y for y, _ in rows}) == 2))
def test_roc_auc_agrees_with_scikit_learn(rows: list[tuple[int, float]]) -> None:
    y_N, p_N = [y for y, _ in rows], [p for _, p in rows]
    assert classification_metrics(y_N, p_N)["roc_auc"] == pytest.approx(sk.roc_auc_score(y_N, p_N))


def test_with_one_class_there_is_no_roc_auc_and_a_sure_error_costs_a_finite_loss() -> None:
    scores = classification_metrics([1, 1], [0.0, 0.0])
    assert scores["roc_auc"] is None
    assert scores["log_loss"] == pytest.approx(-math.log(1e-6))
    assert scores["precision"] == scores["recall"] == scores["f1_score"] == 0.0


@given(ROWS)
def test_the_loss_of_each_row_is_that_of_the_row_alone_and_their_mean_the_log_loss(
    rows: list[tuple[int, float]],
) -> None:
    y_N, p_N = [y for y, _ in rows], [p for _, p in rows]
    found_N = log_losses(y_N, p_N)
    alone_N = [classification_metrics([y], [p])["log_loss"] for y, p in rows]
    assert found_N.tolist() == pytest.approx(alone_N)
    assert found_N.mean() == pytest.approx(classification_metrics(y_N, p_N)["log_loss"])


def test_a_row_costs_the_logarithm_of_what_its_outcome_was_given() -> None:
    losses_N = log_losses([1, 0, 1, 0], [0.8, 0.8, 0.0, 1.0])
    assert losses_N.tolist() == pytest.approx(
        [-math.log(0.8), -math.log(0.2), -math.log(1e-6), -math.log(1e-6)]
    )


@pytest.mark.parametrize(
    ("y_N", "p_N", "message"),
    [
        ([], [], "two equally long rows"),
        ([1, 0], [0.5], "two equally long rows"),
        ([1, 2], [0.5, 0.5], "row 1: label must be 0 or 1, was 2"),
        ([1, 0], [0.5, math.nan], "row 1: probability must be in .0, 1., was nan"),
    ],
)
def test_rows_without_a_loss_are_named(y_N: list[int], p_N: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        log_losses(y_N, p_N)


def test_no_skill_answers_the_training_majority() -> None:
    scores = no_skill_metrics([1, 1, 1, 0], base_rate=0.4)
    assert scores["accuracy"] == 0.25
    assert scores["log_loss"] == pytest.approx(-(3 * math.log(0.4) + math.log(0.6)) / 4)
    assert no_skill_metrics([1, 1, 1, 0], base_rate=0.5)["accuracy"] == 0.75


@given(ROWS, st.floats(0, 1))
def test_a_model_that_knows_only_the_base_rate_scores_no_skill(
    rows: list[tuple[int, float]], base_rate: float
) -> None:
    y_N = [y for y, _ in rows]
    model = classification_metrics(y_N, np.full(len(y_N), base_rate))
    null = no_skill_metrics(y_N, base_rate)
    assert {key: model[key] for key in ("accuracy", "log_loss")} == null


@given(ROWS, st.integers(1, 12))
def test_bins_hold_every_row_once_and_keep_equal_probabilities_together(
    rows: list[tuple[int, float]], n_bins: int
) -> None:
    y_N, p_N = np.array([y for y, _ in rows]), np.array([p for _, p in rows])
    bins = reliability_bins(y_N, p_N, n_bins)
    sizes = [one["n"] for one in bins]
    assert sum(sizes) == len(rows)
    assert 1 <= len(bins) <= n_bins
    assert min(sizes) > 0
    assert sum(one["n"] * one["win_rate"] for one in bins) == pytest.approx(y_N.sum())
    edges = np.cumsum(sizes)[:-1]
    ordered_N = np.sort(p_N)
    assert (ordered_N[edges - 1] < ordered_N[edges]).all()
    means = [float(part.mean()) for part in np.split(ordered_N, edges)]
    assert [one["mean_probability"] for one in bins] == pytest.approx(means)


@given(st.integers(1, 60), st.integers(1, 12))
def test_without_ties_bins_differ_by_at_most_one_row(n_rows: int, n_bins: int) -> None:
    p_N = np.random.default_rng(n_rows).permutation(np.linspace(0, 1, n_rows))
    sizes = [one["n"] for one in reliability_bins(np.zeros(n_rows), p_N, n_bins)]
    assert len(sizes) == min(n_rows, n_bins)
    assert max(sizes) - min(sizes) <= 1


def test_bins_are_counted_by_hand() -> None:
    bins = reliability_bins([1, 0, 1, 1], [0.9, 0.2, 0.7, 0.4], 2)
    assert bins == [
        {"mean_probability": pytest.approx(0.3), "win_rate": 0.5, "n": 2},
        {"mean_probability": pytest.approx(0.8), "win_rate": 1.0, "n": 2},
    ]
    with pytest.raises(ValueError, match="n_bins must be at least 1, was 0"):
        reliability_bins([1], [0.5], 0)


def test_expectancy_pays_the_reward_less_the_risk_and_the_costs() -> None:
    # Three of four trades taken: two win 3 / 2 R, one loses 1 R, each costs 0.2 / 2 R.
    found = expectancy_r([1, 1, 0, 1], [0.7, 0.6, 0.9, 0.5], 0.6, 3.0, 2.0, 0.2)
    assert found["trades"] == 3
    assert found["share_taken"] == 0.75
    assert found["total_r"] == pytest.approx(2 * 1.5 - 1 - 3 * 0.1)
    assert found["expectancy_r"] == pytest.approx(1.7 / 3)


def test_no_trade_has_no_expectancy() -> None:
    found = expectancy_r([1, 0], [0.4, 0.3], 0.5, 2.0, 2.0, 0.1)
    assert found == {"trades": 0, "share_taken": 0.0, "expectancy_r": None, "total_r": 0.0}


@given(ROWS, THRESHOLD)
def test_even_odds_without_costs_return_wins_less_losses(
    rows: list[tuple[int, float]], threshold: float
) -> None:
    y_N, p_N = [y for y, _ in rows], [p for _, p in rows]
    taken = [2 * y - 1 for y, p in rows if p >= threshold]
    assert expectancy_r(y_N, p_N, threshold, 2.0, 2.0, 0.0)["total_r"] == sum(taken)


@pytest.mark.parametrize(
    ("y_N", "p_N", "message"),
    [
        ([], [], "two equally long rows"),
        ([1, 0], [0.5], "two equally long rows"),
        ([1, 2], [0.5, 0.5], "row 1: label must be 0 or 1, was 2"),
        ([1, 0, 1], [0.5, 0.5, math.nan], "row 2: probability must be in .0, 1., was nan"),
        ([1], [1.01], "row 0: probability must be in .0, 1., was 1.01"),
    ],
)
def test_rows_that_cannot_be_scored_are_named(y_N: object, p_N: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classification_metrics(y_N, p_N)


@pytest.mark.parametrize("distances", [(0.0, 2.0, 0.1), (2.0, -1.0, 0.1), (2.0, 2.0, -0.1)])
def test_impossible_distances_are_refused(distances: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        expectancy_r([1], [0.5], 0.5, *distances)
