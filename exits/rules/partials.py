"""Targets and partials: where they lie, how much they close, and when a delayed one is ordered."""

from typing import Any

from exits.rules.compiled import rule
from exits.rules.numbers import rounded


@rule
def target_price(p: Any, s: Any, k: int) -> float:
    """Return where partial ``k`` (from 0) is taken."""
    if k == 0:
        distance = max(p.partial_1_r * s.risk, p.partial_1_min_profit_ticks * s.tick)
    elif k == 1:
        distance = max(p.partial_2_r * s.risk, p.partial_2_min_profit_ticks * s.tick)
    else:
        distance = max(p.partial_3_r * s.risk, p.partial_3_min_profit_ticks * s.tick)
    return s.entry + s.side * distance


@rule
def final_target(p: Any, s: Any, recovery: bool) -> float:
    """Return where what is left is taken."""
    target_r = p.runner_target_r
    if recovery:
        target_r = min(target_r, p.recovery_mode_profit_target_r)
    return s.entry + s.side * s.risk * target_r


@rule
def partial_share(p: Any, s: Any, k: int, min_share: float) -> float:
    """Return the share of the original position that partial ``k`` closes; 0 for none."""
    wanted = p.partial_1_pct
    if k == 1:
        wanted = p.partial_2_pct
    elif k == 2:
        wanted = p.partial_3_pct
    share = min(wanted, s.share - p.runner_percentage)
    if share < min_share:
        return 0.0
    return s.share if s.share - share < min_share else share


@rule
def order_partials(p: Any, s: Any, now: Any, close: float, t: int) -> None:
    """Order for the next open the partials that are due at the close of bar ``t``."""
    for k in range(3):
        if s.taken[k]:
            continue
        if k == 0:
            at_once = p.should_take_partial_1 > 0.7
        elif k == 1:
            at_once = p.should_take_partial_2 > 0.7
        else:
            at_once = p.should_take_partial_3 > 0.7
        if at_once and now.r > 0.0:
            s.ordered[k] = 1.0
        elif s.touched_bar[k] >= 0 and t - s.touched_bar[k] >= rounded(p.partial_timing_bars):
            beyond = s.side * (close - target_price(p, s, k))
            if beyond >= -p.partial_slippage_tolerance_ticks * s.tick:
                s.ordered[k] = 1.0
            else:
                s.n_rejected += 1
                s.touched_bar[k] = -1
