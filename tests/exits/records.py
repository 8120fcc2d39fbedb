"""Experiences of every generation, and the rows that are read of them."""

import copy
import json

from exits.decision_rows import read_decision_rows
from exits.parameters import ALIASES, NAMES, defaults

TWELVE = (
    *("stop_mult", "breakeven_threshold_ticks", "trailing_distance_ticks"),
    *("partial_1_r", "partial_1_pct", "partial_2_r", "partial_2_pct", "partial_3_r"),
    *("partial_3_pct", "breakeven_mult", "trailing_mult", "current_atr"),
)
OLDER = {name: older for older, name in ALIASES.items()}


def old_record(number=1, **changed):
    """Return a record as the oldest ones were: 9 parameters, nothing about the way."""
    values = dict(zip(NAMES, defaults(0.7).tolist(), strict=True))
    record = {
        "trade_id": number,
        "symbol": "EURUSD",
        "side": "LONG",
        "timestamp": f"2021-03-{1 + number // 24:02d}T{number % 24:02d}:30:00",
        "session": "LONDON",
        "regime": "NORMAL_TRENDING",
        "exit_reason": "stop_loss",
        "pnl": -12.5,
        "r_multiple": -0.5,
        "duration": 45,
        "entry_confidence": 0.6,
        "market_state": {"atr": 0.0012, "rsi": 41.5, "hour": 9, "day_of_week": 0},
        "exit_params": {name: values[name] for name in TWELVE[:9]},
    }
    return {**record, **changed}


def rows_of(folder, records, *, text=None, name="experiences.json", **options):
    """Return the rows and the report of records, or of a file's text."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(records) if text is None else text)
    return read_decision_rows([path], rejected=folder / "rejected.jsonl", **options)


def set_aside(folder):
    """Return what was told of the records that were set aside."""
    return [json.loads(line) for line in (folder / "rejected.jsonl").read_text().splitlines()]


def unpacked(record):
    """Return a record with its texts of JSON as lists."""
    record = copy.deepcopy(record)
    for name in ("decision_history", "unrealized_pnl_history"):
        record[name] = json.loads(record[name])
    return record


def packed(record):
    """Return a record with every list and object as a text of JSON."""
    return {
        name: json.dumps(value) if isinstance(value, list | dict) else value
        for name, value in record.items()
    }
