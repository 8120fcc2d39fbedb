"""One model is said to be better than another where it is.

Axes: N rows.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from selection.evidence import Advantage, advantage, evidence, paired_gain
from selection.overlap import Overlaps
from tests.selection.drawn_rows import (
    correlation_at,
    informed,
    irregular,
    labels,
    logit,
    most_below,
    persistent,
    r_of,
    rows_of,
    sigmoid,
)

DRAWS = 1_000
SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS)
def test_what_one_model_gains_over_another_the_other_loses(seed: int) -> None:
    first, rng = irregular(seed, 30, 2), np.random.default_rng(seed)
    second = replace(first, p_N=rng.random(30))
    ahead, behind = advantage(first, second), advantage(second, first)
    gain = log_loss(first.y_N, second.p_N) - log_loss(first.y_N, first.p_N)
    assert ahead.gain == pytest.approx(gain, abs=1e-6)
    assert ahead.gain == pytest.approx(-behind.gain)
    assert ahead.standard_error == pytest.approx(behind.standard_error)
    if evidence(first).effective_rows > 2:
        assert ahead.p_value + behind.p_value == pytest.approx(1)


@given(SEEDS)
def test_the_error_of_a_gain_is_the_largest_of_its_variances(seed: int) -> None:
    rows, rng = irregular(seed, 40, 2), np.random.default_rng(seed)
    other_N = np.clip(rng.random(40), 0.01, 0.99)
    gain_N = np.log(np.where(rows.y_N == 1, rows.p_N / other_N, (1 - rows.p_N) / (1 - other_N)))
    centred_N, distance_N = gain_N - gain_N.mean(), logit(rows.p_N) - logit(other_N)
    shared = rows.y_N.mean() * (1 - rows.y_N.mean()) * distance_N @ r_of(rows) @ distance_N
    lags = range(1, math.ceil(1.3 * math.sqrt(40)) + 1)
    plain = (centred_N**2).sum()
    met = 1 + 2 * sum((1 - lag / (len(lags) + 1)) * correlation_at(lag, centred_N) for lag in lags)
    gain, error = paired_gain(rows.y_N, rows.p_N, other_N, Overlaps(rows.t0_N, rows.t1_N))
    assert gain == pytest.approx(gain_N.mean())
    assert error == pytest.approx(math.sqrt(max(plain, shared, plain * met)) / 40)


def test_a_model_has_no_advantage_over_itself() -> None:
    rows = irregular(7, 50, 2)
    assert advantage(rows, rows) == Advantage(0.0, 0.0, 1.0)
    certain = replace(rows, p_N=np.where(rows.p_N > 0.5, 1.0, 0.0))
    assert advantage(certain, certain) == Advantage(0.0, 0.0, 1.0)


@pytest.mark.parametrize(("depth", "memory"), [(1, 0.0), (1, 0.95), (12, 0.95)])
def test_of_two_models_as_good_as_each_other_neither_is_said_to_be_better(
    depth: int, memory: float
) -> None:
    rng = np.random.default_rng(20)
    p_values = []
    for _ in range(DRAWS):
        y_N = labels(rng, 300, depth)
        first, second = (
            rows_of(y_N, sigmoid(0.3 * persistent(rng, 300, memory)), depth=depth) for _ in "ab"
        )
        p_values.append(advantage(first, second).p_value)
    assert np.mean(np.array(p_values) < 0.05) <= most_below(0.05, DRAWS)


def test_a_better_model_is_said_to_be_better() -> None:
    rng = np.random.default_rng(21)
    y_N = labels(rng, 600, 6)
    better, worse = (rows_of(y_N, informed(rng, y_N, a), depth=6) for a in (0.8, 0.3))
    assert advantage(better, worse).p_value < 0.001
    assert advantage(worse, better).p_value > 0.999


def test_models_are_compared_on_the_rows_that_both_predicted() -> None:
    rng = np.random.default_rng(22)
    y_N = labels(rng, 120, 3)
    whole, other = (rows_of(y_N, informed(rng, y_N, a), depth=3) for a in (0.6, 0.3))
    lacks_first, lacks_fourth = (
        one.at(one.t0_N[one.block_N != block]) for one, block in ((whole, 0), (other, 3))
    )
    both_N = ~np.isin(whole.block_N, (0, 3))
    expected = advantage(whole.at(whole.t0_N[both_N]), other.at(other.t0_N[both_N]))
    assert advantage(lacks_first, lacks_fourth) == expected
    assert len(lacks_first.at(lacks_fourth.t0_N)) == 80
