"""The features: name, meaning, range and frame of each, in column order.

Documentation, range checks and the assembly of rows all read this one table.

Frames
------
bar
    Says something about the bar; the same for a long and a short event.
trade
    Signed by the event's direction: positive speaks for the trade, whichever way it goes.
agrees
    1 where a direction found in the bars is the event's own, else 0.
"""

from dataclasses import dataclass
from typing import Literal

MAX_DISTANCE_ATR = 20.0
MAX_ZSCORE = 10.0
MAX_ATR_PCT = 100.0


@dataclass(frozen=True, slots=True)
class Feature:
    """One column: what it means and the closed range [low, high] it stays in."""

    name: str
    meaning: str
    low: float
    high: float
    frame: Literal["bar", "trade", "agrees"] = "bar"


def _flag(name: str, meaning: str) -> Feature:
    return Feature(name, meaning, 0.0, 1.0)


def _agrees(name: str, meaning: str) -> Feature:
    return Feature(name, meaning, 0.0, 1.0, "agrees")


def _atr(name: str, meaning: str) -> Feature:
    return Feature(name, meaning, 0.0, MAX_DISTANCE_ATR)


def _zscore(name: str, meaning: str, frame: Literal["bar", "trade", "agrees"] = "bar") -> Feature:
    return Feature(name, meaning, -MAX_ZSCORE, MAX_ZSCORE, frame)


