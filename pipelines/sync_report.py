"""How a person or a machine is shown what `pipelines.sync` delivered, and what it did not."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Literal

from rich import box
from rich.table import Table

from pipelines.console import console
from pipelines.sync_settings import SyncSettings
from selection import to_json_safe
from tracking.failures import without_password
from tracking.syncing import Synced, SyncReport


@contextmanager
def progress(form: Literal["table", "json"]) -> Iterator[Callable[[Synced], None]]:
    """Show how far it is on a terminal, in one line that goes when it is done."""
    if form == "json" or not console().is_terminal:
        yield lambda _synced: None
        return
    with console().status("looking for what waits") as status:
        yield lambda one: status.update(
            f"{one.session}: {one.delivered} delivered, {one.waiting} to go"
        )


def document(settings: SyncSettings, report: SyncReport) -> dict[str, Any]:
    """Return everything about a sync, as JSON can hold it."""
    return {
        "store": without_password(settings.uri),
        "queue": str(settings.queue),
        "delivered": sum(one.delivered for one in report.sessions),
        "waiting": sum(one.waiting for one in report.sessions),
        "unreachable": report.unreachable,
        "sessions": [asdict(one) for one in report.sessions],
        "set_aside": [str(path) for path in report.set_aside],
    }


def show(settings: SyncSettings, report: SyncReport) -> None:
    """Print a row for each session that had anything to deliver, and what needs a person."""
    if settings.format == "json":
        print(json.dumps(to_json_safe(document(settings, report)), indent=2, allow_nan=False))
        return
    store = without_password(settings.uri)
    if report.sessions:
        console().print(_table(report))
        delivered = sum(one.delivered for one in report.sessions)
        waiting = sum(one.waiting for one in report.sessions)
        _line(f"{delivered} delivered to {store}, {waiting} waiting in {settings.queue}", "")
    else:
        _line(f"nothing waits for {store} in {settings.queue}", "")
    for reason in dict.fromkeys(one.reason for one in report.sessions if one.reason):
        _line(reason, "red")
    for one in report.sessions:
        for remark in one.remarks:
            _line(f"{one.session}: {remark}", "yellow")
        for name, reason in one.set_aside.items():
            _line(f"{one.session}: {name} {reason}", "red")
    if report.set_aside:
        folder = report.set_aside[0].parent
        n_aside = len(report.set_aside)
        _line(f"{n_aside} set aside in {folder}: look at each, then delete it", "yellow")


def _table(report: SyncReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading, justify in (("begun", "left"), ("delivered", "right"), ("waiting", "right")):
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for one in report.sessions:
        waiting = str(one.waiting) if one.waiting else ""
        table.add_row(_moment(one.session), str(one.delivered), waiting)
    return table


def _moment(session: str) -> str:
    """Return when a session was begun, which its name begins with."""
    day, time = session[:8], session[9:15]
    return f"{day[:4]}-{day[4:6]}-{day[6:]} {time[:2]}:{time[2:4]}:{time[4:]} UTC"


def _line(text: str, style: str) -> None:
    console().print(text, style=style, markup=False, soft_wrap=True)
