"""Columns of a market small enough to follow by eye."""

import numpy as np
import pytest

from market.bars import Bars
from market.features.smc import SmcFeatures

HOUR = np.timedelta64(3_600_000_000, "us")
# The high of bar 1 is a swing once bar 2 is there, the low of bar 2 once bar 3 is. Bar 4 closes
# above 12: a break. Its block is bar 2, from 10 to 11.9, and bar 4 leaves a gap above it. Bar 5
# comes back to 11.8 and closes 1.5 above the block. Bar 6 closes below 10: the trend turns.
MARKET = [
    (10.0, 10.5, 10.0, 10.2),
    (10.2, 12.0, 10.1, 11.8),
    (11.8, 11.9, 10.0, 10.2),
    (10.2, 11.5, 10.1, 11.4),
    (12.2, 14.0, 12.0, 13.5),
    (13.5, 13.6, 11.8, 13.4),
    (13.4, 13.4, 9.0, 9.5),
]


def columns(market):
    prices = np.array(market).T
    start_T = np.datetime64("2020-01-01", "us") + np.arange(len(market)) * HOUR
    features = SmcFeatures(
        swing_length=1,
        atr_bars=5,
        rsi_bars=5,
        ema_bars=5,
        trend_bars=5,
        zscore_bars=5,
        max_age_bars=20,
        block_lookback_bars=5,
        displacement_atr=1.0,
        gap_atr=0.0,
        commitment_atr=0.5,
        bounce_atr=0.5,
        rsi_overbought=70.0,
    )
    state = features.state(Bars("SEVEN", start_T, *prices, np.ones(len(market)), HOUR))
    return state.columns, state.atr_T


def test_a_break_makes_a_block_of_the_last_falling_candle():
    x, atr_T = columns(MARKET)
    assert x["OB_Bullish"].tolist() == [0, 0, 0, 0, 1, 1, 0]
    assert x["OB_Size_ATR"][4] == pytest.approx(1.9 / atr_T[4])
    assert x["OB_Displacement_ATR"][5] == pytest.approx(3.3 / atr_T[4])
    assert x["OB_Age"][4:6].tolist() == [0, 1]
    assert x["OB_BOS_Context"][4:6].tolist() == [1, 1]
    assert x["OB_Clean_Formation"][4] == 1
    assert x["OB_Bullish_Valid"][4] == 1


def test_a_return_mitigates_the_block_and_the_close_shows_the_bounce():
    x, atr_T = columns(MARKET)
    assert x["OB_Mitigated"][4:6].tolist() == [0, 1]
    assert x["OB_Mitigated_And_Bounced"][4:6].tolist() == [0, 1]
    assert x["OB_Bounce_Quality"][5] == pytest.approx(1.5 / atr_T[5] / 2.0)


def test_a_gap_counts_for_the_block_only_if_the_move_away_left_it():
    x, _ = columns(MARKET)
    assert x["OB_Has_FVG"][4] == 1
    # Bar 3 now opens a gap over the falling candle itself, bar 4 opens none.
    spanning = [*MARKET[:1], (10.2, 10.4, 10.1, 10.3), (11.0, 12.1, 10.2, 10.5)]
    spanning += [(10.5, 11.0, 10.45, 10.9), (10.9, 14.0, 10.8, 13.5)]
    x, _ = columns([(9.0, 13.0, 9.0, 9.5), *spanning])
    assert x["FVG_Bullish"][-2] == 1
    assert x["OB_Bullish"][-1] == 1
    assert x["OB_Has_FVG"][-1] == 0


def test_a_gap_tells_its_depth_and_how_far_the_close_is_above_it():
    # Bar 4 opens a gap from 11.9 to 12, bar 5 fills it and opens another, bar 6 fills that one.
    x, atr_T = columns(MARKET)
    assert x["FVG_Bullish"].tolist() == [0, 0, 0, 0, 1, 1, 0]
    assert x["FVG_Depth_ATR"][5] == pytest.approx(0.3 / atr_T[5])
    assert x["FVG_Depth_ATR"][4] == pytest.approx(0.1 / atr_T[4])
    assert x["FVG_Distance_to_Price_ATR"][4] == pytest.approx((13.5 - 11.95) / atr_T[4])


def test_a_first_break_is_no_change_of_character_and_the_opposite_one_is():
    x, atr_T = columns(MARKET)
    assert x["BOS_Close_Confirm"].tolist() == [0, 0, 0, 0, 1, 1, -1]
    assert x["ChoCH_Detected"].tolist() == [0, 0, 0, 0, 0, 0, 1]
    assert x["ChoCH_Direction"].tolist() == [0, 0, 0, 0, 0, 0, -1]
    assert x["BOS_Dist_ATR"][5] == pytest.approx(1.4 / atr_T[5])
    assert x["BOS_Dist_ATR"][6] == pytest.approx(-0.5 / atr_T[6])
    # Bar 4 closed 1.5 beyond its level, bar 6 only 0.5: less than half an ATR.
    assert x["BOS_Commitment_Flag"].tolist() == [0, 0, 0, 0, 1, 1, 0]
