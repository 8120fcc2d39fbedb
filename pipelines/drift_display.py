"""What a person sees of a look for drift, or a machine reads."""

import json
from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table

from live.drift_report import FILE, DriftReport, document
from pipelines.drift_records import BY, Told, accuracy_words, needed_words, verdict

STYLES = {"tripped": "red", "failed": "red", "stable": "green", "waiting": "", "no_model": "dim"}
CAPTION = (
    "Signals: later than all that the model has read, outcome known. Before: how often it was "
    "right on the holdout, beneath it the lower bound that is tested (* out of fold, which the "
    "selection has read). Since: how often since then, up to the alarm, of signals that share no "
    "time, with a 95% interval; what an alarm has ended looks worse than what is to come. Needed: "
    "about how many signals it takes to find that a model's edge is gone. Alarm: the day, and by "
    "which test first."
)


def show(console: Console, told: Told) -> None:
    """Print the table of a look, its evidence and where its files are, or its document."""
    if told.settings.format == "json":
        found = {**document(told.report), "tripped": list(told.report.tripped)}
        print(json.dumps(found, indent=2, allow_nan=False))
        return
    if told.found.symbols:
        console.print(_table(told))
    console.print(f"{verdict(told)}.", markup=False, soft_wrap=True)
    for line, style in _remarks(told):
        console.print(line, style=style, markup=False, soft_wrap=True)
    console.print(f"results   {told.folder}", markup=False, soft_wrap=True)
    if told.settings.tracker.failure:
        failure = f"tracking  {told.settings.tracker.failure}"
        console.print(failure, markup=False, soft_wrap=True)


def show_beside(console: Console, told: Told, beside: DriftReport, n_symbols: int) -> None:
    """Say how much the report beside the manifest holds, after a look at some of its symbols."""
    if told.settings.format == "table" and told.settings.symbols is not None:
        line = f"{FILE} names {len(beside.symbols)} of {n_symbols} symbols"
        console.print(line, markup=False, soft_wrap=True)


def _table(told: Told) -> Table:
    market = "a simulated market" if told.simulated else "real data"
    table = Table(title=f"Drift on {market}", caption=CAPTION, box=box.SIMPLE_HEAD, pad_edge=False)
    table.title_justify = table.caption_justify = "left"
    table.add_column("symbol", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for heading in ("signals", "before", "since", "needed"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("alarm", no_wrap=True)
    for symbol, one in told.report.symbols.items():
        looked = told.found.looked.get(symbol)
        words = ("", "", "")
        if looked is not None:
            before, since = accuracy_words(looked)
            words = (_lines(before), _lines(since), needed_words(looked))
        alarm = "" if one.tripped_at is None else f"{one.tripped_at:%Y-%m-%d}"
        if one.tripped_by:
            alarm += f"\n{BY[one.tripped_by[0]]}"
        table.add_row(
            symbol,
            one.status.replace("_", " "),
            f"{one.n_events:,}" if looked is not None else "",
            *words,
            alarm,
            style=STYLES[one.status],
        )
    return table


def _lines(figure: str) -> str:
    """Return a figure with what stands in brackets beneath it: a terminal is narrow."""
    return figure.replace(" (", "\n").replace(")", "")


def _remarks(told: Told) -> Iterator[tuple[str, str]]:
    for symbol, one in told.report.symbols.items():
        if one.status == "no_model":
            continue
        style = STYLES[one.status] if one.status in ("tripped", "failed") else "dim"
        for reason in one.reasons:
            named = reason if reason.startswith(f"{symbol}:") else f"{symbol}: {reason}"
            yield named, style
    for line in told.found.warnings:
        yield line, "yellow"
