"""One symbol's events, and what there is to say about its bars, wherever they come from."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial

from market.bar_files import BarFiles
from market.bars import Bars
from market.bars_until import BarsUntil
from market.build import build_event_table
from market.checks.bar_report import UNFINISHED, BarReport, report_of
from market.event_table import EventTable
from market.events import EveryBar, SmcEvents
from market.features.smc import SmcFeatures
from market.kept_files import Kept
from market.labels import TripleBarrier
from market.simulate import SimulatedMarket
from market.table_cache import TableCache, table_key
from market.table_files import TableFiles

OfBars = SimulatedMarket | BarFiles | BarsUntil
Source = OfBars | TableFiles


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

    Where the source has a cache, what was made before of the same bars by the same definitions and
    the same code is taken from there, equal to the last bit; its arrays cannot be written to.

    Raises
    ------
    DataError
        If the symbol's data cannot be used.
    """
    if isinstance(source, TableFiles):
        return source.table(symbol), None
    make = partial(_made, source, symbol, seed, features, events, labels)
    if isinstance(source, BarsUntil) or source.cache is None:
        kept = make()
    else:
        kept = _kept(source.cache, source, symbol, seed, (features, events, labels), make)
    return kept.table, kept.report


def source_digest(source: Source, symbol: str, seed: int) -> str:
    """Return what identifies a symbol's data.

    Its file's SHA-256 or the simulation's arguments; of bars up to a moment, one of these bars.
    """
    if isinstance(source, BarsUntil):
        return source.digest(symbol, seed)
    if isinstance(source, SimulatedMarket):
        digest = f"simulated {symbol} seed {seed} bars {source.n_bars} edge {source.edge:g}"
        then = source.change
        if then is None:
            return digest
        return f"{digest} from bar {then.at} edge {then.edge:g} volatility {then.volatility:g}"
    return source.digest(symbol)


def file_name(source: Source, symbol: str) -> str | None:
    """Return the name of a symbol's file; None where it is simulated."""
    return None if isinstance(source, SimulatedMarket) else source.file_name(symbol)


def is_simulated(source: Source) -> bool:
    """Tell whether a source's bars are made up."""
    whole = source.source if isinstance(source, BarsUntil) else source
    return isinstance(whole, SimulatedMarket)


def _kept(
    cache: TableCache,
    source: SimulatedMarket | BarFiles,
    symbol: str,
    seed: int,
    definitions: tuple[object, ...],
    make: Callable[[], Kept],
) -> Kept:
    """Return a symbol as it was kept, or made anew and then kept."""
    if isinstance(source, SimulatedMarket):
        identity = source.identity(symbol, seed)
    else:
        identity = source.identity(symbol)
    found = cache.get(table_key(identity, *definitions), now_utc=_now_utc(source))
    if found is not None:
        return found
    made = make()
    if isinstance(source, BarFiles):
        # The file may have changed since: what is kept has the name of what was read.
        identity["sha256"] = source.digest(symbol)
    if not is_passing(made.report):
        cache.keep(table_key(identity, *definitions), made)
    return made


def _made(
    source: OfBars,
    symbol: str,
    seed: int,
    features: SmcFeatures,
    events: SmcEvents | EveryBar,
    labels: TripleBarrier,
) -> Kept:
    bars, report = _bars(source, symbol, seed)
    table = build_event_table(bars, features=features, events=events, labels=labels)
    return Kept(table, report, _now_utc(source))


def _bars(source: OfBars, symbol: str, seed: int) -> tuple[Bars, BarReport]:
    if isinstance(source, BarsUntil):
        return source.read(symbol, seed)
    if isinstance(source, BarFiles):
        return source.read(symbol)
    bars = source.bars(symbol, seed)
    # A made-up market keeps its own hours: there is nothing to look into.
    return bars, replace(report_of(bars), warnings=())


def _now_utc(source: OfBars) -> datetime | None:
    """Return the time now, where it decides what is read: simulated bars have no present."""
    return source.clock() if isinstance(source, BarFiles) else None


def is_passing(report: BarReport | None) -> bool:
    """Tell whether the same file gives other bars before long: one of them was still forming."""
    reading = report.reading if report else None
    return reading is not None and UNFINISHED in reading.repairs
