"""What a decision is compared with: its state and its moment, and never its own value."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exits import advantage
from exits.advantage import MOST_R, Baseline
from exits.state_summary import NAMES, state_summaries
from tests.exits.lessons import FEATURE, made_up

rng = np.random.default_rng(1)
N = 300
PHI, ENTRY = rng.normal(0, 1, (N, len(NAMES))), np.arange(N) % 3 == 0
OWN = np.arange(N)


@given(st.integers(0, N - 1), st.floats(-100, 100))
def test_what_a_row_is_compared_with_leaves_its_own_value_out(place, shift):
    value_N = np.random.default_rng(2).normal(0, 1, N)
    moment_N = OWN // 3
    baseline = Baseline.fit(value_N, PHI, ENTRY)
    changed_N = value_N.copy()
    changed_N[place] += shift
    before_N, after_N = (
        baseline.residual(one_N, PHI, ENTRY, moment_N) for one_N in (value_N, changed_N)
    )
    assert after_N[place] - before_N[place] == pytest.approx(shift, abs=1e-9)
    same_N = (moment_N == moment_N[place]) & (np.arange(N) != place)
    np.testing.assert_allclose((after_N - before_N)[same_N], -shift / 3.0, atol=1e-9)
    np.testing.assert_array_equal(
        after_N[moment_N != moment_N[place]], before_N[moment_N != moment_N[place]]
    )


def test_what_the_state_promises_is_taken_off_at_entries_and_later_each_by_itself():
    value_N = np.where(ENTRY, 2.0 + PHI[:, 0] ** 2, -1.0 - 3.0 * PHI[:, 1])
    baseline = Baseline.fit(value_N, PHI, ENTRY)
    assert np.abs(baseline.residual(value_N, PHI, ENTRY, OWN)).max() < 0.02
    few_N = np.arange(N) < 60
    scarce = Baseline.fit(value_N[few_N], PHI[few_N], ENTRY[few_N])
    assert (scarce.entry_J == 0).all(), "20 entries are too few for a baseline"


def test_trades_are_held_against_the_mean_of_their_regime_in_training():
    rows = dataclasses.replace(made_up(1, 40), r_M=np.arange(40.0) - 60.0 * (np.arange(40) == 3))
    train_N = rows.trade_N < 30
    rows.regime_M[:] = np.arange(40) % 2
    rows.regime_M[39] = 5
    found_N = advantage.of_trades(rows, train_N)
    r_M = np.clip(rows.r_M, -MOST_R, MOST_R)
    expected_M = r_M - np.array([r_M[m % 2 : 30 : 2].mean() for m in range(40)])
    expected_M[39] = r_M[39] - r_M[:30].mean()
    np.testing.assert_allclose(found_N, expected_M[rows.trade_N])


def test_still_to_come_is_what_the_decision_could_still_change():
    rows = made_up(1, 3)
    rows.r_M[:] = [2.0, -1.0, 99.0]
    rows.worth_N[1] = 1.5
    assert advantage.still_to_come(rows).tolist() == [2.0, 0.5, -1.0, -1.0, MOST_R, MOST_R]


def test_moments_and_signals_tell_symbols_times_sides_and_kinds_of_decision_apart():
    rows = made_up(1, 4, updates=2)
    two = dataclasses.replace(
        rows,
        symbol_M=("A", "A", "B", "A"),
        entry_time_M=np.repeat(rows.entry_time_M[:1], 4),
        time_N=np.repeat(rows.time_N[:1], 12),
    )
    two.x_NF[9:, FEATURE["side"]] = 1.0
    moment_N, signal_N = advantage.moments(two), advantage.signals(two)
    assert len(np.unique(moment_N)) == 6
    assert (moment_N[:3] == moment_N[3:6]).all()
    assert moment_N[1] == moment_N[2] != moment_N[0]
    assert len(np.unique(signal_N)) == 2
    assert len(np.unique(advantage.signals(rows))) == 4


def test_a_state_is_seen_from_the_trade():
    x_NF = made_up(3, 50).x_NF
    short_NF = x_NF.copy()
    short_NF[:, FEATURE["side"]] = 1.0
    for name in ("market_state.rsi", "market_state.vwap_distance"):
        middle = 50.0 if name.endswith("rsi") else 0.0
        short_NF[:, FEATURE[name]] = 2.0 * middle - x_NF[:, FEATURE[name]]
    np.testing.assert_allclose(state_summaries(short_NF), state_summaries(x_NF))
    assert state_summaries(x_NF).shape == (100, len(NAMES))
    assert np.abs(state_summaries(1e12 * x_NF)[:, 1]).max() <= 2.0
