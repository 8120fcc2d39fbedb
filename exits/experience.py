"""Experiences: every closed trade as one record that exits can learn from (docs/experiences.md).

What is known when is kept apart. `market_state` is that of the signal bar's close; an item of
`decision_history` holds what was known at its own close and nothing later; the rest is known once
the trade is closed. No bar behind a trade's exit bar is looked at.

Axes: K decisions, P the 132 parameters, N trades.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import polars as pl

from exits.closed_trade import ClosedTrade, TradeCosts, outcome, root_numbers
from exits.conditions import REGIMES
from exits.decision_history import Decisions, decision_history
from exits.market_state import market_states
from exits.parameters import NAMES
from exits.trade_path import TradePath, trade_path
from market.bars import Bars, FloatArray
from selection.atomic import write_parts_atomically

VERSION: Final = 1
# First hour (UTC) of each session of the day; before London's it is Asia's, from 21 on too.
LONDON_HOUR, NEW_YORK_HOUR, ASIA_HOUR = 7, 13, 21


class ReplayFrames(Protocol):
    """What experiences are made from: the frames of a replay (``backtest.replayed.Replayed``)."""

    @property
    def trades(self) -> pl.DataFrame: ...  # noqa: D102
    @property
    def open_positions(self) -> pl.DataFrame: ...  # noqa: D102
    @property
    def partials(self) -> pl.DataFrame: ...  # noqa: D102
    @property
    def stop_moves(self) -> pl.DataFrame: ...  # noqa: D102
    @property
    def decisions(self) -> pl.DataFrame: ...  # noqa: D102
    @property
    def decided_KP(self) -> FloatArray: ...  # noqa: D102
    @property
    def previous_KP(self) -> FloatArray: ...  # noqa: D102


def experiences(
    replay: ReplayFrames,
    bars: Mapping[str, Bars],
    *,
    costs: TradeCosts,
    daily_loss_limit: float,
    sessions: Sequence[str],
    simulated: bool = False,
    policy_learnt_until: np.datetime64 | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield one record per closed trade, in the order of closing: all at once would be much memory.

    Parameters
    ----------
    replay : ReplayFrames
    bars : mapping
        Symbol to the bars that were replayed.
    costs : TradeCosts
        What the replay charged.
    daily_loss_limit : float
        Share of equity, as the replay's account had it.
    sessions : sequence of str
        When sessions close, as the replay was told.
    simulated : bool
        Whether the bars are of a simulated market.
    policy_learnt_until : datetime64 or None
        Last exit of a trade that the policy has learnt from, UTC: what is learnt from its trades
        has seen them too.

    Raises
    ------
    ValueError
        If a symbol has no bars, or a trade no decision at its entry.
    """
    trades = replay.trades.to_dicts()
    if not trades:
        return
    learnt_until = None
    if policy_learnt_until is not None and not np.isnat(policy_learnt_until):
        learnt_until = f"{policy_learnt_until.astype('datetime64[us]')}+00:00"
    if lacking := sorted({trade["symbol"] for trade in trades} - set(bars)):
        raise ValueError(f"{lacking[0]}: was traded, but its bars are not given")
    symbols = {trade["symbol"] for trade in trades}
    markets = {one: market_states(bars[one], sessions=sessions) for one in sorted(symbols)}
    decisions = Decisions(
        replay.decisions, replay.decided_KP, replay.previous_KP, trades=trades, markets=markets
    )
    partials, moves = _by_trade(replay.partials), _by_trade(replay.stop_moves)
    numbers = _numbers_in_session(replay)
    for row in trades:
        key, symbol = row["trade_id"], row["symbol"]
        closed = ClosedTrade(
            row=row,
            path=_path(row, bars[symbol], partials.get(key, [])),
            bars=bars[symbol],
            market=markets[symbol],
            before=decisions.account_at_entry(key),
            number_in_session=numbers[key],
            daily_loss_limit=daily_loss_limit,
            costs=costs,
        )
        record = _record(closed, decisions, partials.get(key, []), moves.get(key, []))
        yield {**record, "simulated": simulated, "policy_learnt_until": learnt_until}


def _path(row: dict[str, Any], bars: Bars, partials: list[dict[str, Any]]) -> TradePath:
    return trade_path(
        row,
        bars,
        partial_bar_J=np.array([one["bar"] for one in partials], np.int64),
        partial_quantity_J=np.array([one["quantity"] for one in partials], np.float64),
        partial_pnl_J=np.array([one["pnl"] for one in partials], np.float64),
    )


def _by_trade(frame: pl.DataFrame) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in frame.sort("trade_id", "bar", maintain_order=True).to_dicts():
        found.setdefault(row["trade_id"], []).append(row)
    return found


