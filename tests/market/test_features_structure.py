"""Swings and structure breaks, bar by bar."""

import numpy as np

from market.features.structure import latest, market_structure, swing_highs

NAN = np.nan


def test_a_swing_high_is_known_only_when_its_later_bars_are_there():
    high_T = np.array([1.0, 2.0, 5.0, 3.0, 4.0, 1.0, 1.0])
    np.testing.assert_array_equal(swing_highs(high_T, 2), [NAN, NAN, NAN, NAN, 5.0, NAN, NAN])


def test_a_plateau_is_one_swing_at_its_first_bar():
    high_T = np.array([1.0, 3.0, 3.0, 3.0, 1.0, 1.0])
    np.testing.assert_array_equal(swing_highs(high_T, 1), [NAN, NAN, 3.0, NAN, NAN, NAN])


def test_a_flat_market_has_no_swings():
    assert np.isnan(swing_highs(np.ones(20), 3)).all()


def _structure(high, low, close, swing_high, swing_low):
    return market_structure(
        *(np.array(x, dtype=float) for x in (high, low, close)),
        np.array(swing_high),
        np.array(swing_low),
    )


def test_breaks_continue_the_trend_or_turn_it():
    # Known at bar 0: high 10, low 5. Bar 1 closes above 10; bar 3 closes below 5, which turns the
    # trend; the swing low 3 known at bar 4 is broken by bar 5, which continues it.
    found = _structure(
        [9.0, 11.0, 11.0, 7.0, 6.0, 4.0],
        [6.0, 8.0, 7.0, 4.0, 3.5, 2.0],
        [8.0, 10.5, 8.0, 4.5, 4.0, 2.5],
        [10.0, NAN, NAN, NAN, NAN, NAN],
        [5.0, NAN, NAN, NAN, 3.0, NAN],
    )
    assert found.break_T.tolist() == [0, 1, 0, -1, 0, -1]
    assert found.choch_T.tolist() == [False, False, False, True, False, False]
    assert found.trend_T.tolist() == [0, 1, 1, -1, -1, -1]
    np.testing.assert_array_equal(found.level_T, [NAN, 10.0, NAN, 5.0, NAN, 3.0])


def test_a_wick_through_the_level_is_no_break_and_leaves_the_level_standing():
    found = _structure(
        [9.0, 11.0, 12.0], [8.0, 8.0, 9.0], [9.0, 9.5, 11.0], [10.0, NAN, NAN], [NAN, NAN, NAN]
    )
    assert found.wick_T.tolist() == [0, 1, 1]
    assert found.break_T.tolist() == [0, 0, 1]


def test_a_level_is_broken_once():
    found = _structure(
        [11.0] * 4, [8.0] * 4, [9.0, 11.0, 9.0, 11.0], [10.0, NAN, NAN, NAN], [NAN] * 4
    )
    assert found.break_T.tolist() == [0, 1, 0, 0]


def test_a_swing_cannot_be_broken_by_the_bar_that_confirms_it():
    found = _structure([9.0, 12.0], [8.0, 8.0], [9.0, 11.0], [NAN, 10.0], [NAN, NAN])
    assert found.break_T.tolist() == [0, 0]


def test_the_latest_bar_where_something_happened():
    happened_T = np.array([False, True, False, True, False])
    assert latest(happened_T).tolist() == [-1, 1, 1, 3, 3]
