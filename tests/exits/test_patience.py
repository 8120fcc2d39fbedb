"""Kinds of patience: what moves together, and that the table's patient ends hold trades longer."""

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from backtest.replay import replay
from exits.parameters import PARAMETERS, defaults, denormalize, normalize
from exits.patience import DIRECTION_BP, KINDS, levels, moved
from exits.policy import Decided
from tests.exits.liveness.page import BY_PARAMETER
from tests.exits.liveness.scenario import replayed as scenario_replayed
from tests.exits.replays import ACCOUNT, COSTS, EXITS, markets_of, some_bars

unit = hnp.arrays(np.float64, (3, len(PARAMETERS)), elements=st.floats(0, 1))
level = hnp.arrays(np.float64, (3, len(KINDS)), elements=st.floats(-1, 1))


def test_each_parameter_is_of_one_kind_at_most_and_each_kind_has_some():
    assert set(KINDS) == {"losses", "profits", "targets", "time"}
    assert ((DIRECTION_BP != 0).sum(axis=0) <= 1).all()
    for kind, kind_P in zip(KINDS, DIRECTION_BP, strict=True):
        assert (kind_P != 0).sum() > 3
        for parameter, sign in zip(PARAMETERS, kind_P, strict=True):
            expected = {"high": 1, "low": -1}[parameter.patient] if sign else 0
            assert (sign, parameter.patience == kind) == (expected, sign != 0)
    assert all(bool(one.patience) == bool(one.patient) for one in PARAMETERS)


@given(unit, level)
def test_what_is_moved_stays_in_the_unit_interval_and_goes_towards_its_end_alone(unit_NP, level_NB):
    moved_NP = moved(unit_NP, level_NB)
    assert ((moved_NP >= 0) & (moved_NP <= 1)).all()
    apart_NP = moved_NP - unit_NP
    for b in range(len(KINDS)):
        towards_NP = apart_NP * DIRECTION_BP[b]
        assert (towards_NP * np.sign(level_NB[:, [b]]) >= 0).all()
    assert (apart_NP[:, ~DIRECTION_BP.any(axis=0)] == 0).all()
    assert (moved(unit_NP, 0.0 * level_NB) == unit_NP).all()


@given(unit, st.sampled_from([-1.0, 1.0]))
def test_all_the_way_is_the_end_from_wherever_it_starts(unit_NP, way):
    moved_NP = moved(unit_NP, np.full((3, len(KINDS)), way))
    sign_P = way * DIRECTION_BP.sum(axis=0)
    np.testing.assert_allclose(moved_NP[:, sign_P > 0], 1.0, atol=1e-15)
    np.testing.assert_allclose(moved_NP[:, sign_P < 0], 0.0, atol=1e-15)


@given(level)
def test_levels_tell_how_far_each_kind_was_moved_from_the_middle(level_NB):
    middle_NP = np.full((3, len(PARAMETERS)), 0.5)
    np.testing.assert_allclose(2.0 * levels(moved(middle_NP, level_NB) - 0.5), level_NB, atol=1e-12)


def size_held(scenario, end):
    """Return shares of the position times the bars that they were held, and nothing if never."""
    done = scenario_replayed(scenario, end)
    held = 0.0
    for trade in done.trades.filter(symbol="TRADED").to_dicts():
        partials = done.partials.filter(trade_id=trade["trade_id"])
        held += trade["bars_held"] * (1.0 - partials["share"].sum())
        held += (partials["share"] * (partials["bar"] - trade["entry_bar"] + 1)).sum()
    return held


@pytest.mark.parametrize(
    "parameter", [one for one in PARAMETERS if one.patient], ids=lambda one: one.name
)
def test_the_patient_end_of_each_parameter_holds_the_trade_of_its_scenario_longer(parameter):
    scenario = BY_PARAMETER[parameter.name]
    other = {"low": "high", "high": "low"}[parameter.patient]
    assert size_held(scenario, parameter.patient) > size_held(scenario, other)


class Moved:
    """The defaults with one kind of patience moved."""

    name, fixed_P, reads_state = "moved", None, False

    def __init__(self, kind, way):
        self.level_1B = np.where(np.array(KINDS) == kind, way, 0.0)[None]

    def decide(self, asked):
        atr_K = np.array([one.atr for one in asked])
        around = (0.5 * atr_K, 2.0 * atr_K)
        unit_KP = moved(normalize(defaults(atr_K), atr_bounds=around), self.level_1B)
        return Decided(denormalize(unit_KP, atr_bounds=around), ("moved",) * len(asked))


@pytest.fixture(scope="module")
def markets(random_bars):
    return markets_of(some_bars(random_bars, 3, n_bars=2000), seed=5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_patient_ends_of_a_kind_hold_trades_longer(markets, kind):
    held = []
    for way in (-1.0, 1.0):
        done = replay(markets, Moved(kind, way), exits=EXITS, costs=COSTS, account=ACCOUNT)
        held.append(done.trades["bars_held"].mean())
    assert held[0] < held[1]
