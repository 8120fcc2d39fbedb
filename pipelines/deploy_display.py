"""What `pipelines.deploy` says: to a person as tables and lines, to a machine as JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from market.reading.safe_names import printable
from selection import to_json_safe
from selection.atomic import write_json_atomically
from selection.deploy_history import DeployHistory

DIGITS_SHOWN = 12
WHY_CHARS = 120
Form = Literal["table", "json"]


def complain(text: str) -> None:
    """Print what was refused to the error stream, a line for each."""
    errors = Console(stderr=True, highlight=False, emoji=False)
    for line in text.splitlines():
        _line(errors, line, "red")


def show_verified(document: Mapping[str, Any], *, form: Form, output: Path | None) -> None:
    """Print what became of every symbol's files; what is refused goes to the error stream."""
    symbols: Mapping[str, Mapping[str, Any]] = document["symbols"]
    for one in symbols.values():
        complain("\n".join(one["refused"]))
    if not _is_document(document, form, output):
        return
    console = _console()
    table = _table("symbol", "model", "files", "bytes", "")
    for symbol, one in symbols.items():
        verdict, style = _VERDICTS[one["verified"]]
        cells = (symbol, one["model"] or "", str(one["files"] or ""), str(one["bytes"] or ""))
        table.add_row(*map(_cell, cells), Text(verdict, style))
    console.print(table)
    signed = f"by the owner of {document['signed_by']}" if document["signed_by"] else ""
    unasked = "not checked: give public_key=FILE" if document["has_signature"] else "none"
    _line(console, f"manifest  {document['manifest']}  {_short(document['sha256'])}", "")
    _line(console, f"signature {signed or unasked}", "")


def show_swapped(document: Mapping[str, Any], *, form: Form, output: Path | None) -> None:
    """Print what is live now, and what the registry made of it."""
    errors = Console(stderr=True, highlight=False, emoji=False)
    for note in document["notes"]:
        _line(errors, note, "yellow")
    if document["tracking_failure"]:
        _line(errors, f"tracking: {document['tracking_failure']}", "yellow")
    if not _is_document(document, form, output):
        return
    before = _short(document["replaced_sha256"]) or "none"
    _line(_console(), f"live      {_short(document['sha256'])}, before {before}", "")
    if document["champions"]:
        named = ", ".join(f"{name} {one}" for name, one in document["champions"].items())
        _line(_console(), f"champion  {named}", "")


def show_differences(document: Mapping[str, Any], *, form: Form, output: Path | None) -> None:
    """Print what changed, a row for each of it."""
    if not _is_document(document, form, output):
        return
    console = _console()
    table = _table("symbol", "what", "before", "after")
    for symbol, changes in document["symbols"].items():
        for n, (name, (was, now)) in enumerate(changes.items()):
            cells = ("" if n else symbol, name.replace("_", " "), _value(was), _value(now))
            table.add_row(*map(_cell, cells))
    if document["symbols"]:
        console.print(table)
    else:
        _line(console, "no symbol is different", "")
    _line(console, f"before  {document['before']}", "")
    _line(console, f"after   {document['after']}", "")


def show_history(known: DeployHistory, *, form: Form, output: Path | None) -> None:
    """Print every change, the latest last; the live manifest has a star."""
    if known.n_unreadable:
        complain(f"{known.n_unreadable} lines of the history cannot be read and are left out")
    document = {"live_sha256": known.live_sha256, "deployments": known.deployments}
    if not _is_document(document, form, output):
        return
    table = _table("", "when (UTC)", "what", "manifest", "before", "why")
    current = max(
        (n for n, one in enumerate(known.deployments) if _is_live(one, known.live_sha256)),
        default=None,
    )
    for n, one in enumerate(known.deployments):
        happened = one.outcome == "live"
        why = one.reason if happened else f"{one.outcome}: {one.reason}"
        cells = (
            "*" if n == current else "",
            f"{one.time_utc:%Y-%m-%d %H:%M:%S}",
            one.action,
            _short(one.manifest_sha256),
            _short(one.replaced_sha256),
            why if len(why) <= WHY_CHARS else f"{why[: WHY_CHARS - 1]}…",
        )
        table.add_row(*map(_cell, cells), style="" if happened else "dim")
    _console().print(table)


_VERDICTS = {True: ("verified", "green"), False: ("refused", "bold red"), None: ("no model", "dim")}


def _is_live(one: Any, live_sha256: str | None) -> bool:
    return bool(one.outcome == "live" and one.manifest_sha256 == live_sha256)


def _is_document(document: Mapping[str, Any], form: Form, output: Path | None) -> bool:
    """Write and print a document as is asked; return whether a table is wanted."""
    if output is not None:
        write_json_atomically(output, document)
    if form == "json":
        print(json.dumps(to_json_safe(document), indent=2, allow_nan=False))
    return form == "table"


def _console() -> Console:
    return Console(highlight=False, emoji=False)


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _cell(text: str) -> Text:
    return Text(printable(text))


def _value(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _short(digest: str | None) -> str:
    return "" if digest is None else digest[:DIGITS_SHOWN]


def _line(console: Console, text: str, style: str) -> None:
    console.print(printable(text), style=style, markup=False, soft_wrap=True)
