"""One experience of any generation, checked and taken apart into numbers and names.

A record is set aside where it cannot teach anything: no JSON, no object, no id, no time of entry,
no R and nothing to compute it from, no exit parameters, or a text where a number must be. What else
is missing is NaN here; a history of decisions that cannot be used is left out, and told.

Axes: K decisions, P the 132 parameters.
"""

import math
import time
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Any, Final

from pydantic_core import from_json

from exits.feature_table import FEATURES
from exits.policy import HoldToBarrier
from exits.record_fields import (
    CATEGORIES,
    RecordError,
    code,
    first_time_us,
    items,
    numbers,
    pairs,
    parameter_row,
    part,
    places,
    shown,
    time_us,
)


def _fields(group: str, prefix: str = "") -> tuple[str, ...]:
    return tuple(one.name.removeprefix(prefix) for one in FEATURES if one.group == group)


MARKET: Final = _fields("market_state", "market_state.")
ROOT: Final = (*_fields("root_numeric"), "quantity")
OUTCOME: Final = (
    *_fields("outcome_numeric", "outcome."),
    *("breakeven_bar", "trailing_bar", "risk_price", "equity_before"),
)
STANDING: Final = (
    *("bar", "r", "pnl", "mae", "mfe", "max_r", "min_r", "duration", "duration_bars"),
    *("stop_adjustment_count", "exit_param_update_count"),
    *("breakeven_activated", "trailing_activated", "atr"),
)
TRADE_COLUMNS: Final = {
    name: place for place, name in enumerate((*ROOT, *(f"outcome.{name}" for name in OUTCOME)))
}
ITEM_COLUMNS: Final = {
    name: place
    for place, name in enumerate((*STANDING, *(f"market_state.{name}" for name in MARKET)))
}
IDS: Final = ("trade_id", "id", "experience_id", "position_id")
_ENTRY_TIMES: Final = ("timestamp", "entry_timestamp", "entry_time")
_EXIT_TIMES: Final = ("exit_timestamp", "exit_time")
_PARAMETERS: Final = ("exit_params_used", "exit_params")
_MINUTE_US: Final = 60_000_000
_DAY_US: Final = 86_400_000_000
# Neither an exit's time, nor a duration, nor a decision after the entry.
END_UNKNOWN: Final = -1
_MOST_DECISIONS: Final = 1_000_000
_ALL_ROOT, _ALL_OUTCOME = itemgetter(*ROOT), itemgetter(*OUTCOME)
_ALL_MARKET, _ALL_STANDING = itemgetter(*MARKET), itemgetter(*STANDING)
_R, _PNL = TRADE_COLUMNS["r_multiple"], TRADE_COLUMNS["pnl"]
_QUANTITY, _CONTRACTS = TRADE_COLUMNS["quantity"], TRADE_COLUMNS["outcome.contracts"]
_RISK, _DURATION = TRADE_COLUMNS["outcome.risk_price"], TRADE_COLUMNS["duration"]
_ATR, _MARKET_ATR = ITEM_COLUMNS["atr"], ITEM_COLUMNS["market_state.atr"]
# At the decision of the entry nothing has happened yet.
_AT_ENTRY: Final = [-1.0] + [0.0] * (len(STANDING) - 1)

Told = tuple[str, ...]
Pairs = tuple["array[float]", "array[float]"]


@dataclass(frozen=True, slots=True)
class Steps:
    """The decisions of a trade.

    Attributes
    ----------
    number_K, time_us_K : list of int
    items : array of float
        `ITEM_COLUMNS` of each decision, one after the other; NaN where unknown.
    previous, decided : array of float
        132 of each decision; ``previous`` is empty where the record does not tell.
    """

    number_K: list[int]
    time_us_K: list[int]
    items: "array[float]"
    previous: "array[float]"
    decided: "array[float]"


@dataclass(frozen=True, slots=True)
class RecordedTrade:
    """One experience.

    Attributes
    ----------
    symbol, source, segment : str
    simulated : bool or None
        Whether prices were; None where nothing says.
    entry_us, exit_us : int
        Microseconds since 1970, UTC; of the exit `END_UNKNOWN` where nothing tells.
    learnt_until_us : int
        Until when the policy had learnt; 0 where it had not.
    values : array of float
        `TRADE_COLUMNS`; NaN where unknown.
    codes : tuple of int
        `CATEGORIES` by the numbers of the feature table.
    n_parameters : int
        How many of the 132 the record holds.
    steps : Steps
    history, partials, updates, stops : pair of float arrays
        Bar and number of each item: profit at a close, share closed, r, distance moved.
    told : list of tuple of str
        What the report counts: ("unknown", field, value), ("history", why), ("missing", field).
    """

    symbol: str
    source: str
    segment: str
    simulated: bool | None
    entry_us: int
    exit_us: int
    learnt_until_us: int
    values: "array[float]"
    codes: tuple[int, ...]
    n_parameters: int
    steps: Steps
    history: Pairs
    partials: Pairs
    updates: Pairs
    stops: Pairs
    told: list[Told]


