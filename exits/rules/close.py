"""What is decided at the close of a bar: leave, take a part, move the stop, ask again."""

import math
from typing import Any

from exits.rules.account import account_exit
from exits.rules.adverse import adverse_exit
from exits.rules.compiled import rule
from exits.rules.evaluator import evaluate
from exits.rules.evaluator_table import CLOSE, PARTIAL_CLOSE
from exits.rules.idle import idle_exit, time_exit
from exits.rules.market_change import market_exit
from exits.rules.numbers import price_range, rounded
from exits.rules.profit import profit_exit
from exits.rules.rule_names import EVALUATOR_CLOSE, INITIAL_STOP, MODEL_EXIT, NONE
from exits.rules.session import session_exit
from exits.rules.stops import initial_stop_broken


@rule
def exit_at_close(
    p: Any, s: Any, now: Any, rows: Any, at: int, symbol: Any, account: Any, settings: Any
) -> int:
    """Return the first exit rule that holds at this close, or `NONE`; all but the evaluator's."""
    if initial_stop_broken(p, s, rows[at].close):
        return INITIAL_STOP
    if p.should_exit_now > 0.7:
        return MODEL_EXIT
    found = account_exit(p, s, now, account, settings)
    if found == NONE:
        found = session_exit(p, now, rows[at], symbol)
    if found == NONE:
        found = market_exit(p, s, now, rows[at])
    if found == NONE:
        found = adverse_exit(p, s, now, rows, at)
    if found == NONE:
        found = profit_exit(p, s, now, rows[at])
    if found == NONE:
        found = idle_exit(p, s, now, symbol)
    if found == NONE:
        found = time_exit(p, now)
    return found


@rule
def ask_evaluator(table: Any, s: Any, now: Any, rows: Any, at: int, t: int, settings: Any) -> int:
    """Ask the evaluator; return its exit rule or `NONE`, a partial is ordered for the next open."""
    momentum = math.nan
    if t >= table.momentum_bars:
        before = rows[at - table.momentum_bars].close
        momentum = s.side * (rows[at].close - before) / rows[at].atr
    since = float(t - s.last_evaluator_bar) if s.last_evaluator_bar >= 0 else math.inf
    action, fraction, _, _ = evaluate(
        table,
        s.regime_off,
        rows[at].atr / s.atr,
        momentum,
        s.confidence,
        s.latest_confidence,
        now.age,
        now.r,
        now.peak_r,
        now.given_back,
        since,
        s.share,
        settings.min_share,
    )
    if action == CLOSE:
        return EVALUATOR_CLOSE
    if action == PARTIAL_CLOSE:
        s.ordered[3] = fraction
        s.last_evaluator_bar = t
    return NONE


@rule
def asks_again(p: Any, s: Any, t: int) -> bool:
    """Tell whether the parameters are due to be asked for at bar ``t``."""
    if p.should_update_exit_params < 0.5 or s.n_updates >= p.max_exit_param_updates_per_trade:
        return False
    return t - s.last_update >= p.exit_param_update_frequency_bars


@rule
def market_is_sideways(p: Any, rows: Any, at: int, t: int) -> bool:
    """Tell whether an entry at bar ``t`` would be into a sideways market that it must avoid."""
    n_bars = max(1, rounded(p.sideways_detection_bars))
    if p.sideways_avoid_new_entry <= 0.5 or t + 1 < n_bars:
        return False
    return price_range(rows, at, n_bars) <= p.sideways_detection_range_pct * rows[at].close
