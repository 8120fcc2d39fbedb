"""Figures that are computed for many bars, or clocks, at once: as one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.checks.bar_figures import _range_around
from market.checks.clock import _clocks, _hours_off, _weekly_holes
from market.checks.day_pattern import _LAGS, _correlations, _lags
from market.simulate import SimulatedMarket

RANGES = st.lists(st.sampled_from([0.0, 1e-4, 1.5e-4, 2e-4, 1e-3]) | st.floats(0, 1), min_size=1)


@given(RANGES, st.integers(0, 4))
def test_the_range_around_a_bar_is_the_median_of_the_hundred_bars_beside_it(ranges, copies):
    range_T = np.array(ranges * 3**copies)
    every_T = np.arange(len(range_T))
    near = [np.median(range_T[max(t - 50, 0) : t + 51]) for t in every_T]
    assert _range_around(range_T, every_T).tolist() == pytest.approx(near, rel=1e-12)
    few = every_T[: len(every_T) // 101]
    assert _range_around(range_T, few).tolist() == near[: len(few)]


HOURS = st.lists(st.floats(0.5, 2.0) | st.just(np.nan), min_size=24, max_size=24)


@given(HOURS, HOURS)
def test_a_correlation_is_that_of_the_hours_known_in_both(one, other):
    one_H, other_H = np.array(one), np.array(other)
    known_H = np.isfinite(one_H) & np.isfinite(other_H)
    found = float(_correlations(one_H, other_H))
    if known_H.sum() < 12 or min(np.ptp(one_H[known_H]), np.ptp(other_H[known_H])) < 0.1:
        assert known_H.sum() >= 12 or found == 0
    else:
        wanted = np.corrcoef(one_H[known_H], other_H[known_H])[0, 1]
        assert found == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("lag", _LAGS)
def test_a_pattern_that_was_moved_is_seen_to_be(lag):
    before_H = 1.0 + np.sin(np.arange(24) / 24 * 2 * np.pi) + (np.arange(24) == 9)
    quarters = [np.roll(before_H, lag), before_H, np.full(24, np.nan)]
    assert _lags(np.stack(quarters), np.stack([before_H] * 3)) == [lag, 0, 0]


def test_all_clocks_at_once_are_as_far_off_as_each_alone():
    weekends = _weekly_holes(SimulatedMarket(n_bars=9000, edge=0.0).bars("EURUSD", 1))
    clocks = list(_clocks().values())
    off_CWM = _hours_off(weekends, clocks)
    assert off_CWM.shape == (len(clocks), len(weekends), 2)
    alone = [_hours_off(weekends, [clock])[0] for clock in clocks]
    assert np.array_equal(off_CWM, np.stack(alone))
    # In winter both ends come an hour early, where the clock has changed between them one does.
    assert set(off_CWM[0, :, 0]) == {0.0, 1.0, 2.0}
