"""The numbers of a closed trade: root and outcome of its experience (docs/experiences.md)."""

from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from exits.market_state import MarketStates
from exits.trade_path import TradePath
from market.bars import Bars

HIGH_VOLATILITY: Final = (3, 4)
LOW_VOLATILITY: Final = (5,)


class TradeCosts(Protocol):
    """Cost of one round trip, as shares of the ATR of the signal bar."""

    @property
    def spread_atr(self) -> float: ...  # noqa: D102
    @property
    def commission_atr(self) -> float: ...  # noqa: D102
    @property
    def slippage_atr(self) -> float: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class ClosedTrade:
    """What the numbers are computed from.

    Attributes
    ----------
    row : dict
        Of the replay's trades.
    path : TradePath
    bars : Bars
    market : MarketStates
    before : dict
        The account at the signal, by the names of `AccountPast` without their axis.
    number_in_session : int
        1 for the first entry of its UTC date and session.
    daily_loss_limit : float
        As a share of equity.
    costs : TradeCosts
    """

    row: dict[str, Any]
    path: TradePath
    bars: Bars
    market: MarketStates
    before: dict[str, Any]
    number_in_session: int
    daily_loss_limit: float
    costs: TradeCosts

    @property
    def last_close(self) -> int:
        """The last bar that was complete while the trade was open, or the signal bar."""
        return int(self.row["exit_bar"]) - 1

    @property
    def risk_money(self) -> float:
        """What 1 R is worth."""
        return float(self.row["risk_price"] * self.row["quantity"])


def root_numbers(trade: ClosedTrade) -> dict[str, Any]:
    """Return the numbers at the root of an experience."""
    row, market, last = trade.row, trade.market, trade.last_close
    breakeven, trailing = row["breakeven_bar"], row["trailing_bar"]
    r_so_far = [*trade.path.r_H.tolist(), row["r_multiple"], 0.0]
    atr_in_ticks = row["entry_atr"] / row["tick"]
    return {
        "bars_until_breakeven": _bars_until(breakeven, row),
        "bars_until_trailing": _bars_until(trailing, row),
        "bid_ask_spread_ticks": trade.costs.spread_atr * atr_in_ticks,
        "breakeven_activated": int(breakeven >= 0),
        "breakeven_activation_bar": _age_at(breakeven, row),
        "commission_cost": trade.costs.commission_atr * row["entry_atr"] * row["quantity"],
        "duration": (row["exit_time"] - row["entry_time"]).total_seconds() / 60.0,
        "duration_bars": row["bars_held"],
        "entry_confidence": row["confidence"],
        "entry_price": row["entry_price"],
        "exit_param_update_count": row["n_updates"],
        "exit_price": row["exit_price"],
        "mae": row["mae_r"],
        "max_profit_reached": row["mfe_r"] * trade.risk_money,
        "max_r_achieved": max(r_so_far),
        "mfe": row["mfe_r"],
        "min_r_achieved": min(r_so_far),
        "pnl": row["pnl"],
        "pnl_percent": row["pnl_percent"],
        "quantity": row["quantity"],
        "r_multiple": row["r_multiple"],
        "rejected_partial_count": row["n_rejected_partials"],
        "slippage_ticks": trade.costs.slippage_atr * atr_in_ticks / 2.0,
        "stop_adjustment_count": row["n_stop_moves"],
        "stop_hit": int(row["exit_rule"].startswith("stop_")),
        "time_in_breakeven_bars": row["exit_bar"] - breakeven if breakeven >= 0 else 0,
        "trailing_activated": int(trailing >= 0),
        "trailing_activation_bar": _age_at(trailing, row),
        "volatility_regime_change": int(
            _volatility_class(market.regime_T[last]) != _volatility_class(row["regime"])
        ),
        "volume_at_exit": float(trade.bars.volume_T[last]),
        "win": int(row["pnl"] > 0),
    }


def _bars_until(bar: int, row: dict[str, Any]) -> int:
    return bar - row["entry_bar"] if bar >= 0 else -1


def _age_at(bar: int, row: dict[str, Any]) -> int:
    return bar - row["entry_bar"] + 1 if bar >= 0 else -1


def _volatility_class(regime: int) -> str:
    if regime in HIGH_VOLATILITY:
        return "high"
    return "low" if regime in LOW_VOLATILITY else "normal"


def outcome(trade: ClosedTrade) -> dict[str, Any]:
    """Return the outcome of an experience."""
    row, last = trade.row, trade.last_close
    limit = trade.daily_loss_limit * row["equity_before"]
    lost_today = max(0.0, -trade.before["daily_pnl"])
    return {
        **_volatility(trade),
        **_drawdown(trade),
        "bars_held": row["bars_held"],
        "breakeven_bar": row["breakeven_bar"],
        "contracts": row["quantity"],
        "cost_r": row["cost_r"],
        "cumulative_pnl_before_trade": trade.before["cumulative_pnl"],
        "daily_loss_limit": limit,
        "daily_loss_proximity_pct": 100.0 * lost_today / limit,
        "daily_pnl_before_trade": trade.before["daily_pnl"],
        "duration_bars": row["bars_held"],
        "entry_bar": row["entry_bar"],
        "entry_hour": row["entry_time"].hour,
        "entry_minute": row["entry_time"].minute,
        "entry_price": row["entry_price"],
        "equity_before": row["equity_before"],
        "exit_bar": row["exit_bar"],
        "exit_hour": row["exit_time"].hour,
        "exit_minute": row["exit_time"].minute,
        "exit_price": row["exit_price"],
        "initial_stop": row["initial_stop"],
        "losses_in_last_5_trades": trade.before["recent_losses"],
        "minutes_until_close": _or_none(trade.market.minutes_to_close_T[row["signal_bar"]]),
        "partial_count": row["n_partials"],
        "risk_price": row["risk_price"],
        "signal_bar": row["signal_bar"],
        "tick": row["tick"],
        "trade_number_in_session": trade.number_in_session,
        "trailing_bar": row["trailing_bar"],
        "vix": float(trade.market.vix_T[last]),
        "wins_in_last_5_trades": trade.before["recent_wins"],
    }


def _volatility(trade: ClosedTrade) -> dict[str, Any]:
    open_H = slice(trade.row["entry_bar"], trade.row["exit_bar"])
    atr_H = trade.market.atr_T[open_H]
    start = trade.row["entry_atr"]
    regimes = trade.market.regime_T[open_H].tolist()
    return {
        "atr_change_percent": 100.0 * float(trade.market.atr_T[trade.last_close] / start - 1.0),
        "avg_atr_during_trade": float(atr_H.mean()) if len(atr_H) else start,
        "high_volatility_bars": sum(regime in HIGH_VOLATILITY for regime in regimes),
    }


def _drawdown(trade: ClosedTrade) -> dict[str, Any]:
    row = trade.row
    pnl = np.array([0.0, *trade.path.pnl_H.tolist(), row["pnl"]])
    fall = np.maximum.accumulate(pnl) - pnl
    missed_r = max(0.0, row["mfe_r"] - row["r_multiple"])
    return {
        "drawdown_bars": int((fall[1:-1] > 0).sum()),
        "max_drawdown_percent": 100.0 * float(fall.max()) / row["equity_before"],
        "opportunity_cost": missed_r * trade.risk_money,
        "peak_r_multiple": row["mfe_r"],
        "peak_unrealized_pnl": float(pnl[:-1].max()),
        "profit_drawdown_from_peak": missed_r / row["mfe_r"] if row["mfe_r"] > 0 else 0.0,
    }


def _or_none(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