def _numbers_in_session(replay: ReplayFrames) -> dict[int, int]:
    """Count the entries of each UTC date and session; those still open count as well."""
    columns = ["trade_id", "symbol", "entry_time"]
    entries = pl.concat([replay.trades.select(columns), replay.open_positions.select(columns)])
    counts: Counter[tuple[Any, str]] = Counter()
    numbers = {}
    for row in entries.sort("entry_time", "symbol").to_dicts():
        place = (row["entry_time"].date(), session_of(row["entry_time"].hour))
        counts[place] += 1
        numbers[row["trade_id"]] = counts[place]
    return numbers


def session_of(hour: int) -> str:
    """Return Asia, London or NY for an hour of the day, UTC."""
    if LONDON_HOUR <= hour < NEW_YORK_HOUR:
        return "London"
    return "NY" if NEW_YORK_HOUR <= hour < ASIA_HOUR else "Asia"


def _record(
    trade: ClosedTrade,
    decisions: Decisions,
    partials: list[dict[str, Any]],
    moves: list[dict[str, Any]],
) -> dict[str, Any]:
    row = trade.row
    made = decisions.of(row["trade_id"])
    _, at_entry_P = decisions.parameters(made[0])
    return {
        "version": VERSION,
        "trade_id": _stable_id(row, decisions.digest(row["trade_id"])),
        "symbol": row["symbol"],
        "side": row["side"],
        "model": row["model"],
        "timestamp": row["entry_time"].isoformat(),
        "signal_timestamp": row["signal_time"].isoformat(),
        "exit_timestamp": row["exit_time"].isoformat(),
        "session": session_of(row["entry_time"].hour),
        "regime": REGIMES[row["regime"]],
        "exit_reason": row["exit_reason"],
        "exit_rule": row["exit_rule"],
        "prediction_source": row["prediction_source"],
        "segment": row["segment"],
        **root_numbers(trade),
        "partial_exits": [_partial(one) for one in partials],
        "exit_param_updates": [_update(one) for one in made[1:]],
        "stop_adjustments": [_stop_move(one) for one in moves],
        "market_state": made[0]["market_state"],
        "outcome": outcome(trade),
        "exit_params_used": dict(zip(NAMES, at_entry_P, strict=True)),
        "decision_history": _text(decision_history(trade, decisions, partials, moves)),
        "unrealized_pnl_history": _text(_pnl_history(trade.path)),
    }


def _stable_id(row: dict[str, Any], parameters: bytes) -> str:
    """Name a trade by where and when it began; the digest tells replays apart that differ."""
    told = [row[key] for key in ("side", "model", "entry_price", "exit_bar", "exit_price", "pnl")]
    sha = hashlib.sha256(repr(told).encode() + parameters)
    return f"{row['symbol']}-{row['entry_time']:%Y%m%dT%H%M%S}-{sha.hexdigest()[:8]}"


def _partial(row: dict[str, Any]) -> dict[str, Any]:
    kept = {key: row[key] for key in ("bar", "price", "share", "quantity", "pnl", "r")}
    return {**kept, "reason": row["rule"]}


def _stop_move(row: dict[str, Any]) -> dict[str, Any]:
    kept = {key: row[key] for key in ("bar", "old_stop", "new_stop", "kind")}
    return {**kept, "reason": row["rule"], "r_at_adjustment": row["r"]}


def _update(row: dict[str, Any]) -> dict[str, Any]:
    state = row["market_state"]
    return {
        "bar": row["bar"],
        "vix": state["vix"],
        "atr": state["atr"],
        "reason": "due",
        "r_at_update": row["r"],
    }


def _pnl_history(path: TradePath) -> list[dict[str, Any]]:
    bar_H = range(path.entry_bar, path.entry_bar + len(path))
    pnl_H, r_H = np.round(path.pnl_H, 6).tolist(), np.round(path.r_H, 6).tolist()
    return [{"bar": bar, "pnl": pnl, "r": r} for bar, pnl, r in zip(bar_H, pnl_H, r_H, strict=True)]


def _text(items: list[dict[str, Any]]) -> str:
    return json.dumps(items, allow_nan=False, separators=(",", ":"))


def write_experiences(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write records to a file, whole or not at all: ``.json`` an array, ``.jsonl`` one per line.

    Equal records give equal bytes.

    Raises
    ------
    ValueError
        If the name ends otherwise, or a number is not finite; the trade is named.
    OSError
        If the file cannot be written.
    """
    if path.suffix not in (".json", ".jsonl"):
        raise ValueError(f"{path}: experiences are written as .json or .jsonl")
    lines = (_line(record).encode() for record in records)
    write_parts_atomically(path, _array(lines) if path.suffix == ".json" else _rows(lines))


def _rows(lines: Iterator[bytes]) -> Iterator[bytes]:
    for line in lines:
        yield line + b"\n"


def _array(lines: Iterator[bytes]) -> Iterator[bytes]:
    between = b"[\n"
    for line in lines:
        yield between + line
        between = b",\n"
    yield b"[]\n" if between == b"[\n" else b"\n]\n"


def _line(record: Mapping[str, Any]) -> str:
    try:
        return json.dumps(record, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise ValueError(f"experience {record.get('trade_id')}: {error}") from error
