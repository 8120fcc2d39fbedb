"""Cutting or changing later bars changes nothing that was known before them."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.build import build_event_table
from market.event_table import UNDECIDED
from market.events import EveryBar, SmcEvents
from market.features.smc import SmcFeatures
from market.features.structure import market_structure, swing_highs
from market.labels import TripleBarrier

N_BARS = 160
SETTINGS = {
    "swing_length": 2,
    "atr_bars": 5,
    "rsi_bars": 5,
    "ema_bars": 8,
    "trend_bars": 6,
    "zscore_bars": 12,
    "max_age_bars": 30,
    "block_lookback_bars": 8,
    "displacement_atr": 0.5,
    "gap_atr": 0.0,
    "commitment_atr": 0.25,
    "bounce_atr": 0.5,
    "rsi_overbought": 70.0,
}
FEATURES = SmcFeatures(**SETTINGS)
LABELS = TripleBarrier(profit_atr=2.0, stop_atr=2.0, max_bars=9)
SMC = SmcEvents(breaks=True, block_touches=True, gap_entries=True, min_spacing_bars=2)

seeds = st.integers(0, 1000)
cuts = st.integers(0, N_BARS)


class CentredSwings(SmcFeatures):
    """Marks each swing at its own bar, as if its later bars were known."""

    def structure(self, prices):
        highs_T = np.roll(swing_highs(prices.high_T, self.swing_length), -self.swing_length)
        lows_T = np.roll(-swing_highs(-prices.low_T, self.swing_length), -self.swing_length)
        return market_structure(prices.high_T, prices.low_T, prices.close_T, highs_T, lows_T)


def assert_a_cut_changes_nothing(features, events, bars, cut):
    full = build_event_table(bars, features=features, events=events, labels=LABELS)
    past = build_event_table(bars.until(cut), features=features, events=events, labels=LABELS)
    known = full.t0_N <= (bars.close_time_T[cut - 1] if cut else np.datetime64("1970", "us"))
    decided = past.label_N != UNDECIDED
    np.testing.assert_array_equal(past.t0_N, full.t0_N[known])
    assert past.x_NF.tobytes() == full.x_NF[known].tobytes()
    for name in ("label_N", "t1_N", "weight_N"):
        before, after = getattr(past, name)[decided], getattr(full, name)[known][decided]
        assert before.tobytes() == after.tobytes(), name


@settings(max_examples=60, deadline=None)
@given(seed=seeds, cut=cuts)
def test_cutting_the_bars_changes_no_event_and_no_decided_label(random_bars, seed, cut):
    bars = random_bars(seed, N_BARS)
    assert_a_cut_changes_nothing(FEATURES, SMC, bars, cut)
    assert_a_cut_changes_nothing(FEATURES, EveryBar(), bars, cut)


def assert_no_cut_changes_anything(features, bars):
    for cut in range(len(bars)):
        assert_a_cut_changes_nothing(features, EveryBar(), bars, cut)


def test_swings_marked_at_their_own_bar_are_caught(random_bars):
    bars = random_bars(3, N_BARS)
    assert_no_cut_changes_anything(FEATURES, bars)
    with pytest.raises(AssertionError):
        assert_no_cut_changes_anything(CentredSwings(**SETTINGS), bars)


@settings(max_examples=60, deadline=None)
@given(seed=seeds, cut=st.integers(1, N_BARS - 1))
def test_other_bars_later_on_change_nothing_before(random_bars, seed, cut):
    bars, other = random_bars(seed, N_BARS), random_bars(seed + 1, N_BARS)
    changed = dataclasses.replace(
        bars,
        **{
            name: np.concatenate([getattr(bars, name)[:cut], getattr(other, name)[cut:]])
            for name in ("open_T", "high_T", "low_T", "close_T", "volume_T")
        },
    )
    state, state_changed = FEATURES.state(bars), FEATURES.state(changed)
    for name, column_T in state.columns.items():
        assert column_T[:cut].tobytes() == state_changed.columns[name][:cut].tobytes(), name
    for name in ("atr_T", "bias_T", "break_T", "block_touch_T", "gap_touch_T"):
        before_T, after_T = getattr(state, name)[:cut], getattr(state_changed, name)[:cut]
        assert before_T.tobytes() == after_T.tobytes(), name


def test_an_event_not_decided_yet_stays_with_an_empty_label(random_bars):
    table = build_event_table(
        random_bars(1, N_BARS), features=FEATURES, events=EveryBar(), labels=LABELS
    )
    assert table.label_N[-1] == UNDECIDED
    assert np.isnat(table.t1_N[-1])
    assert len(table) == N_BARS - FEATURES.warmup_bars
    assert len(table.samples()) == np.count_nonzero(table.label_N != UNDECIDED)


def test_events_are_timed_at_their_close_and_labels_at_the_close_that_decided(random_bars):
    bars = random_bars(1, N_BARS)
    table = build_event_table(bars, features=FEATURES, events=EveryBar(), labels=LABELS)
    decided = table.label_N != UNDECIDED
    first = FEATURES.warmup_bars
    np.testing.assert_array_equal(table.t0_N, bars.start_T[first:] + bars.length)
    assert np.isin(table.t1_N[decided], bars.close_time_T).all()
    assert (table.t1_N[decided] > table.t0_N[decided]).all()
    assert (table.t1_N[decided] <= bars.close_time_T[-1]).all()
