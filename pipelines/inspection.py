"""What `pipelines.data inspect` finds in a file, and how a person or a machine is shown it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from rich import box
from rich.table import Table

from market.bar_files import BarFiles
from market.bars import DataError
from market.checks.bar_report import BarReport
from market.data_report import EventReport, event_report
from market.reading.price_file import described
from market.reading.raw_bars import FileFormat
from market.table_files import TableFiles
from pipelines.console import console
from pipelines.readings import reading_lines
from selection import to_json_safe

FEW = 3
LABEL_CHARS = 10


@dataclass(frozen=True, slots=True)
class Inspected:
    """One symbol's file: what it is read as, what its rows hold, or why it cannot be used.

    Attributes
    ----------
    symbol : str
    format : FileFormat or None
        None for tables of features, and for files that cannot be read at all.
    bars : BarReport or None
    rows : EventReport or None
        Of a table of features and labels.
    error : str or None
    """

    symbol: str
    format: FileFormat | None = None
    bars: BarReport | None = None
    rows: EventReport | None = None
    error: str | None = None


def inspected(source: BarFiles | TableFiles, symbol: str) -> Inspected:
    """Read and check one symbol's file."""
    if isinstance(source, TableFiles):
        try:
            # Which labels a run will seal is not known here.
            return Inspected(symbol, rows=event_report(source.table(symbol), labels_until=None))
        except DataError as error:
            return Inspected(symbol, error=str(error))
    found = None
    try:
        raw = source.raw(symbol)
        found = raw.format
        _, report = source.judged(symbol, raw)
    except DataError as error:
        return Inspected(symbol, found, error=str(error))
    return Inspected(symbol, found, bars=report)


def show(found: Sequence[Inspected], *, form: Literal["table", "json"]) -> None:
    """Print everything about few files; of many a table, the odd and the unusable."""
    if form == "json":
        print(json.dumps(to_json_safe(found), indent=2, allow_nan=False))
        return
    if len(found) > FEW and any(one.bars for one in found):
        formats = ((one.symbol, one.format, None) for one in found if one.format)
        for line in reading_lines(formats):
            _line(line, "")
        console().print(_overview([one.bars for one in found if one.bars]))
        for one in found:
            for sentence in one.bars.warnings if one.bars else ():
                _line(f"{one.symbol}: {sentence}", "yellow")
    else:
        for one in found:
            _show_all(one)
    for one in found:
        if one.error:
            _line(f"{one.symbol}: {one.error}", "red")
    unusable = sum(one.error is not None for one in found)
    _line(f"{len(found) - unusable} of {len(found)} files can be used", "")


def _overview(reports: Sequence[BarReport]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    headings = ("symbol", "bars", "of", "from", "to", "gaps", "missing", "repaired", "dropped")
    for heading in headings:
        is_text = heading in ("symbol", "of", "from", "to")
        table.add_column(heading, justify="left" if is_text else "right", no_wrap=True)
    for one in reports:
        repairs = sum(one.reading.repairs.values()) if one.reading else 0
        dropped = sum(part.count for part in one.reading.dropped.values()) if one.reading else 0
        numbers = (one.gaps.breaks, one.gaps.bars_missing, repairs, dropped)
        table.add_row(
            one.symbol,
            f"{one.n_bars:,}",
            one.bar_length,
            _time(one.first_utc)[:10],
            _time(one.last_utc)[:10],
            *(f"{number:,}" if number else "" for number in numbers),
        )
    return table


def _show_all(one: Inspected) -> None:
    _line(one.symbol, "bold")
    lines = [*_format_lines(one.format), *_bar_lines(one.bars), *_row_lines(one.rows)]
    for label, text in lines:
        _line(f"  {label:<{LABEL_CHARS}}{text}", "")
    for sentence in one.bars.warnings if one.bars else ():
        _line(f"  {'look at':<{LABEL_CHARS}}{sentence}", "yellow")


def _format_lines(found: FileFormat | None) -> Iterator[tuple[str, str]]:
    if found is None:
        return
    yield "read as", described(found)
    columns = ", ".join(
        field if field == name.lower() else f"{field} = {name}"
        for field, name in found.columns.items()
    )
    ignored = f"; not read: {', '.join(found.ignored)}" if found.ignored else ""
    yield "columns", columns + ignored


def _bar_lines(bars: BarReport | None) -> Iterator[tuple[str, str]]:
    if bars is None:
        return
    reading, gaps, stuck, spikes = bars.reading, bars.gaps, bars.stuck, bars.spikes
    span = f"{_time(bars.first_utc)} to {_time(bars.last_utc)} UTC"
    known = f" ({reading.length_from})" if reading else ""
    yield "bars", f"{bars.n_bars:,} of {bars.bar_length}{known}, {span}"
    if reading is not None:
        repaired = ", ".join(f"{name} {count:,}" for name, count in reading.repairs.items())
        dropped = ", ".join(f"{name} {one.count:,}" for name, one in reading.dropped.items())
        order = "; newest first" if reading.newest_first else ""
        yield "rows", f"{reading.rows:,}{order}"
        yield "repaired", repaired or "nothing"
        yield "dropped", dropped or "nothing"
    pauses = f"; {gaps.daily_pauses:,} are daily pauses" if gaps.daily_pauses else ""
    longest = f", longest {gaps.longest_h:g} h from {_time(gaps.longest_from_utc)}{pauses}"
    counted = f"{gaps.breaks:,} beside weekends, {gaps.bars_missing:,} bars missing"
    yield "gaps", counted + longest if gaps.breaks else "none beside weekends"
    yield (
        "prices",
        f"{stuck.flat_bars:,} flat bars, {stuck.unchanged_share:.1%} of closes unchanged, "
        f"longest standstill {stuck.longest_run_bars:,} bars; {spikes.count:,} spikes; largest "
        f"log return {bars.largest_return:.3f} at {_time(bars.largest_return_at_utc)}",
    )
    has_volume = reading is None or "volume" in reading.format.columns
    yield "volume", f"{bars.zero_volume_bars:,} bars without" if has_volume else "no such column"
    if not bars.clock.looks_wrong:
        yield "clock", bars.clock.sentence


def _row_lines(rows: EventReport | None) -> Iterator[tuple[str, str]]:
    if rows is None:
        return
    span = f", {_time(rows.first_utc)} to {_time(rows.last_utc)} UTC" if rows.events else ""
    yield "rows", f"{rows.events:,}{span}"
    yield "labels", f"{rows.decided:,} decided"
    yield "constant", ", ".join(rows.constant_features) or "no feature"


def _time(moment: np.datetime64 | None) -> str:
    return "" if moment is None else str(np.datetime_as_string(moment, unit="m")).replace("T", " ")


def _line(text: str, style: str) -> None:
    console().print(text, style=style, markup=False, soft_wrap=True)
