"""What parameters of decisions weigh, and that the future says nothing of it."""

import numpy as np
import pytest

from exits.credit import FEWEST_SIGNALS, by_decision, by_trade
from exits.critic import DECIDES_ENTRIES
from exits.parameters import INDEX, NAMES
from tests.exits.lessons import FEATURE, HELPS_AT_HIGH_RSI, IDLE, made_up, units

STOP = INDEX[HELPS_AT_HIGH_RSI]


def credited(rows, train_N=None, rate=0.05, most_weight=20.0):
    train_N = np.ones(len(rows.trade_N), bool) if train_N is None else train_N
    return by_decision(
        rows,
        units(rows),
        train_N,
        temperature=1.0,
        most_weight=most_weight,
        false_discovery_rate=rate,
    )


@pytest.fixture(scope="module")
def rows():
    return made_up(4, 1000, own=2.0, patience=3.0)


@pytest.fixture(scope="module")
def found(rows):
    return credited(rows)


def test_a_parameter_weighs_more_where_it_helped_and_less_where_it_harmed(rows, found):
    apart_N = units(rows)[:, STOP] - 0.44
    rsi_N = rows.x_NF[:, FEATURE["market_state.rsi"]]
    for high, wide in ((True, True), (True, False), (False, True), (False, False)):
        some_N = ((rsi_N > 75) if high else (rsi_N < 25)) & (
            (apart_N > 0.15) if wide else (apart_N < -0.15)
        )
        log_weight = np.log(found.weight_NP[some_N, STOP]).mean()
        assert (log_weight > 0.5) if high == wide else (log_weight < -0.5)
    assert (found.weight_NP[:, INDEX[IDLE]] == 1.0).all()
    assert (found.weight_NP >= 1 / 20.001).all()
    assert (found.weight_NP <= 20.001).all()
    assert found.effect_P[STOP] > 0.2


def test_each_parameter_is_told_what_speaks_for_it(found):
    assert found.why[STOP].startswith("works by itself (p = ")
    patient = found.why[INDEX["max_trade_duration_bars"]]
    assert patient.startswith("works together with what is patient with time (p = ")
    assert found.why[INDEX[IDLE]].startswith("no effect stands out (p = ")
    assert all("an entry that is not made" in found.why[INDEX[name]] for name in DECIDES_ENTRIES)


def test_of_noise_all_weigh_the_same_in_nearly_all_runs():
    wrong = [(credited(made_up(seed, 250)).p_value_P <= 0.1).any() for seed in range(15)]
    assert sum(wrong) <= 3


def test_too_few_signals_have_no_critic_and_everything_weighs_one():
    rows = made_up(1, FEWEST_SIGNALS - 1, own=9.0)
    found = credited(rows)
    assert (found.weight_NP == 1.0).all()
    assert (found.p_value_P == 1.0).all()


def test_what_was_decided_at_the_same_moment_and_ended_later_says_nothing():
    rows = made_up(5, 400, own=2.0)
    rows.entry_time_M[1::2] = rows.entry_time_M[::2]
    rows.time_N[:] = rows.entry_time_M[rows.trade_N] + rows.number_N * np.timedelta64(20, "m")
    train_N = rows.trade_N % 2 == 0
    before = credited(rows, train_N)
    rows.r_M[1::2] = 7.0
    after = credited(rows, train_N)
    np.testing.assert_array_equal(after.weight_NP, before.weight_NP)
    np.testing.assert_array_equal(after.p_value_P, before.p_value_P)


def test_by_trade_all_parameters_weigh_alike_by_how_the_trade_ended(rows):
    train_N = rows.trade_N < 800
    options = {"temperature": 1.0, "most_weight": 5.0}
    found = by_trade(rows, units(rows), train_N, **options)
    assert (found.weight_NP == found.weight_NP[:, :1]).all()
    assert found.p_value_P is None
    assert found.why == ()
    for regime in range(6):
        weight_N = found.weight_NP[rows.regime_M[rows.trade_N] == regime, 0]
        r_N = rows.r_M[rows.trade_N][rows.regime_M[rows.trade_N] == regime]
        assert (np.diff(weight_N[np.argsort(r_N)]) >= -1e-12).all()
    assert found.weight_NP.min() == pytest.approx(1 / 5)
    assert found.weight_NP.max() == pytest.approx(5)
    assert len(found.effect_P) == len(NAMES)
