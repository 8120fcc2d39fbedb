"""The 57 columns: names, ranges, and what they may depend on."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from market.bars import Bars
from market.events import EveryBar
from market.features.catalogue import FEATURE_NAMES, FEATURES, markdown_page
from market.features.smc import SmcFeatures

CONF = Path(__file__).parents[2] / "conf"

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
SMC = SmcFeatures(**SETTINGS)
NAMES = [
    "atr",
    "OB_Bullish",
    "OB_Bearish",
    "OB_Size_ATR",
    "OB_Displacement_ATR",
    "OB_Displacement_Mag_ZScore",
    "OB_Body_Fuzzy_Score",
    "OB_Displacement_Fuzzy_Score",
    "OB_Quality_Fuzzy",
    "OB_Age",
    "OB_Mitigated",
    "OB_Has_FVG",
    "OB_Mitigated_And_Bounced",
    "OB_Bounce_Quality",
    "OB_Clean_Formation",
    "OB_EMA_Aligned",
    "OB_RSI_Valid",
    "OB_BOS_Context",
    "OB_ChoCH_Context",
    "FVG_Bullish",
    "FVG_Bearish",
    "FVG_Depth_ATR",
    "FVG_Distance_to_Price_ATR",
    "FVG_Size_Fuzzy_Score",
    "FVG_Quality_Fuzzy",
    "FVG_Mitigated",
    "BOS_Wick_Confirm",
    "BOS_Close_Confirm",
    "BOS_Commitment_Flag",
    "BOS_Dist_ATR",
    "ChoCH_Detected",
    "ChoCH_Direction",
    "Trend_Bias_Indicator",
    "RSI",
    "RSI_Normalized",
    "ATR_ZScore",
    "Trend_Strength",
    "Trend_Strength_Fuzzy",
    "OB_Bullish_Valid",
    "OB_Bearish_Valid",
    "FVG_Bullish_Valid",
    "FVG_Bearish_Valid",
    "Bullish_Trend_Fuzzy",
    "Bearish_Trend_Fuzzy",
    "Overbought_Fuzzy",
    "Oversold_Fuzzy",
    "TBM_Entry",
    "TBM_Risk_Per_Trade_ATR",
    "TBM_Reward_Per_Trade_ATR",
    "OB_Displacement_ATR_ZScore",
    "Displacement_Mag_ZScore",
    "OB_Size_ATR_ZScore",
    "FVG_Depth_ATR_ZScore",
    "FVG_Distance_to_Price_ATR_ZScore",
    "BOS_Dist_ATR_ZScore",
    "Trend_Bias_Indicator_ZScore",
    "Distance_to_Entry_ATR",
]


def rows(bars, direction=1, features=SMC):
    """Every bar's row from the first on, all in one direction."""
    bar_N = np.arange(len(bars))
    direction_N = np.full(len(bars), direction, dtype=np.int8)
    return features.rows(features.state(bars), bar_N, direction_N, stop_atr=2.0, profit_atr=3.0)


def column(x_NF, name):
    return x_NF[:, FEATURE_NAMES.index(name)]


def scaled(bars, factor):
    return dataclasses.replace(
        bars,
        **{name: getattr(bars, name) * factor for name in ("open_T", "high_T", "low_T", "close_T")},
    )


def straight(step, n_bars=60):
    close_T = 100.0 + step * np.arange(n_bars)
    start_T = np.datetime64("2020-01-01", "us") + np.arange(n_bars) * np.timedelta64(1, "h")
    return Bars(
        "LINE",
        start_T,
        close_T - step,
        close_T + abs(step),
        close_T - abs(step),
        close_T,
        np.zeros(n_bars),
        np.timedelta64(3_600_000_000, "us"),
    )


def test_there_are_57_columns_in_the_agreed_order():
    assert list(SMC.names) == NAMES
    assert len(set(NAMES)) == 57
    page = Path(__file__).parents[2] / "docs" / "features.md"
    assert page.read_text(encoding="utf-8") == markdown_page()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), n_bars=st.integers(0, 200), direction=st.sampled_from([-1, 1]))
def test_every_column_is_finite_and_within_its_documented_range(
    random_bars, seed, n_bars, direction
):
    x_NF = rows(random_bars(seed, n_bars), direction)
    assert np.isfinite(x_NF).all()
    for f, feature in enumerate(FEATURES):
        assert ((x_NF[:, f] >= feature.low) & (x_NF[:, f] <= feature.high)).all(), feature.name


@pytest.mark.parametrize("step", [0.0, 0.01, -0.01, 1.5])
def test_flat_and_straight_markets_give_finite_rows(step):
    assert np.isfinite(rows(straight(step))).all()


