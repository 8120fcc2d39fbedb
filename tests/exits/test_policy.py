"""Who decides exit parameters, and that exploring repeats."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exits.exploring import ACTION_SHARE, Exploring
from exits.parameters import (
    ATR,
    IMMEDIATE,
    INDEX,
    NAMES,
    PARAMETERS,
    ParameterError,
    defaults,
    normalize,
)
from exits.patience import DIRECTION_BP
from exits.policy import Asked, Defaults

NOON = np.datetime64("2024-01-05T12:00", "us")


def asked(symbol="EURUSD", number=0, hours=0, atr=0.5):
    time = NOON + np.timedelta64(hours, "h")
    return Asked(
        symbol=symbol, number=number, bar=9, time=time, side=1, atr=atr, r=0.0, in_force_P=None
    )


def test_defaults_are_the_tables_with_the_atr_of_each_decision():
    decided = Defaults({"stop_mult": 3.0}).decide([asked(atr=0.5), asked(atr=2.0)])
    expected = defaults(np.array([0.5, 2.0]))
    expected[:, INDEX["stop_mult"]] = 3.0
    np.testing.assert_array_equal(decided.values_KP, expected)
    assert decided.sources == ("defaults", "defaults")


def test_what_is_drawn_hangs_on_the_decision_alone():
    policy = Exploring(explore=0.3, seed=7)
    many = [asked("A"), asked("B"), asked("A", number=1), asked("A", hours=1)]
    together = policy.decide(many).values_KP
    alone = [policy.decide([one]).values_KP[0] for one in many]
    np.testing.assert_array_equal(together, alone)
    assert len({row.tobytes() for row in together}) == 4
    other = Exploring(explore=0.3, seed=8).decide(many).values_KP
    assert not (other == together).all(axis=1).any()


@given(explore=st.floats(0.01, 1.0), seed=st.integers(0, 99))
def test_what_is_drawn_stays_within_reach_of_the_base_and_within_the_range(explore, seed):
    drawn_P = Exploring(explore=explore, seed=seed).decide([asked(atr=2.0)]).values_KP[0]
    for parameter, value in zip(PARAMETERS, drawn_P, strict=True):
        if parameter.name == ATR:
            assert 2.0 / (1 + explore) <= value <= 2.0 * (1 + explore)
            continue
        if parameter.name in IMMEDIATE:
            assert value in (parameter.default, 1.0)
            continue
        assert parameter.low <= value <= parameter.high
        reach = explore * (parameter.high - parameter.low)
        rounding = 1e-9
        if parameter.kind == "integer":
            reach, rounding = max(reach, 1.0), 0.5
        assert abs(value - parameter.default) <= reach + rounding


def test_full_exploration_reaches_both_ends_of_every_range():
    policy = Exploring(explore=1.0, seed=1)
    drawn_KP = policy.decide([asked(number=n) for n in range(300)]).values_KP
    for p, parameter in enumerate(PARAMETERS[:-1]):
        span = parameter.high - parameter.low
        assert drawn_KP[:, p].min() <= parameter.low + 0.1 * span, parameter.name
        assert drawn_KP[:, p].max() >= parameter.high - 0.1 * span, parameter.name


def test_a_share_of_the_parameters_is_varied_and_none_that_is_fixed():
    base = Defaults({"stop_mult": 3.0})
    policy = Exploring(explore=1.0, vary=0.1, seed=1, base=base, fixed={"partial_1_r"})
    many = [asked(number=n) for n in range(300)]
    drawn_KP = policy.decide(many).values_KP
    varied_P = (drawn_KP != base.decide(many).values_KP).mean(axis=0)
    assert varied_P[INDEX["stop_mult"]] == pytest.approx(0.1, abs=0.06)
    assert varied_P[INDEX["should_exit_now"]] == pytest.approx(0.05, abs=0.04)
    assert varied_P[INDEX["partial_1_r"]] == 0.0


def test_even_a_little_exploration_varies_every_parameter():
    policy = Exploring(explore=0.05, seed=1)
    acts_P = np.isin(NAMES, list(IMMEDIATE))
    drawn_KP = policy.decide([asked(number=n) for n in range(300)]).values_KP
    assert (np.ptp(drawn_KP, axis=0)[~acts_P] > 0).all()
    # One decision of 400 takes an action: only many show each.
    drawn_KP = policy.decide([asked(number=n) for n in range(4000)]).values_KP
    share_P = (drawn_KP[:, acts_P] == 1.0).mean(axis=0)
    np.testing.assert_allclose(share_P, ACTION_SHARE * 0.05, atol=0.0025)
    assert (share_P > 0).all()


@pytest.mark.parametrize("explore", [0.1, 0.5, 1.0])
def test_together_moves_a_whole_kind_of_patience_one_way_and_nothing_else(explore):
    still = {one.name for one in PARAMETERS if not one.patience} - {ATR} - IMMEDIATE
    policy = Exploring(explore=explore, vary=1e-12, together=1.0, seed=3)
    values_KP = policy.decide([asked(number=n) for n in range(5)]).values_KP
    base_P = normalize(defaults(np.array([0.5])), atr_bounds=(0.25, 1.0))
    apart_KP = normalize(values_KP, atr_bounds=(0.25, 1.0)) - base_P
    assert (apart_KP[:, np.isin(NAMES, list(still))] == 0).all()
    acts_P = np.isin(NAMES, list(IMMEDIATE))
    for kind_P in DIRECTION_BP:
        towards_KP = (apart_KP * kind_P)[:, (kind_P != 0) & ~acts_P]
        assert ((towards_KP >= 0).all(axis=1) | (towards_KP <= 0).all(axis=1)).all()
        assert (np.abs(towards_KP).max(axis=1) > 0).any()


def test_what_is_fixed_is_not_moved_together_either():
    policy = Exploring(explore=1.0, vary=1e-12, together=1.0, seed=1, fixed={"trailing_mult"})
    drawn_KP = policy.decide([asked(number=n) for n in range(20)]).values_KP
    assert (drawn_KP[:, INDEX["trailing_mult"]] == 1.0).all()
    assert np.ptp(drawn_KP[:, INDEX["breakeven_mult"]]) > 0.3


@pytest.mark.parametrize("given", [{"vary": 0.0}, {"vary": 1.5}, {"together": -0.1}])
def test_shares_that_are_none_are_refused(given):
    with pytest.raises(ValueError, match=f"{next(iter(given))} must be in .*, was"):
        Exploring(explore=0.5, seed=1, **given)


@pytest.mark.parametrize("explore", [0.0, -0.1, 1.1, float("nan")])
def test_exploration_is_a_share_of_the_range(explore):
    with pytest.raises(ValueError, match=r"explore must be in \(0, 1\]"):
        Exploring(explore=explore, seed=1)


def test_a_parameter_that_is_none_is_refused_with_the_nearest_name():
    with pytest.raises(ParameterError, match="did you mean stop_mult"):
        Defaults({"stop_mul": 3.0})
