"""How many signals pass until an edge that is gone is found: outcomes are made up and watched.

Axes: P paths, N outcomes, K alternatives.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from scipy.special import expit

from live.drift_alarm import median_delay
from live.drift_baseline import AccuracyBefore, SlopeBefore
from live.outcome_drift import ANSWER, TestName, accuracy_bets, slope_bets
from selection.evidence import CLIP
from selection.metrics import log_odds

_PATHS: Final = 48
# Long enough before the change for the statistic to stand where it usually does.
_BEFORE: Final = 400
MOST_AFTER: Final = 4_000
_SEED: Final = 7


def random_walk_share(*, profit_atr: float, stop_atr: float) -> float:
    """Return the share of trades whose target comes before their stop by chance alone."""
    return stop_atr / (profit_atr + stop_atr)


def expected_events(
    accuracy: AccuracyBefore | str,
    slope: SlopeBefore | str,
    *,
    false_alarm_every: Mapping[TestName, float],
    chance: float,
) -> dict[TestName, float | None]:
    """Return by test about how many signals it takes to find that a model's edge is gone.

    Outcomes are drawn for what the model said out of fold: as it was believed there up to the
    change, by chance alone after it. None where half of the paths pass 4,000 outcomes without an
    alarm, or where nothing is known.

    Parameters
    ----------
    accuracy, slope : AccuracyBefore, SlopeBefore, or str
        As `live.outcome_drift.outcome_drift` takes them.
    false_alarm_every : mapping of str to float
    chance : float
        Share of trades that win where prices have no memory: `random_walk_share`.
    """
    found: dict[TestName, float | None] = {"accuracy": None, "log_loss": None}
    if isinstance(slope, str):
        return found
    rng = np.random.default_rng(_SEED)
    shape = (_PATHS, _BEFORE + MOST_AFTER)
    p_PN = rng.choice(slope.p_N, shape)
    base = float(log_odds(np.array([slope.base_rate]), CLIP)[0])
    p_won_PN = expit(base + max(slope.slope, slope.at_least) * (log_odds(p_PN, CLIP) - base))
    p_won_PN[:, _BEFORE:] = chance
    won_PN = rng.random(shape) < p_won_PN
    bets_NK = slope_bets(won_PN.ravel().astype(np.int64), p_PN.ravel(), slope)
    delay = median_delay(bets_NK.reshape(*shape, -1), _BEFORE, false_alarm_every["log_loss"])
    found["log_loss"] = None if delay is None else delay / slope.share
    if not isinstance(accuracy, str):
        right_PN = (p_PN >= ANSWER) == won_PN
        # Before, it was as often right as it is said to have been.
        right_PN[:, :_BEFORE] = rng.random((_PATHS, _BEFORE)) < accuracy.accuracy
        bets_NK = accuracy_bets(right_PN.ravel(), accuracy.at_least)
        delay = median_delay(bets_NK.reshape(*shape, -1), _BEFORE, false_alarm_every["accuracy"])
        found["accuracy"] = None if delay is None else delay / slope.share
    return found
