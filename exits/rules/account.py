"""Exits that the account asks for: the day's loss, losses in a row, drawdown."""

from typing import Any

from exits.rules.compiled import rule
from exits.rules.rule_names import ACCOUNT_DRAWDOWN, DAILY_LOSS, LOSS_EMERGENCY, LOSS_STREAK, NONE


@rule
def daily_loss_reached(p: Any, account: Any, settings: Any) -> bool:
    """Tell whether the day has lost its share of the limit."""
    limit = p.daily_loss_limit_exit_threshold_pct * settings.daily_loss_limit
    return account.daily_loss >= limit


@rule
def account_exit(p: Any, s: Any, now: Any, account: Any, settings: Any) -> int:
    """Return the rule that holds, or `NONE`."""
    if daily_loss_reached(p, account, settings):
        return DAILY_LOSS
    if account.last_loss_step > s.entry_step:
        if account.losses >= p.consecutive_loss_emergency_exit:
            return LOSS_EMERGENCY
        if account.losses >= p.consecutive_losses_exit_trigger and now.r < 0.0:
            return LOSS_STREAK
    level = p.drawdown_from_high_exit_pct
    if account.drawdown >= level and s.drawdown_before < level and now.r < 0.0:
        return ACCOUNT_DRAWDOWN
    return NONE
