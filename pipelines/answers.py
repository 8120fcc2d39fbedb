"""What `pipelines.predict` says about each symbol: to a person as a table, to a machine as JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from market.reading.safe_names import printable
from selection import to_json_safe
from selection.signals import shown

WIDTH = 80
NO_MODEL = "no model"
OLD = "last bar is old"
COLORS = {"BUY": "green", "SELL": "red", "HOLD": "dim"}
# Longest first: seconds of each unit, and from how many of them on it is used.
UNITS = (
    ("years", 365.25 * 86_400, 2),
    ("months", 30.44 * 86_400, 2),
    ("days", 86_400.0, 2),
    ("h", 3600.0, 1),
    ("min", 60.0, 0),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said about one symbol, as the JSON document holds it.

    Attributes
    ----------
    symbol : str
    signal : str or None
        BUY, SELL or HOLD; None where the symbol failed.
    reason : str or None
        Why it is HOLD.
    error : str or None
        Why it failed.
    model : str or None
    direction : int or None
        +1 or -1 where the last bar is an event.
    probability : float or None
        Of winning in that direction.
    threshold : float or None
        Probability from which the trade is taken.
    closed_at : datetime or None
        Close of the last closed bar, UTC.
    age_s : float or None
        Seconds since then.
    stale : bool
        More than three bars have passed since then.
    warning : str or None
        What to know before acting on the signal.
    data_warning : str or None
        The gravest thing that is odd about the bars.
    """

    symbol: str
    signal: str | None = None
    reason: str | None = None
    error: str | None = None
    model: str | None = None
    direction: int | None = None
    probability: float | None = None
    threshold: float | None = None
    closed_at: datetime | None = None
    age_s: float | None = None
    stale: bool = False
    warning: str | None = None
    data_warning: str | None = None


def show(
    document: Mapping[str, Any], answers: Sequence[Answer], *, form: Literal["table", "json"]
) -> None:
    """Print the answers; warnings and failures go to the error stream, one line each."""
    errors = Console(stderr=True, highlight=False, emoji=False)
    for warning in document["warnings"]:
        _line(errors, f"warning: {warning}", "yellow")
    for one in answers:
        if one.data_warning:
            _line(errors, f"{one.symbol}: {one.data_warning}", "yellow")
        for line in (one.error or "").splitlines():
            named = line.startswith((f"{one.symbol}:", f"{one.symbol}."))
            _line(errors, line if named else f"{one.symbol}: {line}", "red")
    if form == "json":
        print(json.dumps(to_json_safe(document), indent=2, allow_nan=False))
        return
    console = Console(highlight=False, emoji=False)
    console.print(_table(answers), width=min(WIDTH, console.width))
    if any(one.stale for one in answers):
        note = "Where the last bar is old, the signal is that of its close, not of now."
        _line(console, note, "yellow")


def in_words(seconds: float) -> str:
    """Return an age as a person says it: 40 min, 3 h, 5 days, 7 years."""
    for unit, length_s, least in UNITS:
        if seconds >= least * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return "0 min"


def _table(answers: Sequence[Answer]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("symbol", max_width=12, overflow="fold")
    for heading in ("signal", "side"):
        table.add_column(heading, no_wrap=True)
    for heading in ("p(win)", "needed"):
        table.add_column(heading, no_wrap=True, justify="right")
    table.add_column("model", max_width=12, overflow="fold")
    table.add_column("last bar", no_wrap=True, justify="right")
    table.add_column("why", overflow="fold")
    for one in answers:
        table.add_row(*(Text(printable(cell), style) for cell, style in _cells(one)))
    return table


def _cells(one: Answer) -> list[tuple[str, str]]:
    signal = one.signal or "failed"
    side = {1: "long", -1: "short"}.get(one.direction or 0, "")
    age = "" if one.age_s is None else in_words(one.age_s)
    p_win, needed = one.probability, one.threshold
    acts = one.signal in ("BUY", "SELL")
    why = [one.reason if one.model else NO_MODEL, OLD if one.stale and acts else None]
    return [
        (one.symbol, ""),
        (signal, COLORS.get(signal, "bold red")),
        (side, ""),
        ("" if p_win is None or needed is None else shown(p_win, needed), ""),
        ("" if needed is None else f"{needed}", ""),
        (one.model or "", ""),
        (age, "yellow" if one.stale else ""),
        ("see above" if one.error else "; ".join(filter(None, why)), ""),
    ]


def _line(console: Console, text: str, style: str) -> None:
    console.print(printable(text), style=style, markup=False, soft_wrap=True)
