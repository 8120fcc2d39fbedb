"""What a symbol's bars turned out to be: how they were read, what was repaired, what is odd."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from market.bars import Bars
from market.checks.bar_figures import (
    Gaps,
    LevelJump,
    Spikes,
    Stuck,
    gaps_in,
    largest_return,
    level_jumps,
    longer_part,
    open_close_swapped,
    spikes_in,
    stuck_prices,
)
from market.checks.bar_grid import length_text, off_grid_T
from market.checks.clock import ClockEvidence, clock_evidence
from market.reading.column_names import as_setting
from market.reading.raw_bars import FileFormat

# Kinds of repair, as counted.
NEWEST_FIRST = "rows newest first, turned round"
OUT_OF_ORDER = "rows out of order, sorted"
REPEATED = "rows repeated, one kept"
STAMPED_LATE = "stamped late, moved to their bar's start"
WIDENED = "high or low widened by rounding noise"
NO_PRICES = "rows without prices, left out"
FILLER = "fillers, left out"
NO_VOLUME = "without volume, taken as 0"
UNFINISHED = "still forming, left out"
MOST_WARNINGS = 10
_LONG_GAP_H = 96.0  # longer than any run of holidays
_MUCH_MISSING, _MUCH_FILLER, _MUCH_FLAT, _MUCH_UNCHANGED = 0.05, 0.05, 0.05, 0.2
_LONG_RUN_BARS = 24


@dataclass(frozen=True, slots=True)
class Dropped:
    """Rows left out as bad for one reason, and the first of them."""

    count: int
    first_row: int


@dataclass(frozen=True, slots=True)
class FileReading:
    """What became of a file's rows.

    Attributes
    ----------
    file : str
        Its name.
    sha256 : str or None
    format : FileFormat
    rows : int
        Rows read.
    length_from : str
        How the bar length is known: ``as set``, or ``commonest step, 98% of them``.
    length_named : str or None
        Bar length in the file's name.
    newest_first : bool
        The file has its latest bar at the top.
    repairs : mapping of str to int
        Rows put right, or left out without loss, by kind; kinds without any are absent.
    closed_fillers : int
        Fillers that stand for a closed market: on weekends, or for most of a day.
    dropped : mapping of str to Dropped
        Rows left out as bad, by reason.
    """

    file: str
    sha256: str | None
    format: FileFormat
    rows: int
    length_from: str
    length_named: str | None
    newest_first: bool
    repairs: Mapping[str, int]
    closed_fillers: int
    dropped: Mapping[str, Dropped]


@dataclass(frozen=True, slots=True)
class BarReport:
    """One symbol's bars in figures.

    Attributes
    ----------
    symbol : str
    reading : FileReading or None
        None for bars that come from no file.
    n_bars : int
    first_utc, last_utc : datetime64[us] or None
        Starts of the first and the last bar.
    bar_length : str
        Such as ``1h``.
    bar_length_s : float
    gaps : Gaps
    off_grid_bars : int
        Bars that start where few others do, as at 10:23 among hours.
    stuck : Stuck
    spikes : Spikes
    largest_return : float
        Largest absolute log return from close to close.
    largest_return_at_utc : datetime64[us] or None
    level_jumps : tuple of LevelJump
    zero_volume_bars : int
        0 also where the file has no volume column: ``reading.format.columns`` has no ``volume``.
    constant_volume : float or None
        The volume of every bar, where it is always the same; None without a volume column.
    clock : ClockEvidence
    warnings : tuple of str
        What a person should look at, gravest first, with figures and what to do; at most ten.
    """

    symbol: str
    reading: FileReading | None
    n_bars: int
    first_utc: np.datetime64 | None
    last_utc: np.datetime64 | None
    bar_length: str
    bar_length_s: float
    gaps: Gaps
    off_grid_bars: int
    stuck: Stuck
    spikes: Spikes
    largest_return: float
    largest_return_at_utc: np.datetime64 | None
    level_jumps: tuple[LevelJump, ...]
    zero_volume_bars: int
    constant_volume: float | None
    clock: ClockEvidence
    warnings: tuple[str, ...]


def report_of(bars: Bars, reading: FileReading | None = None) -> BarReport:
    """Measure bars, which may be of any number; nothing in them is changed.

    Parameters
    ----------
    bars : Bars
    reading : FileReading or None
        Where they come from; None for bars that come from no file.
    """
    largest, largest_at_utc = largest_return(bars)
    has_volume = reading is None or "volume" in reading.format.columns
    is_constant = len(bars) > 1 and has_volume and bool((bars.volume_T == bars.volume_T[0]).all())
    report = BarReport(
        symbol=bars.symbol,
        reading=reading,
        n_bars=len(bars),
        first_utc=np.datetime64(bars.start_T[0], "us") if len(bars) else None,
        last_utc=np.datetime64(bars.start_T[-1], "us") if len(bars) else None,
        bar_length=length_text(bars.length),
        bar_length_s=float(bars.length / np.timedelta64(1, "s")),
        gaps=gaps_in(bars),
        off_grid_bars=int(off_grid_T(bars.start_T, bars.length).sum()),
        stuck=stuck_prices(bars),
        spikes=spikes_in(bars),
        largest_return=largest,
        largest_return_at_utc=largest_at_utc,
        level_jumps=level_jumps(bars),
        zero_volume_bars=int((bars.volume_T == 0).sum()) if has_volume else 0,
        constant_volume=float(bars.volume_T[0]) if is_constant else None,
        clock=clock_evidence(bars, zone_is_set=_zone_is_set(reading)),
        warnings=(),
    )
    return replace(report, warnings=tuple(_warnings(bars, report)[:MOST_WARNINGS]))


def swapped_keys(columns: Mapping[str, str], first: str, second: str) -> str:
    """Return the settings that read two columns the other way round."""
    one, other = (as_setting(columns.get(field, field)) for field in (first, second))
    return f"data.columns.{first}={other} data.columns.{second}={one}"


def _zone_is_set(reading: FileReading | None) -> bool:
    known = ("(set)", "(in the file)", "(in the header)")
    return reading is not None and reading.format.time_zone.endswith(known)


def _warnings(bars: Bars, report: BarReport) -> list[str]:
    """Return what a person should look at, gravest first."""
    return [
        *_length_warnings(bars, report),
        *([report.clock.sentence] if report.clock.looks_wrong else []),
        *_swap_warnings(bars, report.reading),
        *_price_warnings(report),
        *_dropped_warnings(report.reading),
        *_gap_warnings(report),
        *_still_warnings(report),
        *_filler_warnings(report.reading),
        *_stamp_warnings(report),
        *_volume_warnings(report),
    ]


def _length_warnings(bars: Bars, report: BarReport) -> list[str]:
    found, reading = [], report.reading
    part = longer_part(bars)
    if part is not None:
        found.append(
            f"bars of more than one length? {part.steps:,} steps in a row from "
            f"{_at(part.from_utc)} on are longer than {report.bar_length}, most of them "
            f"{length_text(part.usual)}; keep a file per bar length"
        )
    if reading is not None and reading.length_named not in (None, report.bar_length):
        found.append(
            f"the file's name says {reading.length_named}, the bars are of {report.bar_length} "
            f"({reading.length_from}); check that it is the right file"
        )
    return found


def _swap_warnings(bars: Bars, reading: FileReading | None) -> list[str]:
    if not open_close_swapped(bars):
        return []
    columns = {} if reading is None else reading.format.columns
    return [
        "open and close look swapped: closes follow the open before more closely than opens the "
        f"close before; if so set {swapped_keys(columns, 'open', 'close')}"
    ]


def _price_warnings(report: BarReport) -> list[str]:
    found = []
    for jump in report.level_jumps[:2]:
        found.append(
            f"the price is multiplied by {jump.factor:.3g} at {_at(jump.at_utc)} and stays there "
            f"({len(report.level_jumps)} such jumps); if it is a split or a change of unit, export "
            "adjusted prices"
        )
    if report.spikes.count:
        found.append(
            f"spikes that the next bar undoes: {report.spikes.count:,}, the largest of "
            f"{np.expm1(report.spikes.largest):+.1%} at {_at(report.spikes.largest_at_utc)}; "
            "compare with another source"
        )
    return found


def _dropped_warnings(reading: FileReading | None) -> list[str]:
    if reading is None or not reading.dropped:
        return []
    parts = ", ".join(
        f"{part.count:,} {'row' if part.count == 1 else 'rows'} with "
        f"{'a ' if reason.startswith(('price', 'second', 'volume')) else ''}{reason} "
        f"(first in row {part.first_row})"
        for reason, part in reading.dropped.items()
    )
    return [f"left out as bad: {parts}; mend them at their source"]


def _gap_warnings(report: BarReport) -> list[str]:
    gaps = report.gaps
    missing = gaps.bars_missing - gaps.pause_bars
    share = missing / max(report.n_bars + missing, 1)
    if share > _MUCH_MISSING and report.clock.kind != "sessions":
        return [
            f"{missing:,} bars ({share:.1%}) are missing in {gaps.breaks - gaps.daily_pauses:,} "
            f"breaks besides weekends and daily pauses, the longest of {gaps.longest_h:g} h from "
            f"{_at(gaps.longest_from_utc)}; look for a fuller export"
        ]
    if gaps.longest_h > _LONG_GAP_H:
        return [
            f"no bar for {gaps.longest_h:g} h from {_at(gaps.longest_from_utc)}; look for the "
            "missing part"
        ]
    return []


def _still_warnings(report: BarReport) -> list[str]:
    stuck, found = report.stuck, []
    flat = stuck.flat_bars / max(report.n_bars, 1)
    if flat > _MUCH_FLAT or stuck.unchanged_share > _MUCH_UNCHANGED:
        found.append(
            f"{stuck.unchanged_share:.1%} of closes are unchanged and {flat:.1%} of bars flat: the "
            "price steps are coarse or the market is thin; expect little, or use longer bars"
        )
    if stuck.longest_run_bars >= _LONG_RUN_BARS:
        found.append(
            f"the price stands still for {stuck.longest_run_bars:,} bars from "
            f"{_at(stuck.longest_run_from_utc)}; look whether the source had stopped"
        )
    return found


def _filler_warnings(reading: FileReading | None) -> list[str]:
    fillers = 0 if reading is None else reading.repairs.get(FILLER, 0)
    if reading is None or fillers <= _MUCH_FILLER * reading.rows:
        return []
    said = (
        f"{fillers:,} of {reading.rows:,} rows stand still without volume and were left out, "
        f"{reading.closed_fillers:,} of them while the market is closed (weekends, holidays)"
    )
    if fillers - reading.closed_fillers > _MUCH_FILLER * reading.rows:
        return [f"{said}; export without flats, or look for a livelier market"]
    return [said]


def _stamp_warnings(report: BarReport) -> list[str]:
    found, reading = [], report.reading
    late = 0 if reading is None else reading.repairs.get(STAMPED_LATE, 0)
    if reading is not None and late:
        found.append(
            f"{late:,} of {reading.rows:,} bars were stamped up to a tenth of a bar late and moved "
            "to their start; check that the file has one bar length throughout"
        )
    if report.off_grid_bars:
        found.append(
            f"{report.off_grid_bars:,} of {report.n_bars:,} bars start off the {report.bar_length} "
            "grid; check that the file has one bar length throughout"
        )
    return found


def _volume_warnings(report: BarReport) -> list[str]:
    if report.constant_volume is not None:
        return [f"volume is {report.constant_volume:g} in every bar; it says nothing"]
    if report.zero_volume_bars > _MUCH_FLAT * report.n_bars:
        share = report.zero_volume_bars / report.n_bars
        return [f"{report.zero_volume_bars:,} bars ({share:.1%}) have no volume; do not rely on it"]
    return []


def _at(time: np.datetime64 | None) -> str:
    return "" if time is None else f"{str(time)[:16].replace('T', ' ')} UTC"
