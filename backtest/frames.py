"""From the loop's logs to frames."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from backtest.logs import TRADE, Logs
from backtest.markets import Market
from backtest.replayed import (
    DECISIONS,
    EQUITY,
    HOLDOUT,
    PARTIALS,
    SEEN,
    STOP_MOVES,
    TRADES,
    UNSEEN,
    Replayed,
)
from exits.rules.rule_names import CLOSINGS, EXIT_REASONS, SKIPS, STOP_KINDS, STOP_RULES
from market.bars import FloatArray, TimeArray

_RULES = [name for name, _ in CLOSINGS]
_REASONS = [EXIT_REASONS[reason] for _, reason in CLOSINGS]
_PARTIALS = ["partial_1", "partial_2", "partial_3", "evaluator"]


class Times:
    """Opening and closing times of the bars of all symbols."""

    def __init__(self, markets: Sequence[Market], closes: Sequence[TimeArray]) -> None:
        lengths = [len(market.bars) for market in markets]
        self._first = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        empty = np.empty(0, "datetime64[us]")
        self._opens = np.concatenate([empty, *(one.bars.start_T for one in markets)])
        self._closes = np.concatenate([empty, *closes])

    def opens(self, symbol_K: Any, bar_K: Any) -> TimeArray:
        """Return when bars begin."""
        return np.asarray(self._opens[self._first[symbol_K] + bar_K])

    def closes(self, symbol_K: Any, bar_K: Any) -> TimeArray:
        """Return when bars are complete."""
        return np.asarray(self._closes[self._first[symbol_K] + bar_K])


def replayed_of(
    markets: Sequence[Market],
    logs: Logs,
    positions: Any,
    *,
    closes: Sequence[TimeArray],
    step_times: TimeArray,
    parameters_MP: FloatArray,
    sources: Sequence[str],
    risk_per_trade: float,
    seconds: float,
) -> Replayed:
    """Return what the loop has logged; trades that never filled are in none of it."""
    run = logs.run[0]
    times = Times(markets, closes)
    closed = logs.trades[: run["n_trades"]]
    still_open = _open_rows(positions, markets)
    decisions = logs.decisions[: run["n_decisions"]]
    filled = np.isin(decisions["trade"], np.concatenate([closed["trade"], still_open["trade"]]))
    decisions = decisions[filled]
    first = decisions[decisions["number"] == 0]
    source_of_trade = np.zeros(run["n_begun"], np.int64)
    source_of_trade[first["trade"]] = first["parameters"]

    def trades(rows: Any) -> pl.DataFrame:
        source = _text(sources, source_of_trade[rows["trade"]])
        return trade_frame(rows, markets, times, source)

    opened = trades(still_open).with_columns(
        pl.lit(None, dtype=TRADES[name]).alias(name)
        for name in ("exit_time", "exit_bar", "exit_price", "exit_reason", "exit_rule")
    )
    return Replayed(
        n_bars=sum(len(market.bars) for market in markets),
        seconds=seconds,
        trades=trades(closed),
        open_positions=opened.select(TRADES.names()),
        partials=_partials(logs.partials[: run["n_partials"]], times),
        stop_moves=_stop_moves(logs.moves[: run["n_moves"]], times),
        decisions=_decisions(decisions, times, sources),
        parameters_MP=parameters_MP,
        equity=_equity(logs, step_times, risk_per_trade),
        skipped={name: int(logs.skipped[k]) for k, name in enumerate(SKIPS) if k > 0},
    )


def trade_frame(
    rows: Any, markets: Sequence[Market], times: Times, source: pl.Series
) -> pl.DataFrame:
    """Return trades that the loop has logged; ``source`` is who decided each at its entry."""
    symbol = rows["symbol"]
    at_open = rows["exit_at_open"] == 1
    at_risk = rows["quantity"] * rows["risk"]
    columns = {
        "trade_id": rows["trade"],
        "symbol": _text([market.symbol for market in markets], symbol),
        "side": _text(["SHORT", "LONG"], rows["side"] > 0),
        "model": _text([market.model for market in markets], symbol),
        "signal_time": times.closes(symbol, rows["signal_bar"]),
        "entry_time": times.opens(symbol, rows["entry_bar"]),
        "exit_time": np.where(
            at_open, times.opens(symbol, rows["exit_bar"]), times.closes(symbol, rows["exit_bar"])
        ),
        "entry_price": rows["entry"],
        "exit_price": rows["exit"],
        "risk_price": rows["risk"],
        "entry_atr": rows["atr"],
        "pnl_percent": 100.0 * rows["pnl"] / (rows["entry"] * rows["quantity"]),
        "r_multiple": rows["pnl"] / at_risk,
        "cost_r": rows["costs"] / at_risk,
        "bars_held": rows["exit_bar"] - rows["entry_bar"] + 1,
        "exit_reason": _text(_REASONS, rows["closed_by"]),
        "exit_rule": _text(_RULES, rows["closed_by"]),
        "prediction_source": source,
        "n_rejected_partials": rows["n_rejected"],
    }
    # Comparisons with NaT are false.
    never = np.datetime64("NaT")
    seen_until = np.array([one.seen_until or never for one in markets], "datetime64[us]")
    holdouts = [one.holdout or (never, never) for one in markets]
    first, last = np.array(holdouts, "datetime64[us]").reshape(-1, 2).T
    signal_time = columns["signal_time"]
    seen = signal_time < seen_until[symbol]
    held_out = (signal_time >= first[symbol]) & (signal_time <= last[symbol])
    columns["segment"] = _text([UNSEEN, SEEN, HOLDOUT], np.where(seen, 1, 2 * held_out))
    same = {name: rows[name] for name in TRADES.names() if name in (rows.dtype.names or ())}
    return _frame({**same, **columns}, TRADES)


def _open_rows(positions: Any, markets: Sequence[Market]) -> Any:
    """Return what is still open as rows of trades, valued at the last close."""
    places = np.flatnonzero(positions["open"] == 1)
    held = positions[places]
    rows = np.zeros(len(held), TRADE)
    for name in rows.dtype.names or ():
        if name in (held.dtype.names or ()):
            rows[name] = held[name]
    rows["symbol"] = places
    left = held["quantity"] * held["share"]
    rows["pnl"] += left * held["side"] * (held["last_close"] - held["entry"])
    rows["exit_bar"] = [len(markets[place].bars) - 1 for place in places.tolist()]
    rows["mae_r"] = np.minimum(0.0, held["side"] * (held["worst"] - held["entry"]) / held["risk"])
    rows["mfe_r"] = np.maximum(0.0, held["side"] * (held["peak"] - held["entry"]) / held["risk"])
    return rows


def _partials(rows: Any, times: Times) -> pl.DataFrame:
    symbol, bar = rows["symbol"], rows["bar"]
    at_open = rows["at_open"] == 1
    same = {name: rows[name] for name in ("bar", "price", "share", "quantity", "pnl", "r")}
    columns = {
        "trade_id": rows["trade"],
        "time": np.where(at_open, times.opens(symbol, bar), times.closes(symbol, bar)),
        "rule": _text(_PARTIALS, rows["which"]),
    }
    return _frame({**same, **columns}, PARTIALS)


def _stop_moves(rows: Any, times: Times) -> pl.DataFrame:
    columns = {
        "trade_id": rows["trade"],
        "bar": rows["bar"],
        "time": times.closes(rows["symbol"], rows["bar"]),
        "old_stop": rows["old_stop"],
        "new_stop": rows["new_stop"],
        "kind": _text(STOP_KINDS, rows["kind"]),
        "rule": _text(STOP_RULES, rows["moved_by"]),
        "r": rows["r"],
    }
    return _frame(columns, STOP_MOVES)


def _decisions(rows: Any, times: Times, sources: Sequence[str]) -> pl.DataFrame:
    order = np.argsort(rows["symbol"], kind="stable")
    before = np.full(len(rows), -1, np.int64)
    same_symbol = rows["symbol"][order[1:]] == rows["symbol"][order[:-1]]
    before[order[1:][same_symbol]] = order[:-1][same_symbol]
    columns = {
        "trade_id": rows["trade"],
        "time": times.closes(rows["symbol"], rows["bar"]),
        "source": _text(sources, rows["parameters"]),
        "before": before,
        **{name: rows[name] for name in ("number", "bar", "r", "atr", "parameters", "current_atr")},
    }
    return _frame(columns, DECISIONS)


def _equity(logs: Logs, step_times: TimeArray, risk_per_trade: float) -> pl.DataFrame:
    columns = {
        "time": step_times,
        "equity": logs.equity,
        "drawdown": logs.drawdown,
        "open_positions": logs.n_open,
        "open_risk": logs.n_open * risk_per_trade,
    }
    return _frame(columns, EQUITY)


def _text(names: Sequence[str], code_K: Any) -> pl.Series:
    """Return the names that codes stand for."""
    return pl.Series(names, dtype=pl.String()).gather(code_K.astype(np.int64))


def _frame(columns: dict[str, Any], schema: pl.Schema) -> pl.DataFrame:
    series = []
    for name, kind in schema.items():
        values = columns[name]
        if isinstance(kind, pl.Datetime):
            us = np.asarray(values, "datetime64[us]").view(np.int64)
            series.append(pl.Series(name, us).cast(kind))
        elif isinstance(values, pl.Series):
            series.append(values.alias(name))
        else:
            series.append(pl.Series(name, np.ascontiguousarray(values), dtype=kind))
    return pl.DataFrame(series)
