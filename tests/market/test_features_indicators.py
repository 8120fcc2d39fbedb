"""Indicators against arithmetic done by hand or by a plain loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.features.fuzzy import ramp
from market.features.indicators import (
    exponential_mean,
    signed_efficiency,
    trailing_zscore,
    wilder_atr,
    wilder_rsi,
)

walks = st.lists(st.integers(-20, 20), min_size=1, max_size=60).map(
    lambda steps: 100.0 + np.cumsum(steps) * 0.01
)


def test_atr_averages_then_smooths_true_ranges_gaps_included():
    # True ranges 2, 4 (from the close of 10 up to 14), 3.
    atr_T = wilder_atr(
        np.array([11.0, 14.0, 14.0]), np.array([9.0, 13.0, 11.0]), np.array([10.0, 13.5, 12.0]), 2
    )
    np.testing.assert_allclose(atr_T, [2.0, 3.0, 3.0])


def test_atr_of_a_market_that_stands_still_is_positive():
    still_T = np.full(30, 7.0)
    assert (wilder_atr(still_T, still_T, still_T, 5) == 7e-6).all()


def test_rsi_weighs_gains_against_losses():
    # Average gain after two changes (2, -1): 1.0; average loss 0.5: RSI 100 * 1 / 1.5.
    rsi_T = wilder_rsi(np.array([10.0, 12.0, 11.0]), 2)
    np.testing.assert_allclose(rsi_T, [50.0, 100.0, 100.0 / 1.5])
    assert (wilder_rsi(np.full(10, 3.0), 4) == 50.0).all()


def test_exponential_mean_starts_plain_and_then_weighs():
    np.testing.assert_allclose(
        exponential_mean(np.array([1.0, 3.0, 5.0, 7.0]), 3), [1.0, 2.0, 3.5, 5.25]
    )


@settings(max_examples=50, deadline=None)
@given(close_T=walks, bars=st.integers(1, 9))
def test_efficiency_is_net_move_over_way(close_T, bars):
    efficiency_T = signed_efficiency(close_T, bars)
    for t in range(1, len(close_T)):
        window = close_T[max(t - bars, 0) : t + 1]
        way = np.abs(np.diff(window)).sum()
        expected = (window[-1] - window[0]) / way if way > 1e-6 else 0.0
        assert efficiency_T[t] == pytest.approx(expected, abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(x_T=walks, bars=st.integers(2, 9))
def test_zscore_is_that_of_the_trailing_window(x_T, bars):
    z_T = trailing_zscore(x_T, bars, 10.0)
    for t in range(len(x_T)):
        window = x_T[max(t - bars + 1, 0) : t + 1]
        expected = (x_T[t] - window.mean()) / window.std() if window.std() > 1e-6 else 0.0
        assert z_T[t] == pytest.approx(expected, abs=1e-4)


def test_zscores_of_constants_are_zero_and_of_spikes_are_clipped():
    assert (np.abs(trailing_zscore(np.full(50, 0.1), 7, 10.0)) < 1e-6).all()
    spike_T = np.concatenate([np.zeros(500), [1.0], np.zeros(600)])
    z_T = trailing_zscore(spike_T, 400, 10.0)
    assert z_T[500] == 10.0
    assert abs(z_T[-1]) < 1e-6


def test_ramps_run_from_zero_to_one_either_way():
    x = np.array([-9.0, 1.0, 2.0, 3.0, 99.0])
    assert ramp(x, (1.0, 3.0)).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert ramp(x, (3.0, 1.0)).tolist() == [1.0, 1.0, 0.5, 0.0, 0.0]