def parsed(content: bytes) -> dict[str, Any]:
    """Return the object that a record's bytes hold.

    Raises
    ------
    RecordError
        If they hold none.
    """
    try:
        record = from_json(content)
    except ValueError as error:
        raise RecordError("not JSON", f"not JSON: {error}") from None
    if not isinstance(record, dict):
        raise RecordError("not an object", f"a record must be an object, was {shown(record)}")
    return record


def id_of(record: Mapping[str, Any]) -> str | int | None:
    """Return what names a trade, None if nothing does."""
    for name in IDS:
        value = record.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return value
    return None


def identity(record: Mapping[str, Any]) -> tuple[str, str, int]:
    """Return a trade's id, its symbol ("" if unknown) and its entry in microseconds since 1970.

    Raises
    ------
    RecordError
        If the id or the time is missing or cannot be read.
    """
    found = id_of(record)
    if found is None:
        raise RecordError("no id", f"no id: one of {', '.join(IDS)} must name the trade")
    symbol = record.get("symbol")
    entry_us = first_time_us(record, _ENTRY_TIMES)
    if entry_us is None:
        raise RecordError("no timestamp", "no timestamp: it must tell when the trade was entered")
    return str(found), symbol if isinstance(symbol, str) else "", entry_us


def recorded_trade(record: Mapping[str, Any]) -> RecordedTrade:
    """Return an experience taken apart.

    Raises
    ------
    RecordError
        If it cannot be used; the sentence names the field, what was found and what must be.
    """
    _, symbol, entry_us = identity(record)
    told: list[Told] = [] if symbol else [("missing", "symbol")]
    values = numbers(_ALL_ROOT, ROOT, record, "")
    values += numbers(_ALL_OUTCOME, OUTCOME, part(record, "outcome"), "outcome.")
    values[_R] = _r_multiple(values)
    steps, n_parameters = _all_steps(record, entry_us, told)
    return RecordedTrade(
        symbol=symbol,
        source=_source(record),
        segment=_text(record, "segment"),
        simulated=simulated if isinstance(simulated := record.get("simulated"), bool) else None,
        entry_us=entry_us,
        exit_us=_exit_us(record, steps.time_us_K[-1], entry_us, values[_DURATION], told),
        learnt_until_us=first_time_us(record, ("policy_learnt_until",)) or 0,
        values=values,
        codes=tuple([code(name, record.get(name), told) for name in CATEGORIES]),
        n_parameters=n_parameters,
        steps=steps,
        history=_history(record, told),
        partials=pairs(record, "partial_exits", "share"),
        updates=pairs(record, "exit_param_updates", "r_at_update"),
        stops=_stops(record, values[_RISK]),
        told=told,
    )


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    return value if isinstance(value, str) else ""


def _r_multiple(values: "array[float]") -> float:
    if math.isfinite(values[_R]):
        return values[_R]
    quantity = values[_QUANTITY] if math.isfinite(values[_QUANTITY]) else values[_CONTRACTS]
    risk = values[_RISK] * quantity
    if risk > 0.0 and math.isfinite(r := values[_PNL] / risk):
        return r
    said = "r_multiple is no number, and pnl / (outcome.risk_price x quantity) neither"
    raise RecordError("no outcome in R", said)


def _source(record: Mapping[str, Any]) -> str:
    source = _text(record, "prediction_source")
    if source == HoldToBarrier.name:
        said = f"prediction_source is {source}: no rule has read its parameters"
        raise RecordError("no parameters in force", said)
    return source


