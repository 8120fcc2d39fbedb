"""What the evaluator counts, and its table of points as a record that compiled rules read."""

import numpy as np

# Factors that speak for holding, then those for an exit; a factor's code is its place.
HOLD_FACTORS = (
    "regime_intact",
    "volatility_expanding",
    "momentum_with",
    "confidence_high",
    "fresh",
    "near_peak",
)
EXIT_FACTORS = (
    "regime_changed",
    "volatility_contracting",
    "confidence_degraded",
    "old",
    "off_peak",
)
# How much profit is there to lose, from the highest tier down; of these one counts at most.
R_TIERS = ("r_tier_1", "r_tier_2", "r_tier_3", "r_tier_4")
FACTORS = (*HOLD_FACTORS, *EXIT_FACTORS, *R_TIERS)
N_HOLD, N_TIERS, N_FACTORS = len(HOLD_FACTORS), len(R_TIERS), len(FACTORS)
FIRST_TIER = N_FACTORS - N_TIERS

ACTIONS = ("HOLD", "PARTIAL_CLOSE", "CLOSE")
HOLD, PARTIAL_CLOSE, CLOSE = range(len(ACTIONS))

N_FRACTIONS = 4

EVALUATOR = np.dtype(
    [
        ("points", "f8", (N_FACTORS,)),
        ("r_above", "f8", (N_TIERS,)),
        ("fractions", "f8", (N_FRACTIONS,)),  # for partial_margin, and each point more
        *((name, "f8") for name in ("close_margin", "partial_margin", "close_at_r")),
        *((name, "f8") for name in ("volatility_expanding_above", "volatility_contracting_below")),
        *((name, "f8") for name in ("momentum_min_atr", "confidence_high_from")),
        *((name, "f8") for name in ("confidence_drop", "peak_min_r")),
        *((name, "f8") for name in ("near_peak_given_back", "off_peak_given_back")),
        *((name, "i8") for name in ("momentum_bars", "fresh_bars", "old_bars", "cooldown_bars")),
    ]
)