FEATURES: tuple[Feature, ...] = (
    Feature("atr", "Average true range, percent of the close", 0.0, MAX_ATR_PCT),
    _flag("OB_Bullish", "The order block nearest to the price is bullish"),
    _flag("OB_Bearish", "The order block nearest to the price is bearish"),
    _atr("OB_Size_ATR", "Height of the nearest order block, in ATR"),
    _atr("OB_Displacement_ATR", "Move from the block's close to the break's, in ATR of then"),
    _zscore(
        "OB_Displacement_Mag_ZScore",
        "Body of the bar that broke structure, in the block's direction, as a trailing z-score",
    ),
    _flag("OB_Body_Fuzzy_Score", "The block's candle is mostly body: 0.2 to 0.8 of its range"),
    _flag("OB_Displacement_Fuzzy_Score", "The displacement was large: 1 to 4 ATR"),
    _flag(
        "OB_Quality_Fuzzy", "Mean of body score, displacement score, OB_Has_FVG, OB_Clean_Formation"
    ),
    Feature("OB_Age", "Bars since the block became known", 0.0, float("inf")),
    _flag("OB_Mitigated", "The price has traded back into the block"),
    _flag("OB_Has_FVG", "The displacement left a three-bar gap behind"),
    _flag("OB_Mitigated_And_Bounced", "Mitigated, and a close since lies beyond it by bounce_atr"),
    _flag("OB_Bounce_Quality", "How far closes have bounced off the block since: 0 to 2 ATR"),
    _flag("OB_Clean_Formation", "The displacement never traded beyond the block's far edge"),
    _agrees("OB_EMA_Aligned", "A block lives, and the close is on the trade's side of the EMA"),
    _agrees("OB_RSI_Valid", "A block lives, and the RSI leaves room in the trade's direction"),
    _flag("OB_BOS_Context", "The block was made by a break that continued the trend"),
    _flag("OB_ChoCH_Context", "The block was made by a break that turned the trend"),
    _flag("FVG_Bullish", "The fair value gap nearest to the price is bullish"),
    _flag("FVG_Bearish", "The fair value gap nearest to the price is bearish"),
    _atr("FVG_Depth_ATR", "Height of the nearest gap, in ATR"),
    Feature(
        "FVG_Distance_to_Price_ATR",
        "Close less the middle of the nearest gap, in ATR: positive above the gap",
        -MAX_DISTANCE_ATR,
        MAX_DISTANCE_ATR,
    ),
    _flag("FVG_Size_Fuzzy_Score", "The gap is large: 0 to 1 ATR"),
    _flag("FVG_Quality_Fuzzy", "Mean of size score, freshness and not being mitigated"),
    _flag("FVG_Mitigated", "The price has traded into the gap"),
    _agrees(
        "BOS_Wick_Confirm", "The latest swing level traded through lay in the trade's direction"
    ),
    _agrees("BOS_Close_Confirm", "The latest swing level closed through lay in its direction"),
    _agrees(
        "BOS_Commitment_Flag", "As BOS_Close_Confirm, and the close went commitment_atr beyond"
    ),
    Feature(
        "BOS_Dist_ATR",
        "Close beyond the latest broken level, in ATR, in the trade's direction",
        -MAX_DISTANCE_ATR,
        MAX_DISTANCE_ATR,
        "trade",
    ),
    _flag("ChoCH_Detected", "The latest break turned the trend"),
    Feature(
        "ChoCH_Direction", "Direction of the latest turn of the trend, 0 if long ago", -1.0, 1.0
    ),
    Feature(
        "Trend_Bias_Indicator",
        "Mean of the structure's direction and the close's distance from the EMA (full at 3 ATR)",
        -1.0,
        1.0,
    ),
    Feature("RSI", "Relative strength index (Wilder)", 0.0, 100.0),
    Feature("RSI_Normalized", "(RSI - 50) / 50 in the trade's direction", -1.0, 1.0, "trade"),
    _zscore("ATR_ZScore", "ATR in percent, as a trailing z-score"),
    Feature(
        "Trend_Strength",
        "Net move over way travelled (efficiency ratio), in the trade's direction",
        -1.0,
        1.0,
        "trade",
    ),
    _flag("Trend_Strength_Fuzzy", "The move was efficient, either way: 0.05 to 0.5"),
    _flag("OB_Bullish_Valid", "A bullish block lives and the structure points up"),
    _flag("OB_Bearish_Valid", "A bearish block lives and the structure points down"),
    _flag("FVG_Bullish_Valid", "A bullish gap lives and the structure points up"),
    _flag("FVG_Bearish_Valid", "A bearish gap lives and the structure points down"),
    _flag("Bullish_Trend_Fuzzy", "Trend_Bias_Indicator where positive"),
    _flag("Bearish_Trend_Fuzzy", "Trend_Bias_Indicator where negative, sign dropped"),
    _flag("Overbought_Fuzzy", "RSI from 60 to 80"),
    _flag("Oversold_Fuzzy", "RSI from 40 down to 20"),
    Feature("TBM_Entry", "The event's direction: +1 long, -1 short", -1.0, 1.0),
    Feature("TBM_Risk_Per_Trade_ATR", "Stop distance in ATR: constant", 0.0, float("inf")),
    Feature("TBM_Reward_Per_Trade_ATR", "Profit distance in ATR: constant", 0.0, float("inf")),
    _zscore("OB_Displacement_ATR_ZScore", "OB_Displacement_ATR as a trailing z-score"),
    _zscore(
        "Displacement_Mag_ZScore",
        "Body of the event's bar in ATR as a trailing z-score, in the trade's direction",
        "trade",
    ),
    _zscore("OB_Size_ATR_ZScore", "OB_Size_ATR as a trailing z-score"),
    _zscore("FVG_Depth_ATR_ZScore", "FVG_Depth_ATR as a trailing z-score"),
    _zscore("FVG_Distance_to_Price_ATR_ZScore", "FVG_Distance_to_Price_ATR as a trailing z-score"),
    _zscore(
        "BOS_Dist_ATR_ZScore",
        "Close above the latest broken level as a trailing z-score, in the trade's direction",
        "trade",
    ),
    _zscore("Trend_Bias_Indicator_ZScore", "Trend_Bias_Indicator as a trailing z-score"),
    Feature("Distance_to_Entry_ATR", "Entry is the next open: 0 by construction", 0.0, 0.0),
)

FEATURE_NAMES: tuple[str, ...] = tuple(feature.name for feature in FEATURES)


_PAGE = """\
# The 57 features

Every value is known at the close of its event's bar: cut the bars anywhere, and no row up to the
cut changes. A swing is known only `swing_length` bars after it happened; order blocks and breaks of
structure rest on swings that were confirmed by then. Libraries that mark a swing on its own bar
show blocks and breaks that nobody could have traded. Z-scores look back over a trailing window that
includes the event's bar; fuzzy scores are fixed memberships, nothing is fitted.

With fixed barrier multiples `TBM_Risk_Per_Trade_ATR`, `TBM_Reward_Per_Trade_ATR` and
`Distance_to_Entry_ATR` are constant; they keep their places because the reference system has them.

Frame `bar` says something about the bar, whatever the trade. Frame `trade` is signed by the event's
direction: positive speaks for the trade. Frame `agrees` is 1 where a direction found in the bars is
the event's own.

"""


def markdown_page() -> str:
    """Return the catalogue as the page ``docs/features.md``."""
    lines = [_PAGE + "| feature | range | frame | meaning |", "|---|---|---|---|"]
    for f in FEATURES:
        lines.append(f"| `{f.name}` | [{f.low:g}, {f.high:g}] | {f.frame} | {f.meaning} |")
    return "\n".join(lines) + "\n"
