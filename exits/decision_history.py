"""The decisions of each closed trade, with what was known when they were made.

Axes: K decisions, P the 132 parameters, N trades.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, Final

import numpy as np
import polars as pl

from exits.account_past import AccountPast, account_past
from exits.closed_trade import ClosedTrade
from exits.market_state import MarketStates
from market.bars import FloatArray

_SIGNIFICANT: Final = 9
_DAY_US: Final = 86_400_000_000


class Decisions:
    """The decisions of closed trades, each with the market and the account at its close.

    Parameters
    ----------
    frame : polars frame
        The decisions of a replay.
    decided_KP, previous_KP : float64 arrays, shape (n_decisions, 132)
    trades : list of dict
        The closed trades; decisions of others are left out.
    markets : mapping
        By symbol.

    Raises
    ------
    ValueError
        If a trade has no decision at its entry.
    """

    def __init__(
        self,
        frame: pl.DataFrame,
        decided_KP: FloatArray,
        previous_KP: FloatArray,
        *,
        trades: list[dict[str, Any]],
        markets: Mapping[str, MarketStates],
    ) -> None:
        self._decided_KP = significant(decided_KP)
        self._previous_KP = significant(previous_KP)
        self._rows: dict[int, list[dict[str, Any]]] = {one["trade_id"]: [] for one in trades}
        for row in frame.with_row_index("k").sort("trade_id", "number").to_dicts():
            if row["trade_id"] in self._rows:
                self._rows[row["trade_id"]].append(row)
        symbol_of = {trade["trade_id"]: trade["symbol"] for trade in trades}
        for key, rows in self._rows.items():
            if not rows or rows[0]["number"] != 0:
                raise ValueError(f"{symbol_of[key]}: trade {key} has no decision at its entry")
        self._know(trades, markets, symbol_of)

    def _know(
        self,
        trades: list[dict[str, Any]],
        markets: Mapping[str, MarketStates],
        symbol_of: dict[int, str],
    ) -> None:
        """Add to each decision what was known of market and account at its close."""
        flat = [(row, markets[symbol_of[key]]) for key, rows in self._rows.items() for row in rows]
        moment_K = np.array([market.close_time_T[row["bar"]] for row, market in flat])
        closed_at_N = np.array([markets[t["symbol"]].close_time_T[t["exit_bar"]] for t in trades])
        pnl_N = np.array([trade["pnl"] for trade in trades])
        past = account_past(moment_K, closed_at_N, pnl_N)
        for (row, market), moment, account in zip(flat, moment_K, _rows_of(past), strict=True):
            row["account"] = account
            row["market_state"] = _market_state(market, row["bar"], moment, account)

    def of(self, trade_id: int) -> list[dict[str, Any]]:
        """Return a trade's decisions in their order."""
        return self._rows[trade_id]

    def account_at_entry(self, trade_id: int) -> dict[str, Any]:
        """Return the account at a trade's signal."""
        account: dict[str, Any] = self._rows[trade_id][0]["account"]
        return account

    def parameters(self, row: dict[str, Any]) -> tuple[list[float], list[float]]:
        """Return the parameters in force before a decision, and from it on."""
        return self._previous_KP[row["k"]].tolist(), self._decided_KP[row["k"]].tolist()

    def digest(self, trade_id: int) -> bytes:
        """Return what a trade's parameters were, as bytes."""
        return self._decided_KP[[row["k"] for row in self._rows[trade_id]]].tobytes()


def _rows_of(past: AccountPast) -> Iterator[dict[str, Any]]:
    """Yield the account moment by moment, by names without their axis."""
    names = [field.name for field in fields(past)]
    columns = [getattr(past, name).tolist() for name in names]
    plain = [name.removesuffix("_K") for name in names]
    return (dict(zip(plain, values, strict=True)) for values in zip(*columns, strict=True))


def _market_state(
    market: MarketStates, bar: int, moment: np.datetime64, account: dict[str, Any]
) -> dict[str, Any]:
    closed_at_us = int(moment.astype("datetime64[us]").astype(np.int64))
    return {
        "atr": float(market.atr_T[bar]),
        # Monday is 0: the epoch was a Thursday.
        "day_of_week": (closed_at_us // _DAY_US + 3) % 7,
        "hour": closed_at_us % _DAY_US // (_DAY_US // 24),
        "recent_pnl": account["recent_pnl"],
        "rsi": float(market.rsi_T[bar]),
        "streak": account["streak"],
        "vix": float(market.vix_T[bar]),
        "volume_ratio": float(market.volume_ratio_T[bar]),
        "vwap_distance": float(market.vwap_distance_T[bar]),
    }


def decision_history(
    trade: ClosedTrade,
    decisions: Decisions,
    partials: list[dict[str, Any]],
    moves: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Return one item per decision of a trade: how it stood then, and what was decided.

    Parameters
    ----------
    partials, moves : list of dict
        Of the trade, in the order of their bars.
    """
    partial_bars, move_bars = [one["bar"] for one in partials], [one["bar"] for one in moves]
    items = []
    for row in decisions.of(trade.row["trade_id"]):
        previous_P, decided_P = decisions.parameters(row)
        items.append(
            {
                "number": row["number"],
                "bar": row["bar"],
                "timestamp": row["time"].isoformat(),
                "source": row["source"],
                **_standing(trade, row),
                "partial_count": bisect_right(partial_bars, row["bar"]),
                "stop_adjustment_count": bisect_right(move_bars, row["bar"]),
                "exit_param_update_count": max(row["number"] - 1, 0),
                "breakeven_activated": _by(trade.row["breakeven_bar"], row["bar"]),
                "trailing_activated": _by(trade.row["trailing_bar"], row["bar"]),
                "market_state": row["market_state"],
                "previous": previous_P,
                "decided": decided_P,
            }
        )
    return items


def _standing(trade: ClosedTrade, row: dict[str, Any]) -> dict[str, Any]:
    """Return the running numbers at a decision, from the bars up to its own."""
    path, h = trade.path, row["bar"] - trade.row["entry_bar"]
    standing = {"r": 0.0, "pnl": 0.0, "mae": 0.0, "mfe": 0.0, "max_r": 0.0, "min_r": 0.0}
    standing |= {"share_left": 1.0, "duration": 0.0}
    if h >= 0:
        minutes = (row["time"] - trade.row["entry_time"]).total_seconds() / 60.0
        standing = {
            "r": path.r_H[h],
            "pnl": path.pnl_H[h],
            "mae": path.mae_H[h],
            "mfe": path.mfe_H[h],
            "max_r": max(path.r_H[: h + 1].max(), 0.0),
            "min_r": min(path.r_H[: h + 1].min(), 0.0),
            "share_left": path.share_left_H[h],
            "duration": minutes,
        }
    rounded = {name: round(float(value), 6) for name, value in standing.items()}
    return {**rounded, "duration_bars": h + 1, "atr": row["market_state"]["atr"]}


def _by(bar: int, now: int) -> int:
    return int(0 <= bar <= now)


def significant(x_KP: FloatArray) -> FloatArray:
    """Round to 9 significant digits: what parameters mean needs no more, and files stay small."""
    magnitude_KP = np.floor(np.log10(np.where(x_KP == 0.0, 1.0, np.abs(x_KP))))
    scale_KP = 10.0 ** (_SIGNIFICANT - 1 - magnitude_KP)
    rounded_KP: FloatArray = np.round(x_KP * scale_KP) / scale_KP
    return rounded_KP
