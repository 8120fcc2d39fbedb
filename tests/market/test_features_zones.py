"""Fair value gaps and order blocks, bar by bar."""

import numpy as np

from market.features.zones import (
    Prices,
    Zones,
    gap_bars,
    nearest_side,
    track_gaps,
    track_order_blocks,
)


def _prices(open_T, high_T, low_T, close_T):
    return Prices(*(np.array(x, dtype=float) for x in (open_T, high_T, low_T, close_T)))


def _gap_prices(high_T, low_T):
    return _prices(low_T, high_T, low_T, high_T)


def _gaps(prices, *, min_atr=0.0, max_age_bars=10):
    gap_T = gap_bars(prices, np.ones(len(prices.low_T)), min_atr)
    return track_gaps(prices, gap_T, max_age_bars=max_age_bars)


def test_a_gap_spans_from_the_high_two_bars_ago_to_the_low_and_dies_when_filled():
    # Bar 2 opens a gap from 11 to 13; bar 4 enters it at 12, bar 6 trades through at 11.
    gaps = _gaps(_gap_prices([11, 14, 15, 16, 15, 14, 13], [10, 11, 13, 13, 12, 12, 11]))
    assert gaps.formed_T.tolist() == [-1, -1, 2, 2, 2, 2, -1]
    assert gaps.touched_T.tolist() == [-1, -1, -1, -1, 4, 4, -1]
    assert gaps.touched_now_T().tolist() == [False] * 4 + [True] + [False] * 2
    assert (gaps.bottom_T[2], gaps.top_T[2]) == (11.0, 13.0)


def test_a_gap_filled_in_one_bar_never_counts_as_entered():
    gaps = _gaps(_gap_prices([11, 14, 15, 15], [10, 11, 13, 10]))
    assert not gaps.touched_now_T().any()
    assert gaps.formed_T[-1] == -1


def test_gaps_that_are_small_or_old_are_left_out():
    prices = _gap_prices([11, 14, 15, 15, 15], [10, 11, 13, 14, 14])
    assert (_gaps(prices, min_atr=2.5).formed_T == -1)[:3].all()
    assert _gaps(prices, min_atr=2.0).formed_T[2] == 2
    aged = _gaps(_gap_prices([11, 14, 15, 14, 14], [10, 11, 13, 13, 13]), max_age_bars=1)
    assert aged.formed_T.tolist() == [-1, -1, 2, 2, -1]


def _blocks(bars, *, breaks, displacement_atr=1.0, lookback_bars=5):
    prices = _prices(*zip(*bars, strict=True))
    return track_order_blocks(
        prices,
        np.ones(len(bars)),
        np.isin(np.arange(len(bars)), breaks),
        lookback_bars=lookback_bars,
        displacement_atr=displacement_atr,
        max_age_bars=10,
    )


def _block(last_bars, **limits):
    # Bar 1 falls from 11 to 10 within [9.5, 11.5]; bar 3 breaks structure at 14, 4 ATR higher.
    bars = [(10, 11.2, 9.8, 11), (11, 11.5, 9.5, 10), (10, 12, 9.9, 12), (12, 14.5, 12, 14)]
    return _blocks(bars + last_bars, breaks=[3], **limits)


def test_an_order_block_is_the_last_falling_candle_before_the_break():
    blocks = _block([])
    assert blocks.candle_T.tolist() == [-1, -1, -1, 1]
    assert (blocks.zones.bottom_T[3], blocks.zones.top_T[3]) == (9.5, 11.5)
    assert blocks.clean_T[3]


def test_no_order_block_without_displacement_or_a_falling_candle_in_reach():
    assert not _block([], displacement_atr=4.5).zones.live_T.any()
    assert not _block([], lookback_bars=1).zones.live_T.any()


def test_a_block_is_touched_once_bounces_and_dies_when_closed_through():
    blocks = _block([(14, 14, 11, 11.2), (11, 13, 11, 12.5), (12, 12, 10, 12), (12, 12, 9, 9.4)])
    assert blocks.zones.touched_T.tolist() == [-1, -1, -1, -1, 4, 4, 4, -1]
    assert blocks.bounce_T[4:7].tolist() == [0.0, 1.0, 1.0]
    assert blocks.zones.formed_T[-1] == -1


def test_a_wick_through_the_block_leaves_it_alive():
    assert _block([(14, 14, 9, 9.6)]).zones.live_T[-1]


def test_a_block_undercut_on_the_way_up_is_not_clean():
    bars = [(11, 11.5, 9.5, 10), (10, 10.5, 9.4, 10.4), (10.4, 14, 10.4, 14)]
    blocks = _blocks(bars, breaks=[2])
    assert blocks.candle_T[-1] == 0
    assert not blocks.clean_T[-1]


def test_a_second_break_from_the_same_candle_keeps_the_history_of_its_block():
    bars = [(11, 11.5, 9.5, 10), (10, 14, 10, 14), (11, 13, 11, 13), (13, 16, 13, 16)]
    blocks = _blocks(bars, breaks=[1, 3])
    assert blocks.zones.formed_T.tolist() == [-1, 1, 1, 1]
    assert blocks.zones.touched_T.tolist() == [-1, -1, 2, 2]


def test_a_block_closed_through_at_its_first_touch_is_no_event():
    blocks = _block([(14, 14, 9, 9.2)])
    assert not blocks.zones.touched_now_T().any()


def _zone(formed, top, bottom):
    return Zones(np.array([formed]), np.array([top]), np.array([bottom]), np.array([-1]))


def test_the_nearest_zone_speaks_and_inside_both_the_younger():
    none = _zone(-1, 0.0, 0.0)
    below, above = _zone(3, 10.0, 9.0), _zone(5, -14.0, -15.0)
    assert nearest_side(below, above, np.array([11.0])) == 1
    assert nearest_side(below, above, np.array([13.5])) == -1
    assert nearest_side(none, above, np.array([11.0])) == -1
    assert nearest_side(none, none, np.array([11.0])) == 0
    assert nearest_side(_zone(3, 10.0, 8.0), _zone(5, -9.0, -11.0), np.array([9.5])) == -1