def test_a_crash_a_hundredfold_and_back_gives_finite_rows(random_bars):
    bars = random_bars(1, 120)
    crash_T = np.where((np.arange(120) > 50) & (np.arange(120) < 80), 0.01, 1.0)
    x_NF = rows(scaled(bars, crash_T))
    assert np.isfinite(x_NF).all()
    assert column(x_NF, "atr").max() == 100.0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), factor=st.sampled_from([2.0**-13, 0.037, 3.7, 2.0**9]))
def test_the_price_scale_changes_no_column(random_bars, seed, factor):
    bars = random_bars(3 * seed + 1, 150)
    np.testing.assert_allclose(rows(scaled(bars, factor)), rows(bars), rtol=1e-6, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_a_market_upside_down_breaks_and_touches_the_other_way(random_bars, seed):
    bars = random_bars(seed, 150)
    top = bars.high_T.max() + 64.0
    flipped = dataclasses.replace(
        bars,
        open_T=top - bars.open_T,
        high_T=top - bars.low_T,
        low_T=top - bars.high_T,
        close_T=top - bars.close_T,
    )
    state, mirrored = SMC.state(bars), SMC.state(flipped)
    np.testing.assert_array_equal(mirrored.break_T, -state.break_T)
    np.testing.assert_allclose(mirrored.bias_T, -state.bias_T, atol=1e-9)
    for name in ("RSI_Normalized", "BOS_Dist_ATR", "FVG_Distance_to_Price_ATR"):
        np.testing.assert_allclose(mirrored.columns[name], -state.columns[name], atol=1e-6)


def test_a_rising_market_speaks_for_longs_and_against_shorts():
    long_NF, short_NF = rows(straight(1.0), 1)[20:], rows(straight(1.0), -1)[20:]
    for name in ("RSI_Normalized", "Trend_Strength"):
        assert (column(long_NF, name) == 1.0).all()
        assert (column(short_NF, name) == -1.0).all()
    assert (column(long_NF, "RSI") == column(short_NF, "RSI")).all()
    assert (column(short_NF, "Bullish_Trend_Fuzzy") > 0).all()
    assert (column(short_NF, "TBM_Entry") == -1.0).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_a_direction_that_agrees_with_a_long_never_agrees_with_a_short(random_bars, seed):
    bars = random_bars(seed, 150)
    long_NF, short_NF = rows(bars, 1), rows(bars, -1)
    for name in ("BOS_Wick_Confirm", "BOS_Close_Confirm", "BOS_Commitment_Flag", "OB_EMA_Aligned"):
        assert (column(long_NF, name) * column(short_NF, name) == 0).all(), name
    lives_N = column(long_NF, "OB_Bullish") + column(long_NF, "OB_Bearish")
    room_N = np.maximum(column(long_NF, "OB_RSI_Valid"), column(short_NF, "OB_RSI_Valid"))
    np.testing.assert_array_equal(room_N, lives_N)


def test_columns_of_an_absent_zone_are_zero(random_bars):
    x_NF = rows(random_bars(1, 60))
    for prefix in ("OB", "FVG"):
        none_N = column(x_NF, f"{prefix}_Bullish") + column(x_NF, f"{prefix}_Bearish") == 0
        assert none_N.any()
        for name in NAMES:
            if name.startswith(prefix) and not name.endswith(("_ZScore", "_Valid")):
                assert (column(x_NF, name)[none_N] == 0).all(), name


def test_the_trade_columns_repeat_the_barriers(random_bars):
    x_NF = rows(random_bars(1, 60))
    assert (column(x_NF, "TBM_Risk_Per_Trade_ATR") == 2.0).all()
    assert (column(x_NF, "TBM_Reward_Per_Trade_ATR") == 3.0).all()
    assert (column(x_NF, "Distance_to_Entry_ATR") == 0.0).all()


def test_bars_shorter_than_the_warm_up_give_no_event(random_bars):
    for n_bars in (0, 1, SMC.warmup_bars):
        bar_N, direction_N = EveryBar().find(SMC.state(random_bars(1, n_bars)))
        assert len(bar_N) == len(direction_N) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("swing_length", 0), ("zscore_bars", 1), ("gap_atr", -0.1), ("rsi_overbought", 50.0)],
)
def test_an_argument_out_of_range_is_named_with_its_value(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .*{value}"):
        SmcFeatures(**SETTINGS | {name: value})


def test_the_shipped_configuration_names_every_argument():
    conf = OmegaConf.to_container(OmegaConf.load(CONF / "features/smc.yaml"))
    assert conf.pop("kind") == "smc"
    assert SmcFeatures(**conf).warmup_bars == 250
