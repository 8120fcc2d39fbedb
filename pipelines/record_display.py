"""How a person or a machine is shown what `pipelines.record` did."""

import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from live.recorder import Tally
from pipelines.console import console
from pipelines.record_settings import RecordSettings
from selection import to_json_safe


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was done, and what the files hold now.

    ``failure`` says why it ended early, ``made_bus`` which file of a bus was made for it.
    """

    tally: Tally
    n_trades: int
    n_rejected: int
    file: Path
    rejected_file: Path
    failure: OSError | None
    made_bus: Path | None = None


def began(settings: RecordSettings, n_trades: int) -> None:
    """Say that recording has begun, where a person looks on."""
    if settings.format == "table" and settings.follow:
        folder = settings.rules.folder
        _line(f"recording into {folder}, which holds {n_trades:,} trades; Ctrl-C ends it", "")


def show(settings: RecordSettings, recorded: Recorded) -> None:
    """Print what was recorded, what was not and why."""
    if settings.format == "json":
        print(json.dumps(to_json_safe(document(recorded)), indent=2, allow_nan=False))
    else:
        console().print(_table(recorded))
        _line(f"{recorded.n_trades:,} trades in {recorded.file}", "")
        if recorded.n_rejected:
            _line(f"{recorded.n_rejected:,} refused events in {recorded.rejected_file}", "yellow")
        if recorded.tally.unknown:
            _line(f"unknown fields, kept with the trades: {_names(recorded.tally.unknown)}", "")
        if recorded.made_bus is not None:
            _line(f"events_bus.path: {recorded.made_bus} was not there and was made new", "yellow")
    if recorded.failure is not None:
        print(f"stopped: {recorded.failure}", file=sys.stderr)


def document(recorded: Recorded) -> dict[str, Any]:
    """Return everything about a run of the recorder, as JSON can hold it."""
    tally = recorded.tally
    return {
        "recorded": tally.recorded,
        "absorbed": tally.absorbed,
        "refused": dict(tally.refused),
        "refused_again": tally.refused_again,
        "unknown": dict(tally.unknown),
        "trimmed": tally.trimmed,
        "outages": tally.outages,
        "trades_in_files": recorded.n_trades,
        "rejected_in_files": recorded.n_rejected,
        "file": str(recorded.file),
        "rejected_file": str(recorded.rejected_file),
        "made_bus": None if recorded.made_bus is None else str(recorded.made_bus),
        "failure": str(recorded.failure) if recorded.failure else None,
    }


def _table(recorded: Recorded) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("trade.closed", overflow="fold")
    table.add_column("events", justify="right", no_wrap=True)
    tally = recorded.tally
    table.add_row("recorded", f"{tally.recorded:,}")
    table.add_row("duplicates absorbed", f"{tally.absorbed:,}")
    for kind, count in tally.refused.most_common():
        # As text: square brackets are markup otherwise.
        table.add_row(Text(f"refused: {kind}"), f"{count:,}", style="yellow")
    if tally.refused_again:
        table.add_row("refused before, came again", f"{tally.refused_again:,}")
    if tally.outages:
        table.add_row("times the bus was down", f"{tally.outages:,}")
    return table


def _names(unknown: Counter[str]) -> str:
    listed = ", ".join(f"{name!r} ({count:,})" for name, count in unknown.most_common(8))
    return listed + (", ..." if len(unknown) > 8 else "")


def _line(text: str, style: str) -> None:
    console().print(text, style=style, markup=False, soft_wrap=True)
