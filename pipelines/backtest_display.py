"""What a person sees of a replay: how far it is, and what came of it."""

from collections.abc import Iterator
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from backtest.comparison_words import difference_rows, policy_rows, unpaired
from backtest.estimates import Estimate
from backtest.headline import in_words, interval_in_words, reading
from backtest.report import ComparedPart
from backtest.stats import TradeStatistics
from pipelines.backtest_files import EXPERIENCES
from pipelines.backtest_records import (
    Told,
    compared_in_words,
    experiences_in_words,
    falls_in_words,
    recovery_in_words,
    seen_in_words,
)

NOTHING_DEPLOYED = (
    "Nothing was traded: the manifest deploys no model. entries.model=events trades every event, "
    "to see what exits alone come to"
)

NOTHING_REPLAYED = "Nothing was traded: no symbol that has a model could be replayed"


def show(console: Console, told: Told, folder: str) -> None:
    """Print the table of a replay, what is to be known beside it, and where its files are."""
    for part in () if told.compared is None else told.compared.parts:
        console.print(_compared(part))
    for line in compared_in_words(told):
        console.print(line, markup=False, soft_wrap=True)
    if told.found.entries or told.statistics.trades.n_trades:
        console.print(_table(told))
    for line, style in _remarks(told):
        console.print(line, style=style, markup=False, soft_wrap=True)
    if told.found.entries and told.settings.exits.draws:
        learnable = f"{experiences_in_words(told)}: {Path(folder) / EXPERIENCES}"
        console.print(f"to learn  {learnable}", markup=False, soft_wrap=True)
    console.print(f"results   {folder}", markup=False, soft_wrap=True)
    if told.settings.tracker.failure:
        failure = f"tracking  {told.settings.tracker.failure}"
        console.print(failure, markup=False, soft_wrap=True)


def _compared(part: ComparedPart) -> Table:
    one = part.comparison
    table = Table(
        title=part.title,
        caption=" ".join(
            [
                part.note,
                f"Second line: {one.confidence:.0%} interval; differences are of the same signals.",
                *(f"{words[0].upper()}{words[1:]}." for words in unpaired(one)),
            ]
        ),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.title_justify = table.caption_justify = "left"
    table.add_column("policy", no_wrap=True)
    for heading in ("trades", "R per trade", "in ATR", "won", "bars"):
        table.add_column(heading, justify="right", no_wrap=True)
    for rows in (policy_rows(one), difference_rows(one)):
        for row in rows:
            name = f"... less {row.against}" if row.against else row.name
            r = f"{row.r}\n{row.r_interval}" if row.r_interval else row.r
            table.add_row(name, row.trades, r, row.atr, row.won, row.bars)
        table.add_section()
    return table


def _table(told: Told) -> Table:
    market = "a simulated market" if told.simulated else "real data"
    note = f", {told.note}" if told.note else ""
    percent = f"{told.statistics.method.confidence:.0%}"
    table = Table(
        title=f"Replay on {market}{note}",
        caption=f"R: the distance of the initial stop; all figures net of costs. Second line: "
        f"{percent} interval, where there are trades enough for one.",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.title_justify = table.caption_justify = "left"
    table.add_column("symbol", no_wrap=True)
    for heading in ("trades", "won", "R per trade", "total R", "profit factor", "drawdown"):
        table.add_column(heading, justify="right", no_wrap=True)
    by_symbol = told.statistics.groups["symbol"]
    for symbol in dict.fromkeys([*told.found.entries, *by_symbol]):
        if symbol in by_symbol:
            table.add_row(symbol, *_cells(by_symbol[symbol]), "")
        else:
            table.add_row(symbol, "0", *[""] * 5)
    table.add_section()
    drawdown = told.statistics.equity.max_drawdown
    depth = "" if drawdown is None else f"{drawdown:.1%}"
    table.add_row("all", *_cells(told.statistics.trades), depth)
    return table


def _cells(one: TradeStatistics) -> Iterator[str]:
    yield f"{one.n_trades:,}"
    yield in_words(one.win_share, ".1%")
    yield _two_lines(one.expectancy_r, "+.3f", "+.2f")
    yield f"{one.total_r:+,.1f}"
    yield _two_lines(one.profit_factor, ".2f", ".2f")


def _two_lines(estimate: Estimate, pattern: str, ends: str) -> str:
    interval = interval_in_words(estimate, ends)
    return in_words(estimate, pattern) + (f"\n{interval}" if interval else "")


def _by_source(told: Told) -> Iterator[tuple[str, str]]:
    """Yield what came of the trades of each source, where there is more than one."""
    by_source = told.statistics.groups["prediction_source"]
    if len(by_source) > 1:
        listed = (
            f"{source} {one.pnl:+,.0f} ({one.total_r:+,.1f} R, {one.n_trades:,} trades)"
            for source, one in by_source.items()
        )
        yield f"profit by who decided at the entry: {', '.join(listed)}", ""


def _remarks(told: Told) -> Iterator[tuple[str, str]]:
    """Yield what must not be overlooked."""
    found, statistics = told.found, told.statistics
    nothing = NOTHING_REPLAYED if found.failed else NOTHING_DEPLOYED
    yield reading(statistics) if found.entries else nothing, ""
    if told.note is not None:
        yield f"entries: {told.note}", "yellow"
    for line in (*seen_in_words(told), *recovery_in_words(told)):
        yield line, "yellow"
    if statistics.n_open:
        is_one = statistics.n_open == 1
        were = "1 position was" if is_one else f"{statistics.n_open} positions were"
        yield f"{were} still open at the end, and no trade", ""
    if sources := statistics.decisions:
        n = sum(sources.values())
        shares = ", ".join(f"{source} {count / n:.0%}" for source, count in sources.items())
        yield f"exit parameters by: {shares} of {n:,} decisions", ""
        yield from _by_source(told)
    for line in falls_in_words(told):
        yield line, "yellow"
    dropped = {name: n for name, n in statistics.skipped.items() if n}
    if dropped:
        listed = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in dropped.items())
        yield f"entries dropped: {listed}", ""
    for symbol, one in told.shown.items():
        style = "red" if one.openings.n_configurations > 1 else "yellow"
        yield f"{symbol}: its holdout was {one.in_words}", style
    for symbol, reason in found.not_later.items():
        yield f"{symbol}: not traded: {reason}", "yellow"
    for symbol, reason in found.untraded.items():
        yield f"{symbol}: not traded, no model is deployed: {reason}", ""
    for line in found.failed.values():
        yield f"not replayed: {line}", "red"
