import numpy as np
import pytest

from exits.effects import SESSIONS, SIDES, DecisionStates, effects
from exits.parameters import ATR, INDEX, PARAMETERS, defaults

N = 240


def states(**changed):
    place_K = np.arange(N)
    given = {"regime_K": place_K % 6, "session_K": place_K // 6 % 3, "side_K": place_K % 2}
    numbers = {"r at the decision": np.linspace(-2.0, 2.0, N)}
    return DecisionStates(**{**given, "numbers": numbers, **changed})


def decided(**moved):
    values_KP = defaults(np.full(N, 0.5))
    for name, added in moved.items():
        values_KP[:, INDEX[name]] += added
    return values_KP


def test_what_is_moved_farthest_in_its_range_comes_first_and_what_stays_is_left_out():
    wide = PARAMETERS[INDEX["stop_mult"]]
    values_KP = decided(stop_mult=0.2 * (wide.high - wide.low), breakeven_threshold_ticks=6.0)
    found = effects(values_KP, np.full(N, 0.5), states())
    assert [one.name for one in found] == ["breakeven_threshold_ticks", "stop_mult"]
    assert [one.moved for one in found] == pytest.approx([0.5, 0.2])
    assert effects(decided(), np.full(N, 0.5), states()) == ()


def test_a_move_in_one_regime_and_session_is_seen_there_alone():
    place = states()
    inside_K = (place.regime_K == 2) & (place.session_K == 1)
    (one,) = effects(decided(breakeven_threshold_ticks=6.0 * inside_K), np.full(N, 0.5), place)
    cells = one.by[0]
    assert cells.columns == SESSIONS
    moved = np.zeros((6, 3), bool)
    moved[2, 1] = True
    np.testing.assert_array_equal(cells.mean_IJ > one.default, moved)
    assert cells.n_IJ.sum() == N


def test_along_a_number_and_by_side_the_means_follow_what_was_decided():
    place = states()
    slope_K = place.numbers["r at the decision"] * (1 - 2 * place.side_K)
    (one,) = effects(decided(breakeven_threshold_ticks=slope_K), np.full(N, 0.5), place)
    lines = one.by[1]
    assert lines.columns == SIDES
    assert (np.diff(lines.at_I) > 0).all()
    assert (np.diff(lines.mean_IJ[:, 0]) > 0).all()
    assert (np.diff(lines.mean_IJ[:, 1]) < 0).all()


def test_the_atr_forecast_is_shown_as_a_multiple_of_the_measured_one():
    atr_K = np.linspace(0.5, 5.0, N)
    values_KP = defaults(atr_K)
    values_KP[:, INDEX[ATR]] *= 1.5
    (one,) = effects(values_KP, atr_K, states())
    assert (one.name, one.default) == (ATR, 1.0)
    assert one.mean == pytest.approx(1.5)


def test_what_is_unknown_of_a_state_is_counted_nowhere():
    unknown = states(regime_K=np.full(N, -1), numbers={"RSI": np.full(N, np.nan)})
    (one,) = effects(decided(breakeven_threshold_ticks=6.0), np.full(N, 0.5), unknown)
    assert [means.n_IJ.sum() for means in one.by] == [0]
    assert one.moved == pytest.approx(0.5)
    nobody = states(regime_K=np.zeros(0, int))
    assert effects(np.empty((0, 132)), np.empty(0), nobody) == ()
