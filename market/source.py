"""One symbol's events, and what there is to say about its bars, wherever they come from."""

from dataclasses import replace

from market.bar_files import BarFiles
from market.build import build_event_table
from market.checks.bar_report import BarReport, report_of
from market.event_table import EventTable
from market.events import EveryBar, SmcEvents
from market.features.smc import SmcFeatures
from market.labels import TripleBarrier
from market.simulate import SimulatedMarket
from market.table_files import TableFiles

Source = SimulatedMarket | BarFiles | TableFiles


def read_symbol(
    source: Source,
    symbol: str,
    *,
    seed: int,
    features: SmcFeatures,
    events: SmcEvents | EveryBar,
    labels: TripleBarrier,
) -> tuple[EventTable, BarReport | None]:
    """Read or simulate one symbol; a table brings its own features and labels, and no bars.

    Raises
    ------
    DataError
        If the symbol's data cannot be used.
    """
    if isinstance(source, TableFiles):
        return source.table(symbol), None
    if isinstance(source, SimulatedMarket):
        bars = source.bars(symbol, seed)
        # A made-up market keeps its own hours: there is nothing to look into.
        bar_report = replace(report_of(bars), warnings=())
    else:
        bars, bar_report = source.read(symbol)
    table = build_event_table(bars, features=features, events=events, labels=labels)
    return table, bar_report


def source_digest(source: Source, symbol: str, seed: int) -> str:
    """Return what identifies a symbol's data: its file's SHA-256, or the simulation's arguments."""
    if isinstance(source, SimulatedMarket):
        return f"simulated {symbol} seed {seed} bars {source.n_bars} edge {source.edge:g}"
    return source.digest(symbol)
