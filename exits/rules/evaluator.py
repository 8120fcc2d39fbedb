"""Hold against exit (docs/evaluator.md): the factors of a position, their points, the decision."""

from typing import Any

from exits.rules.compiled import rule
from exits.rules.evaluator_table import (
    CLOSE,
    FIRST_TIER,
    HOLD,
    N_FACTORS,
    N_FRACTIONS,
    N_HOLD,
    N_TIERS,
    PARTIAL_CLOSE,
)


@rule
def factors(
    table: Any,
    regime_off: int,
    atr_ratio: float,
    momentum_atr: float,
    entry_confidence: float,
    latest_confidence: float,
    age: int,
    r: float,
    peak_r: float,
    given_back: float,
) -> int:
    """Return which factors hold: bit k is set where ``FACTORS[k]`` does. NaN speaks for nothing."""
    had_profit = peak_r >= table.peak_min_r
    holds = (
        regime_off == 0,
        atr_ratio > table.volatility_expanding_above,
        momentum_atr >= table.momentum_min_atr,
        entry_confidence >= table.confidence_high_from,
        age <= table.fresh_bars,
        had_profit and given_back <= table.near_peak_given_back,
        regime_off != 0,
        atr_ratio < table.volatility_contracting_below,
        entry_confidence - latest_confidence >= table.confidence_drop,
        age >= table.old_bars,
        had_profit and given_back >= table.off_peak_given_back,
    )
    found = 0
    for k in range(FIRST_TIER):
        if holds[k]:
            found |= 1 << k
    for tier in range(N_TIERS):
        if r > table.r_above[tier]:
            found |= 1 << (FIRST_TIER + tier)
            break
    return found


@rule
def scores(table: Any, found: int) -> tuple[float, float]:
    """Return the points of the factors found: for holding, and for an exit."""
    hold = 0.0
    leave = 0.0
    for k in range(N_FACTORS):
        if found >> k & 1:
            if k < N_HOLD:
                hold += table.points[k]
            else:
                leave += table.points[k]
    return hold, leave


@rule
def evaluate(
    table: Any, regime_off: int, atr_ratio: float, momentum_atr: float, entry_confidence: float,
    latest_confidence: float, age: int, r: float, peak_r: float, given_back: float,
    bars_since_partial: float, share_left: float, min_share: float,
) -> tuple[int, float, float, float]:  # fmt: skip
    """Decide about one open position at the close of a bar.

    Parameters
    ----------
    table : record of EVALUATOR
    regime_off : int
        Closes in a row in another regime than the signal bar's; 0: it is intact.
    atr_ratio : float
        ATR of the bar / ATR of the signal bar.
    momentum_atr : float
        side x (close - close ``table.momentum_bars`` bars before) / ATR; NaN where there are fewer.
    entry_confidence : float
    latest_confidence : float
        Of the latest signal since the entry, from the position's side: of a signal against it
        1 - its confidence. NaN where there was none.
    age : int
        Bars since the entry bar, which counts 1.
    r, peak_r, given_back : float
        As in docs/replay_rules.md.
    bars_since_partial : float
        Since it last decided on a partial; infinite where it never did.
    share_left, min_share : float
        What is left, and the least that is worth an order, as shares of the original position.

    Returns
    -------
    action : int
        HOLD, PARTIAL_CLOSE or CLOSE.
    fraction : float
        Of what is left: 0 to hold, 1 to close.
    hold, leave : float
        Points for holding, and for an exit.
    """
    position = (regime_off, atr_ratio, momentum_atr, entry_confidence, latest_confidence, age, r)
    found = factors(table, *position, peak_r, given_back)
    hold, leave = scores(table, found)
    difference = leave - hold
    if r > table.close_at_r or difference > table.close_margin:
        return CLOSE, 1.0, hold, leave
    if difference < table.partial_margin or bars_since_partial < table.cooldown_bars:
        return HOLD, 0.0, hold, leave
    step = min(int(difference - table.partial_margin), N_FRACTIONS - 1)
    fraction = table.fractions[step]
    taken = fraction * share_left
    if taken < min_share or share_left - taken < min_share:
        return HOLD, 0.0, hold, leave
    return PARTIAL_CLOSE, fraction, hold, leave
