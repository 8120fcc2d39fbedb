"""What is known of a market at each close."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exits.conditions import REGIMES, bar_rows, session_close
from market.bars import Bars

SESSIONS = ("Fri 21:00", "17:30")


def rows_of(bars, sessions=SESSIONS):
    signal_T = np.zeros(len(bars), np.int8)
    return bar_rows(
        bars,
        signal_T=signal_T,
        confidence_T=np.full(len(bars), np.nan),
        friday_late_hour=16,
        sessions=sessions,
    )


def hourly(close, *, volume=None, start="2024-03-01T00:00", half_range=0.5):
    close_T = np.asarray(close, float)
    n = len(close_T)
    hour = np.timedelta64(3_600_000_000, "us")
    start_T = np.datetime64(start, "us") + np.arange(n) * hour
    volume_T = np.full(n, 100.0) if volume is None else np.asarray(volume, float)
    high_T, low_T = close_T + half_range, close_T - half_range
    return Bars("X", start_T, close_T, high_T, low_T, close_T, volume_T, hour)


@given(seed=st.integers(0, 50), n_bars=st.integers(1, 299))
def test_no_row_hangs_on_a_later_bar(random_bars, seed, n_bars):
    bars = random_bars(seed, 300)
    whole, cut = rows_of(bars), rows_of(bars.until(n_bars))
    for name in cut.dtype.names:
        np.testing.assert_array_equal(whole[name][:n_bars], cut[name], err_msg=name)


def test_a_trend_a_range_a_storm_and_a_calm_are_told_apart():
    rng = np.random.default_rng(3)
    calm = 100 + np.cumsum(rng.choice([-0.1, 0.1], 150))
    trend = calm[-1] + 0.3 * np.arange(1, 60)
    chop = trend[-1] + np.tile([0.4, 0.0], 60)
    regime_T = rows_of(hourly([*calm, *trend, *chop]))["regime"]
    assert REGIMES[regime_T[205]] == "NORMAL_TRENDING"
    assert REGIMES[regime_T[-1]] == "NORMAL_CHOPPY"
    wide = hourly([*calm, *calm])
    wide.high_T[200:] += 2.0
    assert REGIMES[rows_of(wide)["regime"][210]].startswith("HIGH_VOL")
    wide.high_T[200:] -= 2.0
    wide.high_T[:200] += 2.0
    assert REGIMES[rows_of(wide)["regime"][230]] == "LOW_VOL_RANGING"


def test_volume_is_counted_against_its_last_twenty_bars_and_zero_stays_zero():
    rows = rows_of(hourly([100.0] * 60, volume=[7.0] * 19 + [27.0] + [0.0] * 40))
    assert rows["volume_ratio"][18] == 1.0
    assert rows["volume_ratio"][19] == pytest.approx(27.0 / 8.0)
    assert rows["volume_ratio"][20] == 0.0
    assert rows["volume_ratio"][45] == 1.0
    assert rows["quiet_volume"][22] == 0.0


def test_true_ranges_take_in_gaps_and_narrow_bars_consolidate():
    rows = rows_of(hourly([100, 100, 100, 100, 100, 103, 103]))
    assert rows["true_range"].tolist() == [1.0, 1.0, 1.0, 1.0, 1.0, 3.5, 1.0]
    assert rows["consolidating"].tolist() == [0, 0, 0, 0, 1, 0, 0]


def test_minutes_run_to_the_next_close_of_any_session():
    # 2024-03-01 was a Friday; the bar of 16:00 closes at 17:00.
    rows = rows_of(hourly([100.0] * 24))
    assert rows["minutes_to_close"][16] == 30.0
    assert rows["minutes_to_close"][17] == 180.0
    assert rows["minutes_to_close"][20] == 0.0
    assert rows["friday"][:23].all()
    assert not rows["friday"][23]
    assert rows["friday_late"].nonzero()[0].tolist() == list(range(15, 23))
    assert np.isinf(rows_of(hourly([100.0]), sessions=())["minutes_to_close"]).all()


@pytest.mark.parametrize("text", ["", "21", "24:00", "Fry 21:00", "fri 21:00", "21:60", "Fri"])
def test_a_session_that_cannot_be_read_is_refused(text):
    with pytest.raises(ValueError, match="a session closes at"):
        session_close(text)
