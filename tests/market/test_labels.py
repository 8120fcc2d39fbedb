"""Triple-barrier labels, bar by bar and by invariants."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from market.bars import Bars
from market.labels import TripleBarrier

CONF = Path(__file__).parents[2] / "conf"

BARRIERS = TripleBarrier(profit_atr=2.0, stop_atr=2.0, max_bars=5)
QUIET = (100, 101, 99, 100)
HOUR = np.timedelta64(3_600_000_000, "us")


def market(*bars):
    """Seven bars (open, high, low, close): the event's, those given, quiet ones to the end."""
    prices = np.array([QUIET, *bars, *[QUIET] * (6 - len(bars))], dtype=float)
    start_T = np.datetime64("2020-01-01", "us") + np.arange(7) * HOUR
    return Bars("SEVEN", start_T, *prices.T, np.ones(7), HOUR)


def outcome(bars, direction=1, barriers=BARRIERS, event_bar=0):
    """Label, end bar and timed out of one event; ATR 1: profit at 102, stop at 98 for a long."""
    labels = barriers.label(
        bars, np.ones(len(bars)), np.array([event_bar]), np.array([direction], dtype=np.int8)
    )
    return int(labels.label_N[0]), int(labels.end_bar_N[0]), bool(labels.timed_out_N[0])


def test_reaching_the_profit_wins_for_a_long_and_stops_a_short():
    bars = market(QUIET, (100, 102, 99, 101))
    assert outcome(bars, 1) == (1, 2, False)
    assert outcome(bars, -1) == (0, 2, False)


def test_reaching_the_stop_loses_for_a_long_and_wins_for_a_short():
    bars = market(QUIET, QUIET, (100, 101, 98, 99))
    assert outcome(bars, 1) == (0, 3, False)
    assert outcome(bars, -1) == (1, 3, False)


def test_one_bar_that_holds_both_is_a_stop():
    bars = market(QUIET, (100, 103, 97, 102))
    assert outcome(bars, 1) == outcome(bars, -1) == (0, 2, False)


def test_the_entry_bar_counts():
    assert outcome(market((100, 102, 100, 101))) == (1, 1, False)


def test_the_event_bar_itself_does_not_count():
    bars = market()
    bars.high_T[0] = 110.0
    assert outcome(bars) == (0, 5, True)


def test_barriers_start_from_the_next_open_not_from_the_close():
    # Opens a gap at 105: profit at 107, stop at 103.
    assert outcome(market((105, 106, 104, 105), (105, 107, 104, 106))) == (1, 2, False)
    assert outcome(market((105, 106, 103, 105))) == (0, 1, False)


def test_an_opening_beyond_the_stop_loses_and_beyond_the_profit_wins():
    assert outcome(market(QUIET, (95, 96, 94, 95))) == (0, 2, False)
    assert outcome(market(QUIET, (105, 106, 104, 105))) == (1, 2, False)


@pytest.mark.parametrize(("close", "long", "short"), [(100.5, 1, 0), (99.5, 0, 1), (100.0, 0, 0)])
def test_out_of_time_the_sign_of_the_return_decides(close, long, short):
    bars = market(QUIET, QUIET, QUIET, QUIET, (100, 101, 99, close), (100, 150, 50, 100))
    assert outcome(bars, 1) == (long, 5, True)
    assert outcome(bars, -1) == (short, 5, True)


def test_the_profit_may_still_be_reached_in_the_last_bar():
    bars = market(QUIET, QUIET, QUIET, QUIET, (100, 102, 99, 99))
    assert outcome(bars) == (1, 5, False)


def test_without_the_deciding_bar_there_is_no_label():
    assert outcome(market(), event_bar=2) == (-1, -1, False)
    assert outcome(market(), event_bar=6) == (-1, -1, False)
    assert outcome(market(), event_bar=1) == (0, 6, True)


def test_profit_and_stop_have_their_own_distances():
    wide = TripleBarrier(profit_atr=3.0, stop_atr=1.0, max_bars=5)
    assert outcome(market((100, 102.9, 99.1, 100), (100, 103, 99.1, 100)), 1, wide) == (1, 2, False)
    assert outcome(market((100, 102.9, 99.0, 100)), 1, wide) == (0, 1, False)


def everything(bars):
    """Labels of all bars, long and short in turn, with an ATR of the mean range."""
    bar_N = np.arange(len(bars))
    direction_N = np.where(bar_N % 2, 1, -1).astype(np.int8)
    return BARRIERS.label(bars, np.full(len(bars), 0.5), bar_N, direction_N)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1000), cut=st.integers(1, 80))
def test_cutting_the_bars_changes_no_decided_label_or_weight(random_bars, seed, cut):
    bars = random_bars(seed, 80)
    full, past = everything(bars), everything(bars.until(cut))
    decided = past.label_N >= 0
    np.testing.assert_array_equal(decided, (full.end_bar_N < cut)[:cut] & (full.label_N[:cut] >= 0))
    for name in ("label_N", "end_bar_N", "timed_out_N", "weight_N"):
        assert (getattr(past, name)[decided] == getattr(full, name)[:cut][decided]).all(), name


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), event=st.integers(0, 70))
def test_a_label_uses_no_bar_after_its_end_and_needs_its_end_bar(random_bars, seed, event):
    bars = random_bars(seed, 80)
    label, end, timed_out = outcome(bars, 1, BARRIERS, event)
    later_T = np.where(np.arange(80) > end, 7.0, 1.0)
    changed = dataclasses.replace(
        bars,
        high_T=bars.high_T * later_T,
        low_T=bars.low_T / later_T,
        close_T=bars.close_T * later_T,
    )
    assert outcome(changed, 1, BARRIERS, event) == (label, end, timed_out)
    assert outcome(bars.until(end), 1, BARRIERS, event) == (-1, -1, False)


def test_labels_that_overlap_share_their_bars():
    # Spans [1, 6) and [3, 8) share three of five bars; the undecided third takes from both.
    bars = dataclasses.replace(
        market(), **{f"{n}_T": np.full(9, 100.0) for n in ("open", "high", "low", "close")}
    )
    two = BARRIERS.label(bars, np.ones(9), np.array([0, 2]), np.ones(2, dtype=np.int8))
    np.testing.assert_allclose(two.weight_N, [(2 + 3 / 2) / 5] * 2)
    three = BARRIERS.label(bars, np.ones(9), np.array([0, 2, 5]), np.ones(3, dtype=np.int8))
    assert three.label_N.tolist() == [0, 0, -1]
    np.testing.assert_allclose(three.weight_N[:2], [0.7, (3 / 2 + 2 / 2) / 5])


def test_longer_than_the_market_nothing_is_decided():
    labels = BARRIERS.label(market(), np.full(7, 50.0), np.arange(2, 7), np.ones(5, dtype=np.int8))
    assert (labels.label_N == -1).all()
    assert ((labels.weight_N > 0) & (labels.weight_N <= 1)).all()


@pytest.mark.parametrize(("name", "value"), [("profit_atr", 0), ("stop_atr", -1), ("max_bars", 0)])
def test_an_argument_out_of_range_is_named_with_its_value(name, value):
    arguments = {"profit_atr": 2.0, "stop_atr": 2.0, "max_bars": 5} | {name: value}
    with pytest.raises(ValueError, match=f"{name} must be .*{value}"):
        TripleBarrier(**arguments)


def test_the_shipped_configuration_names_every_argument():
    conf = OmegaConf.load(CONF / "labels/triple_barrier.yaml")
    assert conf.pop("kind") == "triple_barrier"
    assert TripleBarrier(**conf).max_bars == 48
