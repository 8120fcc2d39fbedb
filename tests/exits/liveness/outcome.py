"""What became of the trade of a scenario, in words."""

from typing import Any

import polars as pl

from backtest.replayed import Replayed
from exits.rules.rule_names import EXIT_RULES

_AT_CLOSE = {rule for rule, _ in EXIT_RULES}


def outcome(replayed: Replayed) -> str:
    """Return what was traded, what was taken on the way, and how it ended."""
    trades = replayed.trades.filter(symbol="TRADED")
    if trades.is_empty():
        reasons = ", ".join(reason for reason, count in replayed.skipped.items() if count)
        return f"no entry ({reasons})" if reasons else "still open at the end"
    trade = trades.row(0, named=True)
    said = [_partial(trade, partial) for partial in _of(replayed.partials, trade)]
    if trade["n_rejected_partials"]:
        said.append("a partial is rejected")
    return "; ".join([*said, _end(trade)])


def _of(frame: pl.DataFrame, trade: dict[str, Any]) -> list[dict[str, Any]]:
    return frame.filter(trade_id=trade["trade_id"]).to_dicts()


def _partial(trade: dict[str, Any], partial: dict[str, Any]) -> str:
    bar = partial["bar"] - trade["entry_bar"] + 1
    share = f"{partial['share']:.0%}".replace("%", " %")
    return f"`{partial['rule']}` takes {share} in bar {bar} at {_in_r(partial['r'])}"


def _end(trade: dict[str, Any]) -> str:
    """Return the rule that ended it; one of the close fills at the open after its bar."""
    bar = trade["bars_held"]
    rule = trade["exit_rule"]
    when = f"after bar {bar - 1}" if rule in _AT_CLOSE else f"in bar {bar}"
    side = 1 if trade["side"] == "LONG" else -1
    left_at = side * (trade["exit_price"] - trade["entry_price"]) / trade["risk_price"]
    mean = "a mean of " if trade["n_partials"] else ""
    return f"`{rule}` {when} at {mean}{_in_r(left_at)}"


def _in_r(value: float) -> str:
    # A sum with 0.0 is never -0.0.
    return f"{round(value, 2) + 0.0:+.2f} R"
