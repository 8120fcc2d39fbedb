"""Raw bars checked and put right where nothing has to be invented, or refused in one line.

What a bar becomes depends on no later bar, but for the bar length and the common starts of bars,
which are measured over the whole file.

Axes: T rows of the file, then bars in time; S steps from bar to bar; C the four prices.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from market.bars import Bars, DataError, FloatArray, TimeArray
from market.checks.bar_figures import BoolArray, longest_run, weekday_T
from market.checks.bar_grid import DAY, late_T, length_text, usual_step
from market.checks.bar_report import (
    FILLER,
    NEWEST_FIRST,
    NO_PRICES,
    NO_VOLUME,
    OUT_OF_ORDER,
    REPEATED,
    STAMPED_LATE,
    UNFINISHED,
    WIDENED,
    BarReport,
    Dropped,
    FileReading,
    report_of,
)
from market.checks.bar_words import (
    BAD_PRICE,
    BAD_VOLUME,
    HIGH_BELOW_LOW,
    LARGEST,
    NO_TIME,
    NOISE,
    OUTSIDE,
    PRICES,
    SECOND_BAR,
    SMALLEST,
    finding,
    moment,
    place,
    swapped,
)
from market.reading.raw_bars import RawBars

# Of a bar's length: below the first a step is a shorter bar's, within the second of it a bar's own,
# above the third a longer bar's, or bars are missing.
_SHORT, _LIKE, _LONG = 0.75, 0.1, 1.5
_UNEQUAL_STEPS, _EQUAL_STEPS = 0.05, 0.05  # more of the short, or fewer of a bar's own, are refused
_LONGEST_SPARSE_STEPS = 100  # as many in a row without two neighbours may be for missing bars

_SATURDAY, _MOST_OF_A_DAY = 5, np.timedelta64(20 * 3_600_000_000, "us")
_MOST_ROWS = 0.9

IndexArray = npt.NDArray[np.intp]


@dataclass(slots=True)
class _Findings:
    """Rows repaired by kind, and rows that are bad by reason: each row for its first one only."""

    repairs: dict[str, int]
    bad: dict[str, IndexArray]
    closed_fillers: int = 0

    def repaired(self, kind: str, count: int) -> None:
        if count:
            self.repairs[kind] = self.repairs.get(kind, 0) + count


def checked(
    raw: RawBars,
    *,
    symbol: str,
    length: np.timedelta64 | None,
    max_dropped: float,
    now_utc: np.datetime64,
    named_length: np.timedelta64 | None = None,
) -> tuple[Bars, BarReport]:
    """Return what `usable_bars` does, and beside what was read all that is measured in the bars."""
    bars, reading = usable_bars(
        raw,
        symbol=symbol,
        length=length,
        max_dropped=max_dropped,
        now_utc=now_utc,
        named_length=named_length,
    )
    return bars, report_of(bars, reading)


def usable_bars(
    raw: RawBars,
    *,
    symbol: str,
    length: np.timedelta64 | None,
    max_dropped: float,
    now_utc: np.datetime64,
    named_length: np.timedelta64 | None = None,
) -> tuple[Bars, FileReading]:
    """Return the usable bars of a file and what became of its rows.

    Put right and counted: rows newest first or out of order (sorted), rows repeated (one kept),
    stamps at most a tenth of a bar late (moved to their bar's start, if no bar is there), high and
    low that miss open and close by rounding noise (widened), rows without any price, fillers (flat
    at the close before and without volume, after bars with volume), an empty volume (0), bars still
    forming. Dropped as bad, within limits: a missing time, a price that is missing, not above 0 or
    of a size that no price has, high below low, open or close outside, a volume below 0, the second
    of two different bars at one time.

    Parameters
    ----------
    raw : RawBars
    symbol : str
    length : timedelta64 or None
        Bar length; None for the commonest step.
    max_dropped : float
        Most rows to drop as bad, as a share of all.
    now_utc : datetime64
    named_length : timedelta64 or None
        Bar length that the file's name speaks of.

    Raises
    ------
    DataError
        If a time lies in the future, more rows are bad than may be dropped, high and low look
        swapped, the bars come at another step than ``length`` or are of more than one, or fewer
        than two are left.
    """
    _check_future(raw, now_utc)
    length = None if length is None else length.astype("timedelta64[us]")
    found = _Findings({}, {})
    raw = _filled_volume(raw, found)
    raw, kept = _judged(raw, found)
    sorted_rows = _in_time(raw, kept, found)
    times = np.unique(raw.start_T[sorted_rows])
    used, length_from = _bar_length(raw, times, length)
    rows, start_T = _one_each(raw, sorted_rows, used, found)
    _check_dropped(raw, found, max_dropped)
    bars = _usable(raw, symbol, used, rows, start_T, found, now_utc)
    if len(bars) < 2:
        raise DataError(
            f"{raw.file}: {len(bars)} usable bars in {len(raw):,} rows, at least 2 are needed"
        )
    return bars, _reading(raw, found, length_from, named_length)


def _reading(
    raw: RawBars, found: _Findings, length_from: str, named_length: np.timedelta64 | None
) -> FileReading:
    return FileReading(
        file=raw.file,
        sha256=raw.sha256,
        format=raw.format,
        rows=len(raw),
        length_from=length_from,
        length_named=None if named_length is None else length_text(named_length),
        newest_first=NEWEST_FIRST in found.repairs,
        repairs=found.repairs,
        closed_fillers=found.closed_fillers,
        dropped={
            reason: Dropped(len(bad), int(raw.row_T[bad].min()))
            for reason, bad in found.bad.items()
        },
    )


def _check_future(raw: RawBars, now_utc: np.datetime64) -> None:
    future_T = raw.start_T > now_utc
    if future_T.any():
        first = int(np.argmax(future_T))
        advice = "is it a wrong year?"
        if raw.start_T[first] - now_utc <= DAY:
            advice = "set data.time_zone to the clock of the file"
            advice = "give the starts of bars in UTC" if raw.is_given else advice
        raise DataError(
            f"{place(raw, first, 'time')}: {moment(raw.start_T[first])} UTC is in the future, it "
            f"is {moment(now_utc.astype('datetime64[m]'))} UTC; {advice}"
        )


def _filled_volume(raw: RawBars, found: _Findings) -> RawBars:
    empty_T = np.isnan(raw.volume_T)
    if not empty_T.any():
        return raw
    found.repaired(NO_VOLUME, int(empty_T.sum()))
    return replace(raw, volume_T=np.where(empty_T, 0.0, raw.volume_T))


def _judged(raw: RawBars, found: _Findings) -> tuple[RawBars, IndexArray]:
    """Return the rows with high and low widened by noise, and those rows that are not bad."""
    price_CT = np.stack([getattr(raw, f"{name}_T") for name in PRICES])
    top_T, bottom_T = np.maximum(price_CT[0], price_CT[3]), np.minimum(price_CT[0], price_CT[3])
    high_T, low_T = price_CT[1], price_CT[2]
    with np.errstate(invalid="ignore"):
        reasons = {
            NO_TIME: np.isnat(raw.start_T),
            BAD_PRICE: ~((price_CT >= SMALLEST) & (price_CT <= LARGEST)).all(axis=0),
            HIGH_BELOW_LOW: high_T < low_T * (1 - NOISE),
            OUTSIDE: (high_T < top_T * (1 - NOISE)) | (low_T > bottom_T * (1 + NOISE)),
            BAD_VOLUME: ~((raw.volume_T >= 0) & (raw.volume_T <= LARGEST)),
        }
    empty_T = np.isnan(price_CT).all(axis=0)
    found.repaired(NO_PRICES, int(empty_T.sum()))
    judged_T: BoolArray = empty_T
    for reason, is_bad_T in reasons.items():
        bad = np.flatnonzero(is_bad_T & ~judged_T)
        if len(bad):
            found.bad[reason] = bad
        judged_T = judged_T | is_bad_T
    wide_T = ~judged_T & ((high_T < top_T) | (low_T > bottom_T))
    found.repaired(WIDENED, int(wide_T.sum()))
    if wide_T.any():
        high_T = np.where(wide_T, np.maximum(high_T, top_T), high_T)
        low_T = np.where(wide_T, np.minimum(low_T, bottom_T), low_T)
        raw = replace(raw, high_T=high_T, low_T=low_T)
    return raw, np.flatnonzero(~judged_T)


def _in_time(raw: RawBars, kept: IndexArray, found: _Findings) -> IndexArray:
    """Return rows in ascending time; of equal times the earlier row first."""
    start_T = raw.start_T[kept]
    step_T = np.diff(start_T).astype(np.int64)
    if (step_T < 0).sum() > (step_T > 0).sum():
        found.repaired(NEWEST_FIRST, len(kept))
        start_T = start_T[::-1]
    late_rows = start_T < np.maximum.accumulate(start_T) if len(kept) else start_T
    found.repaired(OUT_OF_ORDER, int(np.count_nonzero(late_rows)))
    return kept if (step_T >= 0).all() else kept[np.argsort(raw.start_T[kept], kind="stable")]


def _bar_length(
    raw: RawBars, times: TimeArray, length: np.timedelta64 | None
) -> tuple[np.timedelta64, str]:
    """Return the length as set or as measured, and how it is known."""
    if len(times) < 2:
        return length if length is not None else np.timedelta64(1, "us"), "not known"
    step, share = usual_step(times)
    used = step if length is None else length
    step_S = np.diff(times)
    ratio_S = step_S / used
    short_S, other_S = ratio_S < _SHORT, np.abs(ratio_S - 1) >= _LIKE
    # A length that is set is the user's word that bars are only missing.
    long_S = _long_part(ratio_S) if length is None else np.zeros(len(ratio_S), dtype=bool)
    strange_S = short_S if short_S.mean() > _UNEQUAL_STEPS else long_S
    if length is not None and (~other_S).mean() < _EQUAL_STEPS:
        strange_S = other_S
    if strange_S.any():
        raise _unequal(raw, times, strange_S, used, step if length is not None else None)
    return used, f"commonest step, {share:.0%} of them" if length is None else "as set"


def _long_part(ratio_S: FloatArray) -> BoolArray:
    """Return the longest run of steps above a bar's length, where it is too long for missing bars.

    Bars that are missing here and there leave some neighbours; longer bars never have one.
    """
    steps, first = longest_run(ratio_S > _LONG)
    if steps <= max(_UNEQUAL_STEPS * len(ratio_S), _LONGEST_SPARSE_STEPS):
        return np.zeros(len(ratio_S), dtype=bool)
    place_S = np.arange(len(ratio_S))
    long_S: BoolArray = (place_S >= first) & (place_S < first + steps)
    return long_S


def _unequal(
    raw: RawBars,
    times: TimeArray,
    strange_S: BoolArray,
    used: np.timedelta64,
    usual: np.timedelta64 | None,
) -> DataError:
    """Return the error; ``usual`` is the commonest step where ``used`` is set, else None."""
    first = int(np.argmax(strange_S))
    row = int(np.argmax(raw.start_T == times[first + 1]))
    came = length_text(times[first + 1] - times[first])
    found = (
        f"{place(raw, row, 'time')}: {came} after the bar before, as {strange_S.mean():.0%} of "
        f"the bars come at other steps than {length_text(used)}"
    )
    mixed = "bars of more than one length"
    if usual is not None and np.abs(usual / used - 1) >= _LIKE:
        wanted = "expected were bars of" if raw.is_given else "data.bar_length says"
        return DataError(
            f"{found}: {wanted} {length_text(used)}, the bars come every {length_text(usual)}; "
            "bars are not resampled"
        )
    if raw.is_given:
        return DataError(f"{found}: {mixed}; give those of one length")
    if usual is None:
        return DataError(
            f"{found}: {mixed}; keep a file per bar length, or set data.bar_length where bars are "
            "only missing"
        )
    return DataError(f"{found} (data.bar_length): {mixed}; keep a file per bar length")


def _one_each(
    raw: RawBars, rows: IndexArray, length: np.timedelta64, found: _Findings
) -> tuple[IndexArray, TimeArray]:
    """Return one row for each bar, in time, and the bars' starts with late stamps moved.

    A stamp that is not late has the place before one that is, and the earlier row before the later.
    """
    behind_T = late_T(raw.start_T[rows], length)
    place_T: TimeArray = raw.start_T[rows] - behind_T
    first_T = np.diff(place_T, prepend=place_T[:1] - length) > np.timedelta64(0, "us")
    first_of_T = np.maximum.accumulate(np.where(first_T, np.arange(len(rows)), 0))
    again = np.flatnonzero(~first_T)
    same = np.ones(len(again), dtype=bool)
    for name in (*PRICES, "volume"):
        values_T = getattr(raw, f"{name}_T")[rows]
        same &= values_T[again] == values_T[first_of_T[again]]
    found.repaired(REPEATED, int(same.sum()))
    if not same.all():
        found.bad[SECOND_BAR] = rows[again[~same]]
    found.repaired(STAMPED_LATE, int(np.count_nonzero(behind_T[first_T])))
    return rows[first_T], place_T[first_T]


def _usable(
    raw: RawBars,
    symbol: str,
    length: np.timedelta64,
    rows: IndexArray,
    start_T: TimeArray,
    found: _Findings,
    now_utc: np.datetime64,
) -> Bars:
    """Return the bars without fillers and those that are still forming."""
    open_T, high_T, low_T, close_T, volume_T = (
        getattr(raw, f"{name}_T")[rows] for name in (*PRICES, "volume")
    )
    still_T = (high_T == low_T) & (open_T == np.concatenate([[np.nan], close_T[:-1]])[: len(rows)])
    had_volume_T = np.logical_or.accumulate(volume_T > 0)
    filler_T = still_T & (volume_T == 0) & had_volume_T
    forming_T = start_T + length > now_utc
    found.repaired(FILLER, int((filler_T & ~forming_T).sum()))
    found.closed_fillers = int(_while_closed(start_T, filler_T & ~forming_T).sum())
    found.repaired(UNFINISHED, int(forming_T.sum()))
    use_T = ~(filler_T | forming_T)
    open_T, high_T, low_T, close_T, volume_T = (
        value_T[use_T] for value_T in (open_T, high_T, low_T, close_T, volume_T)
    )
    return Bars(symbol, start_T[use_T], open_T, high_T, low_T, close_T, volume_T, length)


def _while_closed(start_T: TimeArray, filler_T: BoolArray) -> BoolArray:
    """Return which fillers stand for a closed market: on a weekend, or for most of a day.

    A weekend is all of a run that reaches Saturday, for its Friday evening and Sunday belong to it.
    """
    edge_T = np.diff(np.concatenate([[0], filler_T.astype(np.int8), [0]]))
    closed_T = np.zeros(len(filler_T), dtype=bool)
    runs = zip(np.flatnonzero(edge_T == 1), np.flatnonzero(edge_T == -1), strict=True)
    for first, end in runs:
        is_weekend = (weekday_T(start_T[first:end]) == _SATURDAY).any()
        closed_T[first:end] = is_weekend or start_T[end - 1] - start_T[first] >= _MOST_OF_A_DAY
    return closed_T


def _check_dropped(raw: RawBars, found: _Findings, max_dropped: float) -> None:
    n_bad = sum(len(rows) for rows in found.bad.values())
    most = int(max_dropped * len(raw))
    if n_bad <= most:
        return
    ranged = int((raw.high_T != raw.low_T).sum())
    n_swapped = len(found.bad.get(HIGH_BELOW_LOW, ()))
    if n_swapped > _MOST_ROWS * ranged:
        raise DataError(swapped(raw, n_swapped))
    firsts = {reason: int(rows.min()) for reason, rows in found.bad.items()}
    reason = min(firsts, key=firsts.__getitem__)
    said = f"{finding(raw, reason, firsts[reason])}; {n_bad:,} of {len(raw):,} rows are bad"
    if raw.is_given:
        raise DataError(f"{said}: mend them at their source")
    raise DataError(
        f"{said}, at most {most:,} may be dropped: mend them, or raise data.max_dropped"
    )
