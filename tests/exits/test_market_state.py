import dataclasses
import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from exits.account_past import account_past
from exits.market_state import MarketStates, market_states

FIELDS = [field.name for field in dataclasses.fields(MarketStates)]


@settings(max_examples=25)
@given(seed=st.integers(0, 500), n_bars=st.integers(1, 250), share=st.floats(0, 1))
def test_no_value_depends_on_a_later_bar(random_bars, seed, n_bars, share):
    bars = random_bars(seed, n_bars)
    n_kept = max(1, int(share * n_bars))
    whole = market_states(bars, sessions=("Fri 21:00",))
    cut = market_states(bars.until(n_kept), sessions=("Fri 21:00",))
    for name in FIELDS:
        # The length of the last bar is not known before the next one begins.
        n = n_kept - 1 if name in ("close_time_T", "minutes_to_close_T") else n_kept
        assert (getattr(whole, name)[:n] == getattr(cut, name)[:n]).all(), name
        assert np.isfinite(getattr(whole, name).astype(np.float64)).all(), name


def test_volatility_is_the_deviation_of_twenty_returns_over_a_year(random_bars):
    bars = random_bars(1, 100)
    vix_T = market_states(bars, sessions=()).vix_T
    for t in (2, 10, 20, 60, 99):
        returns = np.diff(np.log(bars.close_T[max(0, t - 20) : t + 1]))
        expected = 100 * math.sqrt(252 * 24) * returns.std(ddof=1)
        assert vix_T[t] == pytest.approx(expected, rel=1e-9)
    assert vix_T[:2].tolist() == [0, 0]


def test_the_mean_price_begins_anew_each_day_and_needs_no_volume(random_bars):
    bars = random_bars(2, 60)
    states = market_states(bars, sessions=())
    silent = dataclasses.replace(bars, volume_T=np.zeros(60))
    typical_T = (bars.high_T + bars.low_T + bars.close_T) / 3
    days = bars.start_T.astype("datetime64[D]")
    for t in (0, 5, 30, 59):
        today = (days == days[t]) & (np.arange(60) <= t)
        weights = bars.volume_T[today] if bars.volume_T[today].sum() else None
        vwap = np.average(typical_T[today], weights=weights)
        expected = (bars.close_T[t] - vwap) / states.atr_T[t]
        assert states.vwap_distance_T[t] == pytest.approx(expected, abs=1e-9)
        plain = (bars.close_T[t] - typical_T[today].mean()) / states.atr_T[t]
        unweighted = market_states(silent, sessions=()).vwap_distance_T[t]
        assert unweighted == pytest.approx(plain, abs=1e-9)


@given(
    pnl=st.lists(st.sampled_from([-2.0, -1.0, 0.0, 1.0, 3.0]), max_size=12),
    moments=st.lists(st.integers(0, 80), max_size=6),
    seed=st.integers(0, 99),
)
def test_the_account_is_a_count_of_what_was_closed_by_then(pnl, moments, seed):
    hours = np.random.default_rng(seed).integers(0, 72, len(pnl))
    start = np.datetime64("2024-01-01", "us")
    hour = np.timedelta64(3_600_000_000, "us")
    moment_K = start + np.array(moments, np.int64) * hour
    past = account_past(moment_K, start + hours * hour, np.array(pnl))
    ordered = sorted(zip(hours, pnl, strict=True), key=lambda one: one[0])
    for k, moment in enumerate(moments):
        known = [(at, money) for at, money in ordered if at <= moment]
        last = [money for _, money in known[-5:]]
        assert past.cumulative_pnl_K[k] == sum(money for _, money in known)
        assert past.recent_pnl_K[k] == sum(last)
        today = [money for at, money in known if at // 24 == moment // 24]
        assert past.daily_pnl_K[k] == sum(today)
        assert past.recent_wins_K[k] == sum(money > 0 for money in last)
        assert past.recent_losses_K[k] == sum(money < 0 for money in last)
        streak = 0
        for _, money in known:
            sign = int(np.sign(money))
            streak = streak + sign if streak * sign > 0 else sign
        assert past.streak_K[k] == streak
