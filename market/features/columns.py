"""Features per bar, from the readings: one function per family.

Axes: T bars. Columns of the frame "trade" are as for a long event; columns of the frame "agrees"
hold the direction found (+1, -1, 0, or `BOTH`).
"""

import numpy as np

from market.bars import FloatArray
from market.compiled import BoolArray, SignArray
from market.features import fuzzy
from market.features.catalogue import MAX_ATR_PCT, MAX_DISTANCE_ATR, MAX_ZSCORE
from market.features.fuzzy import ramp
from market.features.indicators import trailing_zscore
from market.features.readings import Readings, Side, recall

Columns = dict[str, FloatArray]

BOTH = 2.0


def bar_columns(
    readings: Readings,
    *,
    zscore_bars: int,
    max_age_bars: int,
    commitment_atr: float,
    bounce_atr: float,
    rsi_overbought: float,
) -> Columns:
    """Return every column that needs no label, by name."""
    columns = {
        **_block_columns(readings, bounce_atr, rsi_overbought),
        **_gap_columns(readings, max_age_bars),
        **_break_columns(readings, max_age_bars, commitment_atr),
        **_momentum_columns(readings),
    }
    columns["Displacement_Mag_ZScore"] = readings.body_z_T
    columns["ATR_ZScore"] = trailing_zscore(columns["atr"], zscore_bars, MAX_ZSCORE)
    for name in (
        "OB_Displacement_ATR",
        "OB_Size_ATR",
        "FVG_Depth_ATR",
        "FVG_Distance_to_Price_ATR",
        "BOS_Dist_ATR",
        "Trend_Bias_Indicator",
    ):
        columns[f"{name}_ZScore"] = trailing_zscore(columns[name], zscore_bars, MAX_ZSCORE)
    return columns


def _pick(side_T: SignArray, bullish: Columns, bearish: Columns) -> Columns:
    """Take each column from the side given per bar; 0 where there is none."""
    return {
        name: np.where(side_T > 0, bullish[name], np.where(side_T < 0, bearish[name], 0.0))
        for name in bullish
    }


def _block_columns(readings: Readings, bounce_atr: float, rsi_overbought: float) -> Columns:
    side_T = readings.block_side_T()
    columns = _pick(
        side_T,
        _blocks_of(readings.bullish, readings, readings.body_z_T, bounce_atr),
        _blocks_of(readings.bearish, readings, -readings.body_z_T, bounce_atr),
    )
    columns["OB_Body_Fuzzy_Score"] = ramp(columns.pop("body_share"), fuzzy.BLOCK_BODY_SHARE) * (
        side_T != 0
    )
    columns["OB_Displacement_Fuzzy_Score"] = ramp(
        columns["OB_Displacement_ATR"], fuzzy.BLOCK_DISPLACEMENT_ATR
    )
    columns["OB_Quality_Fuzzy"] = 0.25 * (
        columns["OB_Body_Fuzzy_Score"]
        + columns["OB_Displacement_Fuzzy_Score"]
        + columns["OB_Has_FVG"]
        + columns["OB_Clean_Formation"]
    )
    room_T = np.where(
        readings.rsi_T >= rsi_overbought,
        -1.0,
        np.where(readings.rsi_T <= 100.0 - rsi_overbought, 1.0, BOTH),
    )
    trend_T = readings.structure.trend_T
    return columns | {
        "OB_Bullish": _flag(side_T > 0),
        "OB_Bearish": _flag(side_T < 0),
        "OB_EMA_Aligned": np.where(side_T != 0, np.sign(readings.close_T - readings.ema_T), 0.0),
        "OB_RSI_Valid": np.where(side_T != 0, room_T, 0.0),
        "OB_Bullish_Valid": _flag(readings.bullish.blocks.zones.live_T & (trend_T > 0)),
        "OB_Bearish_Valid": _flag(readings.bearish.blocks.zones.live_T & (trend_T < 0)),
    }


def _blocks_of(side: Side, readings: Readings, body_z_T: FloatArray, bounce_atr: float) -> Columns:
    """Describe one side's live block; where none lives, the values mean nothing."""
    prices, blocks, zones = side.prices, side.blocks, side.blocks.zones
    formed_T = np.maximum(zones.formed_T, 0)
    candle_T = np.maximum(blocks.candle_T, 0)
    height_T = zones.top_T - zones.bottom_T
    body_T = prices.open_T[candle_T] - prices.close_T[candle_T]
    move_T = prices.close_T[formed_T] - prices.close_T[candle_T]
    gaps_T = np.cumsum(side.gap_T)
    # A gap at bar k spans k-1: the first one after the candle itself ends two bars later.
    gaps_left_T = gaps_T[formed_T] - gaps_T[np.minimum(candle_T + 1, formed_T)]
    bounce_T = blocks.bounce_T / readings.atr_T
    mitigated_T = zones.touched_T >= 0
    choch_T = readings.structure.choch_T[formed_T]
    return {
        "OB_Size_ATR": _atr(height_T, readings.atr_T),
        "OB_Displacement_ATR": _atr(move_T, readings.atr_T[formed_T]),
        "OB_Displacement_Mag_ZScore": body_z_T[formed_T],
        "body_share": body_T / np.maximum(height_T, np.finfo(np.float64).tiny),
        "OB_Age": (np.arange(len(formed_T)) - formed_T).astype(np.float64),
        "OB_Mitigated": _flag(mitigated_T),
        "OB_Has_FVG": _flag(gaps_left_T > 0),
        "OB_Mitigated_And_Bounced": _flag(mitigated_T & (bounce_T >= bounce_atr)),
        "OB_Bounce_Quality": ramp(bounce_T, fuzzy.BOUNCE_ATR),
        "OB_Clean_Formation": _flag(blocks.clean_T),
        "OB_BOS_Context": _flag(~choch_T),
        "OB_ChoCH_Context": _flag(choch_T),
    }


