"""Which bars are looked at, and what that shows of a holdout."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.period import Period, Window, moment
from market.bars import DataError
from market.simulate import SimulatedMarket
from selection import DeploymentError

BARS = SimulatedMarket(n_bars=600, edge=0.0).bars("EURUSD", 7)
CLOSE_T = BARS.close_time_T
HOLDOUT = Window(CLOSE_T[300], CLOSE_T[400])
SECOND = np.timedelta64(1_000_000, "us")


def test_a_sealed_holdout_is_cut_off_with_its_first_bar_and_nothing_of_it_is_touched():
    kept, touched = Period().cut(BARS, HOLDOUT)
    assert len(kept) == 300
    assert touched is None


def test_an_opened_holdout_is_replayed_and_all_of_it_is_touched():
    kept, touched = Period(opens_holdout=True).cut(BARS, HOLDOUT)
    assert (len(kept), touched) == (600, HOLDOUT)


def test_without_a_holdout_everything_is_replayed_and_nothing_touched():
    assert Period().cut(BARS, None) == (BARS, None)


def test_a_period_that_begins_after_the_holdout_touches_nothing_though_it_is_sealed():
    after = Period(HOLDOUT.end + SECOND)
    kept, touched = after.cut(BARS, HOLDOUT)
    assert (len(kept), touched) == (600, None)


def test_a_period_that_begins_within_a_sealed_holdout_is_refused():
    for start in (HOLDOUT.start, HOLDOUT.end):
        with pytest.raises(DataError, match=r"EURUSD: \S+ lies within its holdout, which is seal"):
            Period(start).cut(BARS, HOLDOUT)


def test_a_period_that_ends_before_the_holdout_touches_nothing_though_it_is_open():
    kept, touched = Period(end=HOLDOUT.start - SECOND, opens_holdout=True).cut(BARS, HOLDOUT)
    assert (len(kept), touched) == (300, None)


@given(first=st.integers(0, 590), n_bars=st.integers(1, 600), opens=st.booleans())
def test_what_is_touched_is_what_the_period_and_the_window_share(first, n_bars, opens):
    period = Period(CLOSE_T[first], CLOSE_T[min(first + n_bars, 600) - 1], opens_holdout=opens)
    try:
        kept, touched = period.cut(BARS, HOLDOUT)
    except DataError:
        assert not opens
        return
    shown_N = kept.close_time_T[kept.close_time_T >= period.start]
    seen_N = shown_N[(shown_N >= HOLDOUT.start) & (shown_N <= HOLDOUT.end)]
    assert (touched is not None) == bool(len(seen_N))
    assert opens or touched is None
    if touched is not None:
        assert (touched.start, touched.end) == (seen_N[0], seen_N[-1])


def test_nothing_left_to_replay_is_one_line():
    for period in (Period(CLOSE_T[-1] + SECOND), Period(end=BARS.start_T[0])):
        with pytest.raises(
            DataError, match=r"EURUSD: no bars from replay\.start .*; they are of 20"
        ):
            period.cut(BARS, None)


def test_a_manifests_window_is_read_in_utc_and_a_missing_one_refused():
    stated = {"start": "2024-01-02T01:00:00+01:00", "end": "2024-03-01T00:00:00+00:00", "rows": 5}
    window = Window.of("EURUSD", {"windows": {"holdout": stated}})
    assert window is not None
    assert window.start == np.datetime64("2024-01-02") == moment("2024-01-02")
    assert window.first_utc.isoformat() == "2024-01-02T00:00:00+00:00"
    assert Window.of("EURUSD", {"windows": {"holdout": "awaiting live data"}}) is None
    unknown = [{}, *({"windows": {"holdout": stated | {"start": it}}} for it in (None, "soon"))]
    for selection in unknown:
        with pytest.raises(DeploymentError, match="EURUSD: the manifest does not say where its h"):
            Window.of("EURUSD", selection)