def _exit_us(
    record: Mapping[str, Any], decided_us: int, entry_us: int, minutes: float, told: list[Told]
) -> int:
    exit_us = first_time_us(record, _EXIT_TIMES)
    if exit_us is None:
        told.append(("missing", "exit_timestamp"))
        lasted = minutes if 0.0 < minutes < 1e9 else 0.0
        exit_us = max(entry_us + round(lasted * _MINUTE_US), decided_us)
        return exit_us if exit_us > entry_us else END_UNKNOWN
    if exit_us < entry_us:
        raise RecordError("bad timestamp", "exit_timestamp lies before the entry")
    # One such would say that the model has learnt until then, and leave no later bar to trade.
    if exit_us > time.time() * 1e6 + _DAY_US:
        raise RecordError("bad timestamp", "exit_timestamp lies in the future")
    return exit_us


def _history(record: Mapping[str, Any], told: list[Told]) -> Pairs:
    try:
        return pairs(record, "unrealized_pnl_history", "pnl")
    except RecordError as error:
        told.append(("history", f"unrealized_pnl_history: {error.kind}"))
        return array("d"), array("d")


def _stops(record: Mapping[str, Any], risk: float) -> Pairs:
    bars, old = pairs(record, "stop_adjustments", "old_stop")
    if not bars:
        return bars, old
    _, new = pairs(record, "stop_adjustments", "new_stop")
    known = risk > 0.0
    moved = [abs(b - a) / risk if known else 0.0 for a, b in zip(old, new, strict=True)]
    return bars, array("d", moved)


def _all_steps(record: Mapping[str, Any], entry_us: int, told: list[Told]) -> tuple[Steps, int]:
    """Return the decisions of a record, that of the entry alone where no more can be read."""
    held = next((given for name in _PARAMETERS if (given := part(record, name))), None)
    if held is None:
        raise RecordError("no exit parameters", "exit_params_used holds no exit parameters")
    names = tuple(held)
    where = places(names)
    market = numbers(_ALL_MARKET, MARKET, part(record, "market_state"), "market_state.")
    atr = _positive(market[MARKET.index("atr")])
    decided = parameter_row(tuple(held.values()), names, where, atr, "exit_params_used")
    try:
        steps = _steps(record, names, where, atr)
    except RecordError as error:
        told.append(("history", f"decision_history: {error.kind}"))
        steps = None
    if steps is None:
        item = array("d", _AT_ENTRY) + market
        item[_ATR] = item[_MARKET_ATR]
        signal_us = first_time_us(record, ("signal_timestamp",))
        time = entry_us if signal_us is None else min(signal_us, entry_us)
        steps = Steps([0], [time], item, array("d"), decided)
    return steps, len(names)


def _positive(*candidates: float) -> float:
    """Return the first that is a positive finite number, else 1."""
    for one in candidates:
        if 0.0 < one < math.inf:
            return one
    return 1.0


def _steps(
    record: Mapping[str, Any], names: tuple[str, ...], where: tuple[int, ...], atr: float
) -> Steps | None:
    """Return the decisions of a history; None where there is none."""
    steps = Steps([], [], array("d"), array("d"), array("d"))
    for place, item in enumerate(items(record, "decision_history")):
        if not isinstance(item, dict):
            raise RecordError("not an object", "an item of decision_history is no object")
        row = numbers(_ALL_STANDING, STANDING, item, "decision_history.")
        row += numbers(_ALL_MARKET, MARKET, part(item, "market_state"), "market_state.")
        row[_ATR] = row[_ATR] if row[_ATR] > 0.0 else row[_MARKET_ATR]
        now = _positive(row[_ATR], atr)
        for kept, name in ((steps.previous, "previous"), (steps.decided, "decided")):
            kept += parameter_row(item.get(name) or (), names, where, now, name)
        number = item.get("number", place)
        counts = type(number) is int and number < _MOST_DECISIONS
        steps.number_K.append(number if counts else -1)
        steps.time_us_K.append(time_us(item.get("timestamp"), "decision_history.timestamp"))
        steps.items.extend(row)
    if not steps.number_K:
        return None
    _check_order(steps)
    return steps


def _check_order(steps: Steps) -> None:
    bars = steps.items[:: len(ITEM_COLUMNS)].tolist()
    sound = steps.number_K[0] >= 0 and math.isfinite(sum(bars))
    pairs_of = (pairwise(each) for each in (bars, steps.time_us_K, steps.number_K))
    if sound and len(bars) > 1:
        by_bar, by_time, by_number = ([b - a for a, b in each] for each in pairs_of)
        sound = min(by_bar) >= 0 and min(by_time) >= 0 and min(by_number) > 0
    if not sound:
        raise RecordError("out of order", "decision_history must go forward in number and bar")