def _gap_columns(readings: Readings, max_age_bars: int) -> Columns:
    side_T = readings.gap_side_T()
    bullish = _gaps_of(readings.bullish, readings.atr_T, max_age_bars)
    bearish = _gaps_of(readings.bearish, readings.atr_T, max_age_bars)
    columns = _pick(side_T, bullish, bearish)
    columns["FVG_Distance_to_Price_ATR"] = columns.pop("distance_atr") * side_T
    columns["FVG_Size_Fuzzy_Score"] = ramp(columns["FVG_Depth_ATR"], fuzzy.GAP_DEPTH_ATR)
    fresh_T = columns.pop("freshness") + (side_T != 0) - columns["FVG_Mitigated"]
    trend_T = readings.structure.trend_T
    return columns | {
        "FVG_Quality_Fuzzy": (columns["FVG_Size_Fuzzy_Score"] + fresh_T) / 3.0,
        "FVG_Bullish": _flag(side_T > 0),
        "FVG_Bearish": _flag(side_T < 0),
        "FVG_Bullish_Valid": _flag(readings.bullish.gaps.live_T & (trend_T > 0)),
        "FVG_Bearish_Valid": _flag(readings.bearish.gaps.live_T & (trend_T < 0)),
    }


def _gaps_of(side: Side, atr_T: FloatArray, max_age_bars: int) -> Columns:
    """Describe one side's live gap; where none lives, the values mean nothing."""
    gaps = side.gaps
    middle_T = 0.5 * (gaps.top_T + gaps.bottom_T)
    age_T = np.arange(len(atr_T)) - gaps.formed_T
    return {
        "FVG_Depth_ATR": _atr(gaps.top_T - gaps.bottom_T, atr_T),
        "distance_atr": _atr(side.prices.close_T - middle_T, atr_T),
        "freshness": np.clip(1.0 - age_T / max_age_bars, 0.0, 1.0),
        "FVG_Mitigated": _flag(gaps.touched_T >= 0),
    }


def _break_columns(readings: Readings, max_age_bars: int, commitment_atr: float) -> Columns:
    structure, close_T, atr_T = readings.structure, readings.close_T, readings.atr_T
    broke_T = structure.break_T != 0
    turned_T = structure.choch_T
    side_T = structure.break_T.astype(np.float64)
    level_T = np.where(broke_T, structure.level_T, 0.0)
    beyond_T = np.where(broke_T, np.abs(close_T - level_T), 0.0)
    committed_T = np.where(beyond_T >= commitment_atr * atr_T, side_T, 0.0)
    known_T = recall(np.ones(len(side_T)), broke_T, max_age_bars)
    distance_T = _atr(close_T - recall(level_T, broke_T, max_age_bars), atr_T)
    return {
        "BOS_Wick_Confirm": recall(
            structure.wick_T.astype(np.float64), structure.wick_T != 0, max_age_bars
        ),
        "BOS_Close_Confirm": recall(side_T, broke_T, max_age_bars),
        "BOS_Commitment_Flag": recall(committed_T, broke_T, max_age_bars),
        "BOS_Dist_ATR": distance_T * known_T,
        "ChoCH_Detected": recall(turned_T.astype(np.float64), broke_T, max_age_bars),
        "ChoCH_Direction": recall(side_T, turned_T, max_age_bars),
    }


def _momentum_columns(readings: Readings) -> Columns:
    rsi_T, bias_T = readings.rsi_T, readings.bias_T
    atr_pct_T = 100.0 * readings.atr_T / readings.close_T
    return {
        "atr": np.minimum(atr_pct_T, MAX_ATR_PCT),
        "Trend_Bias_Indicator": bias_T,
        "RSI": rsi_T,
        "RSI_Normalized": (rsi_T - 50.0) / 50.0,
        "Trend_Strength": readings.efficiency_T,
        "Trend_Strength_Fuzzy": ramp(np.abs(readings.efficiency_T), fuzzy.TREND_STRENGTH),
        "Bullish_Trend_Fuzzy": np.maximum(bias_T, 0.0),
        "Bearish_Trend_Fuzzy": np.maximum(-bias_T, 0.0),
        "Overbought_Fuzzy": ramp(rsi_T, fuzzy.OVERBOUGHT_RSI),
        "Oversold_Fuzzy": ramp(rsi_T, fuzzy.OVERSOLD_RSI),
    }


def _atr(distance_T: FloatArray, atr_T: FloatArray) -> FloatArray:
    return np.clip(distance_T / atr_T, -MAX_DISTANCE_ATR, MAX_DISTANCE_ATR)


def _flag(holds_T: BoolArray) -> FloatArray:
    return holds_T.astype(np.float64)
